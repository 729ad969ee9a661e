"""What the light of a setup must measure, in closed form: the yardstick of the event sampler.

The areas are the normal-ordered coincidence areas of a continuous pulse train behind an unbalanced
Mach-Zehnder interferometer, for any splitters and mode overlap. The coupling is at its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from qdhil.tags.acquisition import Configuration
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.setup import Interferometer, Setup


class HomAreas(NamedTuple):
    """Areas of the coincidence peaks (a at pulse k, b at pulse k + m) per pulse, in units of μ².

    ``plus`` and ``minus`` are the peaks at m = +n and -n for an interferometer delay of n periods.
    """

    central: float
    plus: float
    minus: float
    uncorrelated: float


@dataclass(frozen=True)
class Prediction:
    """What a setup with given controls must measure.

    Parameters
    ----------
    mean_photons
        Mean photon number μ per pulse at the emitter.
    g2
        g2(0) of the source, normalised to far peaks.
    overlap_signal
        Wave-packet overlap M_s of two signal photons.
    overlap_total
        Wave-packet overlap M_tot of the whole field of two pulses.
    areas_parallel, areas_orthogonal
        Areas of the HOM peaks.
    visibility_unc
        1 - 2 A0 / A_unc, raw, in parallel polarisation.
    visibility_cross
        (A⊥ - A∥) / A⊥ of the central peaks.
    """

    mean_photons: float
    g2: float
    overlap_signal: float
    overlap_total: float
    areas_parallel: HomAreas
    areas_orthogonal: HomAreas
    visibility_unc: float
    visibility_cross: float


def predict(setup: Setup, controls: PulseControls) -> Prediction:
    """Return the closed forms of a setup with given controls.

    Raises
    ------
    ConfigurationError
        If the controls are beyond their model.
    """
    photons = pulse_photons(controls, setup.emitter)
    mean = photons.mean
    g2 = photons.pair_mean / mean**2 if mean > 0 else math.nan
    signal = signal_overlap(setup, controls)
    total = (photons.signal / mean) ** 2 * signal if mean > 0 else math.nan
    parallel = hom_areas(setup.interferometer, g2, total)
    orthogonal = hom_areas(setup.interferometer, g2, 0.0)
    return Prediction(
        mean_photons=mean,
        g2=g2,
        overlap_signal=signal,
        overlap_total=total,
        areas_parallel=parallel,
        areas_orthogonal=orthogonal,
        visibility_unc=1 - 2 * parallel.central / parallel.uncorrelated,
        visibility_cross=(orthogonal.central - parallel.central) / orthogonal.central,
    )


def signal_overlap(setup: Setup, controls: PulseControls) -> float:
    """Return M_s = M0 erfcx(Γσ) for pure dephasing and a Gaussian jitter σ of each pulse's start."""
    from scipy.special import erfcx

    emitter = setup.emitter
    return emitter.overlap * float(erfcx(controls.sync_jitter_ps / emitter.lifetime_ps))


def hom_areas(mzi: Interferometer, g2: float, overlap_total: float) -> HomAreas:
    """Return the areas of the HOM peaks for a source of g2(0) ``g2`` and total overlap ``overlap_total``."""
    short, long = mzi.bs1_short, 1 - mzi.bs1_short
    t, r = mzi.bs2_transmission, 1 - mzi.bs2_transmission
    same_arm, cross_arm = short**2 + long**2, short * long
    dip = 2 * t * r * (1 - mzi.mode_mismatch) ** 2 * overlap_total
    return HomAreas(
        central=t * r * g2 * same_arm + cross_arm * (t**2 + r**2 - dip),
        plus=t * r * same_arm + cross_arm * (r**2 + g2 * t**2),
        minus=t * r * same_arm + cross_arm * (t**2 + g2 * r**2),
        uncorrelated=(short * t + long * r) * (short * r + long * t),
    )


def click_rates_hz(setup: Setup, controls: PulseControls, path: Configuration) -> tuple[float, float]:
    """Return the click rates of detectors a and b in 1/s after dead time, dark counts included.

    Accurate to second order in the click probability per pulse: two photons at one detector within a
    pulse click once, and a click blinds ``floor(dead time / T)`` pulses, which on the HOM path are
    correlated with it.
    """
    rates = []
    for at_b, detector in enumerate((setup.detector_a, setup.detector_b)):
        dead_s = detector.dead_time_ps / 1e12
        observed = _light_rate_hz(setup, controls, path, at_b=bool(at_b))
        dark = detector.dark_rate_hz * (1 - observed * dead_s) / (1 + detector.dark_rate_hz * dead_s)
        rates.append(observed + dark)
    return rates[0], rates[1]


def _light_rate_hz(setup: Setup, controls: PulseControls, path: Configuration, *, at_b: bool) -> float:
    if path == "blanked":
        return 0.0
    detector = setup.detector_b if at_b else setup.detector_a
    expected = predict(setup, controls)
    share, pairs, near = _one_detector(setup, expected, path, at_b=at_b)
    photons = expected.mean_photons * setup.transmission * detector.efficiency * share
    blind = math.floor(detector.dead_time_ps / setup.period_ps)
    clicks = photons - pairs * photons**2 / 2 if detector.dead_time_ps > 0 else photons
    correlated = path != "hbt" and setup.interferometer.delay_periods <= blind
    weight = blind - 1 + near if correlated else blind
    return setup.rep_rate_hz * clicks / (1 + weight * clicks)


def _one_detector(setup: Setup, expected: Prediction, path: Configuration, *, at_b: bool) -> tuple[float, float, float]:
    """Return one detector's share of the light and its own g2 at 0 and at the interferometer's delay."""
    if path == "hbt":
        split = setup.hbt.transmission
        return (1 - split if at_b else split), expected.g2, 1.0
    mzi = setup.interferometer
    short, long = mzi.bs1_short, 1 - mzi.bs1_short
    t, r = mzi.bs2_transmission, 1 - mzi.bs2_transmission
    if at_b:
        t, r = r, t
    overlap = expected.overlap_total if path == "hom_parallel" else 0.0
    dip = (1 - mzi.mode_mismatch) ** 2 * overlap
    share = short * t + long * r
    same_arm = (short * t) ** 2 + (long * r) ** 2
    pairs = (expected.g2 * same_arm + 2 * short * long * t * r * (1 + dip)) / share**2
    near = (same_arm + short * long * t * r * (1 + expected.g2)) / share**2
    return share * mzi.transmission, pairs, near
