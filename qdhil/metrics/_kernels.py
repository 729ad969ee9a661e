"""The loops over time tags, compiled by numba; imported only inside the functions that call them.

All times are int64 ps, sorted. Indices of tags that lie too early for every later start are never
looked at again (two pointers), so that the cost is the number of tags plus the number of pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Times = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def is_sorted(t_ps: Times) -> bool:
    """Return whether no time is below the one before it."""
    falls = 0
    for i in range(t_ps.size - 1):
        falls += t_ps[i + 1] < t_ps[i]
    return falls == 0


@njit(cache=True, nogil=True)
def correlate(t1: Times, t2: Times, first: int, window_ps: int, bin_ps: int, counts: Times) -> None:
    """Add every pair with t2 - t1 in [-window, window) to ``counts``; ``first`` may point too early in t2."""
    low = first
    span = 2 * window_ps
    per_bin = 1.0 / bin_ps
    for i in range(t1.size):
        base = t1[i] - window_ps
        while low < t2.size and t2[low] < base:
            low += 1
        j = low
        while j < t2.size:
            tau = t2[j] - base
            if tau >= span:
                break
            # the product is right to one bin (tau < 2^53); the comparisons make it exact
            b = int(tau * per_bin)
            if b * bin_ps > tau:
                b -= 1
            elif (b + 1) * bin_ps <= tau:
                b += 1
            counts[b] += 1
            j += 1


@njit(cache=True, nogil=True)
def count_in_peaks(
    t_a: Times, t_b: Times, delay_ps: int, period_ps: float, lower: Times, upper: Times, counts: Times
) -> None:
    """Add every pair with lower[m] <= t_b - t_a - delay < upper[m] to counts[m]; m = 0 is the lowest lag."""
    peaks = lower.size
    max_lag = (peaks - 1) // 2
    first, last = lower[0], upper[peaks - 1]
    per_period = 1.0 / period_ps
    low = 0
    for i in range(t_a.size):
        base = t_a[i] + delay_ps
        while low < t_b.size and t_b[low] < base + first:
            low += 1
        j = low
        while j < t_b.size:
            tau = t_b[j] - base
            if tau >= last:
                break
            # the nearest lag may be off by one at a bound when the window fills the period
            m = int(np.floor(tau * per_period + 0.5)) + max_lag
            m = min(max(m, 0), peaks - 1)
            if tau < lower[m] and m > 0:
                m -= 1
            elif tau >= upper[m] and m < peaks - 1:
                m += 1
            if lower[m] <= tau < upper[m]:
                counts[m] += 1
            j += 1
