"""What counts of a histogram must be before anything follows from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError

_CLIPPED = frozenset((1 << bits) - 1 for bits in (8, 12, 14, 15, 16, 24, 31, 32))
_EXACT = float(1 << 53)
_HIGH, _TIES = 500, 5
_BURST, _FEWEST = 10.0, 10.0
_ROUNDS = 10
_NEVER = 1e-12
"""Chance of a bin's count in a snapshot below which it isn't the source's."""


def check_values(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return numbers of a text file as counts, shape (bins,).

    Raises
    ------
    FormatError
        If they are negative, fractional or scaled, so that no interval follows, or clipped, or all zero.
    """
    if bool(np.any(values < 0)):
        raise FormatError(f"negative counts, {int(np.count_nonzero(values < 0))} of them: background subtracted?")
    if bool(np.any(values != np.rint(values))):
        raise FormatError("fractional counts: rates or normalised values, from which no interval follows")
    if float(values.sum()) >= _EXACT:
        raise FormatError("counts beyond 2^53")
    counts: npt.NDArray[np.int64] = values.astype(np.int64)
    filled = counts[counts > 0]
    if filled.size < 2:
        raise FormatError("the histogram is empty")
    step = int(np.gcd.reduce(filled))
    if step > 1 and filled.size >= 8:
        raise FormatError(f"every count is a multiple of {step}: rates or scaled values, not counts")
    check_clipping(counts)
    return counts


def check_clipping(counts: npt.NDArray[np.int64]) -> None:
    """Refuse counts that end at the largest value of some counter.

    Raises
    ------
    FormatError
        If bins are full, or more share the largest count than Poisson counts would.
    """
    top = int(counts.max())
    full = int(np.count_nonzero(counts == top))
    if top in _CLIPPED and (full > 1 or top >= 65_535):
        raise FormatError(f"{full} bins are clipped at {top}, the counter's largest value")
    # at such heights Poisson counts hardly ever share their largest value
    if top >= _HIGH and full >= _TIES:
        raise FormatError(f"{full} bins share the largest count, {top}: they are clipped")


def burst_snapshots(snapshots: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which of consecutive histograms hold bursts, as electrical pick-up makes them, shape (snapshots,).

    Such hold more than ten times the median counts, or more in one bin than the rest's fullest bin gives by chance.
    Neither looks at where the bin is, so that nothing that follows from the others is biased by it.

    Parameters
    ----------
    snapshots
        Counts, shape (snapshots, bins).
    """
    from scipy.special import pdtrc

    totals, fullest = snapshots.sum(axis=1), snapshots.max(axis=1)
    burst: npt.NDArray[np.bool_] = totals > _BURST * max(float(np.median(totals)), _FEWEST)
    for _ in range(_ROUNDS):
        quiet = snapshots[~burst].sum(axis=0)
        share = float(quiet.max()) / max(float(quiet.sum()), 1.0)
        # counts of few are judged as if there were one in ten snapshots
        more = ~burst & (pdtrc(fullest - 1.0, np.maximum(share * totals, 0.1)) < _NEVER)
        if not more.any():
            break
        burst |= more
    return burst
