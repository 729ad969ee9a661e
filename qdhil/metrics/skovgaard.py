"""Second-order accurate profile likelihood for expected counts: Skovgaard's modified directed likelihood.

The signed root r of the profile's rise is standard normal only for many counts: with few, the bias of the
fit and the nuisance parameters shift it. With q = (θ̂, θ̃) the best parameters of all and those at a held value,

    r* = r + ln(u/r)/r,    u = [S⁻¹q]_ψ · |S| · |ĵ|^½ / (|î| · |j̃_λλ|^½)

is so to the next order. For Poisson counts n with means m, whose variance under θ̂ is m̂,

    S = Σ ∂m̂ ∂m̃ᵀ/m̃,   q = Σ ∂m̂ ln(m̂/m̃),   i = Σ ∂m ∂mᵀ/m,   j = Σ [n ∂m ∂mᵀ/m² - (n/m - 1) ∂²m],

sums over bins; ψ is the parameter held, λ are the others (Skovgaard, Bernoulli 2, 145 (1996); Brazzale, Davison and
Reid, Applied Asymptotics (2007), section 2.4 and 8.5). Parameters at a bound count as known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NEAREST = 0.3
"""Below this r, ln(u/r)/r is a quotient of two small differences, and no interval ends there."""
_LARGEST = 1.0
"""A larger shift of r says that the expansion has broken down, at an edge of the model."""


@dataclass(frozen=True)
class Point:
    """The likelihood near one set of parameters.

    Parameters
    ----------
    values
        Parameters, shape (parameters,).
    expected
        Expected counts, shape (bins,).
    slopes
        Their derivatives, shape (parameters, bins).
    observed
        Observed information j, shape (parameters, parameters).
    """

    values: Floats
    expected: Floats
    slopes: Floats
    observed: Floats


def point(counts: Floats, model: Callable[[Floats], Floats], values: Floats, steps: Floats) -> Point:
    """Return the likelihood near ``values``; a ``step`` of 0 leaves that parameter out, with zeros in its place."""
    size, smallest = values.size, 1e-12
    expected = np.maximum(model(values), smallest)
    slopes, observed = np.zeros((size, expected.size)), np.zeros((size, size))
    free = [int(i) for i in np.flatnonzero(steps > 0)]
    ahead, back = ({i: model(values + sign * _along(size, i, steps)) for i in free} for sign in (1, -1))
    for i in free:
        slopes[i] = (ahead[i] - back[i]) / (2 * steps[i])
    residual = counts / expected - 1
    observed[:] = (slopes * (counts / expected**2)) @ slopes.T
    for place, i in enumerate(free):
        observed[i, i] -= residual @ (ahead[i] - 2 * expected + back[i]) / steps[i] ** 2
        for k in free[:place]:
            both = model(values + _along(size, i, steps) + _along(size, k, steps))
            curved = residual @ (both - ahead[i] - ahead[k] + expected) / (steps[i] * steps[k])
            observed[i, k] -= curved
            observed[k, i] -= curved
    return Point(values, expected, slopes, observed)


def _along(size: int, index: int, steps: Floats) -> Floats:
    step = np.zeros(size)
    step[index] = steps[index]
    return step


def shift(best: Point, held: Point, index: int, free: npt.NDArray[np.bool_], r: float) -> float:
    """Return r* - r, or 0 where the expansion says nothing.

    Parameters
    ----------
    best, held
        The likelihood at the best parameters of all, and at the best with one held.
    index
        Which one is held.
    free
        Which parameters are within their bounds at both, shape (parameters,), ``index`` among them.
    r
        Signed root of the rise of the deviance, positive where the held value is above the best.
    """
    if abs(r) < _NEAREST:
        return 0.0
    chosen = np.flatnonzero(free)
    others, place = chosen[chosen != index], int(np.flatnonzero(chosen == index)[0])
    # bins without expectation at either say nothing
    filled = (best.expected > 1e-9) & (held.expected > 1e-9)
    m, m_held = best.expected[filled], held.expected[filled]
    slopes, slopes_held = best.slopes[np.ix_(chosen, filled)], held.slopes[np.ix_(chosen, filled)]
    between = slopes @ (slopes_held / m_held).T
    expected_information = (slopes / m) @ slopes.T
    try:
        turned = np.linalg.solve(between, slopes @ np.log(m / m_held))
    except np.linalg.LinAlgError:
        return 0.0
    signs, logs = zip(
        *(
            np.linalg.slogdet(matrix)
            for matrix in (
                between,
                expected_information,
                best.observed[np.ix_(chosen, chosen)],
                held.observed[np.ix_(others, others)],
            )
        ),
        strict=True,
    )
    # u has the sign of best - held
    u = -float(turned[place])
    if min(signs) <= 0 or u * r <= 0:
        return 0.0
    log_u = math.log(abs(u)) + float(logs[0] - logs[1] + (logs[2] - logs[3]) / 2)
    # r here grows with the held value, so that its shift has the other sign
    change = (log_u - math.log(abs(r))) / r
    return change if abs(change) < _LARGEST else 0.0
