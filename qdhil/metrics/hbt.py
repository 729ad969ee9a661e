"""A Hanbury Brown-Twiss recording of a pulsed source from beginning to end: comb, antibunched peak, g2(0).

Nothing but the data is known beforehand, so each step refuses (ValueError) rather than guesses. The
side peaks are those up to 20 pulses either side of the antibunched one, all with its window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.antibunching import (
    FEWEST_BINS,
    AntibunchedPeak,
    check_dispersion,
    default_window_ps,
    distance_to_peak,
    find_antibunched_peak,
    floor_per_ps,
)
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.comb import Comb, find_comb
from qdhil.metrics.delay_counts import SPAN_PS, DelayCounts, delay_counts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.peaks import count_peaks
from qdhil.metrics.purity import g2_area
from qdhil.statistics.intervals import poisson_interval

MAX_LAG = 20
_SHORTEST_PERIOD_PS = 80.0
_FEWEST_LAGS = 4
_LONG_SPAN_PS, _LONG_BIN_PS = 10_000_000, 200
_OVERLAP = 0.2
"""Tails beyond this fraction of the floor make it no uniform background."""
_NEGLIGIBLE = 1e-3
_SURE = 0.9999
"""Confidence with which a floor must exceed the central peak to be no floor."""
"""A floor below this fraction of a peak changes g2(0) by less than anybody asks."""


@dataclass(frozen=True)
class HbtResult:
    """What was found in a recording.

    Parameters
    ----------
    g2
        The estimate; ``corrected`` has the uniform floor between the peaks subtracted.
    counts
        Coincidences by peak.
    peak
        The antibunched peak.
    comb
        Period and phase of the peaks.
    warnings
        What a reader should know before trusting the value.
    histogram
        The pairs by delay that comb and peak were found in.
    floor_pairs
        Pairs in a window by the level between the peaks.
    overlapping
        Whether the tails of neighbouring peaks make up a good part of that level.
    """

    g2: Estimate
    counts: PeakCounts
    peak: AntibunchedPeak
    comb: Comb
    warnings: tuple[str, ...]
    histogram: DelayCounts
    floor_pairs: float
    overlapping: bool


def analyse_histogram(
    counts: npt.NDArray[np.int64],
    *,
    first_ps: float,
    bin_ps: float,
    period_ps: float | None = None,
    window_ps: int | None = None,
    confidence: float = 0.95,
) -> HbtResult:
    """Find the antibunched peak of a delay histogram and return g2(0).

    Parameters
    ----------
    counts
        Pairs per bin, shape (bins,).
    first_ps, bin_ps
        Delay of the first bin, and width of a bin, in ps.
    period_ps
        Pulse period, where the file tells it.
    window_ps
        Full width of the window of a peak; by default the smallest round one that holds 97 % of a peak.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If there is no pulse comb, no single antibunched peak, or too little around it to normalise with.
    """
    histogram = DelayCounts(counts, first_ps, bin_ps)
    comb, window, peak, lags = _locate(histogram, period_ps, window_ps)
    pairs = histogram.by_lag(comb, window, peak.lag - lags, peak.lag + lags)
    return _result(histogram, comb, peak, window, pairs, (0, 0, 0.0), confidence)


def analyse_tags(
    t_a: npt.NDArray[np.int64],
    t_b: npt.NDArray[np.int64],
    *,
    duration_s: float,
    period_ps: float | None = None,
    window_ps: int | None = None,
    confidence: float = 0.95,
    histogram: DelayCounts | None = None,
) -> HbtResult:
    """Find the antibunched peak between two channels of time tags and return g2(0).

    Parameters
    ----------
    t_a, t_b
        Sorted times in ps.
    duration_s
        Time over which they were taken, in s.
    period_ps, window_ps, confidence
        As in :func:`analyse_histogram`.
    histogram
        Their :func:`delay_counts`, where these are there already.

    Raises
    ------
    ValueError
        As :func:`analyse_histogram`, or if a channel isn't sorted.
    """
    histogram = histogram or delay_counts(t_a, t_b)
    try:
        comb, window, peak, lags = _locate(histogram, period_ps, window_ps)
    except ValueError:
        # a slow laser shows too few peaks in the short span
        if period_ps is not None and SPAN_PS / period_ps > 2 * MAX_LAG:
            raise
        histogram = delay_counts(t_a, t_b, _LONG_SPAN_PS, _LONG_BIN_PS)
        comb, window, peak, lags = _locate(histogram, period_ps, window_ps)
    pairs = count_peaks(t_a, t_b, period_ps=comb.period_ps, delay_ps=peak.delay_ps, window_ps=window, max_lag=lags)
    return _result(histogram, comb, peak, window, pairs, (t_a.size, t_b.size, duration_s), confidence)


def _locate(
    histogram: DelayCounts, period_ps: float | None, window_ps: int | None
) -> tuple[Comb, int, AntibunchedPeak, int]:
    """Return comb, window, antibunched peak, and how many lags either side can be counted."""
    comb = find_comb(histogram.counts, first_ps=histogram.first_ps, bin_ps=histogram.bin_ps, period_ps=period_ps)
    if comb.period_ps < _SHORTEST_PERIOD_PS:
        raise ValueError(f"a period of {comb.period_ps:.3g} ps can't be a laser's: is the axis in ps?")
    window = window_ps or default_window_ps(histogram.counts, histogram.delays_ps, comb)
    if not FEWEST_BINS * histogram.bin_ps <= window <= comb.period_ps:
        raise ValueError(
            f"a window of {window} ps must hold at least {FEWEST_BINS} bins of {histogram.bin_ps:g} ps, "
            f"and not exceed the period of {comb.period_ps:.1f} ps"
        )
    first, last = histogram.lags(comb, window)
    by_lag = histogram.by_lag(comb, window, first, last)
    peak = find_antibunched_peak(by_lag, first_lag=first, comb=comb)
    check_dispersion(by_lag, without=peak.lag - first)
    lags = min(MAX_LAG, peak.lag - first, last - peak.lag)
    if lags < _FEWEST_LAGS:
        raise ValueError(f"only {lags} side peaks on one side of the antibunched one: too few to normalise with")
    return comb, window, peak, lags


def _result(
    histogram: DelayCounts,
    comb: Comb,
    peak: AntibunchedPeak,
    window_ps: int,
    pairs: npt.NDArray[np.int64],
    exposure: tuple[int, int, float],
    confidence: float,
) -> HbtResult:
    singles_a, singles_b, dwell_s = exposure
    counts = PeakCounts(
        peaks=tuple(int(count) for count in pairs),
        singles_a=singles_a,
        singles_b=singles_b,
        triggers=round(dwell_s * 1e12 / comb.period_ps),
        dwell_s=dwell_s,
        window_ps=window_ps,
        period_ps=comb.period_ps,
        delay_ps=peak.delay_ps,
    )
    g2 = g2_area(counts, exclude_lags=0, confidence=confidence)
    distance = distance_to_peak(histogram.delays_ps, comb)
    warnings = [*_envelope(counts), *_captured(histogram, distance, comb, window_ps)]
    floor = floor_per_ps(histogram.counts, distance, comb) / histogram.bin_ps
    overlapping = _overlap(histogram, distance, comb, floor * histogram.bin_ps, window_ps)
    if overlapping:
        warnings.append("neighbouring peaks overlap: part of the central counts is theirs, and no floor is known")
    else:
        g2 = _without_floor(g2, floor * window_ps)
    if g2.high >= 0.5:
        warnings.append("the interval reaches 0.5: a single emitter is not proven")
    return HbtResult(g2, counts, peak, comb, tuple(warnings), histogram, floor * window_ps, overlapping)


def _without_floor(g2: Estimate, floor: float) -> Estimate:
    """Return the estimate with the floor's pairs per window subtracted from centre and side peaks.

    A floor that provably exceeds the central peak is no floor under it: then nothing is corrected.
    """
    side = g2.counts["side"] / g2.counts["side_peaks"]
    if side <= floor or poisson_interval(int(g2.counts["central"]), _SURE)[1] < floor:
        return g2
    corrected = (g2.counts["central"] - floor) / (side - floor)
    return replace(
        g2, corrected=corrected, correction=f"floor between the peaks subtracted, {floor:.4g} pairs a window"
    )


def _overlap(
    histogram: DelayCounts, distance: npt.NDArray[np.float64], comb: Comb, floor_per_bin: float, window_ps: int
) -> bool:
    """Return whether the tails of two exponential peaks would make up a good part of a floor that matters."""
    above = histogram.counts - floor_per_bin
    decay_ps = float((above * np.abs(distance)).sum() / max(float(above.sum()), 1.0))
    per_peak = float(above.sum()) * comb.period_ps / (histogram.bin_ps * histogram.counts.size)
    if decay_ps <= 0 or floor_per_bin * window_ps / histogram.bin_ps < _NEGLIGIBLE * per_peak:
        return False
    tails = per_peak * math.exp(-comb.period_ps / (2 * decay_ps)) / decay_ps * histogram.bin_ps
    return tails > _OVERLAP * floor_per_bin


def _captured(histogram: DelayCounts, distance: npt.NDArray[np.float64], comb: Comb, window_ps: int) -> list[str]:
    floor = floor_per_ps(histogram.counts, distance, comb)
    within = np.abs(distance) < window_ps / 2
    whole = float(histogram.counts.sum()) - floor * distance.size
    part = float(histogram.counts[within].sum()) - floor * np.count_nonzero(within)
    if whole > 0 and part < 0.9 * whole:
        return [f"the window of {window_ps} ps holds {part / whole:.0%} of a peak: photons outside are not judged"]
    return []


def _envelope(counts: PeakCounts) -> list[str]:
    """Warn where the side peaks nearest to the centre differ from the farthest ones."""
    if counts.max_lag < 8:
        return []
    peaks = np.asarray(counts.peaks, np.float64)
    lag = np.abs(np.arange(-counts.max_lag, counts.max_lag + 1))
    near = peaks[(lag >= 1) & (lag <= counts.max_lag // 4)]
    far = peaks[lag > counts.max_lag - counts.max_lag // 4]
    error = math.sqrt(near.sum() / near.size**2 + far.sum() / far.size**2)
    change = float(near.mean() - far.mean())
    if abs(change) > 4 * error and abs(change) > 0.03 * float(far.mean()):
        return [
            f"side peaks change from {near.mean():.1f} pairs next to the centre to {far.mean():.1f} "
            f"{counts.max_lag} pulses away (blinking, or a start-stop recording): the value is relative to their mean"
        ]
    return []
