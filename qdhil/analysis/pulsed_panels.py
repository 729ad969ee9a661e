"""Plots of a pulsed Hanbury Brown-Twiss measurement: coincidences by delay, and pairs by peak."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qdhil.analysis.panel import Panel
from qdhil.metrics.hbt import HbtResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdhil.metrics.estimate import Estimate
    from qdhil.metrics.pulsed_fit import CombFit


def coincidences_panel(result: HbtResult, fit: CombFit | None, g2: Estimate) -> Panel:
    """Return the coincidences by delay, with windows, model and the value that comes first."""
    histogram, counts = result.histogram, result.counts
    half, period = counts.window_ps / 2, counts.period_ps
    spans = [
        (
            (counts.delay_ps + lag * period - half) / 1000,
            (counts.delay_ps + lag * period + half) / 1000,
            "side peaks" if lag else "central",
        )
        for lag in range(-counts.max_lag, counts.max_lag + 1)
    ]
    model = None
    if fit is not None and fit.g2.histogram is not None:
        model = _comb_curve(fit, histogram.bin_ps)
    reach = 4.5 * period / 1000
    centre = counts.delay_ps / 1000
    return Panel(
        "coincidences",
        "delay (ns)",
        f"pairs per {histogram.bin_ps:g} ps",
        histogram.delays_ps / 1000,
        histogram.counts,
        model=model,
        spans=tuple(spans),
        zoom=(centre - reach, centre + reach),
        note=f"g2(0) = {g2.value:.3g} [{g2.low:.3g}, {g2.high:.3g}] "
        + (f"by area, window {counts.window_ps} ps" if g2.window_ps else "by the fitted comb"),
    )


def _comb_curve(fit: CombFit, bin_ps: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fitted comb, per bin of the histogram that is shown."""
    fitted = fit.g2.histogram
    if fitted is None or fit.g2.delay_ps is None:
        return np.empty(0), np.empty(0)
    times, period, decay = fitted.times_ps, fit.period_ps, fit.lifetime.value
    since = (times - fit.g2.delay_ps) % period
    comb = (np.exp(-since / decay) + np.exp((since - period) / decay)) / -math.expm1(-period / decay)
    shape = comb - (1 - fit.g2.value) * np.exp(-np.abs(times - fit.g2.delay_ps) / decay)
    amplitude = max(float((fitted.array - fit.background.value).sum()) / max(float(shape.sum()), 1e-12), 0.0)
    scale = bin_ps / fitted.bin_ps
    return times / 1000, scale * (fit.background.value + amplitude * shape)


def peaks_panel(result: HbtResult) -> Panel:
    """Return the pairs by peak, relative to their mean far away."""
    counts = result.counts
    peaks = np.asarray(counts.peaks, np.float64)
    mean = result.g2.counts["side"] / result.g2.counts["side_peaks"]
    return Panel(
        "peaks",
        "lag (pulses)",
        "pairs relative to the side peaks",
        np.arange(-counts.max_lag, counts.max_lag + 1, dtype=np.float64),
        peaks / mean,
        style="points",
        errors=np.sqrt(np.maximum(peaks, 1.0)) / mean,
    )
