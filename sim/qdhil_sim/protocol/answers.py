"""What a command may answer beside text: a block, nothing more on this connection, or not yet."""

from __future__ import annotations

from qdhil_sim.protocol.link_faults import Buffer


class LastWords(list[Buffer]):
    """An answer after which the transport ends the connection."""


class Block:
    """An answer sent as a definite-length block, without copying its payload."""

    def __init__(self, payload: Buffer) -> None:
        self.payload = payload

    def buffers(self) -> list[Buffer]:
        """Return ``#<d><n>`` and the payload."""
        length = str(len(self.payload))
        return [f"#{len(length)}{length}".encode(), self.payload]


class NotYet(Exception):  # noqa: N818 - a wait, not an error
    """Raised by a command that can't go on before device time ``until_s``; it is then run again."""

    def __init__(self, until_s: float) -> None:
        super().__init__(until_s)
        self.until_s = until_s
