"""PicoQuant's 32-bit TTTR records: which bits mean what, and how the counters overflow.

A T2 record holds a time; a T3 record holds the number of the laser pulse and the time since it. Both
counters are short and wrap; an overflow record says so (and, since HydraHarp V2, how many times). One
lost overflow record shifts everything after it, so a counter that falls without one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE, SYNC


@dataclass(frozen=True)
class Layout:
    """Bits of a record from the top: [special] channel [since sync] counter.

    Parameters
    ----------
    name
        Name of the record type.
    t3
        Whether the counter counts laser pulses (T3) rather than time (T2).
    special_bits
        1 where the top bit marks special records, 0 where channel 15 does (PicoHarp).
    channel_bits, since_bits, counter_bits
        Widths of the fields.
    wrap
        What an overflow adds to the counter.
    counted
        Whether an overflow record says how many overflows it stands for.
    """

    name: str
    t3: bool
    special_bits: int
    channel_bits: int
    since_bits: int
    counter_bits: int
    wrap: int
    counted: bool


_HYDRA_T2_V1 = Layout("hydraharp1-t2", False, 1, 6, 0, 25, 33_552_000, False)
_HYDRA_T3_V1 = Layout("hydraharp1-t3", True, 1, 6, 15, 10, 1024, False)


def _second_generation(name: str) -> tuple[Layout, Layout]:
    return (
        Layout(f"{name}-t2", False, 1, 6, 0, 25, 1 << 25, True),
        Layout(f"{name}-t3", True, 1, 6, 15, 10, 1024, True),
    )


_HYDRA2 = _second_generation("hydraharp2")
_TIMEHARP_N = _second_generation("timeharp260n")
_TIMEHARP_P = _second_generation("timeharp260p")
_GENERIC = _second_generation("generic")

LAYOUTS = {
    0x00010203: Layout("picoharp-t2", False, 0, 4, 0, 28, 210_698_240, False),
    0x00010303: Layout("picoharp-t3", True, 0, 4, 12, 16, 65_536, False),
    0x00010204: _HYDRA_T2_V1,
    0x00010304: _HYDRA_T3_V1,
    0x01010204: _HYDRA2[0],
    0x01010304: _HYDRA2[1],
    0x00010205: _TIMEHARP_N[0],
    0x00010305: _TIMEHARP_N[1],
    0x00010206: _TIMEHARP_P[0],
    0x00010306: _TIMEHARP_P[1],
    0x00010207: _GENERIC[0],
    0x00010307: _GENERIC[1],
}
"""Record layouts by the ``TTResultFormat_TTTRRecType`` of a PTU header."""


@dataclass(frozen=True)
class Events:
    """Decoded records without the overflows: counter, time since sync in bins, channel; shapes (n,)."""

    counter: npt.NDArray[np.int64]
    since: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    overflows: int


def decode(records: npt.NDArray[np.uint32], layout: Layout) -> Events:
    """Decode TTTR records of one layout.

    Parameters
    ----------
    records
        Raw records, uint32, shape (n,).
    layout
        What their bits mean.

    Returns
    -------
    Events
        In the order of the file; sync events of T2 modes are channel :data:`~qdhil.tags.recording.SYNC`,
        markers :data:`~qdhil.tags.recording.MARKER_BASE` plus their bits.

    Raises
    ------
    FormatError
        If the counter falls back without an overflow record, or a special record is none that is known.
    """
    counter = (records & np.uint32((1 << layout.counter_bits) - 1)).astype(np.int64)
    since = ((records >> np.uint32(layout.counter_bits)) & np.uint32((1 << layout.since_bits) - 1)).astype(np.int64)
    shift = np.uint32(layout.counter_bits + layout.since_bits)
    channel = ((records >> shift) & np.uint32((1 << layout.channel_bits) - 1)).astype(np.int64)
    if layout.special_bits:
        special = (records >> np.uint32(31)).astype(bool)
        overflow = special & (channel == 63)
        marker = special & (channel >= 1) & (channel <= 15)
        sync = special & (channel == 0)
        marker_bits = channel
    else:
        special = channel == 15
        marker_bits = since if layout.t3 else counter & 0xF
        overflow = special & (marker_bits == 0)
        marker = special & ~overflow
        sync = np.zeros_like(special)
    _check_special(special & ~(overflow | marker | sync), sync, layout)
    steps = np.where(overflow, np.maximum(counter, 1) if layout.counted else 1, 0)
    _check_counter(counter, overflow, steps, marker, layout)
    total = counter + np.cumsum(steps) * layout.wrap
    number = np.where(marker, MARKER_BASE + marker_bits, np.where(sync, SYNC, channel))
    kept = ~overflow
    return Events(total[kept], since[kept], number[kept], int(steps.sum()))


def _check_special(unknown: npt.NDArray[np.bool_], sync: npt.NDArray[np.bool_], layout: Layout) -> None:
    if layout.t3:
        unknown = unknown | sync
    if bool(unknown.any()):
        raise FormatError(
            f"record {int(np.argmax(unknown))} is a special record that {layout.name} does not have: "
            "the file is damaged or of another record type"
        )


def _check_counter(
    counter: npt.NDArray[np.int64],
    overflow: npt.NDArray[np.bool_],
    steps: npt.NDArray[np.int64],
    marker: npt.NDArray[np.bool_],
    layout: Layout,
) -> None:
    """Refuse a counter that falls where no overflow record stands between.

    Markers are of lower resolution and may stand out of order; T2 inputs may by a little.
    """
    slack = 0 if layout.t3 else layout.wrap // 64
    events = np.flatnonzero(~overflow & ~marker)
    falls = np.diff(counter[events])
    crossed = np.diff(np.cumsum(steps)[events])
    lost = (falls < -slack) & (crossed == 0)
    if bool(lost.any()):
        at = int(events[1:][lost][0])
        raise FormatError(
            f"the counter falls {int(lost.sum())} times without an overflow record, first before record {at}: "
            "overflow records are missing, or records are out of order"
        )
