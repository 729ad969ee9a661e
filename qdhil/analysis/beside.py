"""What the peaks beside the centre would hold if only blinking raised them: the level that interference is told by."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qdhil.metrics.coincidences import PeakCounts

if TYPE_CHECKING:
    from qdhil.metrics.envelope import Blinking

NEXT = 4
"""Peaks beyond the interferometer's delay that stand for it where no envelope can be fitted."""
_MOST_PAIRS = 10_000


def envelope_beyond(counts: PeakCounts, delay: int, confidence: float = 0.95) -> Blinking | None:
    """Return the envelope of the peaks beyond the interferometer's delay, or ``None`` if there is no such.

    Peaks of more than 10 000 pairs differ by more than counts do, as their windows hold one bin more or less: where
    that keeps the envelope from fitting, all are taken for so many fewer.
    """
    from qdhil.metrics.envelope import fit_envelope

    mean = float(np.mean(counts.peaks))
    for fewer in (1.0, mean / _MOST_PAIRS):
        if fewer < 1:
            break
        thinned = replace(counts, peaks=tuple(round(count / fewer) for count in counts.peaks))
        try:
            return fit_envelope(thinned, exclude_lags=delay, confidence=confidence)
        except ValueError:
            continue
    return None


def pairs_beside(counts: PeakCounts, delay: int) -> float:
    """Return the pairs that each of the two peaks at the interferometer's delay would hold without interference.

    Extrapolated by the envelope of the peaks beyond, by as little as that allows; else the mean of the next ones.
    """
    peaks = np.asarray(counts.peaks, np.float64)
    lag = np.abs(np.arange(-counts.max_lag, counts.max_lag + 1))
    next_to = (lag > delay) & (lag <= delay + NEXT)
    level = float(peaks[next_to].mean()) if next_to.any() else 0.0
    blinking = envelope_beyond(counts, delay)
    if blinking is None:
        return level

    def raised(at: float) -> float:
        on = blinking.on_fraction.high
        return on + (1 - on) * math.exp(-at * counts.period_ps / blinking.time.value)

    mean = float(np.mean([raised(float(m)) for m in lag[next_to]]))
    return level * raised(delay) / mean
