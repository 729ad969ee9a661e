"""Blocks of TTTR records to times in ps, and what their counters say of damage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE, SYNC
from qdhil.tags.stream import LATEST_PS
from qdhil.tags.tttr import Records

_LATE = 0.01
"""More than this fraction of T3 tags later than a period after their sync: the header's period is wrong."""
_LATE_PERIODS = 1.02
_SLOTS = 128
"""Slots of :mod:`~qdhil.tags._decoding`, which is not imported before there are records to decode."""

_Ints = npt.NDArray[np.int64]


class Decoder:
    """The compiled loops bound to what the header says of its records.

    Parameters
    ----------
    records
        Layout and units.
    """

    def __init__(self, records: Records) -> None:
        layout, unit_ps, bin_ps = records.layout, records.unit_ps, records.resolution_ps
        self._records = records
        self._pico = layout.special_bits == 0
        self._mask = (1 << layout.counter_bits) - 1
        since_mask = (1 << layout.since_bits) - 1
        self._layout = (self._pico, layout.counter_bits, since_mask, layout.wrap, layout.counted)
        # T2 inputs may stand out of order by a little
        slack = 0 if layout.t3 else layout.wrap // 64
        self._limits = (slack, int(_LATE_PERIODS * unit_ps / bin_ps) if layout.t3 else 0)
        self._units = (_whole(unit_ps), unit_ps, _whole(bin_ps), bin_ps)
        self.channel_of = np.zeros(_SLOTS, np.int16)
        """Channel number of each slot."""
        self.channel_of[:64] = np.arange(64)
        self.channel_of[64] = SYNC
        self.channel_of[65:80] = MARKER_BASE + np.arange(1, 16)

    def first_state(self) -> _Ints:
        """Return the state before the first record."""
        from qdhil.tags import _decoding

        state = np.zeros(_decoding.STATE_SLOTS, np.int64)
        state[_decoding.LAST] = _decoding.NEVER
        state[_decoding.UNKNOWN] = -1
        return state

    def survey(self, raw: npt.NDArray[np.uint32], counts: _Ints) -> tuple[int, int]:
        """Count records by slot; return the block's overflows, and the last counter for the next block."""
        from qdhil.tags import _decoding

        layout = self._records.layout
        overflows, last = _decoding.survey(raw, self._pico, layout.t3, self._mask, layout.counted, counts)
        return int(overflows), int(last)

    def decode(
        self,
        raw: npt.NDArray[np.uint32],
        start: int,
        state: _Ints,
        places: npt.NDArray[np.uint64],
        outputs: tuple[_Ints, _Ints | None, npt.NDArray[np.int16] | None],
    ) -> None:
        """Decode a block; ``places`` and ``outputs`` are those of :func:`qdhil.tags._decoding.decode`."""
        from qdhil.tags import _decoding

        times, since_ps, channels = outputs
        plan = (self._layout, self._limits, self._units)
        _decoding.decode(raw, start, *plan, state, places, times, since_ps, self.channel_of, channels)

    def check(self, state: _Ints) -> None:
        """Refuse what the records so far can't be.

        Raises
        ------
        FormatError
            For special records that the layout doesn't have, counters that fall without an overflow or exceed
            their wrap, and times beyond belief.
        """
        from qdhil.tags import _decoding

        layout = self._records.layout
        if state[_decoding.UNKNOWN] >= 0:
            raise FormatError(
                f"record {state[_decoding.UNKNOWN]} is a special record that {layout.name} does not have: "
                "the file is damaged or of another record type"
            )
        if state[_decoding.HIGHEST] >= layout.wrap:
            raise FormatError(
                f"a counter of {state[_decoding.HIGHEST]} is beyond the {layout.wrap} where {layout.name} "
                "overflows: the file is damaged or of another record type"
            )
        if state[_decoding.FALLS]:
            raise FormatError(
                f"the counter falls {state[_decoding.FALLS]} times without an overflow record, first before record "
                f"{state[_decoding.FIRST_FALL]}: overflow records are missing, or records are out of order"
            )
        if (float(state[_decoding.OVERFLOWS]) + 1) * layout.wrap * self._records.unit_ps > LATEST_PS:
            raise FormatError("times beyond 2^62 ps: the header's resolution or the records are damaged")

    def check_lateness(self, state: _Ints) -> None:
        """Refuse a sync period that the times since sync exceed (FormatError)."""
        from qdhil.tags import _decoding

        photons, late = int(state[_decoding.PHOTONS]), int(state[_decoding.LATE])
        if self._records.layout.t3 and late > _LATE * photons:
            raise FormatError(
                f"{late / photons:.0%} of the photons come later than a sync period of "
                f"{self._records.unit_ps:.1f} ps: sync period or resolution of the header is wrong"
            )


def _whole(value_ps: float) -> int:
    """Return a number of ps if it is whole, else 0."""
    return round(value_ps) if abs(value_ps - round(value_ps)) <= 1e-9 * value_ps else 0
