"""Commands: how they are declared on a device's methods, and found from what a client wrote.

A pattern is written as in an instrument's manual: ``SYSTem:ERRor[:NEXT]?`` means that the capitals
are the short form, brackets are optional and a question mark is a query. ``<n>`` is a numeric suffix,
1 when left out; ``<1-4>`` is one with limits; ``<1>`` may be written or left out and is not handed to
the method. Headers are matched whatever their case, in short or long form only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.message import split_outside_data
from qdhil_sim.protocol.parameters import Parameter

_HEADER = re.compile(rb"\s*([*:]?[A-Za-z][A-Za-z0-9_:]*)(\?)?(.*)\Z", re.DOTALL)
_PATTERN_PART = re.compile(r"\[|\]|([*A-Z][A-Z0-9]*)([a-z]*)(<(?:n|\d+(?:-\d+)?)>)?")
_SUFFIX = re.compile(r"<(?:n|(\d+)(?:-(\d+))?)>")
_ANY_SUFFIX = range(1 << 31)
_MOST_SUFFIX_DIGITS = 10
_MARK = "scpi_commands"

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Command:
    """One declared command of a device."""

    pattern: str
    parameters: tuple[Parameter, ...]
    header: re.Pattern[str]
    suffixes: tuple[range, ...]
    method: Callable[..., Any]

    @property
    def query(self) -> bool:
        """Whether an answer is due."""
        return self.pattern.endswith("?")

    def numbers(self, written: Sequence[str | None]) -> list[int]:
        """Return the numeric suffixes that go to the method, from those written.

        Raises
        ------
        ScpiError
            -114 for a suffix outside its limits.
        """
        chosen = []
        for allowed, text in zip(self.suffixes, written, strict=True):
            if text and len(text) > _MOST_SUFFIX_DIGITS:
                raise ScpiError(-114, text[:_MOST_SUFFIX_DIGITS])
            suffix = int(text or max(1, allowed.start))
            if suffix not in allowed:
                raise ScpiError(-114, str(suffix))
            if len(allowed) > 1:
                chosen.append(suffix)
        return chosen

    def values(self, arguments: list[bytes]) -> list[Any]:
        """Convert the client's arguments.

        Raises
        ------
        ScpiError
            -108 for too many, -109 for too few, or what the parameter says of a wrong one.
        """
        if len(arguments) > len(self.parameters):
            raise ScpiError(-108)
        values = []
        for index, parameter in enumerate(self.parameters):
            if index < len(arguments) and arguments[index]:
                values.append(parameter.convert(arguments[index]))
            elif parameter.required:
                raise ScpiError(-109)
            else:
                values.append(parameter.default)
        return values


@dataclass(frozen=True)
class Unit:
    """One program message unit as written: header with its path, query mark, arguments."""

    header: str
    query: bool
    arguments: list[bytes]


def command(pattern: str, *parameters: Parameter) -> Callable[[Method], Method]:
    """Declare the decorated method as the command ``pattern``; suffixes come before the parameters."""

    def declare(method: Method) -> Method:
        vars(method).setdefault(_MARK, []).append(declared_command(pattern, method, *parameters))
        return method

    return declare


def declared_command(pattern: str, method: Callable[..., Any], *parameters: Parameter) -> Command:
    """Return the command that runs ``method``; an attribute ``scpi_commands`` of a device's member holds such."""
    return Command(pattern, parameters, _compile(pattern), _suffix_limits(pattern), method)


def suffix_count(pattern: str) -> int:
    """Return how many numeric suffixes a pattern hands to its method."""
    return sum(len(allowed) > 1 for allowed in _suffix_limits(pattern))


def _suffix_limits(pattern: str) -> tuple[range, ...]:
    return tuple(
        range(int(match[1]), int(match[2] or match[1]) + 1) if match[1] else _ANY_SUFFIX
        for match in _SUFFIX.finditer(pattern)
    )


def _compile(pattern: str) -> re.Pattern[str]:
    def part(match: re.Match[str]) -> str:
        if match[0] == "[":
            return "(?:"
        if match[0] == "]":
            return ")?"
        rest = f"(?:{match[2].upper()})?" if match[2] else ""
        return re.escape(match[1]) + rest + (r"(\d*)" if match[3] else "")

    return re.compile(_PATTERN_PART.sub(part, pattern.removesuffix("?")), re.IGNORECASE)


def parse_unit(text: bytes, path: str) -> tuple[Unit, str]:
    """Parse one unit in the header path left by the unit before; return it with the path it leaves.

    Raises
    ------
    ScpiError
        -102 for what is no header, -151 or -161 for bad data.
    """
    match = _HEADER.match(text)
    if match is None or (not match[2] and match[3] and match[3][:1] not in b" \t"):
        raise ScpiError(-102)
    header, data = match[1].decode("ascii"), match[3]
    if not header.startswith("*"):
        header = header[1:] if header.startswith(":") else path + header
        path = header[: header.rfind(":") + 1]
    arguments = split_outside_data(data, b",") if data.strip() else []
    return Unit(header, match[2] is not None, arguments), path


class CommandTable:
    """Every command of one device class, found by header."""

    def __init__(self, device: type) -> None:
        self._commands: list[Command] = []
        for name in dir(device):
            self._commands += getattr(getattr(device, name), _MARK, [])
        self._found: dict[tuple[str, bool], tuple[Command, list[int]]] = {}

    def find(self, header: str, *, query: bool) -> tuple[Command, list[int]]:
        """Return the command and its numeric suffixes.

        Raises
        ------
        ScpiError
            -113 if no command has this header, -114 if its suffix is out of range.
        """
        key = (header.upper(), query)
        if key not in self._found:
            self._found[key] = self._search(header, query)
        return self._found[key]

    def _search(self, header: str, query: bool) -> tuple[Command, list[int]]:
        for candidate in self._commands:
            match = candidate.header.fullmatch(header) if candidate.query == query else None
            if match is not None:
                return candidate, candidate.numbers(match.groups())
        raise ScpiError(-113, header)
