"""Brightness at the detectors: detected photons per laser pulse.

    B = (N_a + N_b) / N_triggers

Corrections come in this order: dead time (non-paralysable: a click makes its detector miss the next
nd = floor(τ/T) pulses, so p = p_obs/(1 - nd·p_obs)), then dark counts.
"""

from __future__ import annotations

import math

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import poisson_interval


def at_detector(
    counts: PeakCounts,
    *,
    confidence: float = 0.95,
    dead_time_ps: float | None = None,
    dark_rate_hz: tuple[float, float] | None = None,
) -> Estimate:
    """Return detected photons per pulse, both detectors together; id ``brightness.detected``.

    The interval is the exact Poisson one (Garwood) of photon counting alone; a real source drifts by far
    more, so two values are compared by :mod:`qdhil.statistics.paired`, not by these intervals.

    Parameters
    ----------
    counts
        Singles and pulses.
    confidence
        Nominal coverage of the interval.
    dead_time_ps
        Dead time of each detector in ps; gives ``corrected``.
    dark_rate_hz
        Dark rates of detectors a and b; gives ``corrected``.

    Raises
    ------
    ValueError
        If there are no pulses, or a rate is beyond what the dead time allows.
    """
    if counts.triggers <= 0:
        raise ValueError("no laser pulses: brightness per pulse has no meaning")
    total = counts.singles_a + counts.singles_b
    low, high = poisson_interval(total, confidence)
    corrected, correction = None, None
    if dead_time_ps is not None or dark_rate_hz is not None:
        darks = dark_rate_hz or (0.0, 0.0)
        corrected = sum(
            _signal_per_pulse(counts, singles, dead_time_ps or 0.0, dark)
            for singles, dark in zip((counts.singles_a, counts.singles_b), darks, strict=True)
        )
        correction = f"dead time {dead_time_ps or 0.0:g} ps, then dark rates {darks[0]:g} and {darks[1]:g} Hz"
    return Estimate(
        definition="brightness.detected",
        value=total / counts.triggers,
        low=low / counts.triggers,
        high=high / counts.triggers,
        confidence=confidence,
        counts={"singles_a": counts.singles_a, "singles_b": counts.singles_b, "triggers": counts.triggers},
        window_ps=None,
        delay_ps=None,
        normalisation="triggers",
        raw=total / counts.triggers,
        corrected=corrected,
        correction=correction,
    )


def _signal_per_pulse(counts: PeakCounts, singles: int, dead_time_ps: float, dark_rate_hz: float) -> float:
    seen = singles / counts.triggers
    blind_pulses = math.floor(dead_time_ps / counts.period_ps)
    if blind_pulses * seen >= 1:
        raise ValueError(f"{seen:.3g} clicks per pulse can't come with a dead time of {blind_pulses} pulses")
    return seen / (1 - blind_pulses * seen) - dark_rate_hz * counts.period_ps * 1e-12
