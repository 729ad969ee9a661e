"""Evidence from counts: likelihood ratios of odds, quad by quad.

A quad's table {counted, reference} x {candidate, baseline}, given its margins, has Fisher's non-central
hypergeometric distribution with odds ``ratio * exposure``. The likelihood ratio of a smaller ratio against the
edge falls with the candidate's count, which itself grows with the true ratio; so the product over quads is a
supermartingale for every true ratio beyond the edge, even for one that wanders from quad to quad.

Exposures that are counted themselves, and reference counts that scatter more than Poisson's law, add an error
to the log odds. Of variance v, it raises the mean of a likelihood ratio by at most exp((D^2 + D) v / 2), D being
the difference of the expected counts under the two hypotheses; each ratio is divided by that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qdhil.statistics.evidence import Alternatives, Floats

_SPREADS = 14.0
"""Beyond this many standard deviations from the mode a term is below 10^-40 of the largest."""
_WHOLE_SUPPORT = 4_000


@dataclass(frozen=True)
class RatioTable:
    """One quad's counts of both arms.

    Parameters
    ----------
    candidate, baseline
        (counted, reference) of each arm: central and far coincidences, or parallel and orthogonal centrals.
    exposure
        Factor of the odds where both arms are equal.
    log_variance
        Variance of the log odds beyond what the table's own counts explain.
    """

    candidate: tuple[int, int]
    baseline: tuple[int, int]
    exposure: float = 1.0
    log_variance: float = 0.0

    def __post_init__(self) -> None:
        if min(*self.candidate, *self.baseline) < 0:
            raise ValueError(f"counts must not be negative: {self.candidate}, {self.baseline}")
        if not (0 < self.exposure < math.inf and 0 <= self.log_variance < math.inf):
            raise ValueError(f"exposure {self.exposure} or variance {self.log_variance} out of range")


@dataclass(frozen=True)
class ArmCount:
    """One quad's counts of one arm; given their sum, ``counted`` is binomial with odds ``value * exposure``.

    ``log_variance`` as in :class:`RatioTable`.
    """

    counted: int
    reference: int
    exposure: float
    log_variance: float = 0.0

    def __post_init__(self) -> None:
        if min(self.counted, self.reference) < 0:
            raise ValueError(f"counts must not be negative: {self.counted}, {self.reference}")
        if not (0 < self.exposure < math.inf and 0 <= self.log_variance < math.inf):
            raise ValueError(f"exposure {self.exposure} or variance {self.log_variance} out of range")


@lru_cache(maxsize=65_536)
def table_increment(table: RatioTable, mixture: Alternatives) -> tuple[float, ...]:
    """Return the log likelihood ratio of each alternative ratio candidate/baseline against the edge, for one quad."""
    log_p, means = _hypergeometric(table, np.array((mixture.edge, *mixture.log_ratios)))
    return _discounted(log_p, means, table.log_variance)


@lru_cache(maxsize=65_536)
def arm_increment(count: ArmCount, mixture: Alternatives) -> tuple[float, ...]:
    """Return the log likelihood ratio of each alternative value of one arm against the edge, for one quad."""
    total = count.counted + count.reference
    log_odds = np.array((mixture.edge, *mixture.log_ratios)) + math.log(count.exposure)
    log_p = count.counted * log_odds - total * np.logaddexp(0.0, log_odds)
    return _discounted(log_p, total / (1.0 + np.exp(-log_odds)), count.log_variance)


def _discounted(log_p: Floats, means: Floats, log_variance: float) -> tuple[float, ...]:
    moved = np.abs(means[0] - means[1:])
    ratios = log_p[1:] - log_p[0] - (moved**2 + moved) * log_variance / 2
    return tuple(float(ratio) for ratio in ratios)


def _hypergeometric(table: RatioTable, log_ratios: Floats) -> tuple[Floats, Floats]:
    """Return the log probability of the candidate's count and its mean, at each log ratio."""
    seen, n1, n2 = table.candidate[0], sum(table.candidate), sum(table.baseline)
    drawn = seen + table.baseline[0]
    log_odds = log_ratios + math.log(table.exposure)
    first, last = _window(n1, n2, drawn, seen, log_odds)
    if first == last:
        return np.zeros_like(log_odds), np.full_like(log_odds, float(first))
    u = np.arange(first, last + 1, dtype=np.float64)
    up = (n1 - u[:-1]) * (drawn - u[:-1])
    down = (u[:-1] + 1) * (n2 - drawn + u[:-1] + 1)
    base = np.concatenate(([0.0], np.cumsum(np.log(up / down))))
    since = u - seen
    log_p, means = np.empty_like(log_odds), np.empty_like(log_odds)
    for index, odds in enumerate(log_odds):
        terms = base + since * odds
        top = float(terms.max())
        weights = np.exp(terms - top)
        total = float(weights.sum())
        log_p[index] = base[seen - first] - top - math.log(total)
        means[index] = float(weights @ u) / total
    return log_p, means


def _window(n1: int, n2: int, drawn: int, seen: int, log_odds: Floats) -> tuple[int, int]:
    """Return the first and last count whose probability matters under any of the odds, ``seen`` among them."""
    lowest, highest = max(0, drawn - n2), min(drawn, n1)
    if highest - lowest <= _WHOLE_SUPPORT:
        return lowest, highest
    first, last = seen, seen
    for odds in np.exp(log_odds):
        linear = odds * (n1 + drawn) + (n2 - drawn)
        root = math.sqrt(max(linear * linear - 4.0 * (odds - 1.0) * odds * n1 * drawn, 0.0))
        mode = 2.0 * odds * n1 * drawn / (linear + root)
        cells = (mode, n1 - mode, drawn - mode, n2 - drawn + mode)
        reach = math.ceil(_SPREADS * (1.0 + 1.0 / math.sqrt(sum(1.0 / max(cell, 1.0) for cell in cells))))
        first, last = min(first, math.floor(mode) - reach), max(last, math.ceil(mode) + reach)
    return max(lowest, first), min(highest, last)
