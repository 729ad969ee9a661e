"""Radiative lifetime T1 by the tail of the decay after the laser pulse.

The tail, from well after the instrument's response to the next pulse, is fitted by a·exp(-t/T1) + b with
the binned multinomial likelihood. The error is the likelihood's, widened by sqrt(χ²/n) where the tail is
not quite exponential; a tail that clearly isn't is refused. Where it begins by the data themselves is
:func:`qdhil.metrics.decay_tail.best_tail`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate

FEWEST_TAIL = 1000
"""Clicks in a tail below which there is no lifetime."""
_RISES = 3
_WORST_CHI2 = 3.0
_FILLED = 5.0
_FEWEST_BINS = 40


def lifetime_tail(
    since_sync_ps: npt.NDArray[np.int64],
    *,
    period_ps: float,
    bin_ps: int | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return T1 in ps of one detector; id ``lifetime.tail``.

    The tail begins three half-rises after the maximum and ends a tenth of a period before it meets itself again.

    Parameters
    ----------
    since_sync_ps
        Time since the laser pulse of each click, in ps.
    period_ps
        Time between two pulses, in ps.
    bin_ps
        Width of the bins in ps; by default the times' own resolution, or a thousandth of the period in whole
        steps of it.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If the tail holds too few clicks, or isn't a single exponential.
    """
    if since_sync_ps.size == 0:
        raise ValueError("no clicks: no lifetime")
    bin_ps = bin_ps or _default_bin_ps(since_sync_ps, period_ps)
    tail = _tail_of_period(since_sync_ps, period_ps, bin_ps)
    total = int(tail.sum())
    if total < FEWEST_TAIL:
        raise ValueError(f"{total} clicks in the tail of the decay are too few for a lifetime")
    fit = fit_tail(tail, bin_ps * np.arange(tail.size, dtype=np.float64))
    if not (fit.chi2 < _WORST_CHI2 and 2 * bin_ps < fit.t1_ps < period_ps / 3):
        raise ValueError(f"the decay is no single exponential within the period (χ²/n = {fit.chi2:.1f})")
    counts = {"tail": total, "clicks": int(since_sync_ps.size), "tail_ps": int(bin_ps * tail.size)}
    return fit.estimate(counts, confidence)


def _tail_of_period(since_sync_ps: npt.NDArray[np.int64], period_ps: float, bin_ps: int) -> npt.NDArray[np.int64]:
    """Return the clicks per bin from three half-rises after the maximum to a tenth of a period before it."""
    bins = int(period_ps // bin_ps)
    if bins < _FEWEST_BINS:
        raise ValueError(f"{bins} bins of {bin_ps} ps in a period are too coarse for a lifetime")
    decay = np.bincount((since_sync_ps // bin_ps) % bins, minlength=bins)
    decay = np.roll(decay, bins // 4 - int(np.argmax(decay)))
    half = int(np.argmax(decay >= decay[bins // 4] / 2))
    start = bins // 4 + _RISES * max(bins // 4 - half, 1)
    return decay[start : bins - bins // 10]


@dataclass(frozen=True)
class TailFit:
    """T1 and its standard error in ps, χ² per filled bin, and the probability of each bin, shape (bins,)."""

    t1_ps: float
    error_ps: float
    chi2: float
    probability: npt.NDArray[np.float64]

    def estimate(self, counts: dict[str, int], confidence: float) -> Estimate:
        """Return the estimate of T1, its error widened by sqrt(χ²/n) where that exceeds 1."""
        from scipy.special import ndtri

        reach = float(ndtri((1 + confidence) / 2)) * self.error_ps * math.sqrt(max(self.chi2, 1.0))
        return Estimate(
            definition="lifetime.tail",
            value=self.t1_ps,
            low=self.t1_ps - reach,
            high=self.t1_ps + reach,
            confidence=confidence,
            counts=dict(counts),
            window_ps=None,
            delay_ps=None,
            normalisation="single-exponential-and-floor",
            raw=self.t1_ps,
        )


def _default_bin_ps(since_sync_ps: npt.NDArray[np.int64], period_ps: float) -> int:
    resolution_ps = max(int(np.gcd.reduce(since_sync_ps)), 1)
    return resolution_ps * math.ceil(period_ps / 1000 / resolution_ps)


def _shape(parameters: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability of each bin for (log T1, logit of the floor's share)."""
    decay = np.exp(-times / math.exp(parameters[0]))
    share = 1 / (1 + math.exp(-parameters[1]))
    mixed: npt.NDArray[np.float64] = (1 - share) * decay / decay.sum() + share / times.size
    return mixed


def fit_tail(tail: npt.NDArray[np.int64], times: npt.NDArray[np.float64]) -> TailFit:
    """Return a single exponential on a floor, fitted to the counts of bins.

    Parameters
    ----------
    tail
        Clicks per bin, shape (bins,).
    times
        Times of the bins in ps, from 0, shape (bins,).
    """
    from scipy.optimize import minimize

    total = float(tail.sum())
    guess = np.array([math.log(max(float(tail @ times) / total, times[1])), -4.0])

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        clipped = np.clip(parameters, [math.log(times[1]) - 3, -14.0], [math.log(times[-1]) + 2, 14.0])
        return -float(tail @ np.log(_shape(clipped, times)))

    best = minimize(loss, guess, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-6, "maxiter": 2000}).x
    probability = _shape(best, times)
    # Fisher information of both parameters, so that the floor's uncertainty is in the error of T1
    step = 1e-4
    slopes = np.array([(_shape(best + d, times) - _shape(best - d, times)) / (2 * step) for d in step * np.eye(2)])
    information = total * (slopes / probability) @ slopes.T
    variance = float(np.linalg.pinv(information)[0, 0])
    expected = total * probability
    filled = expected > _FILLED
    chi2 = float((((tail - expected) ** 2 / expected)[filled]).mean())
    t1_ps = math.exp(float(best[0]))
    return TailFit(t1_ps, t1_ps * math.sqrt(variance), chi2, probability)
