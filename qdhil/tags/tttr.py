"""PicoQuant's 32-bit TTTR records: which bits mean what, and how the counters overflow.

A T2 record holds a time; a T3 record holds the number of the laser pulse and the time since it. Both
counters are short and wrap; an overflow record says so (and, since HydraHarp V2, how many times). One
lost overflow record shifts everything after it, so a counter that falls without one is refused
(:mod:`qdhil.tags.tttr_decoder`).

In T2 mode sync events are channel :data:`~qdhil.tags.recording.SYNC`; in both, marker bits m are channel
:data:`~qdhil.tags.recording.MARKER_BASE` + m.
"""

from __future__ import annotations

from dataclasses import dataclass


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
class Records:
    """Where the records of a file lie, and what its header says of them.

    Parameters
    ----------
    layout
        What their bits mean.
    at
        Offset of the first, in bytes.
    announced
        How many there are; 0 where the header doesn't know (an aborted measurement).
    unit_ps
        What the counter counts: the time resolution in T2 mode, the sync period in T3 mode.
    resolution_ps
        Width of a bin of the time since sync; 0 in T2 mode.
    stopped_s
        Time measured, in s; 0 where the header doesn't know.
    """

    layout: Layout
    at: int
    announced: int
    unit_ps: float
    resolution_ps: float
    stopped_s: float
