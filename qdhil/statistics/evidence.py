"""Evidence that may be looked at any time: e-processes, their mixtures, and families of them.

An e-process is a nonnegative number that grows where its null hypothesis is false, and of which under the
null E(e) <= 1 at whatever time one stops; so P(it ever reaches 1/rate) <= rate (Ville), however often one
looks and however the number of looks came about. All are kept as natural logarithms.

A mixture over alternatives is an average of likelihood ratios against the null's edge. The alternatives lie at
distances from the edge that grow by a constant factor, around the distance for which the test was designed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STEP = 1.5
"""Factor between the distances of neighbouring alternatives."""
_REACH = 6
"""Alternatives on either side of the one designed for."""
_FADE = 0.2
"""Factor of the weight from one alternative to the next, away from the one designed for."""
_FARTHEST = 6.0
"""Alternatives farther than this factor e^6 from the null's edge say nothing more."""
LOG10 = math.log(10.0)
_LEAST, _MOST = -300.0, 300.0


@dataclass(frozen=True)
class Alternatives:
    """The null's edge and the alternatives mixed against it, as log ratios.

    Parameters
    ----------
    edge
        Log ratio at the edge of the null hypothesis.
    log_ratios
        Log ratios of the alternatives, all on one side of ``edge``.
    log_weights
        Logarithms of their weights, which add to 1.
    """

    edge: float
    log_ratios: tuple[float, ...]
    log_weights: tuple[float, ...]


def alternatives(edge: float, designed_for: float) -> Alternatives:
    """Return the mixture that tests a null with this edge (both log ratios) on the side of ``designed_for``.

    Raises
    ------
    ValueError
        If the two are equal or not finite.
    """
    distance = designed_for - edge
    if not (math.isfinite(edge) and math.isfinite(designed_for)) or distance == 0:
        raise ValueError(f"an alternative at {designed_for} can't be told from a null at {edge}")
    kept = [k for k in range(-_REACH, _REACH + 1) if abs(distance) * _STEP**k <= _FARTHEST or k <= 0]
    weights = [_FADE ** abs(k) for k in kept]
    total = sum(weights)
    return Alternatives(
        edge,
        tuple(edge + distance * _STEP**k for k in kept),
        tuple(math.log(weight / total) for weight in weights),
    )


def mixed(increments: Floats, log_weights: Sequence[float]) -> Floats:
    """Return the mixture's log e-value after each row of log likelihood ratios, shape (looks,).

    Parameters
    ----------
    increments
        Log likelihood ratio of each alternative against the edge, shape (looks, alternatives).
    log_weights
        Logarithms of the weights of the alternatives.
    """
    summed = np.cumsum(increments, axis=0) + np.asarray(log_weights)
    top = summed.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(summed - top).sum(axis=1)))


def log10_of(log_e: float) -> float:
    """Return a log e-value as a decimal logarithm that JSON holds, cut off at +-300."""
    if math.isnan(log_e):
        raise ValueError("an e-value is not a number")
    return min(max(log_e / LOG10, _LEAST), _MOST)


def family_mean_log10(shares: Sequence[float], e_log10: Sequence[float]) -> float:
    """Return the decimal logarithm of the weighted mean of e-values, an e-value under any dependence.

    Parameters
    ----------
    shares
        Weights, adding to 1 at most; a part that is left out counts as 0.
    e_log10
        Decimal logarithms of the e-values.

    Raises
    ------
    ValueError
        If shares are negative or add to more than 1.
    """
    if any(share < 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError("shares of a family must not be negative, nor add to more than 1")
    kept = [math.log10(share) + e for share, e in zip(shares, e_log10, strict=True) if share > 0]
    if not kept:
        return _LEAST
    top = max(kept)
    return max(top + math.log10(sum(10.0 ** (value - top) for value in kept)), _LEAST)


def offenders(shares: Sequence[float], e_log10: Sequence[float], rate: float) -> list[int]:
    """Return which members of a family are named as harmed, by e-BH; largest e-value first.

    At most ``rate`` of those named are expected to be named wrongly, under any dependence (Wang and Ramdas, J. R.
    Stat. Soc. B 84, 822 (2022)). Weights enter as factors ``share * members`` of the e-values.
    """
    members = len(shares)
    weighted = [
        (-math.inf if share <= 0 else e + math.log10(share * members), index)
        for index, (share, e) in enumerate(zip(shares, e_log10, strict=True))
    ]
    ranked = sorted(weighted, key=lambda entry: -entry[0])
    named = 0
    for rank, (value, _) in enumerate(ranked, start=1):
        if value >= math.log10(members / (rate * rank)) - 1e-12:
            named = rank
    return [index for _, index in ranked[:named]]
