"""Stability of a series of equally spaced values, such as the line's centre: Allan deviation and drift.

    σ_A²(m·t0) = Σ_j [mean of m values from j + m on - mean of m values from j on]² / [2·(M - 2m + 1)]

is the overlapping Allan variance at the averaging time m·t0: it falls as τ^(-1/2) for white noise and rises as
D·τ/√2 for a drift D. Its interval is that of χ² with the equivalent degrees of freedom of white frequency
noise (Howe, Allan and Barnes, Proc. 35th Freq. Control Symp. (1981)),

    [3(N - 1)/(2m) - 2(N - 2)/N]·4m²/(4m² + 5),   N = M + 1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate

_FEWEST = 8


def allan_deviation(
    values: npt.ArrayLike, *, spacing_s: float, averaged: int = 1, confidence: float = 0.95
) -> Estimate:
    """Return the overlapping Allan deviation at averaging time averaged·spacing; id ``stability.allan``.

    Parameters
    ----------
    values
        Equally spaced values without gaps, shape (values,); the result has their unit.
    spacing_s
        Time from one value to the next, in s.
    averaged
        Values m that are averaged.
    confidence
        Nominal coverage of the interval, for white noise.

    Raises
    ------
    ValueError
        If there are fewer than 3·averaged or 8 values, or one isn't finite.
    """
    from scipy.special import chdtri

    series = _checked(values, spacing_s)
    m, size = averaged, series.size
    if m < 1 or size < 3 * m:
        raise ValueError(f"an Allan deviation over {m} values needs {3 * m}, not {size}")
    summed = np.concatenate(([0.0], np.cumsum(series - series.mean())))
    means = (summed[m:] - summed[:-m]) / m
    differences = means[m:] - means[:-m]
    variance = float(np.mean(differences**2)) / 2
    points = size + 1
    freedom = (3 * (points - 1) / (2 * m) - 2 * (points - 2) / points) * 4 * m * m / (4 * m * m + 5)
    tail = (1 - confidence) / 2
    low, high = (variance * freedom / float(chdtri(freedom, p)) for p in (tail, 1 - tail))
    tally = {"values": size, "averaged": m, "spacing_s": spacing_s, "degrees_of_freedom": freedom}
    return _estimate("stability.allan", math.sqrt(variance), (math.sqrt(low), math.sqrt(high)), tally, confidence)


def drift(values: npt.ArrayLike, *, spacing_s: float, confidence: float = 0.95) -> Estimate:
    """Return the drift per second by a straight line; id ``stability.drift``.

    The interval is Student's, with the error widened for correlated residuals by their lag-one
    autocorrelation r: by sqrt((1 + r)/(1 - r)).

    Raises
    ------
    ValueError
        If there are fewer than 8 values, or one isn't finite.
    """
    from scipy.special import stdtrit

    series = _checked(values, spacing_s)
    times = spacing_s * (np.arange(series.size) - (series.size - 1) / 2)
    slope = float(times @ series / (times @ times))
    rest = series - series.mean() - slope * times
    scatter = float(rest @ rest)
    memory = float(rest[1:] @ rest[:-1]) / scatter if scatter > 0 else 0.0
    widened = math.sqrt((1 + min(memory, 0.99)) / (1 - min(memory, 0.99))) if memory > 0 else 1.0
    freedom = series.size - 2
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * widened * math.sqrt(scatter / freedom / (times @ times))
    tally = {"values": series.size, "spacing_s": spacing_s, "autocorrelation": memory}
    return _estimate("stability.drift", slope, (slope - reach, slope + reach), tally, confidence)


def _checked(values: npt.ArrayLike, spacing_s: float) -> npt.NDArray[np.float64]:
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or series.size < _FEWEST or not bool(np.all(np.isfinite(series))) or not spacing_s > 0:
        raise ValueError(f"a series needs {_FEWEST} finite values or more, and spacing_s must be positive")
    return series


def _estimate(
    definition: str,
    value: float,
    limits: tuple[float, float],
    tally: dict[str, int | float],
    confidence: float,
) -> Estimate:
    return Estimate(
        definition=definition,
        value=value,
        low=limits[0],
        high=limits[1],
        confidence=confidence,
        counts=tally,
        window_ps=None,
        delay_ps=None,
        normalisation="none",
        raw=value,
    )
