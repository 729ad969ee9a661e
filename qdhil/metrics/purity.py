"""Pulsed second-order autocorrelation g2(0), the measure of single-photon purity (P = 1 - g2).

    g = N0 / (Ns / k)

with N0 coincidences in the central peak and Ns in k side peaks, all with the same window. Given
N0 + Ns, N0 is binomial with π = g/(g + k), so the interval of g is the Clopper-Pearson one of π: exact
at any count, where sqrt(N) errors cover 63 % at one central coincidence.
"""

from __future__ import annotations

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.noise import NoiseRatio, noise_pair, without_noise
from qdhil.statistics.intervals import poisson_ratio_interval


def central_to_far(
    counts: PeakCounts, *, exclude_lags: int, confidence: float
) -> tuple[float, float, float, dict[str, int]]:
    """Return N0/(Ns/k), its exact interval, and the three counts.

    Raises
    ------
    ValueError
        If the far peaks are empty: there is nothing to normalise with.
    """
    side, side_peaks = counts.far(exclude_lags)
    if side == 0:
        raise ValueError(f"no coincidence in {side_peaks} side peaks: there is nothing to normalise with")
    low, high = poisson_ratio_interval(counts.central, side, confidence)
    tally = {"central": counts.central, "side": side, "side_peaks": side_peaks}
    return counts.central * side_peaks / side, low * side_peaks, high * side_peaks, tally


def g2_area(
    counts: PeakCounts,
    *,
    exclude_lags: int,
    confidence: float = 0.95,
    noise_ratio: NoiseRatio | None = None,
) -> Estimate:
    """Return g2(0) of a pulsed source by peak areas, normalised to the far peaks; id ``g2.pulsed.area``.

    Blinking raises the side peaks near the centre; normalised to peaks nearer than the blinking
    time the value is that of the on-state.

    Parameters
    ----------
    counts
        Coincidences of a Hanbury Brown-Twiss measurement.
    exclude_lags
        Peaks with abs(lag) up to this one don't serve as side peaks.
    confidence
        Nominal coverage of the interval.
    noise_ratio
        Noise over signal clicks within the window (see :func:`~qdhil.metrics.noise.noise_ratio`); gives
        ``corrected``. ``value`` and its interval stay raw.

    Raises
    ------
    ValueError
        If the side peaks hold no coincidence, or ``exclude_lags`` leaves none.
    """
    g, low, high, tally = central_to_far(counts, exclude_lags=exclude_lags, confidence=confidence)
    corrected, correction = None, None
    if noise_ratio is not None:
        corrected = without_noise(g, noise_ratio)
        correction = "noise/signal {:.3g}, {:.3g}".format(*noise_pair(noise_ratio))
    return Estimate(
        definition="g2.pulsed.area",
        value=g,
        low=low,
        high=high,
        confidence=confidence,
        counts=tally,
        window_ps=counts.window_ps,
        delay_ps=counts.delay_ps,
        normalisation="far-peaks",
        raw=g,
        corrected=corrected,
        correction=correction,
    )
