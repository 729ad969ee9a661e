"""The whole of a decay with its rise: one exponential through a Gaussian response, or two where one doesn't fit.

A curve of less than a period is taken for a whole one where the decay is over at its end, so that nothing of it would
come again at the beginning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qdhil.metrics.histogram import Histogram

if TYPE_CHECKING:
    import numpy.typing as npt

    from qdhil.metrics.decay import DecayFit
    from qdhil.metrics.estimate import Estimate

_BINS_A_LIFETIME = 25
_MOST_BINS = 1000
_DOUBTFUL = 3.0
_OVER = 8.0
"""Lifetimes after which nothing is left of a decay."""


@dataclass(frozen=True)
class Decay:
    """Counts after a laser pulse, with the maximum a quarter into the period where the whole of it is known.

    Parameters
    ----------
    histogram
        Counts by time since the pulse, from 0; times are relative where the period was turned.
    period_ps
        Laser period, or ``None`` where the curve holds less than one.
    """

    histogram: Histogram
    period_ps: float | None


@dataclass(frozen=True)
class WholeFit:
    """Lifetimes and what else the whole decay tells, what to say of them, and the expected clicks per bin."""

    estimates: list[Estimate]
    notes: list[str]
    histogram: Histogram
    expected: npt.NDArray[np.float64]

    @property
    def double(self) -> bool:
        """Whether these are two exponentials."""
        return any(estimate.definition == "lifetime.decay2.slow" for estimate in self.estimates)


def fit_whole(decay: Decay, lifetime_ps: float | None, clicks_per_pulse: float | None, confidence: float) -> WholeFit:
    """Return one lifetime where a single exponential fits, else two.

    Parameters
    ----------
    decay
        Counts after the pulse.
    lifetime_ps
        Lifetime of the tail, or ``None`` where no tail is a single exponential: then two are fitted.
    clicks_per_pulse, confidence
        As in :func:`qdhil.metrics.decay.fit_decay`.

    Raises
    ------
    ValueError
        If neither fits, or the curve holds less than a period of an unfinished decay.
    """
    histogram = _coarse(decay.histogram, lifetime_ps)
    span_ps = len(histogram.counts) * histogram.bin_ps
    whole = decay.period_ps is not None and abs(span_ps - decay.period_ps) <= 1.5 * histogram.bin_ps
    period_ps = decay.period_ps if whole and decay.period_ps else span_ps
    single: DecayFit | ValueError = ValueError("no tail is a single exponential")
    if lifetime_ps is not None:
        single = _fit(histogram, period_ps, 1, clicks_per_pulse, confidence)
        if not isinstance(single, ValueError) and single.misfit < _DOUBTFUL:
            return _checked(single, histogram, period_ps, whole, [])
    double = _fit(histogram, period_ps, 2, clicks_per_pulse, confidence)
    better = isinstance(single, ValueError) or (
        not isinstance(double, ValueError) and double.misfit < min(single.misfit / 2, _DOUBTFUL)
    )
    if isinstance(double, ValueError) or not better:
        if isinstance(single, ValueError):
            raise single if lifetime_ps is not None or not isinstance(double, ValueError) else double
        return _checked(single, histogram, period_ps, whole, [])
    why = "doesn't fit" if isinstance(single, ValueError) else f"lies {single.misfit:.1f} standard deviations off"
    return _checked(double, histogram, period_ps, whole, [f"two exponentials through a Gaussian response: one {why}"])


def _fit(
    histogram: Histogram, period_ps: float, exponentials: int, clicks_per_pulse: float | None, confidence: float
) -> DecayFit | ValueError:
    from qdhil.metrics.decay import fit_decay

    try:
        return fit_decay(
            histogram,
            period_ps=period_ps,
            response=None,
            exponentials=exponentials,
            clicks_per_pulse=clicks_per_pulse,
            confidence=confidence,
        )
    except ValueError as error:
        return error


def _checked(fit: DecayFit, histogram: Histogram, period_ps: float, whole: bool, notes: list[str]) -> WholeFit:
    """Return what a fit tells; refuse one that takes a part of a period for the whole of it."""
    longest = (fit.slow or fit.lifetime).value
    if not whole:
        left_ps = period_ps - (fit.zero_ps - histogram.first_ps) % period_ps
        if left_ps < _OVER * longest:
            raise ValueError(
                f"a decay of {longest:.0f} ps isn't over at the curve's end, {left_ps:.0f} ps after the pulse"
            )
        notes = [*notes, "the curve holds less than a period: the decay is taken to be over at its end"]
    estimates = [fit.lifetime, *filter(None, (fit.slow, fit.slow_share)), fit.floor]
    if fit.sigma is not None and fit.sigma.low > histogram.bin_ps / 4:
        estimates.insert(len(estimates) - 1, fit.sigma)
    named = [replace(estimate, normalisation="whole-decay-gaussian-response") for estimate in estimates]
    return WholeFit(named, notes, histogram, _expected(fit, histogram, period_ps))


def _expected(fit: DecayFit, histogram: Histogram, period_ps: float) -> npt.NDArray[np.float64]:
    from qdhil.metrics.decay_model import gaussian_decay

    shape = gaussian_decay(histogram.times_ps, histogram.bin_ps, period_ps)
    sigma_ps = fit.sigma.value if fit.sigma else 0.0
    decay = shape(fit.zero_ps, sigma_ps, fit.lifetime.value)
    if fit.slow is not None and fit.slow_share is not None:
        share = fit.slow_share.value
        decay = (1 - share) * decay + share * shape(fit.zero_ps, sigma_ps, fit.slow.value)
    floor = fit.floor.value
    return np.asarray(sum(histogram.counts) * ((1 - floor) * decay + floor / decay.size))


def _coarse(histogram: Histogram, lifetime_ps: float | None) -> Histogram:
    """Return the histogram in bins that are fine enough for its lifetime, and few enough to be fitted soon."""
    if lifetime_ps is None:
        step = math.ceil(len(histogram.counts) / _MOST_BINS)
    else:
        step = max(int(lifetime_ps / (_BINS_A_LIFETIME * histogram.bin_ps)), 1)
    counts = histogram.array[: len(histogram.counts) // step * step].reshape(-1, step).sum(axis=1)
    first_ps = histogram.first_ps + (step - 1) / 2 * histogram.bin_ps
    return Histogram.of(counts, first_ps=first_ps, bin_ps=step * histogram.bin_ps)
