"""Radiative lifetime by the whole decay: one or two exponentials through the instrument's response.

Photons of a pulse at t0 arrive by (1 - w)·e^(-t/T1)/T1 + w·e^(-t/T2)/T2, blurred by the response and folded into
the period; a share of the clicks is spread evenly. With a Gaussian response of σ the expected clicks of a
bin are exact differences of

    F(t) = Φ(t/σ) - ½·e^(-t²/2σ²)·erfcx((σ/T1 - t/σ)/√2);

with a measured one they are its circular convolution with the decay. Fitted by Poisson likelihood over the
bins of one period. The best possible error of T1 is T1/sqrt(N). Where reflections or afterpulses make the scatter
larger than the counts', the intervals are widened by sqrt(χ² per degree of freedom); above 3 the fit is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.decay_model import Shape, gaussian_decay, measured_decay
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.fitted import Fitted
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.poisson_fit import Floats, Model, Parameter, PoissonFit, best_fit, fit_poisson

PILE_UP = 0.05
"""Clicks per pulse above which early photons hide later ones and the decay looks too short."""
_FEWEST_CLICKS = 100
_SUSPECT = 3.0
_MISFIT = 6.0
_WORST_CHI2 = 3.0
_NAMES = ("clicks", "floor", "zero", "sigma", "fast", "slow_share", "slow")


@dataclass(frozen=True)
class DecayFit:
    """What the fit of a decay tells.

    Parameters
    ----------
    lifetime
        T1 in ps (the shorter of two); id ``lifetime.decay`` or ``lifetime.decay2.fast``.
    slow, slow_share
        The longer lifetime in ps and its share w of the photons; ``None`` with one exponential.
    sigma
        Standard deviation of the response in ps where it was fitted, ids ``jitter.sigma``; else ``None``.
    floor
        Share of the clicks that is spread evenly; id ``decay.floor``.
    zero_ps
        Fitted arrival of the pulse, or the shift of the measured response.
    misfit
        Pearson's χ² less its mean, in standard deviations.
    """

    lifetime: Estimate
    slow: Estimate | None
    slow_share: Estimate | None
    sigma: Estimate | None
    floor: Estimate
    zero_ps: float
    misfit: float


def fit_decay(
    histogram: Histogram,
    *,
    period_ps: float,
    response: Histogram | float | None,
    exponentials: int = 1,
    clicks_per_pulse: float | None = None,
    confidence: float = 0.95,
) -> DecayFit:
    """Return lifetimes, floor and, where it isn't given, the width of the response.

    Parameters
    ----------
    histogram
        Clicks by time since the laser pulse, over one period.
    period_ps
        Time between two pulses, in ps.
    response
        Measured response on the same axis, with far more clicks than the decay; or the standard deviation of a
        Gaussian one in ps; or ``None`` to fit it: the rising edge tells the timing jitter.
    exponentials
        1 or 2.
    clicks_per_pulse
        Clicks per laser pulse of this detector, for the pile-up check.
    confidence
        Nominal coverage of the intervals (profile likelihood).

    Raises
    ------
    ValueError
        If there are too few clicks, pile-up, the histogram isn't one period, or the decay is of another form.
    """
    _refuse(histogram, period_ps, exponentials, clicks_per_pulse)
    counts, two = histogram.array, exponentials == 2
    model, parameters = _prepare(histogram, period_ps, response, exponentials)
    fit = _best(counts, model, parameters)
    _check(fit, histogram, period_ps, exponentials)

    fitted = Fitted(
        counts,
        model,
        parameters,
        fit,
        confidence,
        {"clicks": int(counts.sum()), "bins": counts.size},
        "fitted-decay",
        histogram=histogram,
        widened=math.sqrt(fit.chi2) if fit.misfit > _SUSPECT else 1.0,
    )

    def estimate(name: str, definition: str) -> Estimate:
        return fitted.estimate(_NAMES.index(name), definition)

    return DecayFit(
        lifetime=estimate("fast", "lifetime.decay2.fast" if two else "lifetime.decay"),
        slow=estimate("slow", "lifetime.decay2.slow") if two else None,
        slow_share=estimate("slow_share", "lifetime.decay2.slow_share") if two else None,
        sigma=estimate("sigma", "jitter.sigma") if response is None else None,
        floor=estimate("floor", "decay.floor"),
        zero_ps=float(fit.values[2]),
        misfit=fit.misfit,
    )


def _refuse(histogram: Histogram, period_ps: float, exponentials: int, clicks_per_pulse: float | None) -> None:
    clicks, span_ps = sum(histogram.counts), len(histogram.counts) * histogram.bin_ps
    if exponentials not in (1, 2):
        raise ValueError(f"exponentials must be 1 or 2, not {exponentials}")
    if clicks_per_pulse is not None and clicks_per_pulse > PILE_UP:
        raise ValueError(f"pile-up: {clicks_per_pulse:.3f} clicks per pulse are more than {PILE_UP}")
    if clicks < _FEWEST_CLICKS:
        raise ValueError(f"{clicks} clicks are too few for a lifetime: {_FEWEST_CLICKS} are needed")
    if abs(span_ps - period_ps) > 1.5 * histogram.bin_ps:
        raise ValueError(
            f"{len(histogram.counts)} bins of {histogram.bin_ps:g} ps are not one period of {period_ps:.1f} ps"
        )


def _prepare(
    histogram: Histogram, period_ps: float, response: Histogram | float | None, exponentials: int
) -> tuple[Model, list[Parameter]]:
    """Return the model of (clicks, floor, zero, sigma, fast, slow share, slow) and where to begin."""
    counts, bin_ps, two = histogram.array, histogram.bin_ps, exponentials == 2
    total = int(counts.sum())
    mean = float(np.sum(np.sort(counts)[::-1] > counts.max() / math.e)) * bin_ps + bin_ps
    shape, zero, sigma = _rise(histogram, period_ps, response, mean)
    parameters = [
        Parameter("clicks", total, total * 0.5, total * 2),
        Parameter("floor", 0.02, 0.0, 1.0, scale=0.1),
        zero,
        sigma,
        Parameter("fast", mean, bin_ps / 10, period_ps),
        Parameter("slow_share", 0.3 if two else 0.0, 0.0, 1.0 if two else 0.0, scale=0.1),
        Parameter("slow", 4 * mean, bin_ps, 3 * period_ps) if two else Parameter("slow", 1.0, 1.0, 1.0),
    ]

    def expected(p: Floats) -> Floats:
        clicks, floor, start, width, fast, share, slow = p
        decay = shape(start, width, fast)
        if share > 0:
            decay = (1 - share) * decay + share * shape(start, width, slow)
        return np.asarray(clicks * ((1 - floor) * decay + floor / counts.size))

    return expected, parameters


def _rise(
    histogram: Histogram, period_ps: float, response: Histogram | float | None, mean_ps: float
) -> tuple[Shape, Parameter, Parameter]:
    """Return the shape of a decay behind the response, and where to begin with its edge's time and width."""
    bin_ps, times = histogram.bin_ps, histogram.times_ps
    if isinstance(response, Histogram):
        axes = [(each.first_ps, each.bin_ps, len(each.counts)) for each in (response, histogram)]
        if axes[0] != axes[1]:
            raise ValueError("the measured response must have the same axis as the decay")
        zero = Parameter("zero", 0.0, -20 * bin_ps, 20 * bin_ps, scale=bin_ps)
        return measured_decay(response), zero, Parameter("sigma", 0.0, 0.0, 0.0)
    edge_ps = _edge_ps(histogram.array, times)
    zero = Parameter("zero", edge_ps, edge_ps - period_ps / 4, edge_ps + period_ps / 4, scale=mean_ps)
    sigma = Parameter("sigma", max(bin_ps, mean_ps / 5), bin_ps / 20, period_ps / 20)
    if response is not None:
        sigma = Parameter("sigma", response, response, response)
    return gaussian_decay(times, bin_ps, period_ps), zero, sigma


def _edge_ps(counts: npt.NDArray[np.int64], times: Floats) -> float:
    """Return the time of the steepest rise, on the circle."""
    width = max(counts.size // 400, 1)
    smooth = sum(np.roll(counts, shift) for shift in range(-width, width + 1))
    peak = int(np.argmax(smooth))
    before = np.roll(smooth, -peak)[::-1]
    return float(times[0] + (peak - int(np.argmax(before < before[-1] / 2)) - 0.5) * (times[1] - times[0]))


def _best(counts: npt.NDArray[np.int64], model: Model, parameters: list[Parameter]) -> PoissonFit:
    fast, slow = parameters[4], parameters[6]
    starts = (
        [
            *parameters[:4],
            replace(fast, start=fast.start * a),
            parameters[5],
            replace(slow, start=slow.start * b),
        ]
        for a, b in ((1.0, 1.0), (0.5, 2.0), (2.0, 2.0))
    )
    fit = best_fit(counts, model, starts)
    if slow.low < slow.high and fit.values[4] > fit.values[6]:
        # the same decay with its exponentials exchanged
        exchanged = (*fit.values[:4], fit.values[6], 1 - fit.values[5], fit.values[4])
        again = [replace(p, start=float(value)) for p, value in zip(parameters, exchanged, strict=True)]
        return fit_poisson(counts, model, again)
    return fit


def _check(fit: PoissonFit, histogram: Histogram, period_ps: float, exponentials: int) -> None:
    values = dict(zip(_NAMES, (float(value) for value in fit.values), strict=True))
    if fit.misfit > _MISFIT and fit.chi2 > _WORST_CHI2:
        raise ValueError(
            f"the decay is not {exponentials} exponential(s): "
            f"χ² lies {fit.misfit:.1f} standard deviations above its mean"
        )
    longest = max(values["fast"], values["slow"] if exponentials == 2 else 0.0)
    if longest > period_ps / 2 or values["floor"] > 0.9:
        raise ValueError(f"a lifetime of {longest:.0f} ps can't be told from the floor within {period_ps:.0f} ps")
    if values["fast"] < histogram.bin_ps / 2:
        raise ValueError(f"a lifetime of {values['fast']:.1f} ps can't be resolved by bins of {histogram.bin_ps:g} ps")
    if exponentials == 2 and not (values["slow"] > 1.5 * values["fast"] and 0 < values["slow_share"] < 1):
        raise ValueError("the two lifetimes can't be told apart: fit one exponential")
