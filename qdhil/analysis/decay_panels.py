"""Plots of decays: the tail with its exponential, or the whole with the fitted curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdhil.analysis.panel import Panel

if TYPE_CHECKING:
    from qdhil.analysis.whole_decay import WholeFit
    from qdhil.metrics.decay_tail import Tail
    from qdhil.metrics.histogram import Histogram


def tail_panel(histogram: Histogram, tail: Tail, name: str) -> Panel:
    """Return the decay with its tail's exponential."""
    value = tail.estimate
    return Panel(
        name,
        "time (ns)",
        f"clicks per {histogram.bin_ps:.4g} ps",
        histogram.times_ps / 1000,
        histogram.array,
        model=(tail.times_ps / 1000, tail.expected),
        spans=((float(tail.times_ps[0]) / 1000, float(tail.times_ps[-1]) / 1000, "tail"),),
        log_y=True,
        note=f"T1 = {value.value:.4g} ps [{value.low:.4g}, {value.high:.4g}] of the tail",
    )


def whole_panel(histogram: Histogram, fit: WholeFit, name: str) -> Panel:
    """Return the decay with the curve that was fitted to the whole of it."""
    step = fit.histogram.bin_ps / histogram.bin_ps
    lifetimes = [e for e in fit.estimates if e.definition.startswith("lifetime.") and "share" not in e.definition]
    said = ", ".join(f"{e.value:.4g} ps [{e.low:.4g}, {e.high:.4g}]" for e in lifetimes)
    return Panel(
        name,
        "time (ns)",
        f"clicks per {histogram.bin_ps:.4g} ps",
        histogram.times_ps / 1000,
        histogram.array,
        model=(fit.histogram.times_ps / 1000, fit.expected / step),
        log_y=True,
        note=f"lifetimes {said}" if len(lifetimes) > 1 else f"T1 = {said}",
    )
