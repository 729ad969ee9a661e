"""Comparison of a drifting quantity, such as brightness, by ABBA quads on one rig.

A quad is four neighbouring blocks in the order baseline, candidate, candidate, baseline (or its mirror): any
drift that is linear over the quad drops out of its contrast exactly, and slower drift nearly so. The
spread *between* quads is then the honest error, which a Poisson error of the counts is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BASELINE = "baseline"
CANDIDATE = "candidate"
_ORDERS = (
    (BASELINE, CANDIDATE, CANDIDATE, BASELINE),
    (CANDIDATE, BASELINE, BASELINE, CANDIDATE),
)


@dataclass(frozen=True)
class PairedComparison:
    """The mean log contrast candidate - baseline over quads, with Student's interval and p-values.

    Parameters
    ----------
    estimate
        Mean contrast; exp() of it is the ratio candidate/baseline.
    low, high
        Confidence interval of ``estimate``.
    p_greater
        Probability, under the null, of a mean contrast as large or larger.
    p_less
        Probability, under the null, of one as small or smaller.
    confidence
        Coverage of the interval.
    quads
        Number of quads.
    """

    estimate: float
    low: float
    high: float
    p_greater: float
    p_less: float
    confidence: float
    quads: int


def quad_contrasts(values: Sequence[float], arms: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return one contrast per quad: mean log of its candidate blocks minus that of its baseline blocks.

    Parameters
    ----------
    values
        One positive value per block, in the order of time, shape (4·quads,).
    arms
        ``"baseline"`` or ``"candidate"`` per block; each four in the order ABBA or BAAB.

    Raises
    ------
    ValueError
        If the blocks aren't whole quads in that order, or a value isn't positive and finite.
    """
    if len(values) != len(arms) or len(values) % 4:
        raise ValueError(f"{len(values)} values and {len(arms)} arms are not whole quads")
    series = np.asarray(values, dtype=np.float64)
    if not bool(np.all(np.isfinite(series) & (series > 0))):
        raise ValueError("values of a quad must be positive and finite: their logarithms are compared")
    for first in range(0, len(arms), 4):
        order = tuple(arms[first : first + 4])
        if order not in _ORDERS:
            raise ValueError(f"blocks {first} to {first + 3} are {', '.join(order)}, not an ABBA or BAAB quad")
    signs = np.where(np.asarray(arms) == CANDIDATE, 0.5, -0.5)
    contrasts: npt.NDArray[np.float64] = (signs * np.log(series)).reshape(-1, 4).sum(axis=1)
    return contrasts


def t_comparison(contrasts: npt.ArrayLike, *, null: float = 0.0, confidence: float = 0.95) -> PairedComparison:
    """Compare the mean of the contrasts with ``null`` by Student's one-sample t.

    Raises
    ------
    ValueError
        If there are fewer than two contrasts, one isn't finite, or all are equal (no spread to judge by).
    """
    from scipy.special import stdtr, stdtrit

    series = np.asarray(contrasts, dtype=np.float64)
    if series.ndim != 1 or series.size < 2:
        raise ValueError(f"{series.size} quads: at least 2 are needed to know the spread between them")
    if not bool(np.all(np.isfinite(series))) or not math.isfinite(null):
        raise ValueError("contrasts and null must be finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    estimate = float(series.mean())
    error = float(series.std(ddof=1)) / math.sqrt(series.size)
    if error == 0.0:
        raise ValueError("all contrasts are equal: without spread there is no error to judge by")
    freedom = series.size - 1
    t = (estimate - null) / error
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return PairedComparison(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        p_greater=float(stdtr(freedom, -t)),
        p_less=float(stdtr(freedom, t)),
        confidence=confidence,
        quads=int(series.size),
    )
