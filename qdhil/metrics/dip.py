"""Second-order autocorrelation of a continuously pumped source: the dip at zero delay, with the detectors' response.

    g2(τ) = 1 - (1 + a - g0)·e^(-|τ|/τ_a) + a·e^(-|τ|/τ_b)

is that of two levels (a = 0: antibunching alone) or of three, where a shelving state bunches the photons
(a > 0, τ_b > τ_a); g0 = g2(0). Jitter of both detectors and the tagger, Gaussian with σ together, blurs each
exponential to, with b = σ/τ_i and u = τ/σ,

    K(τ) = ½·e^(-u²/2)·[erfcx((b - u)/√2) + erfcx((b + u)/√2)].

The counts per bin are fitted by Poisson likelihood with σ held at its calibrated value: where σ is not
smaller than τ_a, depth and width of the dip can't be told apart, and the estimate is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.fitted import Fitted
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.poisson_fit import Floats, Model, Parameter, PoissonFit, best_fit

_FEWEST_BINS = 20
_SIGNIFICANT = 20.0
"""Deviance that the dip must explain (two parameters): by chance with odds e^-10."""
_MISFIT = 6.0
_WIDEST = 0.6
"""A longer interval of g2(0) says nothing about the emitter."""


@dataclass(frozen=True)
class DipResult:
    """What the fit of a dip tells.

    Parameters
    ----------
    g2
        g2(0) without the blur of the detectors; id ``g2.cw.dip`` (two levels) or ``g2.cw.dip3`` (three).
    antibunching
        τ_a in ps; id ``g2.cw.antibunching_time``.
    bunching
        a, and τ_b in ps, of three levels; ids ``g2.cw.bunching``, ``g2.cw.bunching_time``; ``None`` of two.
    zero_delay_ps
        Fitted place of the dip.
    misfit
        Pearson's χ² less its mean, in standard deviations.
    """

    g2: Estimate
    antibunching: Estimate
    bunching: tuple[Estimate, Estimate] | None
    zero_delay_ps: float
    misfit: float


def blurred_exponential(tau_ps: npt.ArrayLike, *, decay_ps: float, sigma_ps: float) -> Floats:
    """Return e^(-abs(τ)/decay) convolved with a Gaussian of standard deviation ``sigma_ps``; any shape, in ps."""
    from scipy.special import erfc, erfcx

    tau = np.abs(np.asarray(tau_ps, np.float64))
    if sigma_ps <= 0:
        unblurred: Floats = np.exp(-tau / decay_ps)
        return unblurred
    b, u = sigma_ps / decay_ps, tau / sigma_ps
    gauss = np.exp(-u * u / 2)
    rising = gauss * erfcx((b + u) / math.sqrt(2))
    inner = np.minimum(u, b)
    # erfcx of a large negative argument overflows; there e^(b²/2 - bu)·erfc is the same, without overflow
    falling = np.where(u <= b, gauss * erfcx((b - inner) / math.sqrt(2)), _tail(b, u, erfc))
    blurred: Floats = (rising + falling) / 2
    return blurred


def _tail(b: float, u: Floats, erfc: np.ufunc) -> Floats:
    outer = np.maximum(u, b)
    tail: Floats = np.exp(b * b / 2 - b * outer) * erfc((b - outer) / math.sqrt(2))
    return tail


def g2_dip(
    histogram: Histogram,
    *,
    sigma_ps: float,
    bunching: bool = False,
    zero_delay_ps: float | None = None,
    confidence: float = 0.95,
) -> DipResult:
    """Return g2(0) and the times of a continuously pumped source; intervals by profile likelihood.

    Parameters
    ----------
    histogram
        Coincidences by delay, evenly exposed; it should reach many τ_b either side.
    sigma_ps
        Standard deviation of the delay's blur, sqrt(σ1² + σ2²) of both detectors, from a calibration.
    bunching
        Whether to fit three levels.
    zero_delay_ps
        Place of the dip, where calibrated; otherwise it is fitted. With some twenty pairs a bin, intervals of 95 %
        then held τ_a in 91 % only, and in 95 % with the place given.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If the dip doesn't stand out, can't be resolved with this blur, bin width or range, or the model doesn't fit.
    """
    if sigma_ps < 0 or len(histogram.counts) < _FEWEST_BINS:
        raise ValueError(f"a dip needs at least {_FEWEST_BINS} bins, and sigma_ps must not be negative")
    model = _model(histogram, sigma_ps)
    parameters = _start(histogram, sigma_ps, zero_delay_ps, bunching)
    fit = _best(histogram, model, parameters)
    _check(histogram, fit, sigma_ps, bunching)
    fitted = Fitted(
        histogram.array,
        model,
        parameters,
        fit,
        confidence,
        {"pairs": sum(histogram.counts), "bins": len(histogram.counts)},
        "fitted-level",
        delay_ps=round(float(fit.values[2])),
        histogram=histogram,
    )
    blur = f"blur of {sigma_ps:g} ps taken out" if sigma_ps else None
    depth = float(fit.expected.min() / fit.values[0])
    g2 = fitted.estimate(1, "g2.cw.dip3" if bunching else "g2.cw.dip", raw=depth, correction=blur)
    if g2.high - g2.low > _WIDEST:
        raise ValueError(
            f"the dip can't be resolved: g2(0) lies anywhere in [{g2.low:.2f}, {g2.high:.2f}] "
            f"with a blur of {sigma_ps:g} ps and τ_a of {fit.values[3]:.0f} ps"
        )
    antibunching = fitted.estimate(3, "g2.cw.antibunching_time", correction=blur)
    shelving = None
    if bunching:
        names = ((4, "g2.cw.bunching"), (5, "g2.cw.bunching_time"))
        one, other = (fitted.estimate(index, name, correction=blur) for index, name in names)
        shelving = (one, other)
    return DipResult(g2, antibunching, shelving, float(fit.values[2]), fit.misfit)


def _model(histogram: Histogram, sigma_ps: float) -> Model:
    """Return expected counts from (level, g0, zero delay, τ_a, a, τ_b)."""
    times = histogram.times_ps
    # a bin averages over its width: as good as a little more blur
    sigma = math.sqrt(sigma_ps**2 + histogram.bin_ps**2 / 12)

    def expected(p: Floats) -> Floats:
        level, g0, zero, decay, bunched, slow = p
        dip = blurred_exponential(times - zero, decay_ps=decay, sigma_ps=sigma)
        g2 = 1 - (1 + bunched - g0) * dip
        if bunched > 0:
            g2 = g2 + bunched * blurred_exponential(times - zero, decay_ps=slow, sigma_ps=sigma)
        return np.asarray(level * g2)

    return expected


def _start(histogram: Histogram, sigma_ps: float, zero_delay_ps: float | None, bunching: bool) -> list[Parameter]:
    counts, bin_ps = histogram.array, histogram.bin_ps
    span = bin_ps * counts.size
    level = max(float(np.median(counts)), float(counts.mean()), 1e-3)
    width = max(counts.size // 200, 1)
    smooth = np.convolve(counts, np.ones(width) / width, "same") if width > 1 else counts.astype(np.float64)
    inside = slice(width, counts.size - width)
    lowest = float(histogram.times_ps[inside][int(np.argmin(smooth[inside]))])
    zero = lowest if zero_delay_ps is None else zero_delay_ps
    reach = 0.0 if zero_delay_ps is not None else span / 4
    quick = max(span / 100, 2 * bin_ps, sigma_ps)
    return [
        Parameter("level", level, level * 0.2, level * 5),
        Parameter("g0", 0.3, 0.0, 2.0),
        Parameter("zero_ps", zero, zero - reach, zero + reach, scale=quick),
        Parameter("decay_ps", quick, bin_ps / 5, span / 2),
        Parameter(
            "bunched",
            0.2 if bunching else 0.0,
            1e-6 if bunching else 0.0,
            20.0 if bunching else 0.0,
            scale=0.1,
        ),
        Parameter("slow_ps", span / 10, bin_ps, span) if bunching else Parameter("slow_ps", 1.0, 1.0, 1.0),
    ]


def _best(histogram: Histogram, model: Model, parameters: list[Parameter]) -> PoissonFit:
    """Fit from several widths of the dip."""
    decay = parameters[3]
    tried = (
        [*parameters[:3], replace(decay, start=decay.start * factor), *parameters[4:]]
        for factor in (0.1, 0.3, 1.0, 3.0)
    )
    return best_fit(histogram.array, model, tried)


def _check(histogram: Histogram, fit: PoissonFit, sigma_ps: float, bunching: bool) -> None:
    from scipy.special import xlogy

    counts, mean = histogram.array, float(histogram.array.mean())
    decay, slow = float(fit.values[3]), float(fit.values[5])
    flat = float(2 * np.sum(xlogy(counts, counts / mean))) if mean > 0 else 0.0
    if flat - fit.deviance < _SIGNIFICANT:
        raise ValueError(f"no dip stands out of {int(counts.sum())} pairs")
    if fit.misfit > _MISFIT:
        raise ValueError(f"the model of a dip doesn't fit: χ² lies {fit.misfit:.1f} standard deviations above its mean")
    if decay < max(sigma_ps, histogram.bin_ps):
        raise ValueError(
            f"the dip can't be resolved: τ_a of {decay:.0f} ps is shorter than the blur of {sigma_ps:g} ps "
            f"or a bin of {histogram.bin_ps:g} ps"
        )
    span = histogram.bin_ps * counts.size
    if decay > span / 8 or (bunching and not decay < slow < span / 2):
        raise ValueError(f"the range of {span:g} ps is too short for times of {decay:.0f} and {slow:.0f} ps")
