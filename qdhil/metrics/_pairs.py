"""Pairs of two sorted channels, counted by their delay: the loops, compiled by numba.

A two-pointer loop spends most of its time on mispredicted branches: how many stops a start has is random.
So the next 8 (or 16) stops are compared and written to a buffer whether they belong or not, and only the
number of those that belong is kept; the buffer is binned when it is full. Two halves of a block of starts
are walked in turn, because each step waits for the one before it in its own half only. Where a window holds
many stops, the plain loop is faster and is taken.

Order is checked block by block just before a block is used, while it lies in the cache; nothing unsorted
is ever binned, so that no index leaves its array.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

Times = npt.NDArray[np.int64]

_ROOM = 2048
"""Differences in a buffer before it is binned: two buffers and a histogram share the first-level cache."""
_STARTS, _STOPS = 8192, 4096
"""Tags checked for order at a time: both lie in the second-level cache when they are used."""
_ONE = np.uint64(1)


class Bins(NamedTuple):
    """Where a difference v = stop - (start + offset_ps) in [0, span_ps) counts; see :mod:`qdhil.metrics.bins`.

    With ``cells`` it lies between the bounds of windows: the number of bounds at or below v, even within a
    window, is that of those below the cell v >> shift, and of at most two in the cell. With ``opening`` it
    lies in the window (v·factor + phase) >> shift if the rest is below ``opening``, else in the gap after it.
    Window m counts at 2·m + 1, the gap after it at 2·m. Else v counts in the bin v // width_ps, which is
    (v·factor) >> shift where ``factor`` isn't 0.
    """

    offset_ps: int
    span_ps: int
    width_ps: int
    factor: np.uint64
    shift: np.uint64
    phase: np.uint64
    opening: np.uint64
    cells: npt.NDArray[np.int64]
    """Shape (cells, 3): bounds below the cell, and the two bounds in it (2^62 where there is none)."""


@intrinsic
def _look_ahead(  # type: ignore[no-untyped-def]
    _typing, stops, low, base, end, following, buffer, n, lanes
):
    """Write stops[low:low + lanes] - base to buffer[n:]; return how many are below end, and below following.

    ``lanes`` is a tuple of as many integers: its type tells the width of the vector.
    """
    width = len(lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, narrow, i32 = (ir.VectorType(ir.IntType(bits), width) for bits in (64, 32, 32))
        nothing = ir.Constant(wide, ir.Undefined)

        def spread(value: Any) -> Any:
            first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, nothing, ir.Constant(i32, [0] * width))

        def count(mask: Any) -> Any:
            return builder.zext(builder.ctpop(builder.bitcast(mask, ir.IntType(width))), ir.IntType(64))

        source = context.make_array(signature.args[0])(context, builder, args[0]).data
        target = context.make_array(signature.args[5])(context, builder, args[5]).data
        times = builder.load(builder.bitcast(builder.gep(source, [args[1]]), wide.as_pointer()), align=8)
        differences = builder.trunc(builder.sub(times, spread(args[2])), narrow)
        builder.store(differences, builder.bitcast(builder.gep(target, [args[6]]), narrow.as_pointer()), align=4)
        counts = [count(builder.icmp_signed("<", times, spread(bound))) for bound in args[3:5]]
        return context.make_tuple(builder, signature.return_type, counts)

    return types.UniTuple(types.uint64, 2)(stops, low, base, end, following, buffer, n, lanes), generate


@njit(cache=True, nogil=True, error_model="numpy")
def rises(t_ps: Times) -> bool:
    """Return whether no time is below the one before it."""
    falls = 0
    for i in range(t_ps.size - 1):
        falls += t_ps[i + 1] < t_ps[i]
    return falls == 0


@njit(cache=True, nogil=True, error_model="numpy")
def _count(difference: int, bins: Bins, counts: Times) -> None:
    """Count one difference, by whichever rule."""
    v = np.uint64(difference)
    if bins.cells.shape[0]:
        below, first, second = bins.cells[v >> bins.shift]
        bound = below + (difference >= first) + (difference >= second)
        counts[bound ^ 1] += 1
    elif bins.opening:
        at = v * bins.factor + bins.phase
        inside = np.uint64((at & ((_ONE << bins.shift) - _ONE)) < bins.opening)
        counts[((at >> bins.shift) << _ONE) | inside] += 1
    elif bins.factor:
        counts[(v * bins.factor) >> bins.shift] += 1
    else:
        counts[np.uint64(difference // bins.width_ps)] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _add(buffer: npt.NDArray[np.uint32], n: int, bins: Bins, counts: Times) -> None:
    """Count the first n differences; what every round of the loop would ask is asked once."""
    factor, shift = bins.factor, bins.shift
    if bins.cells.shape[0]:
        for k in range(n):
            _count(np.int64(buffer[k]), bins, counts)
    elif bins.opening:
        phase, opening, rest = bins.phase, bins.opening, (_ONE << shift) - _ONE
        for k in range(n):  # a loop of its own, because the compiler makes vectors of it
            at = np.uint64(buffer[k]) * factor + phase
            buffer[k] = np.uint32(((at >> shift) << _ONE) | np.uint64((at & rest) < opening))
        for k in range(n):
            counts[buffer[k]] += 1
    else:
        for k in range(n):
            counts[(np.uint64(buffer[k]) * factor) >> shift] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _count_each(starts: Times, stops: Times, low: int, bins: Bins, counts: Times) -> int:
    """Count start by start; return the first stop that no later start has passed."""
    high = low
    for i in range(starts.size):
        base = starts[i] + bins.offset_ps
        end = base + bins.span_ps
        while low < stops.size and stops[low] < base:
            low += 1
        high = max(low, high)
        while high < stops.size and stops[high] < end:
            high += 1
        for j in range(low, high):
            _count(stops[j] - base, bins, counts)
    return low


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _take_long(
    stops: Times, low: Any, bounds: Any, buffer: Any, n: Any, bins: Bins, lanes: Any, counts: Times
) -> tuple[Any, Any]:
    """Take a start whose stops, or the way to the next start's, fill the lanes.

    ``bounds`` are the window's begin and end and the next one's begin. Return the next one's first stop,
    and how much of the buffer is filled. Inlined, because a call would count references to the arrays.
    """
    base, end, following = bounds
    full, size = np.uint64(len(lanes)), np.uint64(stops.size)
    j, more = low, full
    while more == full and j + full <= size and n < np.uint64(_ROOM):
        more = _look_ahead(stops, j, base, end, following, buffer, n, lanes)[0]
        n, j = n + more, j + more
    while j < size and stops[j] < end:
        _count(stops[j] - base, bins, counts)
        j += _ONE
    while low < size and stops[low] < following:
        low += _ONE
    return low, n


@njit(cache=True, nogil=True, error_model="numpy")
def _count_halves(
    starts: Times, stops: Times, low: int, half: int, bins: Bins, lanes: Any, buffers: Any, counts: Times
) -> np.int64:
    """Count starts[:half] and starts[half:2·half] in turn; return the first stop of the next start."""
    full, room, apart = np.uint64(len(lanes)), np.uint64(_ROOM), np.uint64(half)
    first, second = buffers[0], buffers[1]
    span, offset = bins.span_ps, bins.offset_ps
    base_a, base_b = starts[0] + offset, starts[half] + offset
    low_a = np.uint64(low + np.searchsorted(stops[low:], base_a))
    low_b = np.uint64(low + np.searchsorted(stops[low:], base_b))
    i = np.uint64(0)
    while i < apart:
        m, n = np.uint64(0), np.uint64(0)
        while i < apart and m < room and n < room:
            i += _ONE
            next_a, next_b = starts[i] + offset, starts[i + apart] + offset
            count_a, step_a = _look_ahead(stops, low_a, base_a, base_a + span, next_a, first, m, lanes)
            count_b, step_b = _look_ahead(stops, low_b, base_b, base_b + span, next_b, second, n, lanes)
            if max(count_a, step_a) == full:
                bounds = base_a, base_a + span, next_a
                low_a, m = _take_long(stops, low_a, bounds, first, m, bins, lanes, counts)
            else:
                m, low_a = m + count_a, low_a + step_a
            if max(count_b, step_b) == full:
                bounds = base_b, base_b + span, next_b
                low_b, n = _take_long(stops, low_b, bounds, second, n, bins, lanes, counts)
            else:
                n, low_b = n + count_b, low_b + step_b
            base_a, base_b = next_a, next_b
        _add(first, m, bins, counts)
        _add(second, n, bins, counts)
    return np.int64(low_b)


@njit(cache=True, nogil=True, error_model="numpy")
def count_pairs(
    starts: Times,
    stops: Times,
    part: tuple[int, int, int, int],
    bins: Bins,
    dense: bool,
    lanes: tuple[int, ...],
    counts: Times,
) -> bool:
    """Add the pairs of starts[part[0]:part[1]] to ``counts``; return whether what was read is sorted.

    Order is checked from the first start to the one after the last, and in stops[part[2]:part[3] + 1] at
    least; all stops of these starts must lie at or after stops[part[2]]. Where False is returned, the
    counts mean nothing.
    """
    begin, until, low, last = part
    ahead = len(lanes)
    buffers = np.empty((2, _ROOM + ahead), np.uint32)
    least = min(low + ahead, stops.size)
    checked = min(low + 1, stops.size)
    for at in range(begin, until, _STARTS):
        to = min(at + _STARTS, until)
        if not rises(starts[at : to + 1]):
            return False
        end = starts[to - 1] + bins.offset_ps + bins.span_ps
        while checked < stops.size and (checked <= least or stops[checked - 1 - ahead] < end):
            to_check = min(checked + _STOPS, stops.size)
            if not rises(stops[checked - 1 : to_check]):
                return False
            checked = to_check
        block, known = starts[at:to], stops[:checked]
        half = 0
        if not dense and checked - low >= ahead:
            inside = np.searchsorted(block, known[checked - ahead] - bins.offset_ps, side="right")
            half = min(inside, block.size - 1) // 2
        if half:
            low = _count_halves(block, known, low, half, bins, lanes, buffers, counts)
        low = _count_each(block[2 * half :], known, low, bins, counts)
    return bool(rises(stops[max(checked - 1, 0) : last + 1]))
