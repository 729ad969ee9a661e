"""What the light of a setup must measure, in closed form: the yardstick of the event sampler.

The areas are the normal-ordered coincidence areas of a continuous pulse train behind an unbalanced
Mach-Zehnder interferometer, for any splitters and mode overlap. The coupling is at its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from qdhil.errors import ConfigurationError
from qdhil.tags.acquisition import Configuration
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.overlap import meeting_lag_ps, signal_overlap
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


@dataclass(frozen=True)
class SourceNumbers:
    """What a pulse train carries, blinking included and normalised to pulses far apart.

    Parameters
    ----------
    mean
        Mean photon number μ per pulse.
    g2
        <n(n - 1)> / μ².
    dot_share
        Share of the photons that the dot makes.
    signal_share
        Share of the photons that are signal.
    excess
        (1 - β)/β, the bunching of a dot that is bright for a fraction β of the time.
    blinking_ps
        Correlation time of the blinking.
    """

    mean: float
    g2: float
    dot_share: float
    signal_share: float
    excess: float
    blinking_ps: float

    def bunching(self, lag_ps: float) -> float:
        """Return 1 + (1 - β)/β exp(-|lag|/τ_b) of the dot's light alone."""
        return 1 + self.excess * math.exp(-abs(lag_ps) / self.blinking_ps)

    def envelope(self, lag_ps: float) -> float:
        """Return <n n'> / μ² of two pulses a lag apart."""
        return 1 + self.dot_share**2 * (self.bunching(lag_ps) - 1)


def source_numbers(setup: Setup, controls: PulseControls) -> SourceNumbers:
    """Return what the pulse train of a source carries.

    Raises
    ------
    ConfigurationError
        If the controls are beyond their model.
    """
    photons = pulse_photons(controls, setup.emitter, setup.excitation)
    bright = setup.emitter.blinking.on_fraction
    background = photons.background / setup.pulses_per_period
    others, dot = photons.leak + background, bright * photons.dot_mean
    mean = dot + others
    pairs = bright * photons.dot_pair_mean + 2 * (dot * others + photons.leak * background)
    return SourceNumbers(
        mean=mean,
        g2=pairs / mean**2 if mean > 0 else math.nan,
        dot_share=dot / mean if mean > 0 else math.nan,
        signal_share=bright * photons.signal / mean if mean > 0 else math.nan,
        excess=(1 - bright) / bright,
        blinking_ps=1e3 * setup.emitter.blinking.correlation_ns,
    )


def predict(setup: Setup, controls: PulseControls) -> Prediction:
    """Return the closed forms of a setup with given controls.

    Raises
    ------
    ConfigurationError
        If the controls are beyond their model, or the interferometer matches pulse pairs (:func:`pair_areas`).
    """
    if setup.interferometer.delay_periods == 0:
        raise ConfigurationError("the peaks of pulse pairs are those of pair_areas, not of a train")
    source = source_numbers(setup, controls)
    lag_ps = meeting_lag_ps(setup)
    signal = signal_overlap(setup, controls)
    total = source.signal_share**2 * source.bunching(lag_ps) * signal
    envelope = (source.envelope(lag_ps), source.envelope(2 * lag_ps))
    parallel = hom_areas(setup.interferometer, source.g2, total, envelope)
    far = coherent_far_area(setup.interferometer, number_coherence(setup, controls))
    parallel = parallel._replace(uncorrelated=far)
    orthogonal = hom_areas(setup.interferometer, source.g2, 0.0, envelope)
    return Prediction(
        mean_photons=source.mean,
        g2=source.g2,
        overlap_signal=signal,
        overlap_total=total,
        areas_parallel=parallel,
        areas_orthogonal=orthogonal,
        visibility_unc=1 - 2 * parallel.central / parallel.uncorrelated,
        visibility_cross=(orthogonal.central - parallel.central) / orthogonal.central,
    )


def hom_areas(
    mzi: Interferometer, g2: float, overlap_total: float, envelope: tuple[float, float] = (1.0, 1.0)
) -> HomAreas:
    """Return the areas of the HOM peaks for a source of g2(0) ``g2`` and total overlap ``overlap_total``.

    ``envelope`` is <n n'>/μ² of pulses one and two interferometer delays apart, above 1 for a blinking dot.
    """
    short, long = mzi.bs1_short, 1 - mzi.bs1_short
    t, r = mzi.bs2_transmission, 1 - mzi.bs2_transmission
    same_arm, cross_arm = short**2 + long**2, short * long
    once, twice = envelope
    dip = 2 * t * r * (1 - mzi.mode_mismatch) ** 2 * overlap_total
    return HomAreas(
        central=t * r * g2 * same_arm + cross_arm * ((t**2 + r**2) * once - dip),
        plus=t * r * same_arm * once + cross_arm * (r**2 * twice + g2 * t**2),
        minus=t * r * same_arm * once + cross_arm * (t**2 * twice + g2 * r**2),
        uncorrelated=(short * t + long * r) * (short * r + long * t),
    )


def pair_areas(setup: Setup, controls: PulseControls, *, parallel: bool = True) -> dict[int, float]:
    """Return the areas of the five peaks around 0 of pulse pairs, per pair and in units of μ².

    Peak q is at q separations of the pair (Santori et al., Nature 419, 594 (2002)).
    """
    mzi = setup.interferometer
    source = source_numbers(setup, controls)
    lag_ps = meeting_lag_ps(setup)
    once = source.envelope(lag_ps)
    total = source.signal_share**2 * source.bunching(lag_ps) * signal_overlap(setup, controls) if parallel else 0.0
    short, long = mzi.bs1_short, 1 - mzi.bs1_short
    t, r = mzi.bs2_transmission, 1 - mzi.bs2_transmission
    same_arm, cross_arm = t * r * (short**2 + long**2), short * long
    dip = 2 * t * r * (1 - mzi.mode_mismatch) ** 2 * total
    return {
        -2: cross_arm * r**2 * once,
        -1: same_arm * once + 2 * source.g2 * cross_arm * r**2,
        0: cross_arm * ((t**2 + r**2) * once - dip) + 2 * source.g2 * same_arm,
        1: same_arm * once + 2 * source.g2 * cross_arm * t**2,
        2: cross_arm * t**2 * once,
    }


def adjacent_visibility(areas: HomAreas, g2: float) -> float:
    """Return V' = 1 - A0 (3 + g2) / (A+ + A-) of even splitters, normalised to the peaks at the delay.

    It equals 1 - 2 A0/A_unc where pulses are independent. Photon-number coherence lowers the far peaks and
    slow blinking the peaks at the delay and at 0 alike, so the difference of the two tells of either.
    """
    return 1 - areas.central * (3 + g2) / (areas.plus + areas.minus)


def number_coherence(setup: Setup, controls: PulseControls) -> float:
    """Return C = |<a>|²/<a†a> of the train: the share of empty pulses, less dephasing, mismatch and noise."""
    photons = pulse_photons(controls, setup.emitter, setup.excitation)
    emitter, source = setup.emitter, source_numbers(setup, controls)
    kept = emitter.number_coherence * emitter.overlap * (1 - setup.interferometer.mode_mismatch)
    return kept * (1 - photons.signal) * source.signal_share


def coherent_far_area(mzi: Interferometer, coherence: float) -> float:
    """Return the far peaks' area in units of μ² for light of photon-number coherence C = |<a>|²/<a†a>.

    The interferometer's phase is taken to wander over all values during the acquisition, but slowly
    compared with its delay; even splitters give (1 - C²/2)/4.
    """
    short, long = mzi.bs1_short, 1 - mzi.bs1_short
    t, r = mzi.bs2_transmission, 1 - mzi.bs2_transmission
    return (short * t + long * r) * (short * r + long * t) - 2 * short * long * t * r * coherence**2


def click_rates_hz(setup: Setup, controls: PulseControls, path: Configuration) -> tuple[float, float]:
    """Return the click rates of detectors a and b in 1/s after dead time, dark counts included.

    Accurate to second order in the click probability per pulse: two photons at one detector within a
    pulse click once, and a click blinds ``floor(dead time / T)`` pulses, which on the HOM path are
    correlated with it. Blinking is allowed for between clicks of the HBT path alone.

    Raises
    ------
    ConfigurationError
        If the controls are beyond their model, or the pulses come in pairs.
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
    if setup.pulses_per_period > 1:
        raise ConfigurationError("there is no closed form for the dead time of pulse pairs")
    detector = setup.detector_b if at_b else setup.detector_a
    expected = predict(setup, controls)
    share, pairs, near = _one_detector(setup, expected, path, at_b=at_b)
    photons = expected.mean_photons * setup.transmission * detector.efficiency * share
    blind = math.floor(detector.dead_time_ps / setup.period_ps)
    clicks = photons - pairs * photons**2 / 2 if detector.dead_time_ps > 0 else photons
    correlated = path != "hbt" and setup.interferometer.delay_periods <= blind
    source = source_numbers(setup, controls)
    weight = sum(source.envelope(lag * setup.period_ps) for lag in range(1, blind + 1))
    weight += near - 1 if correlated else 0.0
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
