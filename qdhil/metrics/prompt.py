"""Light that isn't the emitter's: the prompt fraction (laser) and the floor between the peaks (background).

Scattered laser light comes with the pulse, the emitter's photons a lifetime later, background at any time:

    prompt = clicks within a window on the pulse / all clicks
    floor  = (clicks in the gap / width of the gap) / (all clicks / width of the histogram)

The floor is the share of all clicks that is spread evenly. Both are binomial given the total, so that their
intervals are exact (Clopper-Pearson).
"""

from __future__ import annotations

import numpy as np

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.histogram import Histogram
from qdhil.statistics.intervals import clopper_pearson


def prompt_fraction(
    histogram: Histogram, *, pulse_ps: float, window_ps: int, period_ps: float, confidence: float = 0.95
) -> Estimate:
    """Return the fraction of the clicks that come with the laser pulse; id ``prompt.fraction``.

    Part of it is the emitter's own early photons: compare it with that of a run known to be good.

    Parameters
    ----------
    histogram
        Clicks by time since the laser's sync, over one period.
    pulse_ps
        Time at which scattered laser light arrives, from a calibration.
    window_ps
        Full width of the window around it, in ps; a bin belongs where its centre lies.
    period_ps
        Time between two pulses, in ps.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If there are no clicks, or the window holds no bin.
    """
    half = period_ps / 2
    distance = (histogram.times_ps - pulse_ps + half) % period_ps - half
    within = (distance >= -window_ps / 2) & (distance < window_ps / 2)
    return _share("prompt.fraction", histogram, within, 1.0, window_ps, "all-clicks", confidence)


def inter_peak_floor(
    histogram: Histogram, *, peak_ps: float, period_ps: float, gap: float = 0.2, confidence: float = 0.95
) -> Estimate:
    """Return the share of all counts that is spread evenly; id ``floor.inter_peak``.

    Parameters
    ----------
    histogram
        Coincidences by delay, or clicks by time since the pulse, over whole periods.
    peak_ps
        Place of a peak's maximum.
    period_ps
        Time between two peaks, in ps.
    gap
        Part of the period, opposite to the peak, that counts as between the peaks; the tails must have died
        away there.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If there are no counts, or the gap isn't in (0, 1) or holds no bin.
    """
    if not 0 < gap < 1:
        raise ValueError(f"gap must lie in (0, 1), not {gap}")
    phase = (histogram.times_ps - peak_ps) / period_ps % 1.0
    between = np.abs(phase - 0.5) < gap / 2
    scale = between.size / max(int(between.sum()), 1)
    return _share("floor.inter_peak", histogram, between, scale, None, "mean-level", confidence)


def _share(
    definition: str,
    histogram: Histogram,
    chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    scale: float,
    window_ps: int | None,
    normalisation: str,
    confidence: float,
) -> Estimate:
    if not bool(chosen.any()):
        raise ValueError(f"{definition}: no bin of {histogram.bin_ps:g} ps lies in the window")
    counts = histogram.array
    inside, total = int(counts[chosen].sum()), int(counts.sum())
    if total == 0:
        raise ValueError(f"{definition}: the histogram is empty")
    low, high = clopper_pearson(inside, total, confidence)
    return Estimate(
        definition=definition,
        value=inside / total * scale,
        low=low * scale,
        high=high * scale,
        confidence=confidence,
        counts={"inside": inside, "total": total, "bins_inside": int(chosen.sum()), "bins": int(chosen.size)},
        window_ps=window_ps,
        delay_ps=None,
        normalisation=normalisation,
        raw=inside / total * scale,
    )
