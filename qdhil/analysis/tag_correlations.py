"""Time tags of two detectors or more: which pair is correlated, how, and what its detectors are like."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.analysis.choices import Choices
from qdhil.analysis.correlations import first_that_works, has_comb, refuse_interference
from qdhil.analysis.findings import Findings
from qdhil.errors import FormatError
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.delay_counts import DelayCounts, delay_counts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.hbt import analyse_tags
from qdhil.metrics.peaks import count_peaks
from qdhil.tags.recording import MARKER_BASE, Recording

FEWEST_TAGS = 100
MOST_CHANNELS = 8
_COARSEST_PS, _COARSEST_PERIOD = 1_000.0, 0.1
"""Coarser steps of time than this, or than this part of the laser's period, make a comb of their own."""
_REGULAR = 0.02
_SAMPLE = 20_000
_SHORT_PERIODS = 2_000
_MOST_LAGS, _REACH_PS = 400, 5e6


@dataclass(frozen=True)
class Pair:
    """Two channels and what their correlation tells."""

    channels: tuple[int, int]
    findings: Findings
    period_ps: float | None


def detectors_of(recording: Recording) -> tuple[list[int], list[int]]:
    """Return the channels of photons and those of a laser's sync, by their number.

    A sync is as regular as no light is: its intervals scatter by less than 2 %.
    """
    photons: list[int] = []
    regular: list[int] = []
    for number, times in sorted(recording.channels.items()):
        if 0 <= number < MARKER_BASE and times.size >= FEWEST_TAGS:
            (regular if _is_regular(times) else photons).append(number)
    return photons, regular


def sharpest(recording: Recording, channels: tuple[int, ...], period_ps: float) -> int | None:
    """Return the channel that keeps the laser's time better than each of ``channels``, or ``None``.

    Such is a sync that passes only with a photon: its intervals are whole numbers of periods, without the lifetime's
    and the detectors' spread.
    """
    best, sharpness = None, max(_sharpness(recording.channels[number], period_ps) for number in channels)
    for number, times in sorted(recording.channels.items()):
        if number in channels or not 0 <= number < MARKER_BASE or times.size < FEWEST_TAGS:
            continue
        spread = 1 - _sharpness(times, period_ps)
        if spread < (1 - sharpness) / 4:
            best, sharpness = number, 1 - spread
    return best


def _sharpness(times: npt.NDArray[np.int64], period_ps: float) -> float:
    """Return how well short intervals are whole numbers of periods: 1 for a clock."""
    steps = np.diff(times[:_SAMPLE])
    short = steps[steps < _SHORT_PERIODS * period_ps]
    if short.size < FEWEST_TAGS // 2:
        return 0.0
    return float(abs(np.mean(np.exp(2j * np.pi * short / period_ps))))


def _is_regular(times: npt.NDArray[np.int64]) -> bool:
    middle = times.size // 2
    steps = np.diff(times[max(middle - _SAMPLE // 2, 0) : middle + _SAMPLE // 2])
    typical = float(np.median(steps))
    return typical > 0 and float(np.mean(np.abs(steps - typical) > _REGULAR * typical)) < _REGULAR


def analyse_pairs(recording: Recording, detectors: list[int], choices: Choices) -> Pair:
    """Return what the one pair of channels tells that is antibunched, or interferes.

    Raises
    ------
    FormatError
        If none is, or several are, or times are too coarse.
    """
    coarsest_ps = _COARSEST_PERIOD * recording.period_ps if recording.period_ps else _COARSEST_PS
    if recording.resolution_ps > coarsest_ps:
        raise FormatError(f"times in steps of {recording.resolution_ps:g} ps are too coarse for correlations")
    found: list[Pair] = []
    reasons: list[str] = []
    for a, b in _candidates(recording, detectors, choices):
        try:
            found.append(_pair(recording, (a, b), choices))
        except FormatError as error:
            reasons.append(f"channels {a} and {b}: {error}")
    if not found:
        raise FormatError(reasons[0] + (f" (and {len(reasons) - 1} more pairs)" if reasons[1:] else ""))
    if len(found) > 1:
        pairs = ", ".join(f"{pair.channels[0]},{pair.channels[1]}" for pair in found)
        raise FormatError(f"several pairs of channels are antibunched ({pairs}): choose with --channels")
    return found[0]


def _candidates(recording: Recording, detectors: list[int], choices: Choices) -> Iterator[tuple[int, int]]:
    if choices.channels is not None and len(choices.channels) == 2:
        missing = [number for number in choices.channels if number not in recording.channels]
        if missing:
            raise FormatError(f"no tags of channel {missing[0]}; there are {sorted(recording.channels)}")
        return iter([(choices.channels[0], choices.channels[1])])
    if len(detectors) < 2:
        raise FormatError(f"{len(detectors)} channels with at least {FEWEST_TAGS} tags; g2 takes two")
    if len(detectors) > MOST_CHANNELS:
        raise FormatError(f"{len(detectors)} channels hold tags: choose two with --channels")
    return itertools.combinations(detectors, 2)


def _pair(recording: Recording, channels: tuple[int, int], choices: Choices) -> Pair:
    """Return what one pair of channels tells; one pass over its tags gives the histogram that all attempts share."""
    t_a, t_b = (recording.channels[number] for number in channels)
    try:
        histogram = delay_counts(t_a, t_b)
    except ValueError as error:
        raise FormatError(str(error)) from error
    tried = _Tried(recording, channels, choices, histogram)
    attempts = {"hbt": tried.pulsed, "hom": tried.interference, "cw": tried.continuous}
    if choices.kind == "auto":
        # with the laser's sync or a comb, the light is pulsed
        pulsed_light = recording.period_ps is not None or has_comb(histogram)
        del attempts["cw" if pulsed_light else "hom"]
    found = first_that_works(attempts, choices)
    return Pair(channels, found, tried.period_ps)


@dataclass
class _Tried:
    """Two channels and their pairs by delay, tried as each kind of measurement; the last pulse period found."""

    recording: Recording
    channels: tuple[int, int]
    choices: Choices
    histogram: DelayCounts
    period_ps: float | None = None

    @property
    def times(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        t_a, t_b = (self.recording.channels[number] for number in self.channels)
        return t_a, t_b

    def pulsed(self) -> Findings:
        from qdhil.analysis.detectors import dead_times
        from qdhil.analysis.pulsed import analyse_pulsed

        result = analyse_tags(
            *self.times,
            duration_s=self.recording.duration_s or 0.0,
            period_ps=self.recording.period_ps,
            window_ps=self.choices.window_ps,
            confidence=self.choices.confidence,
            histogram=self.histogram,
        )
        doubts = refuse_interference(result, self.choices)
        self.period_ps = result.comb.period_ps
        dead = dead_times(self.recording, self.channels, self.choices.confidence, period_ps=self.period_ps)
        longest = max((estimate.value for estimate in dead.values()), default=0.0)
        lags = min(_MOST_LAGS, int(_REACH_PS / self.period_ps))
        envelope = _more_peaks(result.counts, *self.times, lags)
        found = analyse_pulsed(result, self.choices, dead_time_ps=longest, envelope=envelope)
        if self.recording.duration_s is not None:
            found.estimates.insert(1, self._brightness(result.counts, longest))
        found.notes += doubts
        return found

    def _brightness(self, counts: PeakCounts, dead_time_ps: float) -> Estimate:
        from qdhil.metrics.brightness import at_detector

        return at_detector(counts, confidence=self.choices.confidence, dead_time_ps=dead_time_ps or None)

    def interference(self) -> Findings:
        from qdhil.analysis.interference import analyse_interference, counted_in_tags, find_pattern

        strict = self.choices.kind != "hom"
        pattern = find_pattern(self.histogram, self.choices, period_ps=self.recording.period_ps, strict=strict)
        self.period_ps = pattern.comb.period_ps
        exact = counted_in_tags(pattern, *self.times, self.recording.duration_s or 0.0)
        return analyse_interference(exact, self.choices)

    def continuous(self) -> Findings:
        from qdhil.analysis.continuous import analyse_dip

        histogram = self.histogram
        return analyse_dip(histogram.counts, first_ps=histogram.first_ps, bin_ps=histogram.bin_ps, choices=self.choices)


def _more_peaks(counts: PeakCounts, t_a: npt.NDArray[np.int64], t_b: npt.NDArray[np.int64], max_lag: int) -> PeakCounts:
    """Return the pairs of more peaks, for an envelope that reaches beyond the side peaks."""
    if max_lag <= counts.max_lag:
        return counts
    peaks = count_peaks(
        t_a, t_b, period_ps=counts.period_ps, delay_ps=counts.delay_ps, window_ps=counts.window_ps, max_lag=max_lag
    )
    return replace(counts, peaks=tuple(int(n) for n in peaks))
