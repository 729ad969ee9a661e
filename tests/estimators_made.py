"""Counts drawn by known laws, and how often an interval holds the truth they were drawn by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdhil.metrics import Estimate, PeakCounts

REPLICATES = 1000
FEWEST, MOST = 930, 996
"""Of 1000 intervals of 95 %, fewer than 930 hold the truth with odds of 1 in 430; if 90 % is the true coverage, 930 or
more do with odds of 1 in 1700. Above 996 lies one in a hundred where the true coverage is 99 %."""

Draw = Callable[[np.random.Generator], Estimate]


def block(rng, central, side, *, lags=10, adjacent=None, near=None, **changes):
    """A block with Poisson peaks: ``adjacent`` at lags ±1, or ``near`` = (mean, largest lag)."""
    peaks = rng.poisson(side, 2 * lags + 1)
    peaks[lags] = rng.poisson(central)
    if adjacent is not None:
        peaks[[lags - 1, lags + 1]] = rng.poisson(adjacent, 2)
    if near is not None:
        mean, reach = near
        peaks[lags - reach : lags] = rng.poisson(mean, reach)
        peaks[lags + 1 : lags + reach + 1] = rng.poisson(mean, reach)
    made = {
        "singles_a": 10**6,
        "singles_b": 10**6,
        "triggers": 8 * 10**7,
        "dwell_s": 1.0,
        "window_ps": 3000,
        "period_ps": 12_500.0,
        "delay_ps": 0,
    }
    return PeakCounts(peaks=tuple(int(n) for n in peaks), **{**made, **changes})


def held(draw: Draw, truth: float, *, corrected: bool = False, replicates: int = REPLICATES, seed: int = 1) -> int:
    """How many of the intervals hold the truth; a refusal is no interval and fails the test that asks."""
    rng = np.random.default_rng(seed)
    number = 0
    for _ in range(replicates):
        estimate = draw(rng)
        low, high = (estimate.corrected_low, estimate.corrected_high) if corrected else (estimate.low, estimate.high)
        number += low <= truth <= high
    return number


def ints(counts):
    """Plain integers."""
    return tuple(int(count) for count in counts)


def holding(estimate: Estimate, truth: float) -> bool:
    """Whether the interval holds the truth, to rounding: a limit may be a bound that is the truth."""
    slack = 1e-12 * max(abs(truth), 1.0)
    return estimate.low - slack <= truth <= estimate.high + slack
