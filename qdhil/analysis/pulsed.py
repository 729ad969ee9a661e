"""What a pulsed Hanbury Brown-Twiss measurement tells besides the area of its central peak.

The ratio of the areas comes first where the peaks stand apart on a low floor. Where the level between them is a good
part of a peak, the ratio isn't g2(0): then the fit of the whole comb comes first, and the ratio beside it is called
``g2.pulsed.area_raw``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings
from qdhil.analysis.panel import Panel
from qdhil.analysis.pulsed_panels import coincidences_panel, peaks_panel
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.hbt import HbtResult
from qdhil.metrics.histogram import Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdhil.metrics.pulsed_fit import CombFit

_HIGH_FLOOR = 0.1
"""Floor, as a part of a side peak, above which the raw ratio of areas is no g2(0)."""
_TELLING = 0.1
"""Part of the interval from which on a floor's share of the ratio is said."""
_FITTED_PEAKS = 12
_FEWEST_SNAPSHOTS = 10
_NEAR_LAGS = 3
_FEW = 3
_SINGLE = 0.5
_LEVELLED = 3
"""The peaks must reach to as many blinking times, or the level at infinity is a guess."""
_EXCESS = 0.1
"""Part by which side peaks may exceed what the singles predict: drift and dead time make that much."""


@dataclass(frozen=True)
class Snapshots:
    """Consecutive histograms, shape (snapshots, bins), whose sum was analysed."""

    counts: NDArray[np.int64]


def analyse_pulsed(
    result: HbtResult,
    choices: Choices,
    *,
    dead_time_ps: float = 0.0,
    envelope: PeakCounts | None = None,
    snapshots: Snapshots | None = None,
) -> Findings:
    """Return g2(0) by area and by the fitted comb, and what stands out in its surroundings.

    Parameters
    ----------
    result
        Comb, antibunched peak, and pairs by peak.
    choices
        The confidence.
    dead_time_ps
        Dead time of the detectors, where known: peaks within it are no side peaks.
    envelope
        The same coincidences with more lags, for blinking slower than the side peaks reach.
    snapshots
        Consecutive histograms on the same axis.
    """
    comb_fit, why_not = _fitted_comb(result, choices.confidence)
    found = _g2(result, comb_fit, why_not)
    found.notes += [warning for warning in result.warnings if not warning.startswith("the interval reaches")]
    if found.estimates[0].high >= _SINGLE:
        found.notes.append("the interval of g2(0) reaches 0.5: a single emitter is not proven")
    plain = any(estimate.definition == result.g2.definition for estimate in found.estimates)
    found.add(_diagnostics(result, choices, dead_time_ps))
    if plain:
        found.add(_normalised_otherwise(result, envelope or result.counts, choices, dead_time_ps))
    found.estimates = [replace(estimate, counts=_short(estimate)) for estimate in found.estimates]
    found.panels += [coincidences_panel(result, comb_fit, found.estimates[0]), peaks_panel(result)]
    if snapshots is not None:
        found.add(_scatter(result, snapshots))
    return found


def _fitted_comb(result: HbtResult, confidence: float) -> tuple[CombFit | None, str]:
    """Return the fit of the comb about the central peak, or why there is none."""
    from qdhil.metrics.pulsed_fit import g2_comb_fit

    histogram, comb = result.histogram, result.comb
    reach = _FITTED_PEAKS * comb.period_ps
    wide = histogram.bin_ps * histogram.counts.size <= 60 * comb.period_ps
    kept = np.flatnonzero((np.abs(histogram.delays_ps - result.peak.delay_ps) <= reach) | wide)
    step = max(int(comb.period_ps / 200 / histogram.bin_ps), 1)
    counts = histogram.counts[kept[0] : kept[0] + kept.size // step * step].reshape(-1, step).sum(axis=1)
    first_ps = float(histogram.delays_ps[kept[0]]) + (step - 1) / 2 * histogram.bin_ps
    try:
        fit = g2_comb_fit(
            Histogram.of(counts, first_ps=first_ps, bin_ps=step * histogram.bin_ps),
            period_ps=comb.period_ps,
            delay_ps=result.peak.delay_ps,
            fit_period=True,
            confidence=confidence,
        )
    except ValueError as error:
        return None, str(error)
    return fit, ""


def _g2(result: HbtResult, fit: CombFit | None, why_not: str) -> Findings:
    """Return both values of g2(0), the trustworthy one first."""
    side = result.g2.counts["side"] / result.g2.counts["side_peaks"]
    share = result.floor_pairs / side
    fitted = [fit.g2, fit.lifetime, fit.background] if fit else []
    if share <= _HIGH_FLOOR and not result.overlapping:
        notes = []
        added = share * abs(1 - result.g2.value)
        if added > _TELLING * (result.g2.high - result.g2.low):
            beyond = ", more than its interval" if added > (result.g2.high - result.g2.low) / 2 else ""
            notes.append(
                f"the floor between the peaks adds {added:.3g} to the ratio of areas{beyond}: "
                "the corrected value is that of the source"
            )
        return Findings([result.g2, *fitted], notes)
    raw = replace(
        result.g2,
        definition="g2.pulsed.area_raw",
        normalisation="far-peaks, floor and neighbours' tails included",
    )
    what = "neighbouring peaks overlap" if result.overlapping else f"the floor is {share:.0%} of a side peak"
    if fit is None:
        note = f"{what}: the ratio of areas is no more than an upper limit of g2(0), and there is no other: {why_not}"
    else:
        note = f"{what}: g2(0) is that of the fitted comb, the ratio of areas holds floor and tails as well"
    return Findings([*fitted, raw], [note])


def _normalised_otherwise(result: HbtResult, envelope: PeakCounts, choices: Choices, dead_time_ps: float) -> Findings:
    """Return g2(0) against near peaks, envelope and singles, an upper limit, and the floor, as supported."""
    from qdhil.metrics.envelope import fit_envelope
    from qdhil.metrics.normalisation import g2_near, g2_singles, g2_upper_limit
    from qdhil.metrics.prompt import inter_peak_floor

    counts, confidence = result.counts, choices.confidence
    found = Findings()
    inside = min(math.floor(dead_time_ps / counts.period_ps), counts.max_lag - 1)
    if counts.central < _FEW:
        found.estimates.append(g2_upper_limit(counts, exclude_lags=inside, confidence=confidence))
    try:
        blinking = fit_envelope(envelope, exclude_lags=inside, confidence=confidence)
        if blinking.time.value * _LEVELLED > envelope.max_lag * envelope.period_ps:
            raise ValueError("the peaks don't reach to where the envelope is level")
    except ValueError:
        near_lags = min(inside + _NEAR_LAGS, counts.max_lag)
        if near_lags > inside:
            found.estimates += _kept(
                lambda: g2_near(counts, exclude_lags=inside, near_lags=near_lags, confidence=confidence)
            )
    else:
        found.estimates += [blinking.g2_near, blinking.g2_long, blinking.on_fraction, blinking.time]
    if counts.singles_a and counts.triggers:
        singles = _kept(lambda: g2_singles(counts, captured=_captured(result), confidence=confidence))
        found.estimates += singles
        found.notes += _slow_blinking(result, singles)
    plain, comb = result.histogram.plain, result.comb
    found.estimates += _kept(
        lambda: inter_peak_floor(plain, peak_ps=comb.phase_ps, period_ps=comb.period_ps, gap=0.1, confidence=confidence)
    )
    return found


def _slow_blinking(result: HbtResult, singles: list[Estimate]) -> list[str]:
    """Return what the side peaks say of the singles: more pairs than accidental ones tell of slow blinking."""
    if not singles:
        return []
    tally = singles[0].counts
    accidental = tally["captured"] * tally["singles_a"] * tally["singles_b"] / tally["triggers"]
    side = result.g2.counts["side"] / result.g2.counts["side_peaks"]
    excess = side / accidental if accidental > 0 else 1.0
    if excess < 1 + _EXCESS:
        return []
    return [
        f"side peaks hold {excess:.2f} times the pairs that the singles predict: the source was bright for some "
        f"{1 / excess:.0%} of the time only, and g2(0) relative to them is that of its bright state"
    ]


def _diagnostics(result: HbtResult, choices: Choices, dead_time_ps: float) -> Findings:
    """Return near against far peaks, where a dead time is known."""
    from qdhil.metrics.near_far import near_to_far

    counts, confidence, found = result.counts, choices.confidence, Findings()
    if dead_time_ps >= counts.period_ps and counts.singles_a:
        found.estimates += _kept(lambda: near_to_far(counts, dead_time_ps=dead_time_ps, confidence=confidence))
    return found


def _kept(estimated: Callable[[], Estimate]) -> list[Estimate]:
    """Return what a metric gives, or nothing where it refuses."""
    try:
        return [estimated()]
    except ValueError:
        return []


def _short(estimate: Estimate) -> dict[str, int | float]:
    """Return the counts without those of each lag."""
    return {name: count for name, count in estimate.counts.items() if not name.startswith("lag_")}


def _captured(result: HbtResult) -> float:
    """Return the part of a peak's pairs above the floor that lies in its window."""
    from qdhil.metrics.antibunching import distance_to_peak

    histogram = result.histogram
    per_bin = result.floor_pairs * histogram.bin_ps / result.counts.window_ps
    within = np.abs(distance_to_peak(histogram.delays_ps, result.comb)) < result.counts.window_ps / 2
    whole = float(histogram.counts.sum()) - per_bin * histogram.counts.size
    part = float(histogram.counts[within].sum()) - per_bin * int(within.sum())
    return min(max(part / whole, 1e-3), 1.0) if whole > 0 else 1.0


def _scatter(result: HbtResult, snapshots: Snapshots) -> Findings:
    """Return how much the side peaks' pairs scatter from one snapshot to the next, against counts alone."""
    from scipy.special import chdtri

    series = snapshots.counts.sum(axis=1).astype(np.float64)
    if series.size < _FEWEST_SNAPSHOTS or series.mean() < 1:
        return Findings()
    freedom = series.size - 1
    index = float(series.var(ddof=1) / series.mean())
    tail = (1 - result.g2.confidence) / 2
    low, high = (index * freedom / float(chdtri(freedom, p)) for p in (tail, 1 - tail))
    estimate = Estimate(
        definition="snapshots.dispersion",
        value=index,
        low=low,
        high=high,
        confidence=result.g2.confidence,
        counts={"pairs": int(series.sum()), "snapshots": int(series.size)},
        window_ps=None,
        delay_ps=None,
        normalisation="poisson",
        raw=index,
    )
    notes = (
        [f"pairs per snapshot scatter by {math.sqrt(index):.2f} of what counts do: the source or its alignment drifts"]
        if low > 1.5
        else []
    )
    panel = Panel(
        "pairs per snapshot",
        "snapshot",
        "pairs",
        np.arange(series.size, dtype=np.float64),
        series,
        style="points",
        errors=np.sqrt(np.maximum(series, 1.0)),
        note=f"variance over mean {index:.2f}",
    )
    return Findings([estimate], notes, [panel])
