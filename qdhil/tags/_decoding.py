"""Compiled loops of the tag readers: TTTR records to times, and tags to channels.

Every loop takes one block and a state that goes on to the next, so that a file is read in bounded memory
and block borders leave no trace. Imported inside functions only, so that reading a header needs no numba.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

ABOVE, LAST, CROSSED, FALLS, FIRST_FALL, UNKNOWN, BEYOND, OVERFLOWS, PHOTONS, LATE = range(10)
"""Slots of a decoder's state: counts above the counter, the last counter, whether an overflow came since,
falls without an overflow and the record of the first, first unknown special record, first counter beyond its
wrap, overflows so far, photons, and photons later than the period allows."""
STATE_SLOTS = 10

_MARKERS = 1000
_SYNC = -1


@njit(cache=True, nogil=True)
def decode_hydra(
    records: npt.NDArray[np.uint32],
    start: int,
    counter_bits: int,
    since_bits: int,
    wrap: int,
    counted: bool,
    slack: int,
    late_bins: int,
    state: npt.NDArray[np.int64],
    counter_out: npt.NDArray[np.int64],
    since_out: npt.NDArray[np.int32],
    channel_out: npt.NDArray[np.int16],
) -> int:
    """Decode records whose top bit marks special ones; return how many tags were written."""
    counter_mask = np.uint32((1 << counter_bits) - 1)
    since_mask = np.uint32((1 << since_bits) - 1)
    t3 = since_bits > 0
    above, last, crossed = state[ABOVE], state[LAST], state[CROSSED] != 0
    photons, late, written = 0, 0, 0
    for i in range(records.size):
        record = records[i]
        counter = np.int64(record & counter_mask)
        channel = np.int64(record >> np.uint32(25)) & 127
        if channel < 64:
            since = np.int32((record >> np.uint32(counter_bits)) & since_mask)
            photons += 1
            late += since > late_bins
        elif channel == 127:
            steps = max(counter, 1) if counted else 1
            above += steps * wrap
            state[OVERFLOWS] += steps
            crossed = True
            continue
        elif channel == 64 and not t3:
            since, channel = np.int32(0), _SYNC
        elif 64 < channel < 80:
            # markers are of lower resolution and may stand out of order
            counter_out[written], since_out[written] = above + counter, 0
            channel_out[written] = _MARKERS + channel - 64
            written += 1
            continue
        else:
            if state[UNKNOWN] < 0:
                state[UNKNOWN] = start + i
            continue
        if counter >= wrap and state[BEYOND] < 0:
            state[BEYOND] = start + i
        if counter < last - slack and not crossed:
            state[FALLS] += 1
            if state[FIRST_FALL] < 0:
                state[FIRST_FALL] = start + i
        last, crossed = counter, False
        counter_out[written], since_out[written], channel_out[written] = above + counter, since, channel
        written += 1
    state[ABOVE], state[LAST], state[CROSSED] = above, last, crossed
    state[PHOTONS] += photons
    state[LATE] += late
    return written


@njit(cache=True, nogil=True)
def decode_pico(
    records: npt.NDArray[np.uint32],
    start: int,
    counter_bits: int,
    since_bits: int,
    wrap: int,
    slack: int,
    late_bins: int,
    state: npt.NDArray[np.int64],
    counter_out: npt.NDArray[np.int64],
    since_out: npt.NDArray[np.int32],
    channel_out: npt.NDArray[np.int16],
) -> int:
    """Decode PicoHarp 300 records, whose channel 15 marks special ones; return how many tags were written."""
    counter_mask = np.uint32((1 << counter_bits) - 1)
    since_mask = np.uint32((1 << since_bits) - 1)
    t3 = since_bits > 0
    above, last, crossed = state[ABOVE], state[LAST], state[CROSSED] != 0
    photons, late, written = 0, 0, 0
    for i in range(records.size):
        record = records[i]
        counter = np.int64(record & counter_mask)
        since = np.int32((record >> np.uint32(counter_bits)) & since_mask)
        channel = np.int64(record >> np.uint32(28))
        if channel == 15:
            marker = np.int64(since) if t3 else counter & 15
            if marker == 0:
                above += wrap
                state[OVERFLOWS] += 1
                crossed = True
            else:
                if not t3:
                    # the marker's bits take the place of the lowest bits of its time
                    counter &= ~15
                counter_out[written], since_out[written] = above + counter, 0
                channel_out[written] = _MARKERS + (marker & 15)
                written += 1
            continue
        photons += 1
        late += since > late_bins
        if counter >= wrap and state[BEYOND] < 0:
            state[BEYOND] = start + i
        if counter < last - slack and not crossed:
            state[FALLS] += 1
            if state[FIRST_FALL] < 0:
                state[FIRST_FALL] = start + i
        last, crossed = counter, False
        counter_out[written], since_out[written], channel_out[written] = above + counter, since, channel
        written += 1
    state[ABOVE], state[LAST], state[CROSSED] = above, last, crossed
    state[PHOTONS] += photons
    state[LATE] += late
    return written


@njit(cache=True, nogil=True)
def to_picoseconds(
    counter: npt.NDArray[np.int64],
    since: npt.NDArray[np.int32],
    whole_ps: int,
    unit_ps: float,
    resolution_ps: float,
    times: npt.NDArray[np.int64],
    since_ps: npt.NDArray[np.int64],
) -> None:
    """Turn counters and bins into ps; ``whole_ps`` is the unit where it is a whole number, else 0."""
    if resolution_ps > 0:
        for i in range(counter.size):
            later = np.int64(np.rint(since[i] * resolution_ps))
            since_ps[i] = later
            times[i] = np.int64(np.rint(counter[i] * unit_ps)) + later
    elif whole_ps > 0:
        for i in range(counter.size):
            times[i] = counter[i] * whole_ps
    else:
        for i in range(counter.size):
            times[i] = np.int64(np.rint(counter[i] * unit_ps))


@njit(cache=True, nogil=True)
def by_channel(
    times: npt.NDArray[np.int64],
    since: npt.NDArray[np.int64],
    channels: npt.NDArray[np.int16],
    ends: npt.NDArray[np.int64],
    times_out: npt.NDArray[np.int64],
    since_out: npt.NDArray[np.int64],
) -> None:
    """Group a block by channel, stably; ``ends[c + 1]`` becomes the end of channel c (from -1 up)."""
    ends[:] = 0
    for i in range(channels.size):
        ends[channels[i] + 1] += 1
    total = 0
    for c in range(ends.size):
        count = ends[c]
        ends[c] = total
        total += count
    keep_since = since.size > 0
    for i in range(channels.size):
        at = ends[channels[i] + 1]
        ends[channels[i] + 1] = at + 1
        times_out[at] = times[i]
        if keep_since:
            since_out[at] = since[i]


@njit(cache=True, nogil=True)
def falls(times: npt.NDArray[np.int64], last: int) -> int:
    """Return how many times lie before the one before them (``last`` before the first)."""
    count = 0
    for i in range(times.size):
        count += times[i] < last
        last = times[i]
    return count
