"""Blinking by the envelope of the side peaks, and g2(0) of the on-state and of the source as a whole.

A source that is on for a fraction β of the time and forgets its state at the rate 1/τ_b = 1/τ_on + 1/τ_off
raises the peak at lag m to

    A_m = A·[1 + (1 - β)/β·e^(-|m|T/τ_b)],

by Poisson likelihood over all side peaks outside the dead time. Then g_long = A_0/A is that of the whole source, and
g_near = β·g_long that of the on-state (normalised to the envelope at lag 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.poisson_fit import Floats, Model, Parameter, PoissonFit, fit_poisson
from qdhil.metrics.profile import profile_interval
from qdhil.statistics.intervals import poisson_interval
from qdhil.statistics.propagation import Bounded, propagated_interval

_FEWEST_LAGS = 10
_SIGNIFICANT = 14.0
"""Deviance that blinking must explain (two parameters): by chance with odds of 1 in 1000."""
_MISFIT = 6.0


@dataclass(frozen=True)
class Blinking:
    """What the envelope tells.

    Parameters
    ----------
    on_fraction
        β; id ``blinking.on_fraction``.
    time
        τ_b in ps; id ``blinking.time``.
    g2_near, g2_long
        g2(0) of the on-state and of the whole; ids ``g2.pulsed.envelope_near``, ``g2.pulsed.envelope_long``.
    misfit
        Pearson's χ² less its mean, in standard deviations.
    """

    on_fraction: Estimate
    time: Estimate
    g2_near: Estimate
    g2_long: Estimate
    misfit: float


def fit_envelope(counts: PeakCounts, *, exclude_lags: int = 0, confidence: float = 0.95) -> Blinking:
    """Return on-fraction, blinking time and both values of g2(0).

    Intervals are those of the profile likelihood; for g2(0), joined with the exact one of the central counts.

    Parameters
    ----------
    counts
        Coincidences of a Hanbury Brown-Twiss measurement, with peaks well beyond τ_b.
    exclude_lags
        Largest lag within the dead time; these peaks are left out (the central one is kept).
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If too few peaks are counted, no blinking stands out, its time is longer than the peaks reach, or the
        envelope isn't of this form.
    """
    lags = np.abs(np.arange(-counts.max_lag, counts.max_lag + 1))
    used = lags > exclude_lags
    if exclude_lags < 0 or counts.max_lag - exclude_lags < _FEWEST_LAGS:
        raise ValueError(f"an envelope needs {_FEWEST_LAGS} lags a side, not {counts.max_lag - exclude_lags}")
    pairs, times = np.array(counts.peaks, np.int64)[used], lags[used] * counts.period_ps
    fits = {near: _fit(pairs, times, near=near) for near in (False, True)}
    _check(pairs, times, fits[False][1])
    names = (f"lag_{int(m)}" for m in np.flatnonzero(used) - counts.max_lag)
    tally: dict[str, int | float] = {
        "central": counts.central,
        **dict(zip(names, map(int, pairs), strict=True)),
    }

    def bounded(index: int, near: bool) -> Bounded:
        parameters, fit = fits[near]
        limits = profile_interval(pairs, _model(times, near), parameters, fit, index, confidence)
        return float(fit.values[index]), *limits

    def estimate(definition: str, bounds: Bounded, *, near: bool = False) -> Estimate:
        return Estimate(
            definition=definition,
            value=bounds[0],
            low=bounds[1],
            high=bounds[2],
            confidence=confidence,
            counts=tally,
            window_ps=counts.window_ps,
            delay_ps=counts.delay_ps,
            normalisation="envelope-at-zero" if near else "envelope-at-infinity",
            raw=bounds[0],
        )

    def g2(near: bool) -> Bounded:
        central = float(counts.central), *poisson_interval(counts.central, confidence)
        level = bounded(0, near)
        return central[0] / level[0], *propagated_interval(lambda n, side: n / side, [central, level])

    return Blinking(
        on_fraction=estimate("blinking.on_fraction", bounded(1, False)),
        time=estimate("blinking.time", bounded(2, False)),
        g2_near=estimate("g2.pulsed.envelope_near", g2(True), near=True),
        g2_long=estimate("g2.pulsed.envelope_long", g2(False)),
        misfit=fits[False][1].misfit,
    )


def _model(times: Floats, near: bool) -> Model:
    """Return expected pairs from (level, β, τ_b); the level is that at lag 0 where ``near``, else that far away."""

    def expected(p: Floats) -> Floats:
        level, on, decay = p
        raised = on + (1 - on) * np.exp(-times / decay)
        return np.asarray((level if near else level / on) * raised)

    return expected


def _fit(pairs: npt.NDArray[np.int64], times: Floats, *, near: bool) -> tuple[list[Parameter], PoissonFit]:
    reach = float(times.max())
    tail = max(float(pairs[times > reach / 2].mean()), 1e-3)
    starts = [
        [
            Parameter("level", tail / 0.7 if near else tail, tail * 1e-3, tail * 1e3),
            Parameter("on_fraction", 0.7, 1e-3, 1.0),
            Parameter("time_ps", part * reach, reach / (2 * times.size), 5 * reach),
        ]
        for part in (0.02, 0.08, 0.3)
    ]
    fits = [(parameters, fit_poisson(pairs, _model(times, near), parameters)) for parameters in starts]
    return min(fits, key=lambda tried: tried[1].deviance)


def _check(pairs: npt.NDArray[np.int64], times: Floats, fit: PoissonFit) -> None:
    from scipy.special import xlogy

    if pairs.sum() == 0:
        raise ValueError("no coincidence in the side peaks: there is no envelope")
    flat = float(2 * np.sum(xlogy(pairs, pairs / pairs.mean())))
    if flat - fit.deviance < _SIGNIFICANT:
        raise ValueError("no blinking stands out: the side peaks are equal within their counts")
    if fit.values[2] > float(times.max()) / 2:
        raise ValueError(f"blinking of {fit.values[2] / 1000:.0f} ns lasts longer than the peaks reach")
    if fit.misfit > _MISFIT:
        raise ValueError(f"the envelope is not one exponential: χ² lies {fit.misfit:.1f} standard deviations up")
