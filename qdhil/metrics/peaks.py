"""Coincidences of a pulsed source, counted pulse by pulse without a histogram in between."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil.metrics.bins import Windows
from qdhil.metrics.pairs import count_by_delay


def peak_bounds(
    *, period_ps: float, window_ps: int, max_lag: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each peak's first integer delay and the first one after it, by lag from -max_lag to max_lag.

    Peak m holds the integer delays in [m·T - window/2, m·T + window/2); ``window_ps`` is the full width.

    Raises
    ------
    ValueError
        If the window isn't positive or is wider than the period (windows would overlap), or max_lag < 0.
    """
    if not (math.isfinite(period_ps) and period_ps > 0):
        raise ValueError(f"period_ps must be positive, not {period_ps}")
    if not 0 < window_ps <= period_ps:
        raise ValueError(f"window_ps must lie in (0, {period_ps:.2f}], the period, not {window_ps}")
    if max_lag < 0:
        raise ValueError(f"max_lag must not be negative, not {max_lag}")
    centres = np.arange(-max_lag, max_lag + 1) * period_ps
    lower = np.ceil(centres - window_ps / 2).astype(np.int64)
    upper = np.ceil(centres + window_ps / 2).astype(np.int64)
    upper[:-1] = np.minimum(upper[:-1], lower[1:])  # rounding may let windows of a whole period touch
    return lower, upper


def peak_windows(*, period_ps: float, delay_ps: int, window_ps: int, max_lag: int) -> Windows:
    """Return the windows of delays that count, by lag from -max_lag to max_lag.

    Raises
    ------
    ValueError
        As :func:`peak_bounds`.
    """
    lower, upper = peak_bounds(period_ps=period_ps, window_ps=window_ps, max_lag=max_lag)
    return Windows(lower + int(delay_ps), upper + int(delay_ps), float(period_ps))


def count_peaks(
    t_a: npt.ArrayLike,
    t_b: npt.ArrayLike,
    *,
    period_ps: float,
    delay_ps: int,
    window_ps: int,
    max_lag: int,
    threads: int = 1,
) -> npt.NDArray[np.int64]:
    """Count all pairs of tags within the window of each peak of the comb.

    Parameters
    ----------
    t_a, t_b
        Sorted times in ps, shapes (n_a,) and (n_b,), any integer type.
    period_ps
        Time between two pulses in ps; needn't be whole.
    delay_ps
        Delay t_b - t_a of two photons of one pulse (cables), in ps.
    window_ps
        Full width of the window of a peak, in ps.
    max_lag
        Largest distance in pulses that is counted, both ways.
    threads
        Slices of the sparser channel that are counted at once; the result is the same for every number.

    Returns
    -------
    int64 array of shape (2·max_lag + 1,), by lag from -max_lag to max_lag

    Raises
    ------
    ValueError
        If a channel isn't sorted, or the window or period can't be used (see :func:`peak_bounds`).
    """
    windows = peak_windows(period_ps=period_ps, delay_ps=delay_ps, window_ps=window_ps, max_lag=max_lag)
    return count_by_delay(t_a, t_b, windows, names=("t_a", "t_b"), threads=threads)
