"""Physical faults: what goes wrong with the light of a rig, as a change of what makes the light.

Each fault is a function of its severity s, from 0 (as before) to 1, on the optics, the excitation and the
bench. What each of them leaves alone is what tells it from the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qdhil_sim.devices.controller import Controller
from qdhil_sim.environment import Environment
from qdhil_sim.light.bench_light import LIGHT_NM_GHZ
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.setup import Detector, Setup

CRYOSTAT_LOAD_W = 5.0
"""Heat load on the cold finger at severity 1."""


@dataclass(frozen=True)
class Conditions:
    """Everything that an acquisition's light is made from."""

    setup: Setup
    controls: PulseControls
    environment: Environment


PhysicalFault = Callable[[Conditions, float], Conditions]


def _with_setup(conditions: Conditions, **changes: Any) -> Conditions:
    """Change fields of the setup and check them again."""
    data = conditions.setup.model_dump()
    for path, value in changes.items():
        *tables, name = path.split("__")
        table = data
        for each in tables:
            table = table[each]
        table[name] = value
    return replace(conditions, setup=Setup.model_validate(data))


def firmware_conditions(setup: Setup, controller: Controller, environment: Environment) -> Conditions:
    """Return what light is made from with the firmware that the controller runs, and no fault."""
    image = controller.slots.image
    conditions = Conditions(setup, image.controls, environment)
    changes: dict[str, Any] = {}
    if controller.delay_error_ps:
        changes["interferometer__delay_error_ps"] = setup.interferometer.delay_error_ps + controller.delay_error_ps
    if image.outputs.sync_divider_factor != 1:
        changes["sync_divider"] = setup.sync_divider * image.outputs.sync_divider_factor
    return _with_setup(conditions, **changes) if changes else conditions


def coupling_loss(conditions: Conditions, severity: float) -> Conditions:
    """Let the fibre drift off the dot: up to 90 % of the light is lost, nothing else changes."""
    return _with_setup(conditions, transmission=conditions.setup.transmission * (1 - 0.9 * severity))


def spectral_drift(conditions: Conditions, severity: float) -> Conditions:
    """Let the line drift to the red of the laser, up to 40 GHz: less light, and the spectrum shows it."""
    emitter, shift_ghz = conditions.setup.emitter, 40 * severity
    line_nm = emitter.wavelength_nm
    changes = {"emitter__detuning_ghz": emitter.detuning_ghz + shift_ghz}
    if line_nm is not None:
        changes["emitter__wavelength_nm"] = line_nm * (1 + shift_ghz * line_nm / LIGHT_NM_GHZ)
    return _with_setup(conditions, **changes)


def charge_noise(conditions: Conditions, severity: float) -> Conditions:
    """Let charges near the dot move its line, up to 350 MHz: interference is lost at long delays."""
    diffusion = conditions.setup.emitter.diffusion
    return _with_setup(conditions, emitter__diffusion__sd_ghz=math.hypot(diffusion.sd_ghz, 0.35 * severity))


def laser_leak(conditions: Conditions, severity: float) -> Conditions:
    """Let laser pulses through the polarisation filter, up to 0.1 photons a pulse."""
    leak = conditions.setup.emitter.leak_photons
    return _with_setup(conditions, emitter__leak_photons=leak + max(0.1 - leak, 0) * severity)


def background(conditions: Conditions, severity: float) -> Conditions:
    """Add light of other origin that knows no pulses, up to 0.1 photons a pulse period."""
    background = conditions.setup.emitter.background_photons
    return _with_setup(conditions, emitter__background_photons=background + max(0.1 - background, 0) * severity)


def blinking(conditions: Conditions, severity: float) -> Conditions:
    """Keep the dot dark for up to 70 % of the time: there is less light, and side peaks bunch."""
    on_fraction = conditions.setup.emitter.blinking.on_fraction
    return _with_setup(conditions, emitter__blinking__on_fraction=on_fraction * (1 - 0.7 * severity))


def detector_saturation(conditions: Conditions, severity: float) -> Conditions:
    """Slow the detectors' recovery by up to 400 ns: far side peaks rise over near ones, rates fall short."""
    longer_ps = round(4e5 * severity)
    return _on_detectors(conditions, lambda each: {"dead_time_ps": each.dead_time_ps + longer_ps})


def laser_jitter(conditions: Conditions, severity: float) -> Conditions:
    """Let the laser's pulses jitter by up to 80 ps: interference falls and the edge of the decay blurs."""
    jitter_ps = math.hypot(conditions.controls.sync_jitter_ps, 80 * severity)
    return replace(conditions, controls=conditions.controls.model_copy(update={"sync_jitter_ps": jitter_ps}))


def electronics_jitter(conditions: Conditions, severity: float) -> Conditions:
    """Let detectors and their cables jitter by up to 80 ps: the edge blurs, interference stays."""
    return _on_detectors(conditions, lambda each: {"jitter_ps": math.hypot(each.jitter_ps, 80 * severity)})


def _on_detectors(conditions: Conditions, change: Callable[[Detector], Mapping[str, Any]]) -> Conditions:
    changes = {
        f"{name}__{field}": value
        for name in ("detector_a", "detector_b")
        for field, value in change(getattr(conditions.setup, name)).items()
    }
    return _with_setup(conditions, **changes)


PHYSICAL_FAULTS: dict[str, PhysicalFault] = {
    "coupling_loss": coupling_loss,
    "spectral_drift": spectral_drift,
    "charge_noise": charge_noise,
    "blinking": blinking,
    "laser_leak": laser_leak,
    "background": background,
    "detector_saturation": detector_saturation,
    "laser_jitter": laser_jitter,
    "electronics_jitter": electronics_jitter,
}
