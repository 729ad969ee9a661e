"""Do blocks scatter more than counting allows? Same-arm pairs within a quad, by their exposures.

Two counts of one arm in one quad, given their sum, are binomial in the ratio of their exposures; each such pair
adds one degree of freedom to Pearson's chi-squared. A drift that is slow against a quad stays out of it, as it does
out of the quad's odds ratio. phi is chi-squared over its degrees of freedom: the variance over the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ONE_IN_10, ONE_IN_100, ONE_IN_1000 = 1.2816, 2.3263, 3.0902
"""Normal quantiles of the chances that mere counting scatters so much."""


@dataclass(frozen=True)
class SameArmPair:
    """Two counts that should agree.

    Parameters
    ----------
    counts
        The two counts.
    exposures
        What they are proportional to, such as far coincidences.
    log_variance
        Variance of the logarithm of the exposures' ratio.
    """

    counts: tuple[int, int]
    exposures: tuple[float, float]
    log_variance: float = 0.0


@dataclass(frozen=True)
class Dispersion:
    """Scatter of counts against counting.

    Parameters
    ----------
    phi
        Variance over mean; ``None`` where no pair has a count.
    freedom
        Degrees of freedom.
    excessive
        Whether chi-squared lies above the quantile asked for.
    """

    phi: float | None
    freedom: int
    excessive: bool


def dispersion(pairs: Sequence[SameArmPair], quantile: float = ONE_IN_10) -> Dispersion:
    """Return the scatter of same-arm pairs.

    Parameters
    ----------
    pairs
        All that should scatter alike.
    quantile
        Normal quantile of the chance that mere counting is called excessive. Asked early, on few blocks, a stricter
        level than one in ten would miss a scatter that matters.
    """
    chi_squared, freedom = 0.0, 0
    for pair in pairs:
        total = sum(pair.counts)
        share = pair.exposures[0] / sum(pair.exposures)
        variance = total * share * (1 - share)
        if variance <= 0:
            continue
        variance += variance**2 * pair.log_variance
        chi_squared += (pair.counts[0] - total * share) ** 2 / variance
        freedom += 1
    if not freedom:
        return Dispersion(None, 0, excessive=False)
    return Dispersion(chi_squared / freedom, freedom, excessive=chi_squared > chi_squared_quantile(freedom, quantile))


def chi_squared_quantile(freedom: int, quantile: float = ONE_IN_10) -> float:
    """Return a quantile of chi-squared, given the normal one, by Wilson and Hilferty's cube root (within 3 %)."""
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + quantile * math.sqrt(spread)) ** 3)
