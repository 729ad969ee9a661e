"""One simulated rig: the physics that its instruments share, and the instruments."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rig
from qdhil_sim.builds import read_image
from qdhil_sim.clock import Clock
from qdhil_sim.devices.controller import Controller
from qdhil_sim.devices.cryostat import Cryostat
from qdhil_sim.devices.switch import Switch
from qdhil_sim.devices.tagger import Tagger
from qdhil_sim.light.drift import Drift
from qdhil_sim.light.setup import Channels, load_setup
from qdhil_sim.protocol.instrument import Instrument

if TYPE_CHECKING:
    from qdhil_sim.light.stream import LightStream

_DRIFT, _CONTROLLER, _LIGHT, _GATE = range(4)


class RigWorld:
    """The shared state of one rig: clock, controller, switch, cold finger, drift and light.

    Raises
    ------
    ConfigurationError
        If the rig is not simulated, or its profile or baseline firmware can't be used.
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
        self.setup = load_setup(_beside(rack_file, rig.simulation.profile))
        channels = rig.instruments.tagger.channels
        self.channels = Channels(sync=channels["sync"], a=channels["a"], b=channels["b"])
        self._drift = Drift(self.setup.drift, (*self._seed, _DRIFT))
        self._paths = {output: path for path, output in rig.instruments.switch.paths.items()}
        serial = f"SIM{rig.simulation.seed}"
        outputs = max(self._paths)
        baseline = read_image(rig.firmware.baseline)
        self.controller = Controller(serial, baseline, (*self._seed, _CONTROLLER), self.clock, self.lock)
        self.tagger = Tagger(serial, self.open_light, self.clock, self.lock)
        self.cryostat = Cryostat("LSA21DE", self.clock, self.lock)
        self.switch = Switch(serial, outputs, self.clock, self.lock)

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments by role."""
        return {
            "controller": self.controller,
            "tagger": self.tagger,
            "cryostat": self.cryostat,
            "switch": self.switch,
        }

    def open_light(self, number: int) -> LightStream:
        """Return the light as the controller and the switch make it now.

        Parameters
        ----------
        number
            Acquisitions count up from 1, rate gates down from -1; each has random numbers of its own.
        """
        from qdhil_sim.light.stream import LightStream

        path = self._paths.get(self.switch.connected_output, "blanked")
        return LightStream(
            self.setup,
            self.controller.slots.image.controls,
            path if self.controller.lit else "blanked",
            seed=(*self._seed, _LIGHT if number > 0 else _GATE, abs(number)),
            channels=self.channels,
            start_s=self.clock.now_s,
            drift=self._drift,
        )


def _beside(rack_file: Path, profile: str) -> str | Path:
    """Return a profile's name, or its path if it is a file, which is relative to the rack file."""
    return rack_file.parent / profile if "/" in profile or profile.endswith(".toml") else profile
