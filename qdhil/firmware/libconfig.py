"""libconfig text, the language of SWUpdate's ``sw-description``, read into dictionaries, lists and values.

The grammar is libconfig's (hyperrealm.github.io/libconfig, "Configuration File Grammar") without
``@include``; a setting twice in one group is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from qdhil.errors import RefusedError

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<number>[+-]?(?:0[xX][0-9A-Fa-f]{1,16}L{0,2}|\d+\.\d*(?:[eE][+-]?\d{1,3})?|\d{1,19}L{0,2}))(?![A-Za-z0-9_.])
    |(?P<name>[A-Za-z*][-A-Za-z0-9_*]*)
    |(?P<mark>[=:;,{}()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "\\": "\\", '"': '"'}
_CLOSING = {"{": "}", "(": ")", "[": "]"}

Token = tuple[str, str]


def parse_libconfig(text: str, what: str) -> dict[str, Any]:
    """Read a whole document.

    Parameters
    ----------
    text
        The document.
    what
        Names it in messages.

    Raises
    ------
    RefusedError
        If it is not libconfig, or says something twice.
    """
    try:
        return _Reader(list(_tokens(text))).document()
    except RecursionError as error:
        raise RefusedError(f"{what}: nested too deep") from error
    except ValueError as error:
        raise RefusedError(f"{what}: {error}") from error


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"not libconfig at {text[at : at + 20]!r}")
        at = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            yield kind, match[0]


class _Reader:
    """Reads tokens one by one; every method raises ValueError where the text is wrong."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def document(self) -> dict[str, Any]:
        return self._group(None)

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "the end")

    def _take(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _group(self, closing: str | None) -> dict[str, Any]:
        group: dict[str, Any] = {}
        while True:
            kind, text = self._take()
            if text == closing or (closing is None and kind == "end"):
                return group
            if kind != "name" or self._take()[1] not in ("=", ":"):
                raise ValueError(f"a setting must be NAME = VALUE, not {text!r}")
            if text in group:
                raise ValueError(f"the setting {text!r} twice")
            group[text] = self._value()
            if self._peek()[1] in (";", ","):
                self._take()

    def _value(self) -> Any:
        kind, text = self._take()
        if kind == "mark" and text in _CLOSING:
            return self._group("}") if text == "{" else self._items(_CLOSING[text])
        if kind == "string":
            while self._peek()[0] == "string":  # libconfig joins neighbours
                text = text[:-1] + self._take()[1][1:]
            return _ESCAPE.sub(_unescaped, text[1:-1])
        if kind == "number":
            return _number(text)
        if kind == "name" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"no value: {text!r}")

    def _items(self, closing: str) -> list[Any]:
        items: list[Any] = []
        while self._peek()[1] != closing or self._peek()[0] != "mark":
            items.append(self._value())
            if self._peek() == ("mark", ","):
                self._take()
            elif self._peek() != ("mark", closing):
                raise ValueError(f"a list must go on with a comma, not {self._peek()[1]!r}")
        self._take()
        return items


def _number(text: str) -> int | float:
    whole = text.rstrip("L")
    if "." in whole:
        return float(whole)
    return int(whole, 16) if "x" in whole.lower() else int(whole)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) == 3:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        raise ValueError(f"no escape: \\{code}")
    return _ESCAPES[code]
