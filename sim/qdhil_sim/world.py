"""One simulated rig: the physics that its instruments share, and the instruments."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rig
from qdhil.tags.wire import CHANNEL_BITS, CHANNEL_MASK
from qdhil_sim.catalogue import find_model
from qdhil_sim.clock import Clock
from qdhil_sim.devices.controller import Controller
from qdhil_sim.devices.cryostat import Cryostat
from qdhil_sim.devices.switch import Switch
from qdhil_sim.devices.tagger import Tagger
from qdhil_sim.environment import Environment
from qdhil_sim.fault_board import FaultBoard
from qdhil_sim.faults import CRYOSTAT_LOAD_W, PHYSICAL_FAULTS, firmware_conditions
from qdhil_sim.in_service import image_in_service
from qdhil_sim.light.bench_light import BenchLight, light_on
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.drift import Drift
from qdhil_sim.light.setup import Channels, load_setup
from qdhil_sim.power_swing import SwingingLight
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.instrument import Instrument

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qdhil_sim.light.stream import LightStream

_DRIFT, _CONTROLLER, _LIGHT, _GATE = range(4)
_RATE_GATE_S = 2e-3
_FIRST_RATE_GATE = 1 << 32
"""Numbers of rate gates; those of the tagger stay below."""


class RigWorld:
    """The shared state of one rig: clock, bench, controller, switch, cold finger, drift, faults and light.

    Raises
    ------
    ConfigurationError
        If the rig is not simulated, or its profile, baseline firmware or one of its models can't be used.
    """

    def __init__(self, name: str, rig: Rig, rack_file: Path, seed: int | None = None) -> None:
        if rig.simulation is None:
            raise ConfigurationError(f"rig {name} is not a simulated one")
        self.name = name
        self._rig = rig
        # with a seed for the whole rack, rigs still differ by their own
        self._seed = (rig.simulation.seed,) if seed is None else (rig.simulation.seed, seed)
        self.lock = threading.RLock()
        self.clock = Clock(rig.simulation.clock)
        self.environment = Environment()
        self.faults = FaultBoard(self.clock)
        self.setup = load_setup(_beside(rack_file, rig.simulation.profile))
        channels = rig.instruments.tagger.channels
        self.channels = Channels(sync=channels["sync"], a=channels["a"], b=channels["b"])
        self._drift = Drift(self.setup.drift, (*self._seed, _DRIFT))
        self._paths = {output: path for path, output in rig.instruments.switch.paths.items()}
        self._serial = f"SIM{rig.simulation.seed}"
        self._make_core(image_in_service(rig, rack_file))
        self.instruments: dict[str, Instrument] = {
            "controller": self.controller,
            "tagger": self.tagger,
            "cryostat": self.cryostat,
            "switch": self.switch,
            **{role: self._make_other(role) for role in rig.instruments.others},
        }
        self._heat_load_w = 0.0
        self._gates = _FIRST_RATE_GATE
        for role, instrument in self.instruments.items():
            instrument.after_command = self.update_bench
            instrument.link.follow(partial(self.faults.level, role))

    def _make_core(self, baseline: bytes) -> None:
        serial, clock, lock = self._serial, self.clock, self.lock
        seed = (*self._seed, _CONTROLLER)
        self.controller = Controller(serial, baseline, seed, self.environment, clock, lock)
        self.tagger = Tagger(serial, self.open_light, clock, lock)
        self.cryostat = Cryostat("LSA21DE", clock, lock, self.environment)
        self.switch = Switch(serial, max(self._paths), clock, lock)

    def _make_other(self, role: str) -> Instrument:
        model = find_model(self._rig.instruments.others[role].model, f"rig {self.name}, {role}")
        device: Instrument = model.load()(self._serial, self.environment, self.clock, self.lock)
        # what a device senses of the light, where it says that it senses any
        senses = {"count_rates_hz": self.count_rates_hz, "acquire": self.events, "line_nm": self.line_nm}
        for name, sense in senses.items():
            if hasattr(device, name):
                setattr(device, name, sense)
        return device

    def events(self, duration_s: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return times in ps from now on, and tagger inputs, of what comes in ``duration_s``."""
        with self.lock:
            self._gates += 1
            packed = self.open_light(-self._gates).take(round(duration_s * 1e12))
        return packed >> CHANNEL_BITS, packed & CHANNEL_MASK

    def count_rates_hz(self) -> list[float]:
        """Return what each detector counts now, in 1/s, over a gate of 2 ms."""
        _, channel = self.events(_RATE_GATE_S)
        detectors = [int((channel == wanted).sum()) for wanted in (self.channels.a, self.channels.b)]
        others = len(self.environment.detector_bias_ua) - len(detectors)
        return [count / _RATE_GATE_S for count in detectors] + [0.0] * others

    def update_bench(self) -> None:
        """Let what instruments and faults do to the bench take effect; the rig's lock is held."""
        heat_load_w = CRYOSTAT_LOAD_W * self.faults.light_level("cryostat_warming")
        if heat_load_w != self._heat_load_w:
            self._heat_load_w = heat_load_w
            self.cryostat.inject("warm", heat_load_w)
        self.cryostat.sense()
        self.controller.notice_power()

    def bench_light(self) -> BenchLight:
        """Return the light as firmware, faults and bench make it now; the rig's lock is held."""
        for instrument in self.instruments.values():
            if isinstance(instrument, FramedInstrument):
                instrument.act_on_environment()
        self.update_bench()
        conditions = firmware_conditions(self.setup, self.controller, self.environment)
        for kind, fault in PHYSICAL_FAULTS.items():
            if severity := self.faults.light_level(kind):
                conditions = fault(conditions, severity)
        return light_on(conditions.environment, conditions.setup, conditions.controls)

    def line_nm(self) -> float:
        """Return the wavelength of the dot's line now."""
        with self.lock:
            return self.bench_light().line_nm

    def open_light(self, number: int) -> LightStream:
        """Return the light as controller, switch, bench and faults make it now.

        Parameters
        ----------
        number
            Acquisitions count up from 1, rate gates down from -1; each has random numbers of its own.
        """
        from qdhil_sim.light.stream import LightStream

        path = self._paths.get(self.switch.connected_output, "blanked")
        light = self.bench_light()
        return LightStream(
            light.setup,
            light.controls,
            path if light.lit and self.controller.lit else "blanked",
            seed=(*self._seed, _LIGHT if number > 0 else _GATE, abs(number)),
            channels=self.channels,
            start_s=self.clock.now_s,
            drift=self._drift_of(light.controls),
        )

    def _drift_of(self, controls: PulseControls) -> Drift:
        outputs = self.controller.slots.image.outputs
        if outputs.power_swing == 0 or controls.pulse_area_pi % 2 == 0:
            return self._drift
        return SwingingLight(self._drift, controls.pulse_area_pi, outputs.power_swing, outputs.power_period_s)


def _beside(rack_file: Path, profile: str) -> str | Path:
    """Return a profile's name, or its path if it is a file, which is relative to the rack file."""
    return rack_file.parent / profile if "/" in profile or profile.endswith(".toml") else profile
