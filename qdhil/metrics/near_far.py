"""Do the detectors' dead times reach into the coincidences? Near against far side peaks.

A click of one detector means that the photon did not go to the other, which is then more likely live for
the pulses within its dead time: side peaks with abs(lag) <= floor(τ_d/T) are raised by 1 + p_obs, with
p_obs the clicks per pulse. A ratio that differs from both 1 and 1 + p_obs tells of blinking, crosstalk or
another dead time than the one stated.
"""

from __future__ import annotations

import math

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.normalisation import near_counts
from qdhil.statistics.intervals import poisson_ratio_interval


def near_to_far(counts: PeakCounts, *, dead_time_ps: float, confidence: float = 0.95) -> Estimate:
    """Return the mean near peak over the mean far peak; id ``detector.near_far``.

    ``corrected`` is the ratio divided by the expected 1 + p_obs: 1 where dead time explains all.

    Parameters
    ----------
    counts
        Coincidences of a Hanbury Brown-Twiss measurement.
    dead_time_ps
        Dead time of the detectors in ps, at least a period.
    confidence
        Nominal coverage of the interval (exact, given both sums).

    Raises
    ------
    ValueError
        If the dead time is shorter than a period or leaves no far peaks, or a sum is empty.
    """
    near_lags = math.floor(dead_time_ps / counts.period_ps)
    if near_lags < 1:
        raise ValueError(f"a dead time of {dead_time_ps:g} ps is shorter than the period: no peak is near")
    near, near_peaks = near_counts(counts, exclude_lags=0, near_lags=near_lags)
    far, far_peaks = counts.far(near_lags)
    if near == 0 or far == 0 or counts.triggers <= 0:
        raise ValueError("no coincidences in the near or the far peaks: there is nothing to compare")
    scale = far_peaks / near_peaks
    low, high = (limit * scale for limit in poisson_ratio_interval(near, far, confidence))
    per_pulse = (counts.singles_a + counts.singles_b) / (2 * counts.triggers)
    expected = 1 + per_pulse
    value = near / far * scale
    return Estimate(
        definition="detector.near_far",
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        counts={
            "near": near,
            "near_peaks": near_peaks,
            "far": far,
            "far_peaks": far_peaks,
            "singles_a": counts.singles_a,
            "singles_b": counts.singles_b,
            "triggers": counts.triggers,
        },
        window_ps=counts.window_ps,
        delay_ps=counts.delay_ps,
        normalisation="far-peaks",
        raw=value,
        corrected=value / expected,
        corrected_low=low / expected,
        corrected_high=high / expected,
        correction=f"divided by the 1 + p_obs = {expected:.4f} that dead time explains",
    )
