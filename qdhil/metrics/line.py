"""Position and width of a spectral line, against the transform limit.

A line of Lorentzian width γ (lifetime and pure dephasing) and Gaussian width (instrument, spectral wandering) is a
Voigt profile on a floor; it is fitted by Poisson likelihood to the counts of a spectrometer, an etalon or a
scanned laser. Analogue counts of a camera have a gain and read noise: there the errors are widened by
sqrt(χ²), whatever it is. The transform limit of a lifetime T1 is 1/(2π·T1): 796 MHz at 200 ps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.fitted import Fitted
from qdhil.metrics.poisson_fit import Floats, Model, Parameter, PoissonFit, fit_poisson

_FEWEST_POINTS = 8
_SIGNIFICANT = 25.0
_MISFIT = 6.0
_SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))


@dataclass(frozen=True)
class Line:
    """Centre and full width at half maximum of a line; ids ``line.centre``, ``line.fwhm``; unit of the axis."""

    centre: Estimate
    fwhm: Estimate
    misfit: float


def fit_line(
    axis: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    instrument_fwhm: float = 0.0,
    photon_counts: bool = True,
    confidence: float = 0.95,
) -> Line:
    """Return centre and Lorentzian width of the strongest line.

    Parameters
    ----------
    axis
        Frequency, energy or wavelength, rising, shape (points,); its unit is that of the results.
    counts
        Counts at each point, not background-subtracted, shape (points,).
    instrument_fwhm
        Full width of the instrument's Gaussian response, from a calibration.
    photon_counts
        Whether the counts are photons; if not, errors come from the scatter about the fit.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If the axis isn't rising, counts are negative, or no line stands out, is resolved, or fits.
    """
    x, y = np.asarray(axis, np.float64), np.asarray(counts)
    if x.ndim != 1 or x.shape != y.shape or x.size < _FEWEST_POINTS or not bool(np.all(np.diff(x) > 0)):
        raise ValueError(f"a spectrum needs {_FEWEST_POINTS} points or more on a rising axis, and a count at each")
    if not bool(np.all(np.isfinite(y) & (y >= 0))):
        raise ValueError("counts must not be negative: don't subtract the background beforehand")
    n: Floats = y.astype(np.float64)
    if photon_counts and not bool(np.all(n == np.rint(n))):
        raise ValueError("photon counts must be whole numbers: set photon_counts to False for a camera's signal")
    model, parameters = _model(x, instrument_fwhm * _SIGMA_PER_FWHM), _start(x, n)
    fit = fit_poisson(n, model, parameters)
    _check(x, n, fit, photon_counts)

    fitted = Fitted(n, model, parameters, fit, confidence, {"counts": float(n.sum()), "points": x.size}, "fitted-line")
    correction = f"instrument of {instrument_fwhm:g} taken out" if instrument_fwhm else None
    centre, fwhm = (
        fitted.estimate(
            index,
            name,
            limits=None if photon_counts else _by_scatter(fit, index, confidence),
            correction=correction,
        )
        for index, name in ((2, "line.centre"), (3, "line.fwhm"))
    )
    return Line(centre, fwhm, fit.misfit)


def transform_limit_hz(lifetime_ps: float) -> float:
    """Return the narrowest line, full width at half maximum, of an emitter with this lifetime."""
    if lifetime_ps <= 0:
        raise ValueError(f"a lifetime must be positive, not {lifetime_ps}")
    return 1e12 / (2 * math.pi * lifetime_ps)


def _by_scatter(fit: PoissonFit, index: int, confidence: float) -> tuple[float, float]:
    """Return the interval by the scatter about the fit, whatever a count is worth."""
    from scipy.special import ndtri

    value, reach = float(fit.values[index]), float(ndtri((1 + confidence) / 2)) * float(fit.errors[index])
    reach *= math.sqrt(fit.chi2)
    return value - reach, value + reach


def _model(x: Floats, sigma: float) -> Model:
    """Return expected counts from (floor, area, centre, Lorentzian FWHM)."""
    from scipy.special import voigt_profile

    step = float(np.median(np.diff(x)))

    def expected(p: Floats) -> Floats:
        floor, area, centre, width = p
        return np.asarray(floor + area * step * voigt_profile(x - centre, sigma, width / 2))

    return expected


def _start(x: Floats, n: Floats) -> list[Parameter]:
    floor = float(np.quantile(n, 0.2))
    above = np.maximum(n - floor, 0.0)
    span, step = float(x[-1] - x[0]), float(np.median(np.diff(x)))
    peak = int(np.argmax(np.convolve(above, np.ones(3), "same")))
    width = max(float(above.sum()) * step / max(float(above[peak]), 1.0) / 1.6, step)
    return [
        Parameter("floor", floor, 0.0, float(n.max()) + 1, scale=float(n.mean()) + 1e-3),
        Parameter("area", float(above.sum()) + 1, 0.0, 100 * float(n.sum()) + 1),
        Parameter("centre", float(x[peak]), float(x[0]), float(x[-1]), scale=width),
        Parameter("fwhm", width, step / 100, span),
    ]


def _check(x: Floats, n: Floats, fit: PoissonFit, photon_counts: bool) -> None:
    from scipy.special import xlogy

    width, step = float(fit.values[3]), float(np.median(np.diff(x)))
    flat = float(2 * np.sum(xlogy(n, n / n.mean()))) if n.sum() else 0.0
    if flat - fit.deviance < _SIGNIFICANT * (1.0 if photon_counts else max(fit.chi2, 1.0)):
        raise ValueError("no line stands out of the spectrum")
    if photon_counts and fit.misfit > _MISFIT:
        raise ValueError(f"the line is no Voigt profile: χ² lies {fit.misfit:.1f} standard deviations above its mean")
    if width < step / 4 or width > float(x[-1] - x[0]) / 2:
        raise ValueError(f"a width of {width:.4g} can't be resolved by steps of {step:.4g} over {x[-1] - x[0]:.4g}")
