"""What the bench does to the light: from the shared state of a rig's instruments to setup and controls.

Everything is relative to the nominal bench, which leaves the profile's light exactly as it is. The models are
the simplest that have the right tendency: phonons as :class:`~qdhil_sim.light.emitter.Response` says, a Stark
shift of the line and a charge plateau around the nominal bias, pulse area going with the root of the power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdhil_sim import environment as bench
from qdhil_sim.environment import Environment
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.detector_bias import at_current
from qdhil_sim.light.emitter import Emitter
from qdhil_sim.light.setup import Setup

SPEED_OF_LIGHT_M_PER_S = 299_792_458.0
LIGHT_NM_GHZ = SPEED_OF_LIGHT_M_PER_S
"""Wavelength in nm times frequency in GHz."""
_MEV_PER_K = 0.08617333
_MOST_AREA_PI = 8.0
_SLOWEST_REP_RATE_HZ = 1.0
"""A clock slower than this makes no train of pulses."""
_PLATEAU_EDGE = 8
"""Power of the plateau's fall-off; its edges are steep."""
DETECTORS = (1, 2)
"""Numbers, in the detector driver, of detectors a and b."""


@dataclass(frozen=True)
class BenchLight:
    """The light under the conditions of the bench.

    Parameters
    ----------
    setup, controls
        What to make a light stream of.
    lit
        Whether there is any excitation.
    line_nm
        Wavelength of the dot's line.
    linewidth_ghz
        Full width at half maximum of the line, decay, dephasing and spectral diffusion together.
    laser_nm
        Wavelength of the laser.
    """

    setup: Setup
    controls: PulseControls
    lit: bool
    line_nm: float
    linewidth_ghz: float
    laser_nm: float


def light_on(bench_now: Environment, setup: Setup, controls: PulseControls) -> BenchLight:
    """Return the light of a rig with a given profile and firmware, as its bench is now."""
    shift_ghz = line_shift_ghz(setup.emitter, bench_now)
    detuning_ghz = _laser_shift_ghz(bench_now) - shift_ghz
    power = bench_now.laser_mw / bench.NOMINAL_LASER_MW
    emitter = _emitter(setup.emitter, bench_now, detuning_ghz, power)
    nominal_nm = setup.emitter.wavelength_nm or bench.NOMINAL_LASER_NM
    return BenchLight(
        setup=_setup(setup, bench_now, emitter),
        controls=_controls(controls, math.sqrt(max(power, 0.0))),
        lit=bench_now.rep_rate_hz >= _SLOWEST_REP_RATE_HZ
        and bench_now.laser_on
        and bench_now.pulse_gate_on
        and bench_now.controller_powered
        and power > 0,
        line_nm=nominal_nm / (1 + shift_ghz * nominal_nm / LIGHT_NM_GHZ),
        linewidth_ghz=linewidth_ghz(emitter),
        laser_nm=bench_now.laser_nm,
    )


def line_shift_ghz(emitter: Emitter, bench_now: Environment) -> float:
    """Return how far bias and temperature have moved the line."""
    response, bias_v = emitter.response, _bias_from_nominal_v(bench_now)
    warmer_k = bench_now.temperature_k - bench.NOMINAL_TEMPERATURE_K
    stark = response.stark_ghz_per_v * bias_v + response.stark_ghz_per_v2 * bias_v**2
    return stark + response.thermal_ghz_per_k * warmer_k


def dephasing_per_ns(emitter: Emitter, temperature_k: float) -> float:
    """Return the pure dephasing rate at a temperature; it never falls as the temperature rises."""
    response = emitter.response
    scattering = [
        (n := _phonons(response.phonon_mev, kelvin)) * (n + 1)
        for kelvin in (temperature_k, bench.NOMINAL_TEMPERATURE_K)
    ]
    added = response.phonon_dephasing_per_ns * (scattering[0] - scattering[1])
    return max(1e3 * emitter.dephasing_rate_per_ps + added, 0.0)


def zero_phonon_share(emitter: Emitter, temperature_k: float) -> float:
    """Return the light in the zero-phonon line relative to that at nominal temperature."""
    response = emitter.response
    more = _phonons(response.phonon_mev, temperature_k) - _phonons(response.phonon_mev, bench.NOMINAL_TEMPERATURE_K)
    return math.exp(-2 * response.huang_rhys * more)


def linewidth_ghz(emitter: Emitter) -> float:
    """Return the line's full width: a Voigt profile (Olivero and Longbothum 1977, within 2e-4)."""
    lorentz = (1 / emitter.lifetime_ps + 2 * emitter.dephasing_rate_per_ps) / (2e-3 * math.pi)
    gauss = math.sqrt(8 * math.log(2)) * emitter.diffusion.sd_ghz
    return 0.5346 * lorentz + math.sqrt(0.2166 * lorentz**2 + gauss**2)


def _phonons(energy_mev: float, temperature_k: float) -> float:
    """Return the Bose occupation of a phonon energy."""
    if temperature_k <= 0:
        return 0.0
    x = energy_mev / (_MEV_PER_K * temperature_k)
    return 1 / math.expm1(x) if x < 700 else 0.0


def _bias_from_nominal_v(bench_now: Environment) -> float:
    return (bench_now.bias_v if bench_now.bias_on else 0.0) - bench.NOMINAL_BIAS_V


def _laser_shift_ghz(bench_now: Environment) -> float:
    return LIGHT_NM_GHZ / bench_now.laser_nm - LIGHT_NM_GHZ / bench.NOMINAL_LASER_NM


def _emitter(emitter: Emitter, bench_now: Environment, detuning_ghz: float, power: float) -> Emitter:
    changes: dict[str, float] = {}
    if bench_now.temperature_k != bench.NOMINAL_TEMPERATURE_K:
        twice = 2e-3 * dephasing_per_ns(emitter, bench_now.temperature_k) * emitter.lifetime_ps
        changes["overlap"] = 1 / (1 + twice)
    if detuning_ghz != 0:
        changes["detuning_ghz"] = emitter.detuning_ghz + detuning_ghz
    if power != 1:
        changes["leak_photons"] = min(emitter.leak_photons * max(power, 0.0), 1.0)
        changes["background_photons"] = min(emitter.background_photons * max(power, 0.0), 1.0)
    off_v, plateau_v = _bias_from_nominal_v(bench_now), emitter.response.plateau_v
    if off_v != 0 and plateau_v is not None:
        changes["preparation"] = emitter.preparation * math.exp(-(min(abs(off_v / plateau_v), 10.0) ** _PLATEAU_EDGE))
    return emitter.model_copy(update=changes)


def _controls(controls: PulseControls, amplitude: float) -> PulseControls:
    if amplitude == 1:
        return controls
    return controls.model_copy(
        update={
            "pulse_area_pi": min(controls.pulse_area_pi * amplitude, _MOST_AREA_PI),
            "spurious_area_pi": min(controls.spurious_area_pi * amplitude, 1.0),
        }
    )


def _setup(setup: Setup, bench_now: Environment, emitter: Emitter) -> Setup:
    mzi = setup.interferometer
    rep_rate_hz = max(setup.rep_rate_hz * bench_now.rep_rate_hz / bench.NOMINAL_REP_RATE_HZ, _SLOWEST_REP_RATE_HZ)
    # the arms keep their lengths when the laser's clock changes
    late_ps = mzi.delay_periods * (setup.period_ps - 1e12 / rep_rate_hz) + bench_now.hom_delay_error_ps
    share = bench_now.collection * zero_phonon_share(setup.emitter, bench_now.temperature_k)
    a, b = (
        _detector(detector, bench_now.detector_bias_ua.get(number, bench.NOMINAL_DETECTOR_BIAS_UA))
        for detector, number in zip((setup.detector_a, setup.detector_b), DETECTORS, strict=True)
    )
    return setup.model_copy(
        update={
            "rep_rate_hz": rep_rate_hz,
            "transmission": min(max(setup.transmission * share, 0.0), 1.0),
            "emitter": emitter,
            "interferometer": mzi.model_copy(update={"delay_error_ps": mzi.delay_error_ps + late_ps}),
            "detector_a": a,
            "detector_b": b,
        }
    )


def _detector(detector: Detector, bias_ua: float) -> Detector:
    if detector.bias is None or bias_ua == bench.NOMINAL_DETECTOR_BIAS_UA:
        return detector
    return at_current(detector, detector.bias.nominal_ua + bias_ua - bench.NOMINAL_DETECTOR_BIAS_UA)
