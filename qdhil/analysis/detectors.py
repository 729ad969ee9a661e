"""What a detector does to its own clicks, where the tags show it: rate, dead time and afterpulsing.

A pulsed source's clicks come in steps of the period, so the shortest interval tells the dead time to a period
only; where it is the period itself, antibunching explains it as well, and nothing is said. Afterpulses are looked
for from the dead time to 1 µs, against 1 µs to 5 µs; a source that blinks would look the same, so they are
reported only where the two detectors' cross-correlation is no higher there.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.correlate import auto_correlate
from qdhil.metrics.detector_memory import Intervals, afterpulsing, dead_time
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.histogram import Histogram
from qdhil.tags.recording import Recording

_SHARP = 0.2
"""Uncertainty of a dead time, as a part of it, up to which the tags show it."""
_SHORTEST_PS = 1_000.0
_LONGEST_PS = 1e8
_SETTLED_PS, _SPAN_PS, _BIN_PS = 1_000_000, 5_000_000, 10_000
_SURE = 0.9999
_EDGES = 0.02
"""Excess that pulses on the edges of the bins can make."""
_BINS = _SPAN_PS // _BIN_PS


def dead_times(
    recording: Recording, channels: tuple[int, ...], confidence: float, *, period_ps: float | None
) -> dict[int, Estimate]:
    """Return the dead time of each detector whose tags show one, in ps; id ``detector.dead_time``.

    Parameters
    ----------
    recording
        Tags by channel.
    channels
        The detectors.
    confidence
        Nominal coverage of the intervals.
    period_ps
        Time between the pulses of the light, or ``None`` for continuous light.
    """
    found: dict[int, Estimate] = {}
    for channel in channels:
        try:
            intervals = Intervals.of(recording.channels[channel])
            estimate = dead_time(intervals, resolution_ps=recording.resolution_ps, confidence=confidence)
        except ValueError:
            continue
        if period_ps is not None:
            if estimate.raw < 1.5 * period_ps:
                continue
            estimate = replace(
                estimate, low=max(estimate.low - period_ps, 0.0), normalisation="shortest-interval, to a pulse"
            )
        spread = estimate.high - estimate.low - (period_ps or 0.0)
        if _SHORTEST_PS < estimate.value < _LONGEST_PS and spread < _SHARP * estimate.value:
            found[channel] = replace(estimate, counts={"channel": channel, **estimate.counts})
    return found


def afterpulses(
    times: npt.NDArray[np.int64], other: npt.NDArray[np.int64], *, channel: int, dead_time_ps: float, confidence: float
) -> Estimate | None:
    """Return the afterpulses per click where they stand out, else ``None``; id ``detector.afterpulsing``.

    Parameters
    ----------
    times
        Sorted clicks of the detector in ps.
    other
        Those of the other detector, whose excess over its own level is the source's.
    channel
        The detector's number, for the counts.
    dead_time_ps
        From where clicks are possible.
    confidence
        Nominal coverage of the interval.
    """
    if times.size / max(float(times[-1] - times[0]), 1.0) > 1e-5:
        return None  # more than 10 Mcps: 5 µs hold too many pairs for a look in passing
    counts = auto_correlate(times, window_ps=_SPAN_PS, bin_ps=_BIN_PS)
    cross = np.asarray(_cross(times, other))
    near = slice(_BINS + max(int(np.ceil(dead_time_ps / _BIN_PS)), 1), _BINS + _SETTLED_PS // _BIN_PS)
    far = slice(_BINS + _SETTLED_PS // _BIN_PS, None)
    if near.stop - near.start < 2 or cross[far].sum() == 0:
        return None
    source = float(cross[near].mean() / max(cross[far].mean(), 1e-9) - 1)
    error = float(np.sqrt(1 / max(cross[near].sum(), 1) + 1 / cross[far].sum()))
    if abs(source) > 4 * error:
        return None  # the source bunches on this scale: no level to tell afterpulses from
    own = float(counts[near].mean() / max(counts[far].mean(), 1e-9) - 1)
    if own <= 4 * error + _EDGES:
        return None
    histogram = Histogram.of(counts[_BINS:], first_ps=_BIN_PS / 2, bin_ps=_BIN_PS)
    dead_ps = float((near.start - _BINS) * _BIN_PS)
    estimates = [
        afterpulsing(histogram, clicks=int(times.size), dead_time_ps=dead_ps, settled_ps=_SETTLED_PS, confidence=sure)
        for sure in (_SURE, confidence)
    ]
    if estimates[0].low <= 0:
        return None
    return replace(estimates[1], counts={"channel": channel, **estimates[1].counts})


def _cross(times: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    from qdhil.metrics.correlate import cross_correlate

    counts = cross_correlate(times, other, window_ps=_SPAN_PS, bin_ps=_BIN_PS)
    both: npt.NDArray[np.int64] = counts + counts[::-1]
    return both


def rates(
    recording: Recording, channels: tuple[int, ...], dead: dict[int, Estimate], confidence: float
) -> list[Estimate]:
    """Return the click rate of each detector in Hz, with its exact Poisson interval; id ``rate.detected``.

    ``corrected`` is the rate without the detector's dead time, where that is known.
    """
    from qdhil.statistics.intervals import poisson_interval

    if not recording.duration_s:
        return []
    found: list[Estimate] = []
    for channel in channels:
        clicks = int(recording.channels[channel].size)
        value = clicks / recording.duration_s
        low, high = (bound / recording.duration_s for bound in poisson_interval(clicks, confidence))
        estimate = Estimate(
            definition="rate.detected",
            value=value,
            low=low,
            high=high,
            confidence=confidence,
            counts={"channel": channel, "clicks": clicks, "dwell_s": recording.duration_s},
            window_ps=None,
            delay_ps=None,
            normalisation="dwell",
            raw=value,
        )
        if channel in dead and value * dead[channel].value * 1e-12 < 1:
            dead_s = dead[channel].value * 1e-12
            estimate = replace(
                estimate,
                corrected=value / (1 - value * dead_s),
                corrected_low=low / (1 - low * dead_s),
                corrected_high=high / (1 - high * dead_s) if high * dead_s < 1 else math.inf,
                correction=f"dead time {dead[channel].value:.4g} ps, not paralysable",
            )
        found.append(estimate)
    return found
