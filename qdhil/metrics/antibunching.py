"""Find the antibunched peak of a pulsed source where it is: cables put it anywhere but at zero delay.

Rule. Every lag is compared with its neighbours on the comb (up to four either side, the lowest lag
left out of everybody's neighbours). A lag is low if its count would be as low with a chance of at most
10^-3 over all lags together, were it 0.9 of its neighbours' mean or more (binomial, given the sum). Exactly
one low lag is the antibunched peak; none, or several, is no answer, and refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.comb import Comb

LEVEL = 1e-3
"""Chance, over all lags, of calling a peak low that is not."""
_RATIO = 0.9
_NEIGHBOURS = 4
_LADDER_PS = (1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000)
_CAPTURED = 0.97
FEWEST_BINS = 4
"""A window narrower than this many bins of the histogram depends on where the bins happen to lie."""
_UNDER_DISPERSED = 1e-6


@dataclass(frozen=True)
class AntibunchedPeak:
    """Where the central peak is, and how sure that is.

    Parameters
    ----------
    delay_ps
        Delay t_b - t_a of the peak.
    lag
        Its number on the comb; lag 0 is the peak at the comb's phase.
    count, expected
        Its pairs, and those of its neighbours' mean.
    p_value
        Chance of a count as low at 0.9 of the neighbours' mean, times the number of lags looked at.
    """

    delay_ps: int
    lag: int
    count: int
    expected: float
    p_value: float


def default_window_ps(counts: npt.NDArray[np.int64], delays_ps: npt.NDArray[np.float64], comb: Comb) -> int:
    """Return the smallest round window that holds 97 % of the peaks' counts above the floor between them.

    It depends on all peaks together, hardly on the antibunched one, so that it can't be tuned to it.
    """
    distance = distance_to_peak(delays_ps, comb)
    floor = floor_per_ps(counts, distance, comb)
    whole = float(counts.sum()) - floor * delays_ps.size
    narrowest_ps = FEWEST_BINS * (delays_ps[1] - delays_ps[0])
    for window_ps in _LADDER_PS:
        if window_ps >= comb.period_ps:
            break
        if window_ps < narrowest_ps:
            continue
        within = np.abs(distance) < window_ps / 2
        if float(counts[within].sum()) - floor * np.count_nonzero(within) >= _CAPTURED * whole:
            return window_ps
    return math.floor(comb.period_ps)


def distance_to_peak(delays_ps: npt.NDArray[np.float64], comb: Comb) -> npt.NDArray[np.float64]:
    """Return each delay's distance to the nearest peak of the comb, in [-T/2, T/2)."""
    half = comb.period_ps / 2
    distance: npt.NDArray[np.float64] = (delays_ps - comb.phase_ps + half) % comb.period_ps - half
    return distance


def floor_per_ps(counts: npt.NDArray[np.int64], distance_ps: npt.NDArray[np.float64], comb: Comb) -> float:
    """Return the mean count of a bin in the tenth of the period farthest from the peaks."""
    gap = np.abs(distance_ps) > 0.45 * comb.period_ps
    return float(counts[gap].mean()) if bool(gap.any()) else 0.0


def find_antibunched_peak(counts_by_lag: npt.NDArray[np.int64], *, first_lag: int, comb: Comb) -> AntibunchedPeak:
    """Return the one lag whose count is low among its neighbours.

    Parameters
    ----------
    counts_by_lag
        Pairs in the window of each peak, shape (lags,); the histogram must cover all these windows.
    first_lag
        Lag of the first entry.
    comb
        Where the peaks are.

    Raises
    ------
    ValueError
        If there are too few lags, no lag is low, or more than one is.
    """
    if counts_by_lag.size < 2 * _NEIGHBOURS + 1:
        raise ValueError(f"{counts_by_lag.size} peaks in range are too few to tell an antibunched one")
    first_guess, around = _compare(counts_by_lag, None)
    p_values, expected = _compare(counts_by_lag, _lowest(first_guess, counts_by_lag, around))
    best = _lowest(p_values, counts_by_lag, expected)
    low = np.flatnonzero(p_values <= LEVEL)

    def delay(index: int) -> float:
        return comb.phase_ps + (first_lag + index) * comb.period_ps

    if low.size == 0:
        raise ValueError(
            f"no antibunched peak: the lowest, at {delay(best) / 1000:+.2f} ns, holds {int(counts_by_lag[best])} "
            f"pairs where its neighbours hold {expected[best]:.1f} (p = {p_values[best]:.2g})"
        )
    if low.size > 1:
        places = ", ".join(f"{delay(int(i)) / 1000:+.2f}" for i in low[:6])
        raise ValueError(
            f"{low.size} peaks are low, at {places} ns: which of them is central can't be told "
            "(Hong-Ou-Mandel measurement, or a distorted histogram)"
        )
    return AntibunchedPeak(
        delay_ps=round(delay(best)),
        lag=first_lag + best,
        count=int(counts_by_lag[best]),
        expected=float(expected[best]),
        p_value=float(p_values[best]),
    )


def check_dispersion(counts_by_lag: npt.NDArray[np.int64], *, without: int) -> None:
    """Refuse (ValueError) peaks that scatter less than counts can: rates, rounded or smoothed values.

    Neighbours are compared in pairs; the sum of their χ² is below its 10^-6 quantile. Blinking, drift and
    dead time make peaks scatter more, never less.

    Parameters
    ----------
    counts_by_lag
        Pairs in the window of each peak, shape (lags,).
    without
        Index of the antibunched peak.
    """
    from scipy.special import chdtr

    peaks = np.delete(counts_by_lag, without).astype(np.float64)
    left, right = peaks[: peaks.size // 2 * 2].reshape(-1, 2).T
    usable = left + right >= 20
    chi2 = float(((left - right)[usable] ** 2 / (left + right)[usable]).sum())
    pairs = int(np.count_nonzero(usable))
    if pairs and float(chdtr(pairs, chi2)) < _UNDER_DISPERSED:
        raise ValueError(
            f"side peaks scatter less than counts can (χ²/n = {chi2 / pairs:.2g}): rates or smoothed values, not counts"
        )


def _lowest(p_values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], expected: npt.NDArray[np.float64]) -> int:
    """Return the lag of smallest p-value; among equals, the one farthest below its neighbours."""
    shortfall = np.where(expected > 0, counts / np.maximum(expected, 1e-9), np.inf)
    inner = np.arange(2, counts.size - 2)
    return int(inner[np.lexsort((shortfall[inner], p_values[inner]))[0]])


def _compare(
    counts: npt.NDArray[np.int64], left_out: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for each lag the p-value (over all lags) and its neighbours' mean."""
    from scipy.special import betainc

    lags = counts.size
    p_values = np.ones(lags)
    means = np.zeros(lags)
    for lag in range(2, lags - 2):
        near = [
            other
            for other in range(max(0, lag - _NEIGHBOURS), min(lags, lag + _NEIGHBOURS + 1))
            if other not in (lag, left_out)
        ]
        around = int(counts[near].sum())
        share = _RATIO / (_RATIO + len(near))
        # P(X <= k) of n = k + around trials, as an incomplete beta function
        p = float(betainc(around, counts[lag] + 1.0, 1 - share)) if around else 1.0
        p_values[lag] = min(1.0, p * lags)
        means[lag] = around / len(near)
    return p_values, means
