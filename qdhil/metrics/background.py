"""Background taken out of g2(0), with an interval of the corrected value.

Two ways, for two kinds of measurement. A blanked run (light off, detectors on) gives the dark clicks x per
signal click in a window; noise pairs with everything, so with x_a, x_b of the two detectors

    g = g_raw·(1 + x_a)(1 + x_b) - x_a - x_b - x_a·x_b.

A floor between the peaks, F pairs in delays of total width W, gives b = F·w/W pairs in a window w:

    g = (N0 - b) / (Ns/k - b).

The variance of N0 - b is that of N0 *before* subtraction plus that of b: sqrt of the net counts would be too
small wherever background dominates. The corrected value is not clipped at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.noise import without_noise
from qdhil.metrics.purity import g2_area
from qdhil.statistics.intervals import poisson_interval
from qdhil.statistics.propagation import Bounded, propagated_interval


@dataclass(frozen=True)
class BlankedRun:
    """Clicks of both detectors without light; runs add with ``+``."""

    clicks_a: int
    clicks_b: int
    dwell_s: float

    def __post_init__(self) -> None:
        if min(self.clicks_a, self.clicks_b) < 0 or not self.dwell_s > 0:
            raise ValueError("a blanked run needs a positive dwell, and its clicks must not be negative")

    def __add__(self, other: BlankedRun) -> BlankedRun:
        return BlankedRun(self.clicks_a + other.clicks_a, self.clicks_b + other.clicks_b, self.dwell_s + other.dwell_s)


def g2_blanked(counts: PeakCounts, blanked: BlankedRun, *, exclude_lags: int, confidence: float = 0.95) -> Estimate:
    """Return g2(0) against far peaks, corrected for the clicks of a blanked run; id ``g2.pulsed.area``.

    ``value`` stays raw; ``corrected_low`` and ``corrected_high`` include the uncertainty of the blanked run.

    Parameters
    ----------
    counts
        Coincidences of a Hanbury Brown-Twiss measurement.
    blanked
        Clicks with the light blocked and everything else running.
    exclude_lags
        Peaks with abs(lag) up to this one don't serve as side peaks.
    confidence
        Nominal coverage of both intervals.

    Raises
    ------
    ValueError
        If the far peaks hold no coincidence, or dark counts leave no signal.
    """
    raw = g2_area(counts, exclude_lags=exclude_lags, confidence=confidence)
    if counts.triggers <= 0 or counts.dwell_s <= 0:
        raise ValueError("no laser pulses: dark clicks can't be compared with signal clicks")
    share = counts.window_ps * 1e-12 * counts.triggers / counts.dwell_s
    scale = counts.dwell_s / blanked.dwell_s

    def ratio(dark_clicks: float, singles: int) -> float:
        dark = dark_clicks * scale
        if dark >= singles:
            raise ValueError(f"{singles} clicks are no more than the {dark:.0f} expected without light")
        return dark * share / (singles - dark)

    def corrected(g: float, dark_a: float, dark_b: float) -> float:
        return without_noise(g, (ratio(dark_a, counts.singles_a), ratio(dark_b, counts.singles_b)))

    darks: list[Bounded] = [(float(n), *poisson_interval(n, confidence)) for n in (blanked.clicks_a, blanked.clicks_b)]
    low, high = propagated_interval(corrected, [(raw.value, raw.low, raw.high), *darks])
    x = ratio(blanked.clicks_a, counts.singles_a), ratio(blanked.clicks_b, counts.singles_b)
    return replace(
        raw,
        counts={
            **raw.counts,
            "singles_a": counts.singles_a,
            "singles_b": counts.singles_b,
            "triggers": counts.triggers,
            "dwell_s": counts.dwell_s,
            "dark_a": blanked.clicks_a,
            "dark_b": blanked.clicks_b,
            "dark_dwell_s": blanked.dwell_s,
        },
        corrected=corrected(raw.value, blanked.clicks_a, blanked.clicks_b),
        corrected_low=low,
        corrected_high=high,
        correction=f"blanked run of {blanked.dwell_s:g} s: noise/signal {x[0]:.3g}, {x[1]:.3g}",
    )


def g2_floor(
    counts: PeakCounts,
    *,
    floor_pairs: int,
    floor_width_ps: float,
    exclude_lags: int,
    confidence: float = 0.95,
) -> Estimate:
    """Return g2(0) against far peaks, with the floor between the peaks subtracted; id ``g2.pulsed.area``.

    Parameters
    ----------
    counts
        Coincidences of a Hanbury Brown-Twiss measurement.
    floor_pairs
        Pairs in delays between the peaks, of the same tags.
    floor_width_ps
        Total width of those delays, all gaps together, in ps.
    exclude_lags
        Peaks with abs(lag) up to this one don't serve as side peaks.
    confidence
        Nominal coverage of both intervals.

    Raises
    ------
    ValueError
        If the side peaks don't stand out of the floor, or the floor's width isn't positive.
    """
    raw = g2_area(counts, exclude_lags=exclude_lags, confidence=confidence)
    if floor_pairs < 0 or not floor_width_ps > 0:
        raise ValueError("floor_width_ps must be positive, and floor_pairs not negative")
    per_pair = counts.window_ps / floor_width_ps
    side, peaks = counts.far(exclude_lags)

    def corrected(central: float, far: float, floor: float) -> float:
        b = floor * per_pair
        return (central - b) / (far / peaks - b)

    bounded: list[Bounded] = [(float(n), *poisson_interval(n, confidence)) for n in (counts.central, side, floor_pairs)]
    if bounded[1][1] / peaks <= bounded[2][2] * per_pair:
        raise ValueError(f"{side} pairs in {peaks} side peaks don't stand out of the floor: no corrected value")
    low, high = propagated_interval(corrected, bounded)
    return replace(
        raw,
        counts={**raw.counts, "floor": floor_pairs, "floor_width_ps": floor_width_ps},
        corrected=corrected(counts.central, side, floor_pairs),
        corrected_low=low,
        corrected_high=high,
        correction=f"floor between the peaks subtracted, {floor_pairs * per_pair:.4g} pairs a window",
    )
