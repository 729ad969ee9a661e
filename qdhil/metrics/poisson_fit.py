"""Fits of expected counts to histograms by the Poisson likelihood.

The deviance 2·Σ[m - n + n·ln(n/m)] is minimised by Fisher scoring with a Levenberg damping. Least squares
with errors sqrt(n) would be biased wherever bins hold few counts (Baker and Cousins, Nucl. Instrum.
Methods 221, 437 (1984)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | Floats
Model = Callable[[Floats], Floats]
"""Expected counts per bin, shape (bins,), from the parameters, shape (parameters,)."""

_State = tuple[Floats, Floats, float]
"""Parameters, expected counts, deviance."""

_SMALLEST = 1e-12
_EMPTY = 1e-9
_STEP = 1e-5
_ROUNDS = 200
_CONVERGED = 1e-7
"""Change of the deviance below which a step is the last; errors are where it rises by 1."""
_ROUGH = 1e-3


@dataclass(frozen=True)
class Parameter:
    """A quantity to be fitted: where to begin, between which values, and the size of a telling change."""

    name: str
    start: float
    low: float
    high: float
    scale: float | None = None

    @property
    def step(self) -> float:
        """Step of the numerical derivative."""
        return _STEP * (self.scale or abs(self.start) or 1.0)


@dataclass(frozen=True)
class PoissonFit:
    """The best parameters, their covariance by Fisher information, and how well they fit.

    Parameters
    ----------
    values
        Best parameters, shape (parameters,).
    covariance
        Inverse Fisher information, shape (parameters, parameters); 0 for those held fixed or at a bound.
    deviance
        Poisson deviance at the best parameters.
    expected
        Expected counts per bin, shape (bins,).
    misfit
        Pearson's χ² less its mean, in its standard deviations; right at any counts per bin.
    chi2
        Pearson's χ² per degree of freedom.
    """

    values: Floats
    covariance: Floats
    deviance: float
    expected: Floats
    misfit: float
    chi2: float

    @property
    def errors(self) -> Floats:
        """Standard errors, shape (parameters,)."""
        diagonal: Floats = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return diagonal


def fit_poisson(counts: Counts, model: Model, parameters: Sequence[Parameter]) -> PoissonFit:
    """Return the parameters of largest Poisson likelihood.

    Parameters
    ----------
    counts
        Counts per bin, shape (bins,).
    model
        Expected counts per bin as a function of the parameters.
    parameters
        Start, bounds and scale of each; equal bounds hold a parameter fixed.

    Raises
    ------
    ValueError
        If the model isn't finite where the search begins.
    """
    n = counts.astype(np.float64)
    x, expected, loss = search(n, model, parameters)
    low, high, steps = bounds(parameters)
    return _summary(n, x, expected, loss, (_slopes(model, x, expected, (low, high, steps)), low, high))


def bounds(parameters: Sequence[Parameter]) -> tuple[Floats, Floats, Floats]:
    """Return lower and upper bounds and the steps of the derivatives."""
    low, high, steps = np.array([(p.low, p.high, p.step) for p in parameters], np.float64).T
    return low, high, steps


def best_fit(counts: Counts, model: Model, starts: Iterable[Sequence[Parameter]]) -> PoissonFit:
    """Return the best fit from several starts: from a far one the search may end in a shallow valley.

    Parameters
    ----------
    counts, model
        As for :func:`fit_poisson`.
    starts
        The same parameters, begun elsewhere.
    """
    n, tried = counts.astype(np.float64), list(starts)
    found = [search(n, model, parameters, settled=_ROUGH) for parameters in tried]
    best = min(range(len(tried)), key=lambda place: found[place][2])
    from_there = [
        replace(p, start=float(value), scale=p.scale or abs(p.start) or None)
        for p, value in zip(tried[best], found[best][0], strict=True)
    ]
    return fit_poisson(counts, model, from_there)


def search(n: Floats, model: Model, parameters: Sequence[Parameter], *, settled: float = _CONVERGED) -> _State:
    """Return the best parameters, the expected counts and the deviance, which the last step changed by ``settled``."""
    low, high, steps = bounds(parameters)
    x = np.clip([p.start for p in parameters], low, high)
    expected = _positive(model(x))
    if not bool(np.all(np.isfinite(expected))):
        raise ValueError("the model is not finite where the fit begins")
    loss, damping = _deviance(n, expected), 1e-3
    for _ in range(_ROUNDS):
        slopes = _slopes(model, x, expected, (low, high, steps))
        gradient = slopes @ (n / expected - 1)
        free = ~(((x <= low) & (gradient <= 0)) | ((x >= high) & (gradient >= 0)))
        information = (slopes / expected) @ slopes.T
        gain, (x, expected, loss), damping = _descend(
            n, model, (x, expected, loss), (gradient, information, free), (low, high), damping
        )
        if gain < settled:
            break
    return x, expected, loss


def _positive(expected: Floats) -> Floats:
    return np.maximum(expected, _SMALLEST)


def _deviance(n: Floats, expected: Floats) -> float:
    from scipy.special import xlogy

    return float(2 * np.sum(expected - n + xlogy(n, n / expected)))


def _slopes(model: Model, x: Floats, expected: Floats, parameters: tuple[Floats, Floats, Floats]) -> Floats:
    """Return the derivatives of the expected counts, shape (parameters, bins); zero for those held fixed."""
    rows = np.zeros((x.size, expected.size))
    for i, (low, high, step) in enumerate(zip(*parameters, strict=True)):
        if low < high:
            moved = x.copy()
            moved[i] = x[i] + step if x[i] + step <= high else max(x[i] - step, low)
            rows[i] = (model(moved) - expected) / (moved[i] - x[i])
    return rows


def _descend(
    n: Floats,
    model: Model,
    state: _State,
    local: tuple[Floats, Floats, npt.NDArray[np.bool_]],
    bounds: tuple[Floats, Floats],
    damping: float,
) -> tuple[float, _State, float]:
    """Return the gain of one accepted step (0 if none is left), the state after it, and the next damping."""
    x, _, loss = state
    gradient, information, free = local
    if not bool(free.any()):
        return 0.0, state, damping
    block = information[np.ix_(free, free)]
    diagonal = np.maximum(np.diag(block), _SMALLEST * max(float(np.diag(block).max()), _SMALLEST))
    while damping < 1e12:
        trial = x.copy()
        trial[free] += np.linalg.solve(block + damping * np.diag(diagonal), gradient[free])
        trial = np.clip(trial, *bounds)
        expected = _positive(model(trial))
        again = _deviance(n, expected) if bool(np.all(np.isfinite(expected))) else np.inf
        if again <= loss:
            return loss - again, (trial, expected, again), max(damping / 10, 1e-9)
        damping *= 10
    return 0.0, state, damping


def _summary(n: Floats, x: Floats, expected: Floats, loss: float, local: tuple[Floats, Floats, Floats]) -> PoissonFit:
    slopes, low, high = local
    free = (x > low) & (x < high)
    covariance = np.zeros((x.size, x.size))
    # bins without expectation say nothing about the error, and 1/m would let them dominate
    filled = expected > _EMPTY
    m = expected[filled]
    fitted = slopes[np.ix_(free, filled)]
    inverse = np.linalg.pinv((fitted / m) @ fitted.T, hermitian=True)
    covariance[np.ix_(free, free)] = inverse
    pearson = float(np.sum((n[filled] - m) ** 2 / m))
    freedom = max(m.size - int(free.sum()), 1)
    # per bin χ² has the variance 2 + 1/m; what of the 1/m the fitted parameters take up is gone from it
    taken = fitted @ (1 / m)
    variance = float(np.sum(2 + 1 / m) - taken @ inverse @ taken)
    misfit = (pearson - freedom) / math.sqrt(variance) if variance > 0 else 0.0
    return PoissonFit(x, covariance, loss, expected, misfit, pearson / freedom)
