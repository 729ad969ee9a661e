"""A console behind a password that echoes what is typed, until it is told not to."""

from __future__ import annotations

from collections.abc import Sequence

from qdhil_sim.protocol.framing.framing import LineFraming
from qdhil_sim.protocol.link_faults import Buffer

_PROMPT = b"> "


class ConsoleFraming(LineFraming):
    """Lines with echo and prompt, both switched off by ``echo off``; without a password there is no login.

    Parameters
    ----------
    banner
        What is sent when the connection opens.
    password
        What has to come first.
    echo
        Whether the console echoes at first.
    """

    def __init__(self, banner: bytes = b"", password: bytes | None = None, *, echo: bool = True) -> None:
        super().__init__(b"\r\n")
        self._banner, self._password, self._echo = banner, password, echo
        self._typed = b""

    def greeting(self) -> bytes:
        """Return the banner and the question for the password."""
        return self._banner + (b"Authorization code: " if self._password is not None else b"")

    def handshake(self, message: bytes, /) -> bytes | None:
        """Check the password, and switch the echo."""
        line = message.strip()
        if self._password is not None:
            masked = b"*" * len(line) + b"\r\n"
            if line != self._password:
                return masked + b"Authorization failed\r\nAuthorization code: "
            self._password = None
            return masked + b"Authorization success\r\n"
        self._typed = _PROMPT + line + b"\r\n" if self._echo else b""
        if (words := line.lower().split())[:1] == [b"echo"] and words[1:] in ([b"on"], [b"off"]):
            self._echo = words[1] == b"on"
            return self._typed + b"OK\r\n"
        return None

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the answer, behind what was typed where that is echoed."""
        return [self._typed, *super().frame(answer)]
