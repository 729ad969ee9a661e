"""Correlation of coarsened counts, level by level, chunk by chunk: compiled by numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Times = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(t_ps: Times, at: int, begin_ps: int, width_ps: int, cells: Times) -> int:
    """Count the tags of a chunk, from tag ``at`` on, in its cells; return the first tag after it."""
    cells[:] = 0
    end_ps = begin_ps + width_ps * cells.size
    while at < t_ps.size and t_ps[at] < end_ps:
        cells[(t_ps[at] - begin_ps) // width_ps] += 1
        at += 1
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def add_levels(t1: Times, t2: Times, origin_ps: int, width_ps: int, counts: Times, first: Times, second: Times) -> None:
    """Add to counts[level, lag - lags] the pairs that lie ``lag`` cells of width_ps·2^level apart.

    Lags run from ``lags`` = counts.shape[1] to twice that. ``first`` and ``second``, one for each chunk of
    2^levels cells, receive the tags of the chunks.
    """
    levels, lags = counts.shape
    size = 1 << levels
    a, b, row = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size + 2 * lags, np.int64)
    past = np.zeros((levels, 2 * lags), np.int64)
    i = j = 0
    for chunk in range(first.size):
        begin_ps = origin_ps + chunk * size * width_ps
        i, j = _fill(t1, i, begin_ps, width_ps, a), _fill(t2, j, begin_ps, width_ps, b)
        cells = size
        for level in range(levels):
            row[: 2 * lags] = past[level]
            row[2 * lags : 2 * lags + cells] = a[:cells]
            for lag in range(lags, 2 * lags):
                earlier, pairs = row[2 * lags - lag :], 0
                for k in range(cells):
                    pairs += earlier[k] * b[k]
                counts[level, lag - lags] += pairs
            past[level] = row[cells : cells + 2 * lags]
            cells //= 2
            for k in range(cells):
                a[k], b[k] = a[2 * k] + a[2 * k + 1], b[2 * k] + b[2 * k + 1]
        first[chunk], second[chunk] = a[0], b[0]
