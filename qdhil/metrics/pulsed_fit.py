"""g2(0) of a pulsed source whose peaks overlap or stand on a background: a fit of the whole comb.

    c(τ) = B + A·[ Σ_m e^(-|τ - τ0 - mT|/T1) - (1 - g)·e^(-|τ - τ0|/T1) ]

with background B and peaks of amplitude A and lifetime T1 that reach into one another: the five parameters
B, A, g, T1, τ0, and the period T where it isn't known. The sum over all m is closed:
Σ = [e^(-v/T1) + e^(-(T-v)/T1)] / (1 - e^(-T/T1)) with v = (τ - τ0) mod T. Fitted by Poisson likelihood; a
window's area would count tails and background as centre (0.445 where this gives 0.31).
The detectors' response must be short against T1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.fitted import Fitted
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.poisson_fit import Floats, Model, Parameter, PoissonFit, best_fit

_MISFIT = 8.0
_WIDEST = 0.8
_PERIOD_REACH = 0.004


@dataclass(frozen=True)
class CombFit:
    """What the fit of a comb tells.

    Parameters
    ----------
    g2
        g2(0) without background and neighbours' tails; id ``g2.pulsed.comb_fit``.
    lifetime
        T1 in ps; id ``lifetime.comb_fit``.
    background
        Background per bin; id ``background.comb_fit``.
    period_ps
        Fitted period.
    misfit
        Pearson's χ² less its mean, in standard deviations.
    """

    g2: Estimate
    lifetime: Estimate
    background: Estimate
    period_ps: float
    misfit: float


def g2_comb_fit(
    histogram: Histogram,
    *,
    period_ps: float,
    delay_ps: float,
    fit_period: bool = False,
    confidence: float = 0.95,
) -> CombFit:
    """Return g2(0), lifetime and background of a pulsed source; intervals by profile likelihood.

    Parameters
    ----------
    histogram
        Coincidences by delay, over several periods.
    period_ps
        Time between two pulses, in ps.
    delay_ps
        Delay of the central peak, from the rig's calibration; it is refined within a quarter of a period.
    fit_period
        Whether to refine the period, by up to 0.4 %.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If the histogram doesn't hold the central peak and its neighbours, the comb doesn't fit, or the counts
        are too few to say anything about g2(0).
    """
    _refuse(histogram, period_ps, delay_ps)
    times, counts = histogram.times_ps, histogram.array
    model = _model(times)
    parameters = _start(counts, period_ps, delay_ps, _PERIOD_REACH * period_ps if fit_period else 0.0)
    fit = _best(counts, model, parameters)
    if fit.misfit > _MISFIT:
        raise ValueError(f"the comb doesn't fit: χ² lies {fit.misfit:.1f} standard deviations above its mean")

    fitted = Fitted(
        counts,
        model,
        parameters,
        fit,
        confidence,
        {"pairs": int(counts.sum()), "bins": counts.size},
        "fitted-comb",
        delay_ps=round(float(fit.values[4])),
        histogram=histogram,
    )
    g2 = fitted.estimate(2, "g2.pulsed.comb_fit")
    if g2.high - g2.low > _WIDEST:
        raise ValueError(f"{int(counts.sum())} pairs are too few: g2(0) lies anywhere in [{g2.low:.2f}, {g2.high:.2f}]")
    lifetime, background = fitted.estimate(3, "lifetime.comb_fit"), fitted.estimate(0, "background.comb_fit")
    return CombFit(g2, lifetime, background, float(fit.values[5]), fit.misfit)


def _refuse(histogram: Histogram, period_ps: float, delay_ps: float) -> None:
    times, counts = histogram.times_ps, histogram.array
    if not (0 < 4 * histogram.bin_ps < period_ps and times[0] < delay_ps - period_ps):
        raise ValueError("the histogram must begin a period before the central peak, in bins well below the period")
    if times[-1] < delay_ps + period_ps:
        raise ValueError("the histogram must reach a period beyond the central peak")
    if counts.sum() == 0:
        raise ValueError("no pairs: there is no comb")


def _model(times: Floats) -> Model:
    def expected(p: Floats) -> Floats:
        background, amplitude, g, decay, zero, period = p
        since = (times - zero) % period
        comb = (np.exp(-since / decay) + np.exp((since - period) / decay)) / -np.expm1(-period / decay)
        missing = (1 - g) * np.exp(-np.abs(times - zero) / decay)
        return np.asarray(background + amplitude * (comb - missing))

    return expected


def _start(counts: npt.NDArray[np.int64], period_ps: float, delay_ps: float, reach_ps: float) -> list[Parameter]:
    floor, mean = float(np.quantile(counts, 0.1)), float(counts.mean())
    amplitude = max(float(np.quantile(counts, 0.98)) - floor, mean, 1e-3)
    return [
        Parameter("background", max(floor, mean / 10), 0.0, 10 * mean + 1, scale=mean),
        Parameter("amplitude", amplitude, 0.0, 100 * amplitude),
        Parameter("g", 0.3, 0.0, 3.0),
        Parameter("decay_ps", period_ps / 12, period_ps / 400, period_ps),
        Parameter("zero_ps", delay_ps, delay_ps - period_ps / 4, delay_ps + period_ps / 4, scale=period_ps / 10),
        Parameter("period_ps", period_ps, period_ps - reach_ps, period_ps + reach_ps, scale=period_ps / 1000),
    ]


def _best(counts: npt.NDArray[np.int64], model: Model, parameters: list[Parameter]) -> PoissonFit:
    decay = parameters[3]
    tried = ([*parameters[:3], replace(decay, start=decay.start * factor), *parameters[4:]] for factor in (0.3, 1.0))
    return best_fit(counts, model, tried)
