"""What a click does to the clicks after it, by the tags of one detector alone: dead time and afterpulsing.

Dead time. In steady light the time to the next click is τ_d plus an exponential, so with n intervals of smallest
x and mean x̄,  n(x - τ_d)/[n(x̄ - x)/(n - 1)]  follows F(2, 2n - 2): an exact interval of τ_d.

Afterpulsing. The autocorrelation of one detector lies at the level of independent clicks from some time on;
what it has above that level between the dead time and there, per click, are afterpulses:

    p_ap = (N_near - N_far·w_near/w_far) / N_clicks.

Crosstalk and blinking would count as well: use light that doesn't bunch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.histogram import Histogram
from qdhil.statistics.intervals import poisson_interval
from qdhil.statistics.propagation import propagated_interval


@dataclass(frozen=True)
class Intervals:
    """Number, sum and smallest of the times between clicks, in ps; those of blocks add with ``+``."""

    number: int
    total_ps: int
    smallest_ps: int

    @classmethod
    def of(cls, clicks: npt.ArrayLike) -> Intervals:
        """Return those of sorted times in ps, shape (n,); refuse (ValueError) fewer than three clicks."""
        times = sorted_times(clicks, "clicks")
        if times.size < 3:
            raise ValueError(f"{times.size} clicks are too few for a dead time: 3 are needed")
        return cls(int(times.size) - 1, int(times[-1] - times[0]), int(np.diff(times).min()))

    def __add__(self, other: Intervals) -> Intervals:
        smallest = min(self.smallest_ps, other.smallest_ps)
        return Intervals(self.number + other.number, self.total_ps + other.total_ps, smallest)


def dead_time(intervals: Intervals, *, resolution_ps: float = 1.0, confidence: float = 0.95) -> Estimate:
    """Return the dead time in ps by the shortest interval between clicks; id ``detector.dead_time``.

    ``raw`` is the shortest interval. A detector that recovers gradually, or jitter, blurs the edge: then this
    is its earliest click.

    Parameters
    ----------
    intervals
        Times between the clicks of one detector in steady light.
    resolution_ps
        Step of the time stamps, which an interval can be off by.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If there are fewer than two intervals.
    """
    from scipy.special import fdtri

    n, smallest = intervals.number, float(intervals.smallest_ps)
    if n < 2:
        raise ValueError(f"{n} intervals are too few for a dead time")
    spread = (intervals.total_ps - n * smallest) / (n - 1)
    tail = (1 - confidence) / 2
    near, far = (float(fdtri(2, 2 * n - 2, p)) * spread / n for p in (tail, 1 - tail))
    return Estimate(
        definition="detector.dead_time",
        value=max(smallest - spread / n, 0.0),
        low=max(smallest - far - resolution_ps, 0.0),
        high=smallest - near + resolution_ps,
        confidence=confidence,
        counts={"intervals": n, "total_ps": intervals.total_ps, "smallest_ps": intervals.smallest_ps},
        window_ps=None,
        delay_ps=None,
        normalisation="shortest-interval",
        raw=smallest,
    )


def afterpulsing(
    autocorrelation: Histogram,
    *,
    clicks: int,
    dead_time_ps: float,
    settled_ps: float,
    confidence: float = 0.95,
) -> Estimate:
    """Return afterpulses per click; id ``detector.afterpulsing``.

    Parameters
    ----------
    autocorrelation
        Pairs of one detector's clicks by delay; only positive delays count.
    clicks
        Clicks that served as starts.
    dead_time_ps
        From where clicks are possible; bins that begin later are near.
    settled_ps
        From where clicks are independent: bins that begin later are the level.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If there are no clicks, or no bins between dead time and settling or after it.
    """
    begin = autocorrelation.times_ps - autocorrelation.bin_ps / 2
    near_bins = (begin >= max(dead_time_ps, 0.0)) & (begin < settled_ps)
    far_bins = begin >= settled_ps
    near_width, far_width = int(near_bins.sum()), int(far_bins.sum())
    if clicks <= 0 or near_width == 0 or far_width == 0:
        raise ValueError("afterpulsing needs clicks, and bins both before and after they have settled")
    counts = autocorrelation.array
    near, far = int(counts[near_bins].sum()), int(counts[far_bins].sum())

    def per_click(pairs: float, level: float) -> float:
        return (pairs - level * near_width / far_width) / clicks

    bounds = [(float(n), *poisson_interval(n, confidence)) for n in (near, far)]
    low, high = propagated_interval(per_click, bounds)
    value = per_click(near, far)
    return Estimate(
        definition="detector.afterpulsing",
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        counts={"near": near, "near_bins": near_width, "far": far, "far_bins": far_width, "clicks": clicks},
        window_ps=None,
        delay_ps=None,
        normalisation="settled-level",
        raw=near / clicks,
    )
