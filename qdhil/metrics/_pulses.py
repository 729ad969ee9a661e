"""Clicks by the laser pulse they follow, and what is counted pulse by pulse: compiled by numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Times = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def locate(t_ps: Times, delay_ps: int, sync_ps: Times, number: Times, pulse: Times, phase_ps: Times) -> None:
    """Write the pulse before each click and the whole ps since it; -1 twice outside the sync tags.

    ``number`` is that of the pulse of each sync tag; the pulses in between are evenly spaced.
    """
    k = 0
    for i in range(t_ps.size):
        t = t_ps[i] - delay_ps
        while k + 1 < sync_ps.size and sync_ps[k + 1] <= t:
            k += 1
        pulse[i] = phase_ps[i] = -1
        if k + 1 < sync_ps.size and t >= sync_ps[k]:
            pulses, interval = number[k + 1] - number[k], sync_ps[k + 1] - sync_ps[k]
            scaled = (t - sync_ps[k]) * pulses
            whole = scaled // interval
            pulse[i] = number[k] + whole
            phase_ps[i] = (scaled - whole * interval) // pulses


@njit(cache=True, nogil=True, error_model="numpy")
def add_triples(a: Times, b: Times, c: Times, max_lag: int, counts: Times) -> None:
    """Add every pulse k of a, with k + m of b and k + n of c, to counts[m + max_lag, n + max_lag]; all rise."""
    low_b = low_c = 0
    for k in a:
        while low_b < b.size and b[low_b] < k - max_lag:
            low_b += 1
        while low_c < c.size and c[low_c] < k - max_lag:
            low_c += 1
        j = low_b
        while j < b.size and b[j] <= k + max_lag:
            n = low_c
            while n < c.size and c[n] <= k + max_lag:
                counts[b[j] - k + max_lag, c[n] - k + max_lag] += 1
                n += 1
            j += 1


@njit(cache=True, nogil=True, error_model="numpy")
def add_first_stops(starts: Times, stops: Times, bin_ps: int, counts: Times) -> None:
    """Add the delay of the first stop at or after each start; a start before that stop is lost."""
    j, busy_until = 0, np.int64(-1) << 62
    for t in starts:
        if t < busy_until:
            continue
        while j < stops.size and stops[j] < t:
            j += 1
        if j == stops.size:
            return
        index = (stops[j] - t) // bin_ps
        if index < counts.size:
            counts[index] += 1
            busy_until = stops[j]
        else:
            busy_until = t + bin_ps * counts.size
