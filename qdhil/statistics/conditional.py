"""Exact comparison of two ratios of counts, such as g2(0) under candidate and under baseline.

A table {central, side} x {candidate, baseline} of Poisson counts, given its margins, depends only on the
odds ratio (central/side of the candidate over that of the baseline), by Fisher's non-central
hypergeometric distribution. Exposure and brightness drop out, so drift that is common to centre and side
does no harm. The distribution is summed over its support by the ratio of neighbouring terms, which
stays exact for side counts of 10^8 where log-gamma differences would not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CentralSide = tuple[int, int]
"""Coincidences of the central peak, and of all side peaks together."""

_WHOLE_SUPPORT = 100_000
_SPREADS = 40.0
"""Beyond this many standard deviations from the mode a term is below 10^-300 of the largest."""


@dataclass(frozen=True)
class RatioComparison:
    """The ratio candidate/baseline of two central-to-side ratios.

    Parameters
    ----------
    value
        Sample odds ratio, the maximum-likelihood estimate; inf where only the baseline has no centrals,
        ``None`` where neither side has any.
    low, high
        Exact confidence interval; (0, inf) where neither side has centrals.
    confidence
        Nominal coverage; the true one is never below.
    """

    value: float | None
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class _Margins:
    """What the comparison conditions on: the total of each arm, and the centrals of both."""

    candidate_total: int
    baseline_total: int
    centrals: int

    @property
    def lowest(self) -> int:
        return max(0, self.centrals - self.baseline_total)

    @property
    def highest(self) -> int:
        return min(self.centrals, self.candidate_total)

    def mode(self, ratio: float) -> float:
        """Return the (real) number of candidate centrals of largest probability."""
        # root of ratio·(n1 - x)(m - x) = x·(n2 - m + x), written without cancellation
        n1, n2, m = self.candidate_total, self.baseline_total, self.centrals
        quadratic = ratio - 1.0
        linear = ratio * (n1 + m) + (n2 - m)
        constant = ratio * n1 * m
        root = math.sqrt(max(linear * linear - 4.0 * quadratic * constant, 0.0))
        return 2.0 * constant / (linear + root) if linear + root > 0 else 0.0

    def window(self, ratio: float) -> tuple[int, int]:
        """Return the first and last number of candidate centrals whose probability matters."""
        lowest, highest = self.lowest, self.highest
        if highest - lowest < _WHOLE_SUPPORT:
            return lowest, highest
        x = self.mode(ratio)
        cells = (x, self.candidate_total - x, self.centrals - x, self.baseline_total - self.centrals + x)
        spread = 1.0 / math.sqrt(sum(1.0 / max(cell, 1.0) for cell in cells))
        reach = math.ceil(_SPREADS * (spread + 1.0))
        return max(lowest, math.floor(x) - reach), min(highest, math.ceil(x) + reach)


def _terms(margins: _Margins, ratio: float) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the first number of candidate centrals and the probabilities from there on."""
    first, last = margins.window(ratio)
    x = np.arange(first, last, dtype=np.float64)
    up = (margins.candidate_total - x) * (margins.centrals - x)
    down = (x + 1) * (margins.baseline_total - margins.centrals + x + 1)
    log_terms = np.concatenate(([0.0], np.cumsum(np.log(up / down) + math.log(ratio))))
    terms = np.exp(log_terms - log_terms.max())
    probabilities: npt.NDArray[np.float64] = terms / terms.sum()
    return first, probabilities


def _checked(candidate: CentralSide, baseline: CentralSide) -> _Margins:
    for name, (central, side) in (("candidate", candidate), ("baseline", baseline)):
        if central < 0 or side < 0:
            raise ValueError(f"counts of the {name} must not be negative: {central}, {side}")
        if side == 0:
            raise ValueError(f"the {name} has no side counts: there is nothing to normalise with")
    return _Margins(sum(candidate), sum(baseline), candidate[0] + baseline[0])


def _tails(margins: _Margins, seen: int, ratio: float) -> tuple[float, float]:
    """Return P(X >= seen) and P(X <= seen) at this ratio."""
    first, probabilities = _terms(margins, ratio)
    at = min(max(seen - first, -1), probabilities.size)
    greater = float(probabilities[max(at, 0) :].sum())
    less = float(probabilities[: at + 1].sum())
    return min(greater, 1.0), min(less, 1.0)


def ratio_p_values(candidate: CentralSide, baseline: CentralSide, *, null_ratio: float = 1.0) -> tuple[float, float]:
    """Return (p_greater, p_less) against the ratio candidate/baseline being ``null_ratio``.

    ``p_greater`` = P(as many centrals of the candidate or more), small where the ratio is above the null;
    ``p_less`` the mirror. Each is exact: P(p <= level) <= level under the null.

    Parameters
    ----------
    candidate, baseline
        (central, side) counts; the side peaks must be equal in number for both.
    null_ratio
        Ratio under the null hypothesis, positive.

    Raises
    ------
    ValueError
        If a count is negative, an arm has no side counts, or ``null_ratio`` isn't positive and finite.
    """
    margins = _checked(candidate, baseline)
    if not 0 < null_ratio < math.inf:
        raise ValueError(f"null_ratio must be positive, not {null_ratio}")
    return _tails(margins, candidate[0], null_ratio)


def ratio_interval(candidate: CentralSide, baseline: CentralSide, *, confidence: float = 0.95) -> RatioComparison:
    """Return the ratio candidate/baseline with its exact interval, by inverting :func:`ratio_p_values`.

    Raises
    ------
    ValueError
        If a count is negative, an arm has no side counts, or ``confidence`` isn't in (0, 1).
    """
    margins = _checked(candidate, baseline)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    tail = (1 - confidence) / 2
    seen = candidate[0]
    low = _invert(margins, seen, tail, greater=True) if seen > margins.lowest else 0.0
    high = _invert(margins, seen, tail, greater=False) if seen < margins.highest else math.inf
    value: float | None = None
    if margins.centrals:
        crossed = candidate[1] * baseline[0]
        value = candidate[0] * baseline[1] / crossed if crossed else math.inf
    return RatioComparison(value, low, high, confidence)


def _invert(margins: _Margins, seen: int, tail: float, *, greater: bool) -> float:
    """Return the ratio at which the tail towards ``seen`` has probability ``tail``."""
    from scipy.optimize import brentq

    def excess(log_ratio: float) -> float:
        above, below = _tails(margins, seen, math.exp(log_ratio))
        return (above if greater else below) - tail

    base_seen = margins.centrals - seen
    start = math.log((seen + 0.5) / (margins.candidate_total - seen + 0.5)) - math.log(
        (base_seen + 0.5) / (margins.baseline_total - base_seen + 0.5)
    )
    # the tail grows towards +inf where it is the upper one, towards -inf where it is the lower one
    outward = -1.0 if greater else 1.0
    inner, outer, step = start, start, 0.25
    while excess(inner) < 0:
        inner -= outward * step
        step *= 2
    step = 0.25
    while excess(outer) > 0:
        outer += outward * step
        step *= 2
    if inner == outer:
        return math.exp(inner)
    return math.exp(float(brentq(excess, min(inner, outer), max(inner, outer), xtol=1e-12, rtol=1e-12)))
