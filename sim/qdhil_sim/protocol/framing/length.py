"""Messages behind their length, in decimal digits."""

from __future__ import annotations

from collections.abc import Sequence

from qdhil_sim.protocol.link_faults import Buffer


class LengthFraming:
    """Messages ``<length><text>``, answers as well; what has no length is handed on whole, for the device to refuse."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self._pending = b""

    def greeting(self) -> bytes:
        """Return nothing."""
        return b""

    def messages(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete; line ends between them are skipped."""
        self._pending += data
        found = []
        while len(pending := self._pending.lstrip(b"\r\n")) >= self._digits:
            prefix = pending[: self._digits]
            if not prefix.isdigit():
                found.append(pending)
                self._pending = b""
                break
            end = self._digits + int(prefix)
            if len(pending) < end:
                break
            found.append(pending[self._digits : end])
            self._pending = pending[end:]
        return found

    def handshake(self, _message: bytes, /) -> bytes | None:
        """Return None: there is no login."""
        return None

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the answer behind its length, cut where its digits end."""
        whole = b"".join(bytes(part) for part in answer)[: 10**self._digits - 1]
        return [f"{len(whole):0{self._digits}d}".encode() + whole]
