"""Parameters of commands: from program data to numbers with units, choices, text and blocks.

A parameter declares what is right; what is not becomes the SCPI error an instrument would queue:
-104 wrong type, -121 no number, -123 and -124 too many digits, -131 wrong unit, -138 no unit allowed,
-171 wrong expression, -222 out of range, -224 not one of the choices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qdhil_sim.protocol.errors import ScpiError

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:\s*[eE]\s*([+-]?\d+))?\s*([A-Za-z%/]*)\Z")
_BASES = {"H": 16, "Q": 8, "B": 2}
_PREFIXES = {
    "": 1.0,
    "EX": 1e18,
    "PE": 1e15,
    "T": 1e12,
    "G": 1e9,
    "MA": 1e6,
    "K": 1e3,
    "M": 1e-3,
    "U": 1e-6,
    "N": 1e-9,
    "P": 1e-12,
    "F": 1e-15,
    "A": 1e-18,
}
_LARGEST_EXPONENT = 32000
_MOST_EXPONENT_DIGITS = 9
_MOST_DIGITS = 255
"""Digits of a number that SCPI-1999 volume 2, 21.8, asks to be taken; -124 beyond."""
INFINITY = 9.9e37
"""What SCPI writes and reads for an infinite number (SCPI-1999 volume 1, 7.2.1.4)."""
NOT_A_NUMBER = 9.91e37
"""What SCPI writes for no number."""
_INFINITIES = {
    **dict.fromkeys(("INF", "+INF", "INFINITY"), INFINITY),
    **dict.fromkeys(("NINF", "-INF", "NINFINITY"), -INFINITY),
}
_CHANNELS = r"\s*\d+\s*(?::\s*\d+\s*)?"
_CHANNEL_LIST = re.compile(rf"\(\s*@({_CHANNELS}(?:,{_CHANNELS})*)\)\Z")
Units = Mapping[str, Callable[[float], float]]


def _same(value: float) -> float:
    return value


@dataclass(frozen=True)
class Parameter:
    """One parameter: how its bytes become a value, and what holds when it is left out.

    ``keywords`` are the values of ``MIN``, ``MAX`` and ``DEF``, which a query may ask for as well.
    """

    convert: Callable[[bytes], Any]
    required: bool = True
    default: Any = None
    keywords: Mapping[str, float] = field(default_factory=dict)


def optional(parameter: Parameter, default: Any) -> Parameter:
    """Return the parameter as one that may be left out."""
    return replace(parameter, required=False, default=default)


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ScpiError(-101) from error


def _prefix_scale(suffix: str, unit: str) -> float | None:
    """Return the factor of a suffix that ends in ``unit``; None if it is no such suffix."""
    prefix = suffix.removesuffix(unit)
    # SCPI-1999 volume 1, 7.3: M is milli except before HZ and OHM, where it is mega.
    if prefix == "M" and unit in {"HZ", "OHM"}:
        return 1e6
    return _PREFIXES.get(prefix) if suffix.endswith(unit) else None


def _in_unit(value: float, suffix: str, units: Units) -> float:
    if not suffix:
        return value
    if not units:
        raise ScpiError(-138, suffix)
    for unit in sorted(units, key=len, reverse=True):
        scale = _prefix_scale(suffix.upper(), unit)
        if scale is not None:
            return units[unit](value * scale)
    raise ScpiError(-131, suffix)


def _parse_number(data: bytes, units: Units) -> float:
    text = _text(data).strip()
    if len(text) > _MOST_DIGITS:
        raise ScpiError(-124)
    if text[:1] == "#" and (base := _BASES.get(text[1:2].upper())):
        return _parse_digits(text, base)
    if (word := text.upper()) in _INFINITIES:
        return _INFINITIES[word]
    match = _NUMBER.match(text)
    if match is None:
        raise ScpiError(-121 if text[:1].isdigit() else -104, text)
    exponent = match[2] or "0"
    if len(exponent) > _MOST_EXPONENT_DIGITS or abs(int(exponent)) > _LARGEST_EXPONENT:
        raise ScpiError(-123, text)
    value = _in_unit(float(f"{match[1]}e{exponent}"), match[3], units)
    if math.isinf(value):
        raise ScpiError(-222, text)
    return value


def _parse_digits(text: str, base: int) -> float:
    """Return a number in another base than ten, ``#HFF``."""
    digits = text[2:]
    if not digits.isalnum():
        raise ScpiError(-121, text)
    try:
        return float(int(digits, base))
    except ValueError as error:
        raise ScpiError(-121, text) from error
    except OverflowError as error:
        raise ScpiError(-222, text) from error


def _in_range(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ScpiError(-222, f"{value:g} not in {low:g} to {high:g}")
    return value


def _keywords(low: float, high: float, default: float | None) -> dict[str, float]:
    words = {"MIN": low, "MINIMUM": low, "MAX": high, "MAXIMUM": high, "DEF": default, "DEFAULT": default}
    return {word: float(value) for word, value in words.items() if value is not None}


def number(
    unit: str = "",
    *,
    low: float = -1e300,
    high: float = 1e300,
    default: float | None = None,
    others: Units | None = None,
) -> Parameter:
    """Return a decimal parameter in ``unit``; SI prefixes, ``MIN``, ``MAX`` and ``INF`` are understood.

    Parameters
    ----------
    default
        What ``DEF`` stands for, and the value after a reset.
    others
        Further units, each with the function that converts to ``unit``.
    """
    keywords = _keywords(low, high, default)
    units: Units = {unit.upper(): _same, **(others or {})} if unit else {}

    def convert(data: bytes) -> float:
        word = data.strip().upper().decode("latin-1")
        return keywords[word] if word in keywords else _in_range(_parse_number(data, units), low, high)

    return Parameter(convert, default=default, keywords=keywords)


def integer(low: int, high: int, *, default: int | None = None) -> Parameter:
    """Return a whole number from ``low`` to ``high``; other numbers are rounded as IEEE 488.2 asks."""
    decimal = number(low=low, high=high, default=default)
    words = {word: round(value) for word, value in decimal.keywords.items()}
    return replace(decimal, convert=lambda data: round(decimal.convert(data)), keywords=words)


def channel_list(low: int, high: int) -> Parameter:
    """Return the channels of a list ``(@1,3:5)``, in the order written; a bare number is one channel."""

    def convert(data: bytes) -> list[int]:
        text = _text(data).strip()
        if text[:1] != "(":
            return [round(_in_range(_parse_number(data, {}), low, high))]
        match = _CHANNEL_LIST.match(text)
        if match is None:
            raise ScpiError(-171, text)
        channels: list[int] = []
        for part in match[1].split(","):
            first, _, last = part.partition(":")
            begin, end = round(_parse_number(first.encode(), {})), round(_parse_number((last or first).encode(), {}))
            _in_range(begin, low, high)
            _in_range(end, low, high)
            channels += range(begin, end + 1) if begin <= end else range(begin, end - 1, -1)
        return channels

    return Parameter(convert)


def _boolean(data: bytes) -> bool:
    word = _text(data).strip().upper()
    return word == "ON" if word in {"ON", "OFF"} else round(_parse_number(data, {})) != 0


boolean = Parameter(_boolean)
"""``ON``, ``OFF`` or a number, of which 0 is off."""


def boolean_or_integer(low: int, high: int) -> Parameter:
    """Return a whole number, for which ``ON`` and ``OFF`` stand for 1 and 0 as well."""
    words = {b"ON": b"1", b"OFF": b"0"}
    numeric = integer(low, high).convert
    return Parameter(lambda data: numeric(words.get(data.strip().upper(), data)))


def choice(*names: str, default: str | None = None) -> Parameter:
    """Return one of the given words, whatever its case, quoted or not.

    A name as in a manual, ``VOLTage``, is known by its long and its short form and is handed on as the
    short form; brackets hold an optional end, as in ``CURRent[:DC]``.
    """
    known: dict[str, str] = {}
    for name in names:
        bare, _, ending = name.partition("[")
        short = "".join(letter for letter in bare if not letter.islower())
        for form in (short, bare.upper()):
            known[form] = known[form + ending.rstrip("]").upper()] = short

    def convert(data: bytes) -> str:
        word = _quoted(data).upper()
        if word not in known:
            raise ScpiError(-224, word)
        return known[word]

    return Parameter(convert, default=default)


def _quoted(data: bytes) -> str:
    text = _text(data).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace(2 * text[0], text[0])
    return text


def _block(data: bytes) -> bytes:
    if data[:1] != b"#" or not data[1:2].isdigit() or data[1:2] == b"0":
        raise ScpiError(-104, "a definite-length block is needed")
    start = 2 + int(data[1:2])
    length = data[2:start]
    if not length.isdigit() or data[start + int(length) :].strip():
        raise ScpiError(-161)
    return data[start : start + int(length)]


text = Parameter(_quoted)
"""A string, with or without quotes."""

block = Parameter(_block)
"""A definite-length block of any bytes."""
