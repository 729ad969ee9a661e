"""What a Keithley 2400 measures: voltage, current and resistance, several at once or one of them."""

from __future__ import annotations

import threading

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Setting
from qdhil_sim.devices.source_meter_2400_triggers import CURRENT, VOLTAGE, TriggeredReadings
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.parameters import boolean, choice, optional
from qdhil_sim.protocol.scpi import command

RESISTANCE = "RESistance"
SENSES = (VOLTAGE, CURRENT, RESISTANCE)
_FUNCTION = choice(*SENSES)
_FUNCTIONS = (_FUNCTION, optional(_FUNCTION, None), optional(_FUNCTION, None))
_SHORT = ("VOLT", "CURR", "RES")


class SenseFunctions(TriggeredReadings):
    """The choice of what is measured."""

    concurrent = Setting("SENSe<1>:FUNCtion:CONCurrent", parameter=boolean, reset=True)

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._sensed = ["CURR"]

    def reset(self) -> None:
        """Return to the reset state: current is measured."""
        self._sensed = ["CURR"]
        super().reset()

    @command("CONFigure:VOLTage[:DC]")
    def configure_voltage(self) -> None:
        """Measure voltage."""
        self._sense("VOLT")

    @command("CONFigure:CURRent[:DC]")
    def configure_current(self) -> None:
        """Measure current."""
        self._sense("CURR")

    @command("CONFigure:RESistance")
    def configure_resistance(self) -> None:
        """Measure resistance, and the voltage and current that it follows from."""
        self._sense("RES")

    @command("CONFigure?")
    @command("SENSe<1>:FUNCtion[:ON]?")
    def get_functions(self) -> str:
        """Return what is measured."""
        return ",".join(f'"{name}{"" if name == "RES" else ":DC"}"' for name in self._sensed)

    def _sense(self, *names: str) -> None:
        self._sensed = [name for name in _SHORT if name in names]

    @command("SENSe<1>:FUNCtion[:ON]", *_FUNCTIONS)
    def sense(self, *names: str | None) -> None:
        """Measure these too, or this instead where quantities are not measured at once."""
        chosen = [name for name in names if name is not None]
        self._sense(*(self._sensed if self.concurrent else []), *(chosen if self.concurrent else chosen[-1:]))

    @command("SENSe<1>:FUNCtion:OFF", *_FUNCTIONS)
    def sense_not(self, *names: str | None) -> None:
        """Measure these no more."""
        self._sense(*(name for name in self._sensed if name not in names))

    @command("SENSe<1>:FUNCtion:ALL")
    @command("SENSe<1>:FUNCtion:ON:ALL")
    def sense_all(self) -> None:
        """Measure everything."""
        self._sense(*(_SHORT if self.concurrent else ("RES",)))

    @command("SENSe<1>:FUNCtion:OFF:ALL")
    def sense_nothing(self) -> None:
        """Measure nothing."""
        self._sense()

    @command("SENSe<1>:FUNCtion:STATe?", _FUNCTION)
    def is_sensed(self, name: str) -> int:
        """Return whether a quantity is measured."""
        return int(name in self._sensed)
