"""Evidence from a scalar's contrasts over ABBA quads: the one-sided t e-process.

For contrasts with mean m and spread s, tested against a null mean, the alternative d = (mean - null)/s has a
half-normal prior of variance g on the side asked for, and s the right Haar prior, which drops out. With the two-sided
value

    log e = -log(1 + n g)/2 + (n/2) [log(1 + t^2/v) - log(1 + t^2/(v (1 + n g)))],   v = n - 1

the one-sided one is 2 e T_n(x), T_n being Student's distribution with n degrees of freedom at the posterior's mean
in units of its width. It is averaged over a few g. Shifting every contrast away from the alternative lowers t at every
look and e with it, so that the whole half line is covered by the null at its edge. Exact for Gaussian contrasts.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil.statistics.evidence import Floats

_PRIOR_VARIANCES = (1.0, 10.0, 100.0)
_EQUAL = 1e-12
"""Contrasts whose spread is below this were not measured apart: there is no error to judge by."""


def scalar_evidence(contrasts: npt.ArrayLike, null: float, *, above: bool) -> Floats:
    """Return the log e-value after each quad against "the mean contrast is not above (below) ``null``".

    Parameters
    ----------
    contrasts
        One per quad, shape (quads,); the first quad alone says nothing.
    null
        Edge of the null hypothesis.
    above
        Whether the alternative lies above it.

    Raises
    ------
    ValueError
        If a contrast or ``null`` isn't finite, or the contrasts are all equal.
    """
    from scipy.special import stdtr

    series = np.asarray(contrasts, dtype=np.float64)
    if series.ndim != 1 or not bool(np.all(np.isfinite(series))) or not math.isfinite(null):
        raise ValueError("contrasts and null must be finite")
    if series.size > 1 and float(np.ptp(series)) < _EQUAL:
        raise ValueError("all contrasts are equal: without spread there is no error to judge by")
    moved = (series - null) * (1.0 if above else -1.0)
    n = np.arange(1, series.size + 1, dtype=np.float64)
    mean = np.cumsum(moved) / n
    squares = np.cumsum(moved**2)
    silent = squares == 0  # contrasts at the null itself say nothing yet
    squares = np.where(silent, 1.0, squares)
    about_mean = np.maximum(squares - n * mean**2, squares * 1e-15)
    log_e = np.full((len(_PRIOR_VARIANCES), series.size), 0.0)
    for row, g in enumerate(_PRIOR_VARIANCES):
        shrunk = 1.0 + n * g
        left = squares - (n * g / shrunk) * n * mean**2  # what the posterior mean leaves of the squares
        left = np.maximum(left, about_mean)
        two_sided = -0.5 * np.log(shrunk) + (n / 2) * (np.log(squares) - np.log(left))
        at = (n * g / shrunk) * mean / np.sqrt(left * g / (n * shrunk))
        with np.errstate(divide="ignore"):
            log_e[row] = two_sided + np.log(2.0 * stdtr(n, at))
    log_e[:, 0] = 0.0
    log_e[:, silent] = 0.0
    top = log_e.max(axis=0)
    return np.asarray(top + np.log(np.exp(log_e - top).mean(axis=0)))
