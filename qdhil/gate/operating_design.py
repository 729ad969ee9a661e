"""How much a design of fixed size needs for the same two error rates: what stopping early is compared with."""

from __future__ import annotations

import math

import numpy as np


def fixed_centrals(margin_ratio: float, tolerated_ratio: float, miss_rate: float, false_block_rate: float) -> float:
    """Return the mean centrals of the baseline that an exact conditional test of fixed size needs.

    The candidate passes where the binomial test of its share of the centrals rejects the margin at ``miss_rate``, and
    is blocked otherwise; the size is the least at which one at ``tolerated_ratio`` passes with
    1 - ``false_block_rate``. The side peaks are taken as known, which favours the design.
    """
    low, high = 1.0, 2.0
    while _passing(high, margin_ratio, tolerated_ratio, miss_rate) < 1 - false_block_rate:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError("margin and tolerance are too close for a design of fixed size")
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        if _passing(middle, margin_ratio, tolerated_ratio, miss_rate) < 1 - false_block_rate:
            low = middle
        else:
            high = middle
    return high


def _passing(centrals: float, margin_ratio: float, true_ratio: float, miss_rate: float) -> float:
    from scipy.stats import binom, poisson

    mean = centrals * (1 + true_ratio)
    reach = 8 * math.sqrt(mean) + 10
    totals = np.arange(max(0, math.floor(mean - reach)), math.ceil(mean + reach) + 1)
    margin_share, true_share = margin_ratio / (1 + margin_ratio), true_ratio / (1 + true_ratio)
    # the largest count of the candidate that still rejects the margin
    most = binom.ppf(miss_rate, totals, margin_share)
    most = np.where(binom.cdf(most, totals, margin_share) <= miss_rate, most, most - 1)
    return float((poisson.pmf(totals, mean) * binom.cdf(most, totals, true_share)).sum())


def fixed_quads(
    margin_ratio: float, tolerated_ratio: float, miss_rate: float, false_block_rate: float, sd: float
) -> int:
    """Return the quads that Student's t test of fixed size needs; ``sd`` is that of a quad's log contrast."""
    from scipy.stats import nct, t

    distance = abs(math.log(margin_ratio / tolerated_ratio)) / sd
    for quads in range(2, 100_000):
        reached = float(t.isf(miss_rate, quads - 1))
        passing = float(nct.sf(reached, quads - 1, distance * math.sqrt(quads)))
        if passing >= 1 - false_block_rate or (math.isnan(passing) and distance > 3 * reached):
            return quads
    raise ValueError("margin and tolerance are too close for a design of fixed size")
