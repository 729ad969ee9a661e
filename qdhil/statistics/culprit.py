"""Which commit brought a harmful effect, from noisy measurements: a posterior over every place it can be.

Commits are numbered 0 (the good end) to n (the bad end). The hypothesis c says that commits c, c+1, ... have the
effect and those before have not, so that c = 0 is "the good end is already bad", c = 1..n a culprit, and
c = n + 1 "the bad end is fine". The size of the effect is unknown and averaged over a grid. A measurement of
commit k by one quad gives an effect y with a standard error s; its likelihood is Gaussian, N(y; e [k >= c], s²).

The next commit measured is the posterior median, as in probabilistic bisection (Waeber, Frazier and Henderson,
SIAM J. Control Optim. 51, 2261 (2013)).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GRID = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Sizes of the effect, as multiples of the one that the search is made for; equally likely at first."""
PRIOR_ALREADY_BAD = 0.05
"""Prior probability that the good end has the effect already."""
PRIOR_FINE = 0.2
"""Prior probability that the bad end has no effect: what sent us here was a false alarm."""
_PRIOR_DEGREES = 10.0
"""Weight of "the errors are right" against the scatter that is seen, in degrees of freedom."""


@dataclass(frozen=True)
class Place:
    """Hypotheses that no measurement can tell apart, with their probability.

    Parameters
    ----------
    first, last
        The hypotheses c; one number where every commit can be measured.
    probability
        Of all of them together.
    """

    first: int
    last: int
    probability: float


class CulpritPosterior:
    """The posterior over 0..n+1 and the grid of effects.

    Parameters
    ----------
    commits
        n + 1, the number of commits with both ends; at least 2.
    effect
        The effect that the search is made for, with its sign; the grid multiplies it.

    Raises
    ------
    ValueError
        If there are fewer than two commits, or the effect is zero or not finite.
    """

    def __init__(self, commits: int, effect: float) -> None:
        if commits < 2:
            raise ValueError(f"{commits} commits: a good and a bad end are needed")
        if not math.isfinite(effect) or effect == 0:
            raise ValueError(f"the effect looked for must be finite and not zero: {effect}")
        self.commits = commits
        self.grid = effect * np.asarray(GRID)
        prior = np.full(commits + 1, (1 - PRIOR_ALREADY_BAD - PRIOR_FINE) / (commits - 1))
        prior[0], prior[-1] = PRIOR_ALREADY_BAD, PRIOR_FINE
        self._log_prior = np.log(prior)[:, None] - math.log(len(GRID))
        # sufficient statistics of each commit: sums of 1/s², y/s², y²/s², the number of quads, and log odds of signs
        self._weight, self._sum, self._square, self._quads, self._odds = np.zeros((5, commits))
        self._joint: npt.NDArray[np.float64] | None = None

    def add(self, commit: int, effects: npt.ArrayLike, errors: npt.ArrayLike) -> None:
        """Take in the quads of one batch.

        Parameters
        ----------
        commit
            Which commit was measured.
        effects, errors
            Effect and its standard error of each quad, in the unit of ``effect``.

        Raises
        ------
        ValueError
            If a number is not finite, an error is not positive, or there is no such commit.
        """
        y, s = (
            np.atleast_1d(np.asarray(effects, dtype=np.float64)),
            np.atleast_1d(np.asarray(errors, dtype=np.float64)),
        )
        self._check(commit)
        if y.shape != s.shape or y.ndim != 1 or not bool(np.all(np.isfinite(y) & np.isfinite(s) & (s > 0))):
            raise ValueError("effects must be finite, each with a finite positive error")
        self._joint = None
        weights = s**-2
        self._weight[commit] += weights.sum()
        self._sum[commit] += (weights * y).sum()
        self._square[commit] += (weights * y * y).sum()
        self._quads[commit] += y.size

    def add_sign(self, commit: int, *, bad: bool, miss_rate: float, false_rate: float) -> None:
        """Take in a test that only said good or bad.

        Parameters
        ----------
        commit
            Which commit was tested.
        bad
            What it said.
        miss_rate, false_rate
            P(good | effect) and P(bad | no effect), each in (0, 0.5).

        Raises
        ------
        ValueError
            If a rate is out of range, or there is no such commit.
        """
        self._check(commit)
        if not (0 < miss_rate < 0.5 and 0 < false_rate < 0.5):
            raise ValueError("error rates of a test must lie in (0, 0.5)")
        self._joint = None
        likely = ((1 - miss_rate) / false_rate) if bad else (miss_rate / (1 - false_rate))
        self._odds[commit] += math.log(likely)

    @property
    def dispersion(self) -> float:
        """Factor on the squared errors, at least 1: the scatter of quads of one commit over what errors allow.

        What a commit scatters between batches (a boot, a realignment) counts as well as within one.
        """
        seen = self._quads > 1
        excess = self._square[seen] - self._sum[seen] ** 2 / self._weight[seen]
        degrees = float((self._quads[seen] - 1).sum())
        return max(1.0, (float(excess.sum()) + _PRIOR_DEGREES) / (degrees + _PRIOR_DEGREES))

    def joint(self) -> npt.NDArray[np.float64]:
        """Return the posterior, shape (n + 2, grid)."""
        if self._joint is not None:
            return self._joint
        quadratic = self.grid * self._sum[:, None] - self.grid**2 * self._weight[:, None] / 2
        evidence = quadratic / self.dispersion + self._odds[:, None]
        # hypothesis c puts the effect on every commit k >= c
        log_posterior = self._log_prior.repeat(len(self.grid), axis=1)
        log_posterior[:-1] += evidence[::-1].cumsum(axis=0)[::-1]
        posterior: npt.NDArray[np.float64] = np.exp(log_posterior - log_posterior.max())
        posterior /= posterior.sum()
        self._joint = posterior
        return posterior

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Return the probability of each hypothesis 0..n+1."""
        marginal: npt.NDArray[np.float64] = self.joint().sum(axis=1)
        return marginal

    def effect(self, place: Place) -> float:
        """Return the mean effect, given a place; 0 for "the bad end is fine"."""
        if place.first > self.commits - 1:
            return 0.0
        rows = self.joint()[place.first : min(place.last, self.commits - 1) + 1].sum(axis=0)
        return float((rows * self.grid).sum() / rows.sum())

    def places(self, unmeasurable: Collection[int] = ()) -> list[Place]:
        """Return the hypotheses, those that only an unmeasurable commit would tell apart as one."""
        below = np.concatenate(([0.0], self.probabilities().cumsum()))
        lasts = [k for k in range(self.commits) if k not in unmeasurable] + [self.commits]
        firsts = [0, *(last + 1 for last in lasts[:-1])]
        return [
            Place(first, last, float(below[last + 1] - below[first])) for first, last in zip(firsts, lasts, strict=True)
        ]

    def likeliest(self, unmeasurable: Collection[int] = ()) -> Place:
        """Return the place with the most probability."""
        return max(self.places(unmeasurable), key=lambda place: place.probability)

    def next_commit(self, unmeasurable: Collection[int] = ()) -> int:
        """Return the measurable commit that divides the posterior most evenly.

        Raises
        ------
        ValueError
            If none is measurable.
        """
        candidates = np.asarray([k for k in range(self.commits) if k not in unmeasurable], dtype=np.intp)
        if not candidates.size:
            raise ValueError("no commit can be measured")
        below = self.probabilities().cumsum()[candidates]
        return int(candidates[np.argmin(np.abs(below - 0.5))])

    def _check(self, commit: int) -> None:
        if not 0 <= commit < self.commits:
            raise ValueError(f"there is no commit {commit} among {self.commits}")
