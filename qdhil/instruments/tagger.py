"""The time tagger: acquisitions pulled in checked blocks of packed tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdhil.errors import TagFault
from qdhil.instruments.config import Tagger
from qdhil.instruments.session import Session
from qdhil.tags.acquisition import Acquisition

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qdhil.tags.wire import TagBlock


class TimeTagger:
    """Acquire tags of the sync and of both detectors for a stated device time."""

    def __init__(self, session: Session, config: Tagger) -> None:
        self.session = session
        self._channels = config.channels
        self._block_tags = config.block_tags

    @property
    def state(self) -> str:
        """Get the state of the acquisition: IDLE, RUN or DONE."""
        return self.session.query("ACQ:STAT?")

    def acquire(self, dwell_s: float) -> Acquisition:
        """Count for ``dwell_s`` of device time and return every tag.

        Raises
        ------
        InfraFault
            If a block is damaged, out of sequence, from another acquisition, or tags were dropped.
        """
        self.session.write(f"ACQ:DUR {dwell_s!r}")
        self.session.write("ACQ:STAR")
        number = self.session.query_as("ACQ:ID?", int, "acquisition id", "a whole number")
        return self._split(number, dwell_s, self._pull(number))

    def _pull(self, number: int) -> npt.NDArray[np.int64]:
        import numpy as np

        parts: list[npt.NDArray[np.int64]] = []
        sequence = 0
        last_word = 0
        while True:
            done = self.state == "DONE"
            block = self._next_block(number, sequence)
            if block.packed.size:
                if int(block.packed[0]) < last_word:
                    raise self.session.fault(
                        "order of tags", "a block that begins before the last one ended", "increasing times"
                    )
                last_word = int(block.packed[-1])
                parts.append(block.packed)
            elif done:
                return np.concatenate(parts) if parts else np.empty(0, np.int64)
            sequence += 1

    def _next_block(self, number: int, sequence: int) -> TagBlock:
        from qdhil.tags.wire import decode_block

        data = self.session.query_block(f"TAGS:DATA? {self._block_tags}")
        try:
            block = decode_block(data)
        except TagFault as fault:
            raise self.session.fault(fault.quantity, fault.last_value, fault.band, _LINK) from fault
        if block.acquisition != number:
            raise self.session.fault("acquisition of a block", block.acquisition, str(number), _LINK)
        if block.sequence != sequence:
            raise self.session.fault("sequence number of a block", block.sequence, str(sequence), _LINK)
        if block.dropped:
            raise self.session.fault(
                "dropped tags", block.dropped, "0", "lower the count rate or read the tagger faster"
            )
        return block

    def _split(self, number: int, dwell_s: float, packed: npt.NDArray[np.int64]) -> Acquisition:
        from qdhil.tags.wire import unpack

        t_ps, channel = unpack(packed)
        by_role = {role: t_ps[channel == wanted] for role, wanted in self._channels.items()}
        known = sum(times.size for times in by_role.values())
        if known != t_ps.size:
            raise self.session.fault(
                "tags on other channels", t_ps.size - known, "0", f"channels in the rack file: {self._channels}"
            )
        return Acquisition(number, dwell_s, by_role["a"], by_role["b"], by_role["sync"])


_LINK = "check the link to the tagger and its firmware"
