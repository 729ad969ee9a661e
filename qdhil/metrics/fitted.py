"""Estimates of the parameters of a fitted histogram, with their profile-likelihood intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.poisson_fit import Counts, Model, Parameter, PoissonFit
from qdhil.metrics.profile import profile_interval


@dataclass(frozen=True)
class Fitted:
    """A fit, and what its estimates have in common.

    Parameters
    ----------
    counts, model, parameters
        As for :func:`~qdhil.metrics.poisson_fit.fit_poisson`.
    fit
        What it returned.
    confidence
        Nominal coverage of the intervals.
    tally
        Sums of the counts that go into the record.
    normalisation
        What the values are relative to.
    delay_ps
        Fitted delay, where there is one.
    histogram
        What was fitted, where it is one.
    widened
        Factor of the intervals, where the scatter is larger than the counts'.
    """

    counts: Counts
    model: Model
    parameters: Sequence[Parameter]
    fit: PoissonFit
    confidence: float
    tally: Mapping[str, int | float]
    normalisation: str
    delay_ps: int | None = None
    histogram: Histogram | None = None
    widened: float = 1.0

    def estimate(
        self,
        index: int,
        definition: str,
        *,
        limits: tuple[float, float] | None = None,
        raw: float | None = None,
        correction: str | None = None,
    ) -> Estimate:
        """Return the estimate of one parameter.

        Parameters
        ----------
        index
            Which parameter.
        definition
            Id of the estimate.
        limits
            Its interval, where it is not that of the profile likelihood.
        raw
            What it would be without the correction; the value itself if ``None``.
        correction
            What the model takes out, if anything.
        """
        value = float(self.fit.values[index])
        low, high = limits or profile_interval(
            self.counts, self.model, self.parameters, self.fit, index, self.confidence
        )
        return Estimate(
            definition=definition,
            value=value,
            low=value + self.widened * (low - value),
            high=value + self.widened * (high - value),
            confidence=self.confidence,
            counts=dict(self.tally),
            window_ps=None,
            delay_ps=self.delay_ps,
            normalisation=self.normalisation,
            raw=value if raw is None else raw,
            correction=correction,
            corrected=None if correction is None else value,
            histogram=self.histogram,
        )
