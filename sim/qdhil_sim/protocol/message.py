"""Program messages: where they end in a byte stream, and where their parts end (IEEE 488.2, chapter 7).

Line feed, carriage return and both together end a message; empty messages are no-ops. Separators
inside quoted strings, inside expressions ``(@1,2)`` and inside definite-length blocks
``#<d><n><n bytes>`` are data: a firmware image or any other block may hold every byte there is, line
feeds included.
"""

from __future__ import annotations

import re

from qdhil_sim.protocol.errors import ScpiError

_SPECIAL = re.compile(rb"[\r\n\"'#]")
_IN_EXPRESSION = re.compile(rb"[()\"']")
_BLOCK_HEAD = re.compile(rb"#([1-9])(\d*)")
_BEFORE_BLOCK = b" \t,"
MESSAGE_LIMIT_BYTES = 1 << 28
_INCOMPLETE = -1


def block_end(data: bytes | bytearray, start: int) -> int | None:
    """Return the end of the block that begins at ``start``; None if it is none, -1 if it is not all here."""
    if start == 0 or data[start - 1] not in _BEFORE_BLOCK:
        return None
    if start + 1 == len(data):
        return _INCOMPLETE
    digits = data[start + 1] - ord("0")
    if not 1 <= digits <= 9:
        return None
    length = bytes(data[start + 2 : start + 2 + digits])
    if length and not length.isdigit():
        return None
    if len(length) < digits:
        return _INCOMPLETE
    end = start + 2 + digits + int(length)
    return end if end <= len(data) else _INCOMPLETE


class MessageSplitter:
    """Cuts a byte stream into program messages, however the bytes are cut into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._quote = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Take the next bytes of the stream and return the messages that are complete now.

        Raises
        ------
        ScpiError
            -223 if a message grows beyond 256 MiB; it is discarded.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            if message.strip():
                messages.append(message)
        if len(self._buffer) > MESSAGE_LIMIT_BYTES:
            self.clear()
            raise ScpiError(-223)
        return messages

    def finish(self) -> list[bytes]:
        """Return what is left as the last message; for transports that signal the end themselves."""
        rest = bytes(self._buffer)
        self.clear()
        return [rest] if rest.strip() else []

    def clear(self) -> None:
        """Forget a message begun."""
        self._buffer.clear()
        self._scanned = self._quote = 0

    def _next(self) -> bytes | None:
        while (match := _SPECIAL.search(self._buffer, self._scanned)) is not None:
            at, byte = match.start(), self._buffer[match.start()]
            if byte in b"\r\n":
                message = bytes(self._buffer[:at])
                del self._buffer[: at + 1]
                self._scanned = self._quote = 0
                return message
            end = None
            if byte != ord("#"):
                self._quote = byte if not self._quote else 0 if byte == self._quote else self._quote
            elif not self._quote:
                end = block_end(self._buffer, at)
            if end == _INCOMPLETE:
                self._scanned = at
                return None
            self._scanned = at + 1 if end is None else end
        self._scanned = len(self._buffer)
        return None


def split_outside_data(message: bytes, separator: bytes) -> list[bytes]:
    """Split at ``separator`` (one byte) outside strings, blocks and expressions; parts are stripped of blanks.

    Raises
    ------
    ScpiError
        -151 for a quote that is not closed, -161 for a block that is shorter than it says, -171 for a
        parenthesis that is not closed.
    """
    special = re.compile(b"[\"'#(" + re.escape(separator) + b"]")
    parts, begin, at = [], 0, 0
    while (match := special.search(message, at)) is not None:
        at = match.start()
        byte = message[at : at + 1]
        if byte == separator:
            parts.append(message[begin:at])
            begin = at = at + 1
        elif byte == b"#":
            end = block_end(message, at)
            if end == _INCOMPLETE:
                raise ScpiError(-161)
            at = at + 1 if end is None else end
        elif byte == b"(":
            at = _expression_end(message, at)
        else:
            at = _string_end(message, at)
    parts.append(message[begin:])
    return [_strip(part) for part in parts]


def _string_end(message: bytes, start: int) -> int:
    closing = message.find(message[start : start + 1], start + 1)
    if closing < 0:
        raise ScpiError(-151)
    return closing + 1


def _expression_end(message: bytes, start: int) -> int:
    depth, at = 1, start + 1
    while depth:
        match = _IN_EXPRESSION.search(message, at)
        if match is None:
            raise ScpiError(-171)
        if match[0] in b"()":
            depth += 1 if match[0] == b"(" else -1
        at = match.end() if match[0] in b"()" else _string_end(message, match.start())
    return at


def _strip(part: bytes) -> bytes:
    # Blanks at the end of a block are data: a part that holds a block is stripped at its start only.
    return part.lstrip() if _BLOCK_HEAD.search(part) else part.strip()
