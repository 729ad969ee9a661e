"""Hong-Ou-Mandel interference of successive photons: where the centre is, and the visibilities.

Behind an interferometer of n pulses delay and balanced splitters the peaks at lags 0 and ±n hold (1 + g - M)/2 and
(3 + g)/4 of the others. The centre is the lag whose surroundings are most likely so; it must be so by far, and both
side peaks must be low, or the measurement isn't taken for one of interference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.analysis.beside import NEXT, envelope_beyond, pairs_beside
from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings
from qdhil.analysis.panel import Panel
from qdhil.metrics.adjacent import v_adjacent
from qdhil.metrics.antibunching import default_window_ps
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.comb import Comb, find_comb
from qdhil.metrics.delay_counts import DelayCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.hbt import MAX_LAG
from qdhil.metrics.indistinguishability import v_unc
from qdhil.metrics.overlap import total_overlap

_ADJACENT, _CENTRAL = 0.75, 0.5
_FEWEST_FAR = 3
_BLINKS = 0.03
_SURE = 10.0
"""Log-likelihood by which the pattern's place beats every other, and by which the side peaks are low: odds e^-10."""
_LOWEST_SIDE, _HIGHEST_SIDE = 0.55, 0.92


@dataclass(frozen=True)
class Pattern:
    """Where the pattern of interference lies: the comb, the peaks about the centre, and how these differ, if so."""

    comb: Comb
    counts: PeakCounts
    unlike: str


def find_pattern(
    histogram: DelayCounts, choices: Choices, *, period_ps: float | None = None, strict: bool = True
) -> Pattern:
    """Return the peaks about the centre of an interference measurement.

    Parameters
    ----------
    histogram, choices
        Pairs by delay; delay of the interferometer and window.
    period_ps
        Pulse period, where the file tells it.
    strict
        Whether the pattern must be unmistakable; otherwise the likeliest centre is taken, if it is sure.

    Raises
    ------
    ValueError
        If there is no comb, too few peaks, or no such pattern.
    """
    comb = find_comb(histogram.counts, first_ps=histogram.first_ps, bin_ps=histogram.bin_ps, period_ps=period_ps)
    window = choices.window_ps or default_window_ps(histogram.counts, histogram.delays_ps, comb)
    first, last = histogram.lags(comb, window)
    by_lag = histogram.by_lag(comb, window, first, last).astype(np.float64)
    best = _centre(by_lag, choices.delay_periods)
    lags = min(MAX_LAG, best, by_lag.size - 1 - best)
    peaks = by_lag[best - lags : best + lags + 1].astype(np.int64)
    counts = PeakCounts(
        peaks=tuple(int(n) for n in peaks),
        singles_a=0,
        singles_b=0,
        triggers=0,
        dwell_s=0.0,
        window_ps=window,
        period_ps=comb.period_ps,
        delay_ps=round(comb.phase_ps + (first + best) * comb.period_ps),
    )
    unlike = _unlike(counts, choices.delay_periods)
    if strict and unlike:
        raise ValueError(unlike)
    return Pattern(comb, counts, unlike)


def _centre(by_lag: npt.NDArray[np.float64], delay: int) -> int:
    """Return the peak about which the pattern lies by far the likeliest; refuse (ValueError) if there is none."""
    reach = delay + _FEWEST_FAR
    if by_lag.size < 2 * reach + 1:
        raise ValueError(f"{by_lag.size} peaks in range are too few for an interferometer of {delay} pulses delay")
    places = np.arange(reach, by_lag.size - reach)
    gains = np.array([_gain(by_lag, int(place), delay) for place in places])
    ranked = np.sort(gains)
    sure = float(ranked[-1] - ranked[-2]) if gains.size > 1 else float(ranked[0])
    if ranked[-1] < _SURE or sure < _SURE:
        raise ValueError(f"no pattern of interference about any peak (best log-likelihood ratio {gains.max():.1f})")
    return int(places[int(np.argmax(gains))])


def _gain(by_lag: npt.NDArray[np.float64], centre: int, delay: int) -> float:
    """Return the log-likelihood of the pattern about a lag, against equal peaks."""
    around = np.arange(max(0, centre - MAX_LAG), min(by_lag.size, centre + MAX_LAG + 1))
    special = np.isin(around, (centre - delay, centre, centre + delay))
    level = max(float(by_lag[around[~special]].mean()), 1e-3)
    flat = max(float(by_lag[around].mean()), 1e-3)
    central = min(max(float(by_lag[centre]), 0.3), _CENTRAL * level)
    expected = np.where(special, _ADJACENT * level, level)
    expected[around == centre] = central
    seen = by_lag[around]
    return float(np.sum(seen * np.log(expected / flat) - (expected - flat)))


def _unlike(counts: PeakCounts, delay: int) -> str:
    """Return which of the two side peaks isn't low, as blinking or antibunching leave them; empty if both are."""
    level = max(pairs_beside(counts, delay), 1e-3)
    for lag in (-delay, delay):
        seen, low = float(counts.peaks[counts.max_lag + lag]), _ADJACENT * level
        gain = seen * np.log(low / level) - (low - level)
        if not (_LOWEST_SIDE < seen / level < _HIGHEST_SIDE and gain > _SURE / 4):
            return f"the peak {delay} pulses from the centre holds {seen / level:.2f} of those beyond, not 0.75"
    return ""


def analyse_interference(pattern: Pattern, choices: Choices) -> Findings:
    """Return V_unc, V_adj and, with a g2(0) measured apart, M_tot."""
    counts, confidence = pattern.counts, choices.confidence
    found = Findings()
    visibility = v_unc(counts, exclude_lags=choices.delay_periods, confidence=confidence)
    found.add(_blinking(counts, visibility, choices))
    found.estimates.append(visibility)
    g2 = _given_g2(choices)
    found.estimates.append(v_adjacent(counts, g2=g2, delay_pulses=choices.delay_periods, confidence=confidence))
    if choices.g2 is None:
        found.notes.append("V_adj takes g2(0) for 0 and M_tot is left out: give the measured one with --g2")
    else:
        found.estimates.append(total_overlap(visibility, g2=g2, confidence=confidence))
        if choices.g2_sd == 0:
            found.notes.append("g2(0) was given without its uncertainty, which is missing from V_adj and M_tot")
    found.notes.append(
        f"taken for interference behind a delay of {choices.delay_periods} pulses, parallel polarisation and balanced "
        "splitters; side peaks beyond the delay count as far, whatever the detectors' dead time"
    )
    if pattern.unlike:
        found.notes.append(f"{pattern.unlike}: is it a measurement of interference?")
    found.panels.append(_panel(counts, choices.delay_periods, visibility))
    return found


def _blinking(counts: PeakCounts, visibility: Estimate, choices: Choices) -> Findings:
    """Return V_unc against the far peaks' level at no delay, where blinking makes that differ from their mean."""
    delay = choices.delay_periods
    envelope = envelope_beyond(counts, delay, choices.confidence)
    if envelope is not None:
        g2 = envelope.g2_near
        low, value, high = 1 - 2 * g2.high, 1 - 2 * g2.value, 1 - 2 * g2.low
        name, to = "hom.v_envelope", "envelope-at-zero"
    else:
        near = v_unc(_trimmed(counts, delay + NEXT), exclude_lags=delay, confidence=choices.confidence)
        low, value, high = near.low, near.value, near.high
        name, to = "hom.v_near", "near-peaks"
    if abs(value - visibility.value) < max(_BLINKS * (1 - visibility.value), (high - low) / 2):
        return Findings()
    estimate = replace(visibility, definition=name, value=value, low=low, high=high, raw=value, normalisation=to)
    return Findings(
        [estimate], [f"the far peaks change with the lag (blinking): {name} is that of the source, hom.v_unc is not"]
    )


def _trimmed(counts: PeakCounts, lags: int) -> PeakCounts:
    """Return the peaks about the centre only."""
    if counts.max_lag <= lags:
        return counts
    return replace(counts, peaks=counts.peaks[counts.max_lag - lags : counts.max_lag + lags + 1])


def _given_g2(choices: Choices) -> Estimate:
    from scipy.special import ndtri

    value = choices.g2 or 0.0
    reach = float(ndtri((1 + choices.confidence) / 2)) * choices.g2_sd
    return Estimate(
        definition="g2.given",
        value=value,
        low=max(value - reach, 0.0),
        high=value + reach,
        confidence=choices.confidence,
        counts={"sd": choices.g2_sd},
        window_ps=None,
        delay_ps=None,
        normalisation="given",
        raw=value,
    )


def counted_in_tags(
    pattern: Pattern, t_a: npt.NDArray[np.int64], t_b: npt.NDArray[np.int64], dwell_s: float
) -> Pattern:
    """Return the same peaks counted on the tags themselves, to the pair."""
    from qdhil.metrics.peaks import count_peaks

    counts = pattern.counts
    peaks = count_peaks(
        t_a,
        t_b,
        period_ps=counts.period_ps,
        delay_ps=counts.delay_ps,
        window_ps=counts.window_ps,
        max_lag=counts.max_lag,
    )
    exact = replace(
        counts,
        peaks=tuple(int(n) for n in peaks),
        singles_a=int(t_a.size),
        singles_b=int(t_b.size),
        triggers=round(dwell_s * 1e12 / counts.period_ps),
        dwell_s=dwell_s,
    )
    return replace(pattern, counts=exact)


def _panel(counts: PeakCounts, delay: int, visibility: Estimate) -> Panel:
    peaks = np.asarray(counts.peaks, np.float64)
    mean = visibility.counts["side"] / visibility.counts["side_peaks"]
    return Panel(
        "interference",
        "lag (pulses)",
        "pairs relative to the far peaks",
        np.arange(-counts.max_lag, counts.max_lag + 1, dtype=np.float64),
        peaks / mean,
        style="points",
        errors=np.sqrt(np.maximum(peaks, 1.0)) / mean,
        spans=((-delay - 0.5, delay + 0.5, "central"),),
        note=f"V_unc = {visibility.value:.4f} [{visibility.low:.4f}, {visibility.high:.4f}]",
    )
