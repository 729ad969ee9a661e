"""Framings: how a dialect cuts its byte stream into messages and wraps its answers, one object a connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from qdhil_sim.protocol.link_faults import Buffer

LONGEST_MESSAGE_BYTES = 1 << 20
_LINE_ENDS = re.compile(rb"[\r\n]+")


class MessageTooLong(Exception):  # noqa: N818 - what happened, not who is at fault
    """A client sends on and on without ending its message."""


class Framing(Protocol):
    """What one connection of a dialect remembers."""

    def greeting(self) -> bytes:
        """Return what is sent when the connection opens."""

    def messages(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the messages that are complete now.

        Raises
        ------
        MessageTooLong
            If a message has no end within 1 MiB.
        """

    def handshake(self, message: bytes, /) -> bytes | None:
        """Return the framing's own answer, as to a login; None for a message to the device."""

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Wrap the device's answer."""


class LineFraming:
    """Lines that end at CR, LF or both; answers end with ``terminator``; empty lines are no-ops."""

    def __init__(self, terminator: bytes = b"\n", *, single_bytes: bytes = b"", separator: bytes = b"") -> None:
        self._terminator = terminator
        self._single = re.compile(b"([" + re.escape(single_bytes) + b"])") if single_bytes else None
        self._separator = separator
        self._pending = b""

    def greeting(self) -> bytes:
        """Return nothing."""
        return b""

    def messages(self, data: bytes) -> list[bytes]:
        """Return the complete lines; single-byte commands are complete in themselves."""
        found: list[bytes] = []
        if self._single is not None:
            *parts, data = self._single.split(data)
            for part in parts:
                found += [part] if self._single.fullmatch(part) else self._lines(part)
        return found + self._lines(data)

    def handshake(self, _message: bytes, /) -> bytes | None:
        """Return None: there is no login."""
        return None

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the answer with the terminator."""
        return [*answer, self._terminator]

    def _lines(self, data: bytes) -> list[bytes]:
        data = self._pending + data
        if self._separator:
            data = data.replace(self._separator, b"\n")
        *lines, self._pending = _LINE_ENDS.split(data)
        if len(self._pending) > LONGEST_MESSAGE_BYTES:
            self._pending = b""
            raise MessageTooLong
        return [line for line in lines if line.strip()]


class PromptFraming(LineFraming):
    """A command shell: it greets, and a prompt follows every answer; every command has one."""

    def __init__(self, greeting: bytes, prompt: bytes = b"> ") -> None:
        super().__init__(b"\n")
        self._greeting = greeting
        self._prompt = prompt

    def greeting(self) -> bytes:
        """Return the welcome and the first prompt."""
        return self._greeting + b"\n" + self._prompt

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the answer on lines of its own and the prompt."""
        return [*answer, b"\n" + self._prompt]


class LoginFraming(LineFraming):
    """Lines behind a login that may be left out: ``OPEN "user"``, then the password (AQ6370 series).

    With authentication off, as here, any name and any password are taken, and messages without a login
    as well. The device ends its answers itself.
    """

    _OPEN = re.compile(rb'\s*OPEN\s+"[^"]*"\s*\Z', re.IGNORECASE)

    def __init__(self) -> None:
        super().__init__(b"")
        self._asked = False

    def handshake(self, message: bytes, /) -> bytes | None:
        """Answer the two steps of the login."""
        if self._asked:
            self._asked = False
            return b"READY\r\n"
        if self._OPEN.match(message):
            self._asked = True
            return b"AUTHENTICATE CRAM-MD5.\r\n"
        return b"" if message.strip().upper() == b"CLOSE" else None

    def messages(self, data: bytes) -> list[bytes]:
        """Return the complete lines; while a password is awaited an empty line is one."""
        if self._asked and data.strip() == b"" and b"\n" in data:
            return [b""]
        return super().messages(data)


class JsonFraming:
    """JSON objects, one after another; answers end with an end-of-block byte, 0x17."""

    def __init__(self, end: bytes = b"\x17") -> None:
        self._end = end
        self._buffer = bytearray()
        self._scanned = self._depth = self._start = 0
        self._quoted = self._escaped = False

    def greeting(self) -> bytes:
        """Return nothing."""
        return b""

    def messages(self, data: bytes) -> list[bytes]:
        """Return the objects whose braces are closed."""
        self._buffer += data
        found = []
        while self._scanned < len(self._buffer):
            byte = self._buffer[self._scanned]
            self._scanned += 1
            if self._closes(byte):
                found.append(bytes(self._buffer[self._start : self._scanned]))
                del self._buffer[: self._scanned]
                self._scanned = 0
        if len(self._buffer) > LONGEST_MESSAGE_BYTES:
            self._buffer.clear()
            self._scanned = self._depth = 0
            self._quoted = self._escaped = False
            raise MessageTooLong
        return found

    def handshake(self, _message: bytes, /) -> bytes | None:
        """Return None: there is no login."""
        return None

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the answer and the end byte."""
        return [*answer, self._end]

    def _closes(self, byte: int) -> bool:
        if self._quoted:
            self._quoted = self._escaped or byte != ord('"')
            self._escaped = byte == ord("\\") and not self._escaped
            return False
        if byte == ord('"') and self._depth:
            self._quoted = True
        elif byte == ord("{"):
            # what stands before an object is no part of it
            self._start = self._start if self._depth else self._scanned - 1
            self._depth += 1
        elif byte == ord("}") and self._depth:
            self._depth -= 1
            return self._depth == 0
        return False
