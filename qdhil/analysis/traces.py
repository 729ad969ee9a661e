"""The count rate over time: its mean and range, blinking between two states, and bleaching for good.

The bin is 100 ms, or as much shorter as it takes for 200 bins, in steps of 1, 2 and 5. An emitter has bleached where
the rate falls below half of what it was and never comes back, for longer than ten times the longest dark time before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.analysis.findings import Findings
from qdhil.analysis.panel import Panel
from qdhil.metrics.count_rate import count_rate
from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import poisson_interval

_BIN_PS = 100_000_000_000
_FEWEST_BINS, _MOST_BINS = 200, 20_000
_FALLS_TO = 0.5
_LONGER = 10.0
_FEWEST_DARK = 10
_STANDS_OUT = 6.0
_FEWEST_CLICKS = 10.0
"""Mean clicks a bin below which a bin is no rate."""


def analyse_trace(
    clicks: npt.NDArray[np.int64], *, duration_s: float | None, confidence: float, name: str = "all detectors"
) -> Findings:
    """Return the mean rate with its range, blinking where two states stand out, and the time of bleaching.

    Parameters
    ----------
    clicks
        Sorted times in ps, shape (clicks,).
    duration_s
        Time measured; without it from the first click to the last.
    confidence
        Nominal coverage of the intervals.
    name
        Whose clicks they are, for title and notes.

    Raises
    ------
    ValueError
        If there are too few clicks.
    """
    if clicks.size < 2:
        raise ValueError(f"{clicks.size} clicks are no trace")
    begin_ps = int(min(clicks[0], 0)) if duration_s else int(clicks[0])
    end_ps = max(int(clicks[-1]) + 1, begin_ps + round((duration_s or 0) * 1e12))
    bin_ps = _bin_ps(end_ps - begin_ps, clicks.size)
    counts = count_rate(clicks, bin_ps=bin_ps, begin_ps=begin_ps, end_ps=end_ps).counts
    found = Findings([_summary(counts, bin_ps, confidence, name)])
    bleached = None
    if counts.mean() >= _FEWEST_CLICKS:
        bleached = _bleaching(counts, bin_ps, confidence)
        if bleached is not None:
            found.estimates.append(bleached)
        alive = counts if bleached is None else counts[: int(bleached.counts["bin"])]
        found.add(_blinking(alive, bin_ps, confidence, name))
    found.panels.append(_panel(counts, bin_ps, name, bleached))
    return found


def _blinking(counts: npt.NDArray[np.int64], bin_ps: int, confidence: float, name: str) -> Findings:
    """Return blinking between two states, or a note where the rate varies in another way."""
    from qdhil.metrics.blinking_trace import trace_blinking

    try:
        blinking = trace_blinking(counts, bin_s=bin_ps * 1e-12, confidence=confidence)
    except ValueError as error:
        if _excess(counts) <= _STANDS_OUT:
            return Findings()
        return Findings(notes=[f"{name}: the rate varies by more than counts do; no blinking of two states: {error}"])
    return Findings([blinking.on_time, blinking.off_time, blinking.on_fraction])


def _bin_ps(span_ps: int, clicks: int) -> int:
    """Return the width of a bin: 100 ms, shorter for short recordings that are bright enough."""
    shorter = min(_BIN_PS, max(span_ps // _FEWEST_BINS, round(span_ps * 2 * _FEWEST_CLICKS / clicks)))
    widest = max(shorter, -(-span_ps // _MOST_BINS), 1)
    decade = int(10 ** (len(str(widest)) - 1))
    return next(step * decade for step in (5, 2, 1) if step * decade <= widest)


def _summary(counts: npt.NDArray[np.int64], bin_ps: int, confidence: float, name: str) -> Estimate:
    total, seconds = int(counts.sum()), counts.size * bin_ps * 1e-12
    low, high = (bound / seconds for bound in poisson_interval(total, confidence))
    return Estimate(
        definition="trace.rate",
        value=total / seconds,
        low=low,
        high=high,
        confidence=confidence,
        counts={
            "clicks": total,
            "bins": int(counts.size),
            "bin_s": bin_ps * 1e-12,
            "mean": float(counts.mean()),
            "max": int(counts.max()),
            "min": int(counts.min()),
            "first": int(counts[0]),
            "last": int(counts[-1]),
        },
        window_ps=None,
        delay_ps=None,
        normalisation=f"time, {name}",
        raw=total / seconds,
    )


def _excess(counts: npt.NDArray[np.int64]) -> float:
    """Return the variance of neighbouring bins' sums beyond that of counts, in standard deviations."""
    freedom = counts.size - 1
    return float((counts.var(ddof=1) / counts.mean() - 1) * np.sqrt(freedom / 2)) if freedom > 0 else 0.0


def _bleaching(counts: npt.NDArray[np.int64], bin_ps: int, confidence: float) -> Estimate | None:
    """Return when the emitter went dark for good, or ``None``; id ``trace.bleaching_time``."""
    tail = np.cumsum(counts[::-1])[::-1] / np.arange(counts.size, 0, -1)
    final = float(np.median(counts[-_FEWEST_DARK:]))
    high = float(np.quantile(counts, 0.95))
    high = max(high, float(np.sort(counts)[-max(counts.size // 100, _FEWEST_DARK) :].mean()))
    level = (final + high) / 2
    bright = np.flatnonzero(counts >= level)
    if final > _FALLS_TO * high or not bright.size or high - final < _STANDS_OUT * np.sqrt(high):
        return None
    last = int(bright[-1])
    dark = counts.size - 1 - last
    before = np.diff(bright)
    longest = int(before.max()) - 1 if before.size else 0
    if dark < max(_FEWEST_DARK, _LONGER * longest) or tail[last + 1] > _FALLS_TO * high:
        return None
    time_s = (last + 1) * bin_ps * 1e-12
    return Estimate(
        definition="trace.bleaching_time",
        value=time_s,
        low=time_s - bin_ps * 1e-12,
        high=time_s + bin_ps * 1e-12,
        confidence=confidence,
        counts={
            "bin": last + 1,
            "before_hz": float(counts[: last + 1].mean()) / (bin_ps * 1e-12),
            "after_hz": float(counts[last + 1 :].mean()) / (bin_ps * 1e-12),
            "dark_s": dark * bin_ps * 1e-12,
        },
        window_ps=None,
        delay_ps=None,
        normalisation="last-bright-bin",
        raw=time_s,
    )


def _panel(counts: npt.NDArray[np.int64], bin_ps: int, name: str, bleached: Estimate | None) -> Panel:
    bin_s = bin_ps * 1e-12
    end_s = counts.size * bin_s
    return Panel(
        f"count rate, {name}",
        "time (s)",
        f"clicks per {bin_s * 1000:g} ms",
        (np.arange(counts.size, dtype=np.float64) + 0.5) * bin_s,
        counts,
        spans=() if bleached is None else ((bleached.value, end_s, "excluded"),),
        note=f"mean {counts.mean():.1f}, from {counts.min()} to {counts.max()}",
    )
