"""Antibunching of a continuously pumped source: two or three levels, whichever the data call for.

Both models are fitted; the one of smaller Akaike information criterion (deviance plus twice its number of parameters)
is reported, and the difference is said in a note. Where neither describes the histogram there is no value.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings
from qdhil.analysis.panel import Panel
from qdhil.metrics.dip import DipResult, blurred_exponential, g2_dip
from qdhil.metrics.histogram import Histogram

_MOST_BINS = 4000
_FEWEST_IN_DIP = 4.0
_ZOOM, _SHOWN = 60, 10
_FARTHEST_PS = 1e7
"""No cable delays one detector by more: an axis with its dip beyond holds no delays of pairs."""
_QUICKEST_PS = 10.0
_GRANTED, _ENOUGH, _WORST = 0.03, 30.0, 6.0
_APART, _MOST_BUNCHED = 2.0, 10.0
_HINT, _SCALES = 1.5, 12
"""Excess about the dip, in standard deviations, that is worth the slow fit of a third level; AIC demands some 2."""


def analyse_dip(
    counts: npt.NDArray[np.int64], *, first_ps: float, bin_ps: float, choices: Choices, name: str = "coincidences"
) -> Findings:
    """Return g2(0), τ_a and, of three levels, bunching and τ_b.

    Parameters
    ----------
    counts
        Pairs by delay, shape (bins,).
    first_ps, bin_ps
        Delay of the first bin and width of a bin.
    choices, name
        The detectors' response and the confidence; title of the plot.

    Raises
    ------
    ValueError
        If there is no dip, or neither model fits.
    """
    sigma_ps = choices.irf_ps or 0.0
    histogram = _rebinned(counts, first_ps, bin_ps, max(-(-counts.size // _MOST_BINS), 1))
    result, said = _choose(histogram, sigma_ps, choices.confidence)
    if histogram.bin_ps > bin_ps and result.antibunching.value < _FEWEST_IN_DIP * histogram.bin_ps:
        histogram = _zoomed(counts, first_ps, bin_ps, result)
        result, said = _choose(histogram, sigma_ps, choices.confidence)
    if abs(result.zero_delay_ps) > _FARTHEST_PS:
        raise ValueError(f"the dip lies at {result.zero_delay_ps * 1e-6:.3g} µs, beyond any cable: no axis of delays")
    if result.antibunching.value < _QUICKEST_PS:
        raise ValueError(f"a dip of {result.antibunching.value:.3g} ps is quicker than any detector: no axis of delays")
    _check_residuals(histogram, result, sigma_ps)
    notes = [said]
    if choices.irf_ps is None:
        notes.append(
            "g2(0) is that behind the detectors' response: --irf-ps takes it out, as matters for a τ_a below 1 ns"
        )
    if result.g2.high >= 0.5:
        notes.append("the interval reaches 0.5: a single emitter is not proven")
    estimates = [result.g2, result.antibunching, *(result.bunching or ())]
    return Findings(estimates, notes, [_panel(histogram, result, sigma_ps, name)])


def _zoomed(counts: npt.NDArray[np.int64], first_ps: float, bin_ps: float, rough: DipResult) -> Histogram:
    """Return the surroundings of a dip that the coarse histogram hardly resolves, in finer bins."""
    step = -(-counts.size // _MOST_BINS)
    reach = _ZOOM * max(rough.antibunching.value, step * bin_ps)
    delays = first_ps + bin_ps * np.arange(counts.size)
    near = np.flatnonzero(np.abs(delays - rough.zero_delay_ps) < reach)
    finer = max(-(-near.size // _MOST_BINS), 1)
    return _rebinned(counts[near[0] : near[-1] + 1], float(delays[near[0]]), bin_ps, finer)


def _rebinned(counts: npt.NDArray[np.int64], first_ps: float, bin_ps: float, step: int) -> Histogram:
    grouped = counts[: counts.size // step * step].reshape(-1, step).sum(axis=1)
    return Histogram.of(grouped, first_ps=first_ps + (step - 1) / 2 * bin_ps, bin_ps=step * bin_ps)


def _choose(histogram: Histogram, sigma_ps: float, confidence: float) -> tuple[DipResult, str]:
    """Return the better of both models that fit, and why."""
    fits: dict[str, DipResult] = {}
    reasons: dict[str, ValueError] = {}
    for levels, bunching in (("two", False), ("three", True)):
        if bunching and "two" in fits and _bunching(histogram, fits["two"], sigma_ps) < _HINT:
            return fits["two"], "two levels: no bunching stands out"
        try:
            fits[levels] = _sound(g2_dip(histogram, sigma_ps=sigma_ps, bunching=bunching, confidence=confidence))
        except ValueError as error:
            reasons[levels] = error
    if not fits:
        raise reasons["two"]
    if len(fits) == 1:
        ((levels, fit),) = fits.items()
        return fit, f"{levels} levels; {next(iter(reasons))} don't fit"
    gain = _deviance(histogram, fits["two"], sigma_ps) - _deviance(histogram, fits["three"], sigma_ps)
    bunched = fits["three"].bunching
    better = gain > 4.0 and bunched is not None and bunched[0].low > 0
    levels = "three" if better else "two"
    return fits[levels], f"{levels} levels: the third explains a deviance of {gain:.1f} by two parameters (AIC: 4)"


def _sound(fit: DipResult) -> DipResult:
    """Return a fit that is a dip, its times apart; refuse (ValueError) a hump, and a third level of no meaning."""
    if fit.g2.value >= 1:
        raise ValueError(f"no dip: the level at the centre is {fit.g2.value:.2f} of that far away")
    if fit.bunching is not None:
        bunched, slow = fit.bunching
        if slow.value < _APART * fit.antibunching.value or bunched.value > _MOST_BUNCHED:
            raise ValueError("bunching can't be told from antibunching")
    return fit


def _bunching(histogram: Histogram, result: DipResult, sigma_ps: float) -> float:
    """Return by how many standard deviations pairs about the dip exceed two levels, on the most telling time scale."""
    expected = _curve(histogram, result, sigma_ps)
    distance = np.abs(histogram.times_ps - result.zero_delay_ps)
    most = 0.0
    for scale_ps in np.geomspace(3 * result.antibunching.value, max(float(distance.max()), 1.0), _SCALES):
        shape = np.exp(-distance / scale_ps)
        shape -= float(shape @ expected / expected.sum())
        most = max(most, float((histogram.array - expected) @ shape / math.sqrt(float(expected @ shape**2))))
    return most


def _curve(histogram: Histogram, result: DipResult, sigma_ps: float) -> npt.NDArray[np.float64]:
    """Return expected pairs by bin."""
    tau = histogram.times_ps - result.zero_delay_ps
    sigma = math.hypot(sigma_ps, histogram.bin_ps / math.sqrt(12))
    bunched, slow = (e.value for e in result.bunching) if result.bunching else (0.0, 1.0)
    shape = 1 - (1 + bunched - result.g2.value) * blurred_exponential(
        tau, decay_ps=result.antibunching.value, sigma_ps=sigma
    )
    if bunched:
        shape = shape + bunched * blurred_exponential(tau, decay_ps=slow, sigma_ps=sigma)
    return np.maximum(shape * float(histogram.array.sum() / shape.sum()), 1e-12)


def _check_residuals(histogram: Histogram, result: DipResult, sigma_ps: float) -> None:
    """Refuse (ValueError) a fit that misses a feature of any width, of which χ² over all bins may tell nothing.

    Departures of 3 % are granted to detectors; noise alone exceeds the limit with odds of 1e-4.
    """
    expected = np.cumsum(np.concatenate(([0.0], _curve(histogram, result, sigma_ps))))
    counts = np.cumsum(np.concatenate(([0], histogram.array)))
    width = 1
    while width < counts.size // 4:
        seen, meant = (total[width:] - total[:-width] for total in (counts, expected))
        off = np.abs(seen - meant) / np.sqrt(np.maximum(meant, 1.0) + (_GRANTED * meant) ** 2)
        # a bin of few counts exceeds a Gaussian's limits by itself
        worst = float(np.max(off, where=meant > _ENOUGH, initial=0.0))
        if worst > _WORST:
            place_ps = float(histogram.times_ps[int(np.argmax(off)) + width // 2])
            raise ValueError(f"the model of a dip is {worst:.0f} standard deviations off at {place_ps / 1000:.3g} ns")
        width *= 2


def _deviance(histogram: Histogram, result: DipResult, sigma_ps: float) -> float:
    from scipy.special import xlogy

    counts, expected = histogram.array, _curve(histogram, result, sigma_ps)
    return float(2 * np.sum(expected - counts + xlogy(counts, counts / expected)))


def _panel(histogram: Histogram, result: DipResult, sigma_ps: float, name: str) -> Panel:
    times, expected = histogram.times_ps / 1000, _curve(histogram, result, sigma_ps)
    centre, reach = result.zero_delay_ps / 1000, _SHOWN * result.antibunching.value / 1000
    g2 = result.g2
    return Panel(
        name,
        "delay (ns)",
        f"pairs per {histogram.bin_ps:g} ps",
        times,
        histogram.array,
        model=(times, expected),
        zoom=(max(centre - reach, float(times[0])), min(centre + reach, float(times[-1]))),
        note=f"g2(0) = {g2.value:.3f} [{g2.low:.3f}, {g2.high:.3f}], τ_a = {result.antibunching.value / 1000:.3g} ns",
    )
