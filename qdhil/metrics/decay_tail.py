"""Where the tail of a decay begins and ends by the data themselves, and its lifetime."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.lifetime import FEWEST_TAIL, fit_tail

_STARTS, _LATER = 12, 4
_TAIL_BINS = 600
_PLAUSIBLE = 1e-3
"""Chance below which the scatter about a tail isn't that of counts."""
_DEPARTS = 0.1
"""Departure from a single exponential, as a part of it, that reflections and uneven bins may make."""
_SUNK = 0.003
_QUICKER = 0.7
"""Lifetimes to the rise of a decay from a tenth, at least; a two-sided exponential has 1/ln 10 = 0.43."""


class NotExponentialError(ValueError):
    """There are clicks enough for a tail, but they aren't a single exponential."""


@dataclass(frozen=True)
class Tail:
    """The single-exponential tail of a decay.

    Parameters
    ----------
    estimate
        T1 in ps, id ``lifetime.tail``; its counts say where the tail begins, after the maximum, and ends.
    share
        Part of the clicks above the floor that the tail holds.
    chi2
        χ² per bin of the tail, by the counts alone.
    times_ps, expected
        The fitted curve on the histogram's axis, shape (bins of the tail,).
    """

    estimate: Estimate
    share: float
    chi2: float
    times_ps: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]


def best_tail(histogram: Histogram, *, confidence: float = 0.95) -> Tail:
    """Return T1 of the tail that begins where a single exponential first fits.

    ``systematic`` is the most that T1 changes by beginning later, where that exceeds the counts' errors.
    The first of twelve beginnings is taken, later by equal ratios, at which χ² is one that counts by themselves and
    departures of 10 % explain (chance of 1e-3 or more). The error is that of the counts, widened by sqrt(χ²/n). The
    tail ends twice as far as it takes to sink into the floor; where that doesn't fit, at 0.3 % of its beginning.

    Parameters
    ----------
    histogram
        Clicks by time since the laser pulse; the maximum comes before the tail.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If no tail holds enough clicks, or none is a single exponential.
    """
    shape = _Shape.of(histogram)
    starts = shape.starts()
    reasons: list[ValueError] = []
    for number, start in enumerate(starts):
        first = shape.peak + int(start)
        for level in (0.0, _SUNK * float(shape.smooth[first])):
            end = first + _sunk(shape.smooth[first:], shape.floor, level)
            try:
                tail = _tail_from(histogram, (shape.peak, first, end), shape.floor, confidence)
            except ValueError as error:
                reasons.append(error)
                continue
            shape.check_rise(tail.estimate.value)
            later = [shape.peak + int(other) for other in starts[number + 1 : number + 1 + _LATER]]
            return _with_range(tail, histogram, (shape.peak, later, end), shape.floor)
    raise reasons[0]


@dataclass(frozen=True)
class _Shape:
    """A decay's smoothed counts, its maximum, the floor after it, and how it rises."""

    smooth: npt.NDArray[np.float64]
    peak: int
    floor: float
    bin_ps: float

    @classmethod
    def of(cls, histogram: Histogram) -> _Shape:
        smooth = np.convolve(histogram.array, np.ones(3) / 3, "same")
        peak = int(np.argmax(smooth))
        return cls(smooth, peak, _floor(histogram.array, peak), histogram.bin_ps)

    def starts(self) -> npt.NDArray[np.int64]:
        """Return where the tail may begin, in bins after the maximum: from half a rise to where it has sunk."""
        before = self.smooth[: self.peak + 1][::-1]
        rise = max(int(np.argmax(before < (before[0] + self.floor) / 2)), 1)
        sunk = _sunk(self.smooth[self.peak :], self.floor, _SUNK * float(self.smooth[self.peak]))
        return np.unique(np.rint(np.geomspace(rise, max(sunk * 0.8, rise + 1), _STARTS)).astype(np.int64))

    def check_rise(self, t1_ps: float) -> None:
        """Refuse (ValueError) a tail as quick as the rise."""
        before = self.smooth[: self.peak + 1][::-1]
        rise_ps = max(int(np.argmax(before < before[0] / 10 + self.floor)), 1) * self.bin_ps
        if t1_ps < _QUICKER * rise_ps:
            raise ValueError(
                f"a tail of {t1_ps:.0f} ps after a rise of {rise_ps:.0f} ps: "
                "pairs by delay, or an instrument's response, but no decay"
            )


def _with_range(tail: Tail, histogram: Histogram, place: tuple[int, list[int], int], floor: float) -> Tail:
    """Return the tail with the most that T1 changes where it begins later, if that is beyond the counts' errors."""
    peak, later, end = place
    value, reach = tail.estimate.value, tail.estimate.high - tail.estimate.value
    changes: list[float] = []
    for first in later:
        try:
            other = _tail_from(histogram, (peak, first, end), floor, tail.estimate.confidence).estimate
        except ValueError:
            continue
        change = abs(other.value - value)
        if change > math.hypot(reach, other.high - other.value):
            changes.append(change)
    if not changes:
        return tail
    return replace(tail, estimate=replace(tail.estimate, systematic=max(changes)))


def _floor(counts: npt.NDArray[np.int64], peak: int) -> float:
    """Return the lowest level after the maximum, over a twentieth of what follows it."""
    after = counts[peak:]
    width = max(after.size // 20, 1)
    return float(np.convolve(after, np.ones(width) / width, "valid").min())


def _sunk(smooth: npt.NDArray[np.float64], floor: float, level: float) -> int:
    """Return after how many bins the tail ends: below ``level``, or where that is no higher than the floor."""
    if floor < level:
        low = np.flatnonzero(smooth < level)
        return int(low[0]) if low.size else smooth.size
    width = max(smooth.size // 100, 1)
    mean = np.convolve(smooth, np.ones(width) / width, "valid")
    low = np.flatnonzero(mean <= floor + 2 * math.sqrt(max(floor, 0.1) / width))
    return min(2 * int(low[0]) + width, smooth.size) if low.size else smooth.size


def _tail_from(histogram: Histogram, place: tuple[int, int, int], floor: float, confidence: float) -> Tail:
    """Return the tail between two bins; ``place`` is maximum, start and end."""
    from scipy.special import chdtrc

    peak, start, end = place
    counts, bin_ps = histogram.array, histogram.bin_ps
    step = max(-(-(end - start) // _TAIL_BINS), 1)
    bins = (end - start) // step
    if bins < 8:
        raise ValueError(f"{end - start} bins of {bin_ps:g} ps after the maximum are too few for a lifetime")
    tail = counts[start : start + bins * step].reshape(bins, step).sum(axis=1)
    total, above = int(tail.sum()), float(tail.sum()) - floor * bins * step
    if above < FEWEST_TAIL:
        raise ValueError(f"{max(above, 0):.0f} clicks in the tail of the decay are too few for a lifetime")
    times = bin_ps * step * np.arange(bins, dtype=np.float64)
    fit = fit_tail(tail, times)
    if not (3 * bin_ps < fit.t1_ps < times[-1]):
        raise ValueError(f"a decay of {fit.t1_ps:.3g} ps can't be told by bins of {bin_ps:g} ps within the tail")
    expected = fit.probability * total
    tolerant = float(((tail - expected) ** 2 / (expected + 0.1 + (_DEPARTS * expected) ** 2)).sum())
    if float(chdtrc(bins - 3, tolerant)) < _PLAUSIBLE:
        raise NotExponentialError(f"the decay is no single exponential (χ²/n = {fit.chi2:.1f} from its maximum on)")
    tally = {
        "tail": total,
        "clicks": int(counts.sum()),
        "tail_from_ps": round((start - peak) * bin_ps),
        "tail_ps": round(bins * step * bin_ps),
    }
    share = above / max(float(counts.sum()) - floor * counts.size, 1.0)
    axis = histogram.times_ps[start] + times + (step - 1) / 2 * bin_ps
    return Tail(fit.estimate(tally, confidence), share, fit.chi2, axis, expected / step)
