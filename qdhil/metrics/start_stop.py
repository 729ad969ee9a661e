"""The start-stop histogram, for comparison with instruments that measure no other; no estimator here uses it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times


def start_stop(t1: npt.ArrayLike, t2: npt.ArrayLike, *, window_ps: int, bin_ps: int) -> npt.NDArray[np.int64]:
    """Count the delay from a start to the first stop at or after it, as a time-to-amplitude converter does.

    While a delay is being measured, further starts are lost; without a stop within the window the converter
    is free again at its end. **Not a correlation**: each stop hides the later ones, so the counts fall as
    h(m) ∝ p·(1 - p)^(m - 1) with click probability p, at any rate. Use
    :func:`~qdhil.metrics.correlate.cross_correlate` to measure.

    Parameters
    ----------
    t1, t2
        Sorted times of starts and stops in ps, shapes (n1,) and (n2,), any integer type.
    window_ps, bin_ps
        Longest delay (left out) and width of a bin, in ps; the window is a whole number of bins.

    Returns
    -------
    int64 array of shape (window/bin,); bin i holds i·bin <= tau < (i + 1)·bin

    Raises
    ------
    ValueError
        If a channel isn't sorted, or the window isn't a positive whole number of bins.
    """
    from qdhil.metrics._pulses import add_first_stops

    if bin_ps <= 0 or window_ps <= 0 or window_ps % bin_ps:
        raise ValueError(f"window of {window_ps} ps is not a positive whole number of bins of {bin_ps} ps")
    counts = np.zeros(window_ps // bin_ps, np.int64)
    add_first_stops(sorted_times(t1, "t1"), sorted_times(t2, "t2"), bin_ps, counts)
    return counts
