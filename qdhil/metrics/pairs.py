"""All pairs of two channels whose delay lies in a range, counted in bins: which loop, which way, how many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import integer_times, sorted_times
from qdhil.metrics.bins import LONGEST_PS, EvenBins, Windows

Times = npt.NDArray[np.int64]

_FARTHEST_PS = 1 << 61
_FEW, _SOME, _MORE, _MANY = 3.0, 9.0, 14.0, 40.0
"""Mean stops a window up to which 8, 16, 24 and 32 lanes are quicker than more, and those than the plain loop."""


def count_by_delay(
    t1: npt.ArrayLike,
    t2: npt.ArrayLike,
    bins: EvenBins | Windows,
    *,
    names: tuple[str, str],
    threads: int = 1,
) -> Times:
    """Count all pairs of tags by their delay t2 - t1.

    The sparser channel leads. Slices of it are counted by ``threads`` threads, each into its own bins;
    the result is the same for every number.

    Parameters
    ----------
    t1, t2
        Sorted times in ps, shapes (n1,) and (n2,), any integer type.
    bins
        Which delays count, and where.
    names
        How to call the two channels in an error.
    threads
        Slices that are counted at once.

    Returns
    -------
    int64 array of shape (bins.size,)

    Raises
    ------
    ValueError
        If ``threads`` < 1, a delay lies beyond 2^61 ps, or a channel isn't sorted, isn't one-dimensional,
        isn't of integers or reaches beyond 2^62 ps.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if not -_FARTHEST_PS < bins.first_ps <= bins.first_ps + bins.span_ps < _FARTHEST_PS:
        raise ValueError("delays must lie within 2^61 ps")
    first, second = integer_times(t1, names[0]), integer_times(t2, names[1])
    if first.size <= second.size:
        counts = _count_slices(first, second, bins, threads)
    else:
        counts = _count_slices(second, first, bins.mirrored(), threads)
        counts = None if counts is None else counts[::-1]
    if counts is None:
        for times, name in ((first, names[0]), (second, names[1])):
            sorted_times(times, name)
        raise ValueError(f"{names[0]} or {names[1]} changed while it was read")
    return np.ascontiguousarray(counts)


def _count_slices(starts: Times, stops: Times, bins: EvenBins | Windows, threads: int) -> Times | None:
    """Return the counts, or None where a channel isn't sorted."""
    from qdhil.metrics import _pairs

    at = [starts.size * part // threads for part in range(threads + 1)]
    firsts = [int(np.searchsorted(stops, int(starts[begin]) + bins.first_ps)) for begin in at[1:-1] if begin]
    firsts = [0] * (threads - len(firsts)) + firsts + [stops.size]
    if any(later < earlier for earlier, later in pairwise(firsts)):
        return None
    lanes, dense = quickest_way(starts, stops, bins.span_ps)
    dense = dense or bins.span_ps >= LONGEST_PS  # a buffer holds differences of 32 bits
    rule = _pairs.Bins(*bins.rule())
    counts = np.zeros((threads, bins.slots), np.int64)

    def count(part: int) -> bool:
        limits = at[part], at[part + 1], firsts[part], firsts[part + 1]
        return bool(_pairs.count_pairs(starts, stops, limits, rule, dense, lanes, counts[part]))

    if threads == 1:
        complete = count(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            complete = all(list(pool.map(count, range(threads))))
    total: Times = counts.sum(axis=0)
    return bins.kept(total) if complete else None


def quickest_way(starts: Times, stops: Times, span_ps: int) -> tuple[tuple[int, ...], bool]:
    """Return the lanes to look ahead by, and whether the plain loop is quicker; both count the same."""
    if not starts.size or not stops.size:
        return (0,) * 8, True
    per_window = stops.size * span_ps / max(1, int(stops[-1]) - int(stops[0]))
    per_start = stops.size / starts.size
    most = max(per_window, per_start)
    return (0,) * (8 if most <= _FEW else 16 if most <= _SOME else 24 if most <= _MORE else 32), most > _MANY
