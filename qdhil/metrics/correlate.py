"""The cross-correlation histogram of two channels of time tags: every pair, exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times


def cross_correlate(
    t1: npt.ArrayLike, t2: npt.ArrayLike, *, window_ps: int, bin_ps: int, threads: int = 1
) -> npt.NDArray[np.int64]:
    """Count all pairs of tags by their delay tau = t2 - t1 (multi-stop: no start or stop is dropped).

    Bins are half-open: bin i holds -window + i·bin <= tau < -window + (i + 1)·bin.

    Parameters
    ----------
    t1, t2
        Sorted times in ps, shapes (n1,) and (n2,), any integer type.
    window_ps
        Half the span of the histogram, in ps; delays lie in [-window, window).
    bin_ps
        Width of a bin in ps; the window must be a whole number of bins.
    threads
        Slices of ``t1`` that are counted at once; the result is the same for every number.

    Returns
    -------
    int64 array of shape (2·window/bin,)

    Raises
    ------
    ValueError
        If the window isn't a positive whole number of bins, ``threads`` < 1, or a channel isn't sorted.
    """
    from qdhil.metrics._kernels import correlate

    if bin_ps <= 0 or window_ps <= 0 or window_ps % bin_ps:
        raise ValueError(f"window of {window_ps} ps is not a positive whole number of bins of {bin_ps} ps")
    if window_ps >= 1 << 51:
        raise ValueError("window_ps must be below 2^51")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    starts, stops = sorted_times(t1, "t1"), sorted_times(t2, "t2")
    bins = 2 * window_ps // bin_ps
    counts = np.zeros((threads, bins), np.int64)

    def count(part: int) -> None:
        piece = starts[starts.size * part // threads : starts.size * (part + 1) // threads]
        if piece.size:
            first = int(np.searchsorted(stops, int(piece[0]) - window_ps))
            correlate(piece, stops, first, window_ps, bin_ps, counts[part])

    if threads == 1:
        count(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(count, range(threads)))
    total: npt.NDArray[np.int64] = counts.sum(axis=0)
    return total
