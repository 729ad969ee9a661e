"""Every estimate that a recording supports, and for those it doesn't, why not.

A metric that can't be estimated is a note while another one can; where none can, or where the caller asked for
a window or for channels that don't work, the recording is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE, DelayHistogram, Histograms, Recording

if TYPE_CHECKING:
    from qdhil.metrics.estimate import Estimate
    from qdhil.metrics.hbt import HbtResult

_FEWEST_TAGS = 100
_MOST_CHANNELS = 8
_COARSEST_PS, _COARSEST_PERIOD = 1_000.0, 0.1
"""Coarser steps of time than this, or than this part of the laser's period, make a comb of their own."""
_MOST_CLICKS = 50_000_000


@dataclass(frozen=True)
class Choices:
    """What the caller may fix: the window of a peak in ps, the two channels, and the confidence."""

    window_ps: int | None = None
    channels: tuple[int, int] | None = None
    confidence: float = 0.95


def estimates_of(
    recording: Recording | DelayHistogram | Histograms, choices: Choices
) -> tuple[list[Estimate], list[str]]:
    """Return the estimates of a recording, and what a reader should know of them.

    Raises
    ------
    FormatError
        With the reason, if nothing can be estimated.
    """
    if isinstance(recording, DelayHistogram):
        return _of_histogram(recording, choices)
    if isinstance(recording, Histograms):
        return _of_curves(recording, choices)
    return _of_tags(recording, choices)


def _of_histogram(histogram: DelayHistogram, choices: Choices) -> tuple[list[Estimate], list[str]]:
    from qdhil.metrics.hbt import analyse_histogram

    try:
        result = analyse_histogram(
            histogram.counts,
            first_ps=histogram.first_ps,
            bin_ps=histogram.bin_ps,
            window_ps=choices.window_ps,
            confidence=choices.confidence,
        )
    except ValueError as error:
        raise FormatError(str(error)) from error
    return [result.g2], list(result.warnings)


def _of_curves(recording: Histograms, choices: Choices) -> tuple[list[Estimate], list[str]]:
    """Return g2(0) of the curves that are correlations, and the lifetime of those that are decays."""
    estimates: list[Estimate] = []
    notes: list[str] = []
    for number, curve in recording.curves.items():
        try:
            found, warnings = _of_histogram(curve, choices)
        except FormatError as no_g2:
            try:
                found, warnings = [_curve_lifetime(curve, choices.confidence)], []
            except ValueError as no_lifetime:
                notes.append(f"nothing from curve {number}: {no_g2}; {no_lifetime}")
                continue
        estimates += [replace(e, counts={"curve": number, **e.counts}) for e in found]
        notes += [f"curve {number}: {warning}" for warning in warnings]
    if not estimates:
        raise FormatError(notes[0] + (f" (and {len(notes) - 1} more curves)" if notes[1:] else ""))
    return estimates, notes


def _curve_lifetime(curve: DelayHistogram, confidence: float) -> Estimate:
    """Return the lifetime of a decay, folded into one period where it holds several.

    Times are taken in bins, which are no whole number of ps, and the estimate is scaled.
    """
    from qdhil.metrics.comb import find_comb
    from qdhil.metrics.lifetime import lifetime_tail

    used = int(np.flatnonzero(curve.counts)[-1]) + 1
    period_ps = curve.period_ps
    if period_ps is None:
        period_ps = find_comb(curve.counts, first_ps=curve.first_ps, bin_ps=curve.bin_ps).period_ps
    period_bins = min(period_ps / curve.bin_ps, float(used))
    if int(curve.counts.sum()) > _MOST_CLICKS:
        raise ValueError(f"{int(curve.counts.sum())} counts are more than a lifetime is taken from")
    bins = np.rint(np.arange(used) % period_bins).astype(np.int32)
    estimate = lifetime_tail(
        np.repeat(bins, curve.counts[:used]), period_ps=period_bins, bin_ps=1, confidence=confidence
    )
    scale = curve.bin_ps
    return replace(
        estimate,
        value=estimate.value * scale,
        low=estimate.low * scale,
        high=estimate.high * scale,
        raw=estimate.raw * scale,
        counts={**estimate.counts, "tail_ps": round(estimate.counts["tail_ps"] * scale)},
    )


def _of_tags(recording: Recording, choices: Choices) -> tuple[list[Estimate], list[str]]:
    from qdhil.metrics.brightness import at_detector

    estimates: list[Estimate] = []
    notes: list[str] = []
    detectors = _detectors(recording)
    try:
        pair, result = _g2(recording, detectors, choices)
    except FormatError as error:
        if choices.window_ps or choices.channels:
            raise
        notes.append(f"no g2(0): {error}")
        pair = None
    else:
        estimates.append(result.g2)
        notes += result.warnings
        if recording.duration_s is not None:
            estimates.append(at_detector(result.counts, confidence=choices.confidence))
    chosen = pair or tuple(detectors[:_MOST_CHANNELS])
    lifetimes, reasons = _lifetimes(recording, chosen, choices.confidence)
    estimates += lifetimes
    notes += reasons
    if pair is None:
        estimates += _rates(recording, chosen, choices.confidence)
    if not estimates:
        raise FormatError(notes[0].removeprefix("no g2(0): "))
    return estimates, notes


def _detectors(recording: Recording) -> list[int]:
    return [
        number
        for number, times in sorted(recording.channels.items())
        if 0 <= number < MARKER_BASE and times.size >= _FEWEST_TAGS
    ]


def _g2(recording: Recording, detectors: list[int], choices: Choices) -> tuple[tuple[int, ...], HbtResult]:
    """Return the antibunched pair of channels; refuse where there is none, or several."""
    from qdhil.metrics.hbt import analyse_tags

    coarsest_ps = _COARSEST_PERIOD * recording.period_ps if recording.period_ps else _COARSEST_PS
    if recording.resolution_ps > coarsest_ps:
        raise FormatError(f"times in steps of {recording.resolution_ps:g} ps are too coarse for correlations")
    found: list[tuple[tuple[int, ...], HbtResult]] = []
    reasons: list[str] = []
    for a, b in _candidates(recording, detectors, choices.channels):
        try:
            result = analyse_tags(
                recording.channels[a],
                recording.channels[b],
                duration_s=recording.duration_s or 0.0,
                period_ps=recording.period_ps,
                window_ps=choices.window_ps,
                confidence=choices.confidence,
            )
        except ValueError as error:
            reasons.append(f"channels {a} and {b}: {error}")
        else:
            found.append(((a, b), result))
    if not found:
        raise FormatError(reasons[0] + (f" (and {len(reasons) - 1} more pairs)" if reasons[1:] else ""))
    if len(found) > 1:
        pairs = ", ".join(f"{a},{b}" for (a, b), _ in found)
        raise FormatError(f"several pairs of channels are antibunched ({pairs}): choose with --channels")
    return found[0]


def _candidates(
    recording: Recording, detectors: list[int], channels: tuple[int, int] | None
) -> Iterator[tuple[int, int]]:
    if channels is not None:
        missing = [number for number in channels if number not in recording.channels]
        if missing:
            raise FormatError(f"no tags of channel {missing[0]}; there are {sorted(recording.channels)}")
        return iter([channels])
    if len(detectors) < 2:
        raise FormatError(f"{len(detectors)} channels with at least {_FEWEST_TAGS} tags; g2 takes two")
    if len(detectors) > _MOST_CHANNELS:
        raise FormatError(f"{len(detectors)} channels hold tags: choose two with --channels")
    return itertools.combinations(detectors, 2)


def _lifetimes(recording: Recording, channels: tuple[int, ...], confidence: float) -> tuple[list[Estimate], list[str]]:
    """Return the lifetime each detector sees, where the tagger kept the time since sync."""
    from qdhil.metrics.lifetime import lifetime_tail

    estimates: list[Estimate] = []
    notes: list[str] = []
    for channel in channels:
        if recording.period_ps is None or channel not in recording.since_sync_ps:
            continue
        try:
            estimate = lifetime_tail(
                recording.since_sync_ps[channel], period_ps=recording.period_ps, confidence=confidence
            )
        except ValueError as error:
            notes.append(f"no lifetime from channel {channel}: {error}")
        else:
            estimates.append(replace(estimate, counts={"channel": channel, **estimate.counts}))
    return estimates, notes


def _rates(recording: Recording, channels: tuple[int, ...], confidence: float) -> list[Estimate]:
    """Return the click rate of each detector in Hz, with its exact Poisson interval; id ``rate.detected``."""
    from qdhil.metrics.estimate import Estimate
    from qdhil.statistics.intervals import poisson_interval

    if not recording.duration_s:
        return []
    rates: list[Estimate] = []
    for channel in channels:
        clicks = recording.channels[channel].size
        low, high = (bound / recording.duration_s for bound in poisson_interval(clicks, confidence))
        rates.append(
            Estimate(
                definition="rate.detected",
                value=clicks / recording.duration_s,
                low=low,
                high=high,
                confidence=confidence,
                counts={"channel": channel, "clicks": clicks, "dwell_s": recording.duration_s},
                window_ps=None,
                delay_ps=None,
                normalisation="dwell",
                raw=clicks / recording.duration_s,
            )
        )
    return rates
