"""Intervals of fitted parameters by the profile of the Poisson likelihood.

A limit is where the signed root r of the deviance's rise, minimised over all other parameters, reaches the normal
quantile. With few counts r is biased and too wide or too narrow, and is replaced by r* of
:mod:`~qdhil.metrics.skovgaard`. At the edge of the allowed range, where r* isn't defined, r itself stays sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qdhil.metrics.poisson_fit import Counts, Floats, Model, Parameter, PoissonFit, bounds, search
from qdhil.metrics.skovgaard import Point, point, shift

_STEP = 0.05
"""Steps of the derivatives for r*, in standard errors."""
_COARSE, _FINE = 0.2, 0.01
"""How near to r its limit is found before and after r* is known; 0.01 of r moves a coverage of 95 % by 0.1 %."""
_SETTLED = 1e-4
"""Change of the deviance below which a step is the last: less than 0.0001 of r."""
_LARGE = 0.15
"""A larger shift of r is computed again at the limit that it leads to."""
_ROUNDS = 40


def profile_interval(
    counts: Counts,
    model: Model,
    parameters: Sequence[Parameter],
    fit: PoissonFit,
    index: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the profile-likelihood interval of one parameter; a bound of the parameter is a bound of it.

    Parameters
    ----------
    counts, model, parameters
        As for :func:`~qdhil.metrics.poisson_fit.fit_poisson`.
    fit
        What it returned.
    index
        Which parameter.
    confidence
        Nominal coverage.
    """
    from scipy.special import ndtri

    profile = _Profile(counts.astype(np.float64), model, parameters, fit, index)
    rise, best = float(ndtri((1 + confidence) / 2)), float(fit.values[index])
    low, high = (_Side(profile, side).limit(rise) for side in (-1, 1))
    # asked for little confidence, r* may leave the most likely value outside
    return min(low, best), max(high, best)


class _Profile:
    """Signed root of the rise of the deviance as one parameter is held at a value, and its shift to r*."""

    def __init__(self, n: Floats, model: Model, parameters: Sequence[Parameter], fit: PoissonFit, index: int) -> None:
        self._n, self._model, self._parameters = n, model, parameters
        self.fit, self.index = fit, index
        self.low, self.high, _ = bounds(parameters)
        variance = float(fit.covariance[index, index])
        # along the ridge of the likelihood the others follow the one that is held
        self._ridge = fit.covariance[index] / variance if variance > 0 else np.zeros(len(parameters))
        self._steps = np.minimum(_STEP * fit.errors, (self.high - self.low) / 8)
        self._best: Point | None = None

    def root(self, value: float) -> tuple[float, Floats]:
        """Return r, not negative, and the best parameters with this value held."""
        start = self.fit.values + self._ridge * (value - self.fit.values[self.index])
        held = [
            replace(p, start=float(x), scale=p.scale or abs(p.start) or None)
            for p, x in zip(self._parameters, start, strict=True)
        ]
        held[self.index] = replace(held[self.index], start=value, low=value, high=value)
        x, _, deviance = search(self._n, self._model, held, settled=_SETTLED)
        return math.sqrt(max(deviance - self.fit.deviance, 0.0)), x

    def shift(self, r: float, x: Floats) -> float:
        """Return r* - r, given the signed r and the parameters there; 0 where the fit lies at the parameter's bound."""
        free = self._inside(self.fit.values)
        if not free[self.index]:
            return 0.0
        if self._best is None:
            self._best = point(self._n, self._model, self.fit.values, np.where(free, self._steps, 0.0))
        both = free & self._inside(x)
        both[self.index] = self.low[self.index] + self._steps[self.index] < x[self.index]
        both[self.index] &= x[self.index] < self.high[self.index] - self._steps[self.index]
        if not both[self.index]:
            return 0.0
        held = point(self._n, self._model, x, np.where(both, self._steps, 0.0))
        return shift(self._best, held, self.index, both, r)

    def _inside(self, x: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return (self._steps > 0) & (self.low + self._steps < x) & (x < self.high - self._steps)


class _Side:
    """One limit of an interval: what has been seen of r on this side, as (distance, r), in rising order."""

    def __init__(self, profile: _Profile, side: int) -> None:
        self._profile, self._side = profile, side
        self._best = float(profile.fit.values[profile.index])
        bound = float((profile.high if side > 0 else profile.low)[profile.index])
        self._reach = abs(bound - self._best)
        self._bound = bound
        self._seen: list[tuple[float, float]] = [(0.0, 0.0)]
        self._last: Floats = profile.fit.values

    def limit(self, rise: float) -> float:
        """Return the value at which r* is ``rise`` away from 0."""
        first = rise * float(self._profile.fit.errors[self._profile.index]) or 2e-3 * self._reach
        away = self._solve(rise, _COARSE, first)
        moved = self._moved()
        if moved or away < self._reach:
            away = self._solve(rise - moved, _FINE, away)
        if abs(moved) > _LARGE and away < self._reach:
            away = self._solve(rise - self._moved(), _FINE, away)
        return self._bound if away >= self._reach else self._best + self._side * away

    def _moved(self) -> float:
        """Return r* - r at the place last seen, counted away from the best value."""
        r = self._seen_last[1]
        return self._side * self._profile.shift(self._side * r, self._last)

    def _solve(self, target: float, near: float, guess: float) -> float:
        """Return the distance at which r is ``target``, or that of the bound where r stays below."""
        if target <= 0:
            return 0.0
        for _ in range(_ROUNDS):
            away = min(max(guess, 0.0), self._reach)
            r, self._last = self._profile.root(self._best + self._side * away)
            self._seen_last = (away, r)
            if abs(r - target) < near or (away == self._reach and r < target):
                return away
            self._seen = sorted({*self._seen, (away, r)})
            guess = self._next(target)
        return away

    def _next(self, target: float) -> float:
        """Return where to look next: by a parabola through what was seen, within its bracket."""
        below = max((seen for seen in self._seen if seen[1] < target), default=(0.0, 0.0))
        above = min((seen for seen in self._seen if seen[1] >= target), default=None)
        if above is None:
            slope = below[1] / below[0] if below[0] > 0 else 0.0
            return min(target / slope * 1.05, 4 * below[0]) if slope > 0 else self._reach
        straight = below[0] + (above[0] - below[0]) * (target - below[1]) / (above[1] - below[1])
        others = [seen for seen in self._seen if seen not in (below, above)]
        if others:
            third = min(others, key=lambda seen: abs(seen[1] - target))
            points = (below, above, third)
            if len({r for _, r in points}) == 3:
                bent = sum(d * math.prod((target - q) / (r - q) for _, q in points if q != r) for d, r in points)
                if below[0] < bent < above[0]:
                    return bent
        return straight
