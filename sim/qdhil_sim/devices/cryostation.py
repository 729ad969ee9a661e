"""A closed-cycle cryostat, a Montana Instruments Cryostation, spoken to through the program that runs it.

A message is its length in two digits and its text, the answer too; there is no terminator. Its cold finger is its
own, not that of the dot. Device: Cryostation communication specification, version 1.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.coldfinger import ThermalSystem
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.framing.length import LengthFraming

LOWEST_K, HIGHEST_K = 2.0, 350.0
COLD_K, WARM_K, STAGE_ONE_K = 3.0, 295.0, 35.0
SETTLE_LIMIT_S = 1800.0
UNKNOWN = "-0.100"
"""What a quantity that is not known reads as."""


class Cryostation(FramedInstrument):
    """The cryostat of one rig beside the dot's."""

    model: ClassVar[str] = "montana-cryostation"
    port: ClassVar[int] = 7773

    def __init__(self, serial: str, _environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"MONTANA INSTRUMENTS:CRYOSTATION S50:{serial}:3.80", clock, lock)
        self.thermal = ThermalSystem(clock.now_s)
        self._automation = "cooldown"
        self._queries: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: self.shown_identity,
            "GTSP": lambda: f"{self.thermal.target_k:.2f}",
            "GST": lambda: f"{self.thermal.finger.sample_k:.3f}",
            "GUT": lambda: UNKNOWN,
            "GPT": lambda: f"{self.thermal.finger.finger_k:.3f}",
            "GS1T": lambda: (
                f"{self.thermal.finger.base_k + STAGE_ONE_K - COLD_K:.3f}" if self._cold else f"{WARM_K:.3f}"
            ),
            "GS2T": lambda: f"{self.thermal.finger.base_k:.3f}",
            "GPHP": lambda: f"{self.thermal.heater_w:.3f}",
            "GS1HP": lambda: "0.000",
            "GSS": lambda: self._stability(self.thermal.finger.sample_k),
            "GPS": lambda: self._stability(self.thermal.finger.finger_k),
            "GUS": lambda: UNKNOWN,
            "GCP": lambda: "0.1" if self._cold else "760000.0",
            "GAS": lambda: "F",
            "GMS": lambda: "MAGNET NOT PRESENT",
            "GMTF": lambda: "-9.999999",
        }
        self._actions = {"SCD": "cooldown", "SWU": "warmup", "SSB": "standby", "STP": "stopped"}

    @property
    def _cold(self) -> bool:
        return self.thermal.finger.base_k < WARM_K

    def framing(self) -> Framing:
        """Return messages behind their length in two digits."""
        return LengthFraming(2)

    def _stability(self, temperature_k: float) -> str:
        if self._automation not in ("cooldown", "stopped"):
            return UNKNOWN
        return f"{abs(temperature_k - self.thermal.target_k):.5f}"

    def answer(self, message: str) -> str | None:
        """Run one command."""
        name = message.strip().upper()
        self._observe()
        if name in self._queries:
            return self._queries[name]()
        if name.startswith("STSP"):
            return self._set_target(name.removeprefix("STSP"))
        if name in self._actions:
            return self._automate(self._actions[name])
        self.undefined_headers += 1
        return f"ERROR: Unknown command {message}"[:99]

    def _set_target(self, written: str) -> str:
        try:
            target_k = float(written)
        except ValueError:
            target_k = math.nan
        if not LOWEST_K <= target_k <= HIGHEST_K:
            return f"ERROR: temperature setpoint from {LOWEST_K:g} to {HIGHEST_K:g} K"
        self.thermal.set_target(target_k)
        return f"OK, temperature setpoint set to {target_k:.2f}"

    def _automate(self, state: str) -> str:
        self._automation = state
        if state == "cooldown":
            self.thermal.finger.base_k = COLD_K
            self.thermal.loop.mode = 1
        elif state in ("warmup", "standby"):
            # the cooler stops; in standby its stages are let warm up as well
            self.thermal.finger.base_k = WARM_K
            self.thermal.loop.mode = 0
        return "OK"

    def _observe(self) -> None:
        self.thermal.advance_to(self.clock.now_s)
        if self.clock.turbo and not self.thermal.steady:
            self.clock.finish(self.thermal.settle(lambda: self.thermal.steady, SETTLE_LIMIT_S))
            self.thermal.advance_to(self.clock.now_s)
