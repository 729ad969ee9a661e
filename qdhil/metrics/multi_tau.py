"""Correlation over many decades of delay on coarsened times: quick, with a bias that is known.

A level of cells of width w counts the pairs that lie L cells apart, for L from m to 2m - 1; the next level has cells
twice as wide (Schätzel, "Correlation techniques in dynamic light scattering", Appl. Phys. B 42, 193 (1987)). Delays
below the first such level are exact. A lag's pairs have delays within ±w of L·w, with triangular weight, so that

    measured g2(τ) = g2(τ) + (w²/12)·g2''(τ) + …,        w <= τ/m.

For g2 - 1 falling as exp(-τ/τ_c) that raises it by the fraction (w/τ_c)²/12: 0.13 % at τ = τ_c with m = 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times
from qdhil.metrics.bins import EvenBins
from qdhil.metrics.pairs import count_by_delay

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

_LEVELS = 12
"""Levels that are counted chunk by chunk; the coarser ones take one cell a chunk."""
_MOST_EXACT_BINS = 1 << 16
_CELLS_PER_TAG = 2.0


@dataclass(frozen=True)
class MultiTau:
    """Pairs by delay.

    Parameters
    ----------
    tau_ps, width_ps
        Mean delay and width of each bin, in ps, shape (bins,).
    exact
        Whether a bin holds the delays within half a width (else triangular weight within a whole one).
    counts
        Pairs, shape (bins,).
    expected
        Mean pairs of uncorrelated light of the same steady rates, shape (bins,).
    """

    tau_ps: Values
    width_ps: Values
    exact: npt.NDArray[np.bool_]
    counts: Times
    expected: Values

    @property
    def g2(self) -> Values:
        """Counts over those expected."""
        ratio: Values = np.divide(
            self.counts, self.expected, out=np.full(self.counts.shape, np.nan), where=self.expected > 0
        )
        return ratio


def multi_tau(
    t1: npt.ArrayLike,
    t2: npt.ArrayLike,
    *,
    first_ps: int = 1_000,
    last_ps: int = 10**12,
    lags: int = 8,
    exact_octaves: int | None = None,
) -> MultiTau:
    """Count pairs by their delay t2 - t1 > 0 in bins that widen with the delay.

    Parameters
    ----------
    t1, t2
        Sorted times in ps, shapes (n1,) and (n2,), any integer type.
    first_ps
        Width of the finest bins, in ps.
    last_ps
        Delays up to about here are covered; must be shorter than the recording.
    lags
        Bins per octave, m; the relative width of a bin lies between 1/(2m) and 1/m.
    exact_octaves
        Octaves of delays that are counted exactly, at least 1; by default until a tag comes every other cell,
        from where on coarse counting is quicker.

    Raises
    ------
    ValueError
        If a channel isn't sorted or is empty, or the recording isn't longer than ``last_ps``.
    """
    starts, stops = sorted_times(t1, "t1"), sorted_times(t2, "t2")
    if not starts.size or not stops.size:
        raise ValueError("multi_tau needs tags in both channels")
    if first_ps < 1 or lags < 2 or last_ps < 2 * lags * first_ps:
        raise ValueError(f"{lags} lags from {first_ps} to {last_ps} ps are no multi-tau bins")
    begin, end = min(int(starts[0]), int(stops[0])), max(int(starts[-1]), int(stops[-1]))
    if end - begin <= last_ps:
        raise ValueError(f"a recording of {end - begin} ps is too short for delays up to {last_ps} ps")
    octaves = math.ceil(math.log2(last_ps / (2 * lags * first_ps))) + 1
    fine = exact_octaves or _quickest(max(starts.size, stops.size) / (end - begin), first_ps)
    fine = max(1, min(fine, octaves, int(math.log2(_MOST_EXACT_BINS / lags)) - 1))
    counts = np.concatenate(
        [
            _exact(starts, stops, first_ps, lags, fine),
            _coarse(starts, stops, (begin, end), first_ps << fine, lags, octaves - fine),
        ]
    )
    octave = np.concatenate([[0] * lags, np.repeat(np.arange(octaves), lags)])
    lag = np.concatenate([np.arange(lags), np.tile(np.arange(lags, 2 * lags), octaves)])
    exact = np.arange(lag.size) < lags * (fine + 1)
    width = first_ps * 2.0**octave
    tau = (lag + np.where(exact, 0.5, 0.0)) * width
    span = float(end - begin + 1)
    expected = starts.size * (stops.size / span) * width * np.maximum(span - tau, 0) / span
    return MultiTau(tau, width, exact, counts, expected)


def _quickest(rate_per_ps: float, first_ps: int) -> int:
    """Return after how many octaves a tag comes every other cell."""
    return math.ceil(math.log2(max(1.0, 1 / (_CELLS_PER_TAG * rate_per_ps * first_ps))))


def _exact(starts: Times, stops: Times, first_ps: int, lags: int, octaves: int) -> Times:
    """Return the pairs in ``lags`` finest bins and ``lags`` bins of each octave."""
    bins = lags << octaves
    fine = count_by_delay(starts, stops, EvenBins(0, bins * first_ps, first_ps), names=("t1", "t2"))
    parts = [fine[:lags]]
    for octave in range(octaves):
        parts.append(fine[lags << octave : lags << (octave + 1)].reshape(lags, -1).sum(axis=1))
    return np.concatenate(parts)


def _coarse(starts: Times, stops: Times, span: tuple[int, int], width_ps: int, lags: int, octaves: int) -> Times:
    """Return the pairs of each lag of each octave, from cells of ``width_ps`` on."""
    from qdhil.metrics._multi_tau import add_levels

    begin, end = span
    counts = np.zeros((max(octaves, _LEVELS), lags), np.int64)
    chunks = (end - begin) // (width_ps << _LEVELS) + 1
    first, second = np.zeros(chunks, np.int64), np.zeros(chunks, np.int64)
    add_levels(starts, stops, begin, width_ps, counts[:_LEVELS], first, second)
    for level in range(_LEVELS, octaves):
        for lag in range(lags, min(2 * lags, first.size)):
            counts[level, lag - lags] = first[:-lag] @ second[lag:]
        first, second = (np.pad(cells, (0, cells.size % 2)).reshape(-1, 2).sum(axis=1) for cells in (first, second))
    return counts[:octaves].ravel()
