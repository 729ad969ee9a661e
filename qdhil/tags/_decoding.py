"""Compiled loops of the tag readers: TTTR records to times, and tags to channels.

Every loop takes one block and a state that goes on to the next, so that a file is read in bounded memory
and block borders leave no trace. Imported inside functions only, so that reading a header needs no numba.

A record's slot is its input (0 to 63), :data:`SYNC_SLOT`, that plus the bits of a marker (65 to 79), or one of
:data:`UNKNOWN_SLOT` and :data:`OVERFLOW_SLOT`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

SYNC_SLOT, UNKNOWN_SLOT, OVERFLOW_SLOT = 64, 126, 127

ABOVE, LAST, FALLS, FIRST_FALL, UNKNOWN, HIGHEST, OVERFLOWS, PHOTONS, LATE, DISORDERED = range(10)
"""Slots of a decoder's state: what overflows added to the counter, the counter before (or :data:`NEVER` after an
overflow), falls without an overflow and the record of the first, the first unknown special record, the highest
counter, overflows, photons, photons later than the period allows, and times before the one before."""
STATE_SLOTS = 10
NEVER, UNCHANGED = -(1 << 62), -(1 << 61)

_Ints = npt.NDArray[np.int64]
_Places = npt.NDArray[np.uint64]
"""Unsigned, because an index that could be negative costs a test for each tag."""


@njit(cache=True, nogil=True)
def _special_slot(record: int, pico: bool, t3: bool) -> int:
    """Return the slot of a special record: in a PicoHarp's channel 15, elsewhere one with the top bit."""
    if not pico:
        code = record >> 25
        known = code < 80 or code == OVERFLOW_SLOT
        return code if known and not (t3 and code == SYNC_SLOT) else UNKNOWN_SLOT
    marker = (record >> 16) & 0xFFF if t3 else record & 15
    if marker == 0:
        return OVERFLOW_SLOT
    return SYNC_SLOT + marker if marker < 16 else UNKNOWN_SLOT


@njit(cache=True, nogil=True)
def _inputs(pico: bool) -> tuple[np.uint32, np.uint32]:
    """Return how far a record is shifted to its input, and the first number that is none but special."""
    return (np.uint32(28), np.uint32(15)) if pico else (np.uint32(25), np.uint32(64))


@njit(cache=True, nogil=True)
def _overflows(record: int, mask: int, counted: bool) -> int:
    """Return how many overflows a record stands for; a count of 0 is one."""
    return max(record & mask, 1) if counted else 1


@njit(cache=True, nogil=True)
def survey(
    records: npt.NDArray[np.uint32], pico: bool, t3: bool, mask: int, counted: bool, counts: _Ints
) -> tuple[int, int]:
    """Count a block's records by slot; return its overflows, and the ``LAST`` that the next block begins with."""
    overflows = 0
    last: Any = UNCHANGED
    shift, special = _inputs(pico)
    for i in range(records.size):
        slot: Any = records[i] >> shift
        if slot >= special:
            record = np.int64(records[i])
            slot = np.uint64(_special_slot(record, pico, t3))
            if slot == OVERFLOW_SLOT:
                overflows += _overflows(record, mask, counted)
        counts[slot] += 1
    for i in range(records.size - 1, -1, -1):
        record = np.int64(records[i])
        slot = records[i] >> shift
        if slot >= special:
            slot = np.uint64(_special_slot(record, pico, t3))
        if slot <= SYNC_SLOT or slot == OVERFLOW_SLOT:
            last = NEVER if slot == OVERFLOW_SLOT else record & mask
            break
    return overflows, last


@njit(cache=True, nogil=True)
def _time_ps(count: int, whole_ps: int, unit_ps: float) -> Any:
    """Return a count in ps, exactly where the unit is whole."""
    return count * whole_ps if whole_ps > 0 else np.int64(np.rint(count * unit_ps))


@njit(cache=True, nogil=True, error_model="numpy")
def decode(
    records: npt.NDArray[np.uint32],
    start: int,
    layout: tuple[bool, int, int, int, bool],
    limits: tuple[int, int],
    units: tuple[int, float, int, float],
    state: _Ints,
    places: _Places,
    times: _Ints,
    since_ps: _Ints | None,
    names: npt.NDArray[np.int16],
    channels: npt.NDArray[np.int16] | None,
) -> None:
    """Decode a block of TTTR records.

    With ``channels`` (given their ``names`` by slot), tags stay in the order of the file and ``places[0]`` becomes
    their number; without, a tag goes to ``places[slot]`` of the outputs, which then goes up. ``since_ps`` is
    ``None`` in T2 mode.

    ``layout`` is (PicoHarp, bits of the counter, mask of the time since sync, wrap, overflows are counted);
    ``limits`` how far a counter may fall and the last bin in time; ``units`` the counter's unit and the bin of the
    time since sync in ps, each first where it is whole (else 0), then as it is.
    """
    pico, bits, since_mask, wrap, counted = layout
    slack, late_bins = limits
    shift, first_special = _inputs(pico)
    mask = (1 << bits) - 1
    above, last, highest = state[ABOVE], state[LAST], state[HIGHEST]
    late, special, disordered, before = 0, 0, 0, NEVER
    at: Any = np.uint64(0)
    for i in range(records.size):
        slot: Any = records[i] >> shift
        record: Any = np.int64(records[i])
        counter = record & mask
        since = (record >> bits) & since_mask
        if slot >= first_special:
            special += 1
            since = 0
            slot = np.uint64(_special_slot(record, pico, since_ps is not None))
            if slot >= UNKNOWN_SLOT:
                if slot == OVERFLOW_SLOT:
                    steps = _overflows(record, mask, counted)
                    above += steps * wrap
                    state[OVERFLOWS] += steps
                    last = NEVER
                elif state[UNKNOWN] < 0:
                    state[UNKNOWN] = start + i
                continue
            if slot > SYNC_SLOT and pico and since_ps is None:
                # the marker's bits take the place of the lowest bits of its time
                counter &= ~15
        # markers are of lower resolution and may stand out of order
        if slot <= SYNC_SLOT:
            highest = max(highest, counter)
            if counter < last - slack:
                state[FIRST_FALL] = start + i if state[FALLS] == 0 else state[FIRST_FALL]
                state[FALLS] += 1
            last = counter
        time = _time_ps(above + counter, units[0], units[1])
        if channels is None:
            at = places[slot]
            places[slot] = at + np.uint64(1)
        else:
            channels[at] = names[slot]
        if since_ps is not None:
            late += since > late_bins
            later = _time_ps(since, units[2], units[3])
            since_ps[at] = later
            time += later
        disordered += time < before
        before = time
        times[at] = time
        if channels is not None:
            at += np.uint64(1)
    if channels is not None:
        places[0] = at
    state[ABOVE], state[LAST], state[HIGHEST] = above, last, highest
    state[PHOTONS] += records.size - special
    state[LATE] += late
    state[DISORDERED] += disordered


@njit(cache=True, nogil=True)
def mark_channels(channels: npt.NDArray[np.int16], present: npt.NDArray[np.bool_]) -> None:
    """Set ``present[c + 1]`` for each channel c (from -1 up) of a block."""
    for i in range(channels.size):
        present[channels[i] + 1] = True


@njit(cache=True, nogil=True)
def take_channel(
    times: npt.NDArray[np.int64],
    channels: npt.NDArray[np.int16],
    channel: int,
    last: int,
    out: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Append the times of one channel to ``out``, which has room for the whole block.

    Returns how many there were, and how many of them lie before the one before them (``last`` before the first).
    """
    size, falls = 0, 0
    wanted = np.int16(channel)
    for i in range(times.size):
        time = times[i]
        mine = channels[i] == wanted
        out[size] = time
        falls += mine & (time < last)
        last = time if mine else last
        size += mine
    return size, falls


@njit(cache=True, nogil=True)
def take_values(
    values: npt.NDArray[np.int64], channels: npt.NDArray[np.int16], channel: int, out: npt.NDArray[np.int64]
) -> None:
    """Append one channel's values to ``out``, which has room for the whole block."""
    size = 0
    wanted = np.int16(channel)
    for i in range(values.size):
        out[size] = values[i]
        size += channels[i] == wanted
