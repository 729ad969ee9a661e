"""Exact confidence intervals of counts; their coverage is at least the nominal one at any count."""

from __future__ import annotations

import math

_ROUND_TRIP = 1e-9


def _tail(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    return (1 - confidence) / 2


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the central interval of a probability, of which ``k`` in ``n`` trials were seen.

    Clopper and Pearson, Biometrika 26, 404 (1934). No trials leave (0, 1).

    Raises
    ------
    ValueError
        If not 0 <= k <= n, or ``confidence`` isn't in (0, 1).
    """
    tail = _tail(confidence)
    if not 0 <= k <= n:
        raise ValueError(f"successes must lie in [0, {n}], not {k}")
    low = beta_quantile(k, n - k + 1, tail) if k > 0 else 0.0
    high = beta_quantile(k + 1, n - k, 1 - tail) if k < n else 1.0
    return low, high


def beta_quantile(a: float, b: float, probability: float) -> float:
    """Return the quantile of the beta distribution.

    SciPy's own is wrong here and there where one parameter is millions of times the other (a = 1000, b = 2e9: double
    the right value), so it is put to the test with the distribution function, and found by that where it fails.
    """
    from scipy.optimize import brentq
    from scipy.special import betainc, betaincinv

    found = float(betaincinv(a, b, probability))
    if abs(float(betainc(a, b, found)) - probability) <= _ROUND_TRIP:
        return found
    return float(brentq(lambda x: float(betainc(a, b, x)) - probability, 0.0, 1.0, xtol=1e-300, rtol=1e-14))


def poisson_interval(k: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the central interval of the mean of a Poisson count ``k``.

    Garwood, Biometrika 28, 437 (1936).

    Raises
    ------
    ValueError
        If ``k`` is negative, or ``confidence`` isn't in (0, 1).
    """
    from scipy.special import gammainccinv, gammaincinv

    tail = _tail(confidence)
    if k < 0:
        raise ValueError(f"a count must not be negative: {k}")
    low = float(gammaincinv(k, tail)) if k > 0 else 0.0
    return low, float(gammainccinv(k + 1, tail))


def poisson_ratio_interval(numerator: int, denominator: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the central interval of the ratio of the means of two independent Poisson counts.

    Given their sum, the numerator is binomial with probability r/(1 + r); the interval is the
    Clopper-Pearson one of that probability. No denominator leaves (low, inf).
    """
    low, high = clopper_pearson(numerator, numerator + denominator, confidence)
    return low / (1 - low), (high / (1 - high) if high < 1 else math.inf)
