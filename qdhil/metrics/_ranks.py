"""How many stops lie before each start plus a delay, summed over the starts: compiled by numba.

Every delay has a place in the stops that only moves forward; four places move in turn, because each step
waits for the one before it of its own place only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

Times = npt.NDArray[np.int64]

_LANES = 8
_STARTS = 4096
"""Starts that all delays are summed over before the next ones: the stops of near delays stay in the cache."""


@intrinsic
def _below(_typing, stops, place, time):  # type: ignore[no-untyped-def]
    """Return how many of stops[place:place + 8] are below ``time``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, i32 = (ir.VectorType(ir.IntType(bits), _LANES) for bits in (64, 32))
        nothing = ir.Constant(wide, ir.Undefined)
        first = builder.insert_element(nothing, args[2], ir.Constant(ir.IntType(32), 0))
        bound = builder.shuffle_vector(first, nothing, ir.Constant(i32, [0] * _LANES))
        source = context.make_array(signature.args[0])(context, builder, args[0]).data
        times = builder.load(builder.bitcast(builder.gep(source, [args[1]]), wide.as_pointer()), align=8)
        mask = builder.bitcast(builder.icmp_signed("<", times, bound), ir.IntType(_LANES))
        return builder.zext(builder.ctpop(mask), ir.IntType(64))

    return types.uint64(stops, place, time), generate


@njit(cache=True, nogil=True, error_model="numpy")
def _each(starts: Times, stops: Times, delay: int, place: int) -> tuple[int, int]:
    """Return the sum of the ranks for one delay, and the last place."""
    total = 0
    for i in range(starts.size):
        while place < stops.size and stops[place] < starts[i] + delay:
            place += 1
        total += place
    return total, place


@njit(cache=True, nogil=True, error_model="numpy")
def _four(starts: Times, stops: Times, delays: Times, places: Times, sums: Times) -> None:
    """Add the ranks for four delays; every place must be 8 stops before the end when the last start is done."""
    full, one = np.uint64(_LANES), np.uint64(1)
    d0, d1, d2, d3 = delays[0], delays[1], delays[2], delays[3]
    p0, p1, p2, p3 = np.uint64(places[0]), np.uint64(places[1]), np.uint64(places[2]), np.uint64(places[3])
    s0, s1, s2, s3 = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(starts.size):
        t = starts[i]
        c0, c1 = _below(stops, p0, t + d0), _below(stops, p1, t + d1)
        c2, c3 = _below(stops, p2, t + d2), _below(stops, p3, t + d3)
        p0, p1, p2, p3 = p0 + c0, p1 + c1, p2 + c2, p3 + c3
        if max(c0, c1, c2, c3) == full:
            while stops[p0] < t + d0:
                p0 += one
            while stops[p1] < t + d1:
                p1 += one
            while stops[p2] < t + d2:
                p2 += one
            while stops[p3] < t + d3:
                p3 += one
        s0, s1, s2, s3 = s0 + p0, s1 + p1, s2 + p2, s3 + p3
    places[0], places[1], places[2], places[3] = p0, p1, p2, p3
    sums[0] += np.int64(s0)
    sums[1] += np.int64(s1)
    sums[2] += np.int64(s2)
    sums[3] += np.int64(s3)


@njit(cache=True, nogil=True, error_model="numpy")
def add_ranks(starts: Times, stops: Times, delays: Times, places: Times, sums: Times) -> None:
    """Add to sums[k] how many stops lie before start + delays[k], for every start.

    Both channels are sorted; ``delays`` rise and are a multiple of four in number. ``places`` may point too
    early in the stops, and is moved.
    """
    for at in range(0, starts.size, _STARTS):
        block = starts[at : at + _STARTS]
        for k in range(0, delays.size, 4):
            quick = 0
            if stops.size > _LANES:
                quick = np.searchsorted(block, stops[stops.size - _LANES - 1] - delays[k + 3], side="right")
            if quick:
                _four(block[:quick], stops, delays[k : k + 4], places[k : k + 4], sums[k : k + 4])
            if quick < block.size:
                for m in range(k, k + 4):
                    total, places[m] = _each(block[quick:], stops, delays[m], places[m])
                    sums[m] += total
