"""What instruments with a framed dialect share: text in, text out, their transports, an honest error count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from qdhil_sim.protocol.framing.framing import Framing, LineFraming
from qdhil_sim.protocol.framing.transport import FramedTransport
from qdhil_sim.protocol.instrument import Instrument, NotYet
from qdhil_sim.protocol.link_faults import WRONG_IDENTITY, Buffer
from qdhil_sim.protocol.server import Transport

_LONGEST_NAP_S = 0.02


class FramedInstrument(Instrument):
    """Base of the instruments that do not speak SCPI; subclasses answer whole messages as text."""

    model: ClassVar[str]
    port: ClassVar[int]

    def answer(self, message: str) -> str | None:
        """Return the answer to one message; None if there is none. Called with the rig's lock held.

        Raises
        ------
        NotYet
            If it can't be answered before some device time; it is then asked again.
        """
        raise NotImplementedError

    def framing(self) -> Framing:
        """Return the framing of a new connection."""
        return LineFraming(b"\r\n")

    def transports(self) -> Mapping[int, Transport]:
        """Return what serves each of the instrument's TCP ports; the main one is :attr:`port`."""
        return {self.port: FramedTransport(self, self.framing)}

    def act_on_environment(self) -> None:
        """Bring the environment to the present state; called before light is made."""

    @property
    def shown_identity(self) -> str:
        """What the instrument says it is."""
        return WRONG_IDENTITY if self.link.wrong_identity else self.identity

    def run_message(self, message: bytes) -> list[Buffer]:
        """Answer one message; the framing adds what ends it."""
        text = message.decode("latin-1").strip()
        if not text:
            return []
        while True:
            with self.lock:
                try:
                    answer = self.answer(text)
                except NotYet as pending:
                    wait_s = self.clock.remaining_s(pending.until_s)
                else:
                    self.act_on_environment()
                    self.clock.charge_command()
                    self.after_command()
                    return [] if answer is None or not self.answers() else [answer.encode("latin-1", "replace")]
            self.nap(min(wait_s, _LONGEST_NAP_S))

    def finish(self, until_s: float) -> None:
        """Go on at device time ``until_s``.

        Raises
        ------
        NotYet
            If it is earlier.
        """
        if not self.clock.finish(until_s):
            raise NotYet(until_s)
