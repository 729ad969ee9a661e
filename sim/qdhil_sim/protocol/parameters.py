"""Parameters of commands: from program data to numbers with units, choices, text and blocks.

A parameter declares what is right; what is not becomes the SCPI error an instrument would queue:
-104 wrong type, -131 wrong unit, -222 out of range, -224 not one of the choices.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qdhil_sim.protocol.errors import ScpiError

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\Z")
_BASES = {"H": 16, "Q": 8, "B": 2}
_PREFIXES = {
    "": 1.0,
    "T": 1e12,
    "G": 1e9,
    "MA": 1e6,
    "K": 1e3,
    "M": 1e-3,
    "U": 1e-6,
    "N": 1e-9,
    "P": 1e-12,
    "F": 1e-15,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter: how its bytes become a value, and what holds when it is left out."""

    convert: Callable[[bytes], Any]
    required: bool = True
    default: Any = None


def optional(parameter: Parameter, default: Any) -> Parameter:
    """Return the parameter as one that may be left out."""
    return replace(parameter, required=False, default=default)


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ScpiError(-101) from error


def _scale(suffix: str, unit: str) -> float:
    suffix, unit = suffix.upper(), unit.upper()
    if not suffix:
        return 1.0
    if not unit or not suffix.endswith(unit):
        raise ScpiError(-131, suffix)
    prefix = suffix.removesuffix(unit)
    # SCPI-1999 volume 1, 7.3: M is milli except before HZ and OHM, where it is mega.
    if prefix == "M" and unit in {"HZ", "OHM"}:
        return 1e6
    if prefix not in _PREFIXES:
        raise ScpiError(-131, suffix)
    return _PREFIXES[prefix]


def _parse_number(data: bytes, unit: str) -> float:
    text = _text(data).strip()
    if text[:1] == "#" and text[1:2].upper() in _BASES:
        try:
            return float(int(text[2:], _BASES[text[1].upper()]))
        except ValueError as error:
            raise ScpiError(-104, text) from error
    match = _NUMBER.match(text)
    if match is None:
        raise ScpiError(-104, text)
    return float(match[1]) * _scale(match[2], unit)


def _in_range(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ScpiError(-222, f"{value:g} not in {low:g} to {high:g}")
    return value


def number(unit: str = "", *, low: float = -1e300, high: float = 1e300) -> Parameter:
    """Return a decimal parameter in ``unit``; SI prefixes, ``MIN`` and ``MAX`` are understood."""

    def convert(data: bytes) -> float:
        keyword = data.strip().upper()
        if keyword in {b"MIN", b"MINIMUM"}:
            return low
        if keyword in {b"MAX", b"MAXIMUM"}:
            return high
        return _in_range(_parse_number(data, unit), low, high)

    return Parameter(convert)


def integer(low: int, high: int) -> Parameter:
    """Return a whole number from ``low`` to ``high``; other numbers are rounded as IEEE 488.2 asks."""
    return Parameter(lambda data: round(_in_range(_parse_number(data, ""), low, high)))


def boolean_or_integer(low: int, high: int) -> Parameter:
    """Return a whole number, for which ``ON`` and ``OFF`` stand for 1 and 0 as well."""
    words = {b"ON": b"1", b"OFF": b"0"}
    numeric = integer(low, high).convert
    return Parameter(lambda data: numeric(words.get(data.strip().upper(), data)))


def choice(*names: str) -> Parameter:
    """Return one of the given words, whatever its case."""

    def convert(data: bytes) -> str:
        word = _text(data).strip().upper()
        if word not in names:
            raise ScpiError(-224, word)
        return word

    return Parameter(convert)


def _quoted(data: bytes) -> str:
    text = _text(data).strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
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
