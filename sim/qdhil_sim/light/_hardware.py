"""A setup as the kernels want it: numbers for the source, the optics, the dot and the detectors."""

from __future__ import annotations

import math

from qdhil.tags.acquisition import Configuration
from qdhil_sim.light._detection import Clicks, Inputs
from qdhil_sim.light._emission import Optics, Source
from qdhil_sim.light._wandering import Dot
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.excitation import PulsePairs
from qdhil_sim.light.setup import Channels, Detector, Setup

_FWHM_PER_SD = math.sqrt(8 * math.log(2))
RAD_PER_PS_PER_GHZ = 2e-3 * math.pi
"""Angular frequency of 1 GHz."""


def source_of(setup: Setup, controls: PulseControls) -> Source:
    """Return the source under given controls."""
    photons = pulse_photons(controls, setup.emitter, setup.excitation)
    kind = setup.excitation
    return Source(
        signal=photons.signal,
        extra=photons.reexcitation,
        leak=photons.leak,
        spurious=photons.spurious,
        decayed=photons.decayed,
        background=photons.background / setup.pulses_per_period,
        lifetime_ps=setup.emitter.lifetime_ps,
        feeding_ps=kind.feeding_ps,
        start_sd_ps=math.hypot(controls.sync_jitter_ps, kind.extra_jitter_ps),
        prompt_sd_ps=controls.pulse_fwhm_ps / _FWHM_PER_SD,
        spurious_delay_ps=controls.spurious_delay_ps,
        separation_ps=kind.separation_ps if isinstance(kind, PulsePairs) else 0.0,
    )


def optics_of(setup: Setup, path: Configuration) -> Optics:
    """Return the splitters of a path."""
    mzi, kind = setup.interferometer, setup.excitation
    within = mzi.delay_periods == 0
    delay_ps = mzi.delay_periods * setup.period_ps
    if within and isinstance(kind, PulsePairs):
        delay_ps = kind.separation_ps
    return Optics(
        to_a=mzi.bs2_transmission if path.startswith("hom") else setup.hbt.transmission,
        to_short=mzi.bs1_short,
        delay_pulses=1 if within else mzi.delay_periods * setup.pulses_per_period,
        within_pairs=within,
        delay_ps=delay_ps,
        delay_error_ps=mzi.delay_error_ps,
        interference=(1 - mzi.mode_mismatch) ** 2 if path == "hom_parallel" else 0.0,
        dephasing_per_ps=setup.emitter.dephasing_rate_per_ps,
        coherence=setup.emitter.number_coherence * setup.emitter.overlap * (1 - mzi.mode_mismatch)
        if path == "hom_parallel"
        else 0.0,
        scan_per_ps=mzi.phase_scan_hz * 1e-12,
    )


def dot_of(setup: Setup, controls: PulseControls) -> Dot:
    """Return how the dot's state wanders."""
    blinking, diffusion = setup.emitter.blinking, setup.emitter.diffusion
    return Dot(
        on_fraction=blinking.on_fraction,
        blinking_ps=1e3 * blinking.correlation_ns if blinking.on_fraction < 1 else 0.0,
        diffusion_per_ps=RAD_PER_PS_PER_GHZ * diffusion.sd_ghz,
        diffusion_ps=1e3 * diffusion.correlation_ns,
        ripple_per_ps=RAD_PER_PS_PER_GHZ * controls.bias_ripple_ghz,
    )


def clicks_of(setup: Setup, channels: Channels) -> Clicks:
    """Return how the detectors turn photons into tags."""
    a, b = setup.detector_a, setup.detector_b
    best = max(a.efficiency, b.efficiency) or 1.0
    return Clicks(
        keep_a=a.efficiency / best,
        keep_b=b.efficiency / best,
        jitter_a_ps=a.jitter_ps,
        jitter_b_ps=b.jitter_ps,
        delay_b_ps=float(setup.delay_b_ps),
        channel_a=channels.a,
        channel_b=channels.b,
    )


def inputs_of(setup: Setup, channels: Channels) -> Inputs:
    """Return how the tagger's inputs behave beside photons."""

    def gap_ps(detector: Detector) -> float:
        return 1e12 / detector.dark_rate_hz if detector.dark_rate_hz > 0 else 0.0

    return Inputs(
        dark_gap_a_ps=gap_ps(setup.detector_a),
        dark_gap_b_ps=gap_ps(setup.detector_b),
        dead_a_ps=setup.detector_a.dead_time_ps,
        dead_b_ps=setup.detector_b.dead_time_ps,
        channel_a=channels.a,
        channel_b=channels.b,
        channel_sync=channels.sync,
        sync_divider=setup.sync_divider,
        sync_jitter_ps=setup.sync_input_jitter_ps,
    )
