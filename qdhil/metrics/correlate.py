"""The cross-correlation histogram of two channels of time tags: every pair, exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.bins import EvenBins
from qdhil.metrics.pairs import count_by_delay


def even_bins(window_ps: int, bin_ps: int) -> EvenBins:
    """Return the bins [-window + i·bin, -window + (i + 1)·bin) that cover [-window, window).

    Raises
    ------
    ValueError
        If the window isn't a positive whole number of bins, or is 2^51 ps or more.
    """
    if bin_ps <= 0 or window_ps <= 0 or window_ps % bin_ps:
        raise ValueError(f"window of {window_ps} ps is not a positive whole number of bins of {bin_ps} ps")
    if window_ps >= 1 << 51:
        raise ValueError("window_ps must be below 2^51")
    return EvenBins(-int(window_ps), 2 * int(window_ps), int(bin_ps))


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
    return count_by_delay(t1, t2, even_bins(window_ps, bin_ps), names=("t1", "t2"), threads=threads)


def auto_correlate(t: npt.ArrayLike, *, window_ps: int, bin_ps: int, threads: int = 1) -> npt.NDArray[np.int64]:
    """Count all pairs of two different tags of one channel by their delay; each pair counts both ways round.

    Two tags of the same time are a pair of delay 0, twice; a tag is no pair with itself. The pairs of
    -tau and tau are the same ones, so that bins mirror up to their half-open edges.

    Parameters
    ----------
    t
        Sorted times in ps, shape (n,), any integer type.
    window_ps, bin_ps, threads
        As of :func:`cross_correlate`.

    Returns
    -------
    int64 array of shape (2·window/bin,)

    Raises
    ------
    ValueError
        As :func:`cross_correlate`.
    """
    counts = count_by_delay(t, t, even_bins(window_ps, bin_ps), names=("t", "t"), threads=threads)
    counts[window_ps // bin_ps] -= np.size(t)
    return counts
