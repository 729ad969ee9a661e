"""The source meter on the dot's diode, a Keithley 2450 (SCPI command set).

Its output voltage is the bias that tunes the dot; readings are of the diode behind it. When the rack is
switched on the output stands at the working point; ``*RST`` switches it off, as the instrument does.
Device: Keithley Model 2450 Reference Manual, section 13.
"""

from __future__ import annotations

import threading
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.reading_buffer import Reading
from qdhil_sim.devices.setting import Family, Setting
from qdhil_sim.devices.source_output import CURRENT_NOISE_A, OperatingPoint, SourceOutput
from qdhil_sim.devices.sweep_commands import SweepCommands
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import NOT_A_NUMBER, boolean, choice, integer, number, optional
from qdhil_sim.protocol.scpi import command

LINE_FREQUENCY_HZ = 50
_VOLTAGE, _CURRENT, _RESISTANCE = "VOLTage[:DC]", "CURRent[:DC]", "RESistance"
_SOURCES = (_VOLTAGE, _CURRENT)
_SENSES = (_VOLTAGE, _CURRENT, _RESISTANCE)
_UNITS = {"VOLT": "Volt DC", "CURR": "Amp DC", "RES": "Ohm"}
_LEVELS = {
    _VOLTAGE: number("V", low=-210, high=210, default=0.0),
    _CURRENT: number("A", low=-1.05, high=1.05, default=0.0),
}
_SOURCE_RANGES = {
    _VOLTAGE: number("V", low=-200, high=200, default=0.02),
    _CURRENT: number("A", low=-1, high=1, default=1e-8),
}
_SENSE_RANGES = {
    _VOLTAGE: number("V", low=0.02, high=200, default=0.02),
    _CURRENT: number("A", low=10e-9, high=1, default=1e-4),
    _RESISTANCE: number("OHM", low=20, high=200e6, default=200e3),
}
_DELAY = number("S", low=0, high=10e3, default=0.0)
_OFF_STATE = choice("NORMal", "HIMPedance", "ZERO", "GUARd", default="NORM")
_PROTECTION = choice(*(f"PROT{volts}" for volts in (2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180)), "NONE",
                     default="NONE")  # fmt: skip


class SourceMeter(SweepCommands):
    """The source meter of one rig."""

    model: ClassVar[str] = "keithley-2450"
    port: ClassVar[int] = 5025
    no_error = '0,"No error;0;0 0"'

    source_function = Setting(
        "SOURce<1>:FUNCtion[:MODE]", parameter=choice("VOLTage", "CURRent", default="VOLT")
    )  # fmt: skip
    level = Family("[SOURce<1>:]{}[:LEVel][:IMMediate][:AMPLitude]", _LEVELS)
    source_range = Family("SOURce<1>:{}:RANGe", _SOURCE_RANGES)
    source_auto = Family("SOURce<1>:{}:RANGe:AUTO", dict.fromkeys(_SOURCES, boolean), reset=True)
    delay_s = Family("SOURce<1>:{}:DELay", dict.fromkeys(_SOURCES, _DELAY))
    delay_auto = Family("SOURce<1>:{}:DELay:AUTO", dict.fromkeys(_SOURCES, boolean), reset=True)
    user_delay_s = Family("SOURce<1>:{}:DELay:USER<1-5>", dict.fromkeys(_SOURCES, _DELAY))
    read_back = Family("SOURce<1>:{}:READ:BACK", dict.fromkeys(_SOURCES, boolean), reset=True)
    high_capacitance = Family("SOURce<1>:{}:HIGH:CAPacitance", dict.fromkeys(_SOURCES, boolean), reset=False)
    protection = Family("SOURce<1>:{}:PROTection[:LEVel]", dict.fromkeys(_SOURCES, _PROTECTION))
    current_limit_a = Setting(
        "SOURce<1>:VOLTage[:DC]:ILIMit[:LEVel]", parameter=number("A", low=1e-9, high=1.05, default=1.05e-4)
    )
    voltage_limit_v = Setting(
        "SOURce<1>:CURRent[:DC]:VLIMit[:LEVel]", parameter=number("V", low=0.02, high=210, default=0.21)
    )
    sense_function = Setting(
        "[SENSe<1>:]FUNCtion[:ON]", parameter=choice(*_SENSES, default="CURR"),
        form=lambda function: f'"{function}{"" if function == "RES" else ":DC"}"',
    )  # fmt: skip
    sense_range = Family("SENSe<1>:{}:RANGe[:UPPer]", _SENSE_RANGES)
    sense_auto = Family("SENSe<1>:{}:RANGe:AUTO", dict.fromkeys(_SENSES, boolean), reset=True)
    lowest_range = Family("SENSe<1>:{}:RANGe:AUTO:LLIMit", _SENSE_RANGES)
    cycles = Family("SENSe<1>:{}:NPLCycles", dict.fromkeys(_SENSES, number(low=0.01, high=10, default=1.0)))
    autozero = Family("SENSe<1>:{}:AZERo[:STATe]", dict.fromkeys(_SENSES, boolean), reset=True)
    four_wire = Family("SENSe<1>:{}:RSENse", dict.fromkeys(_SENSES, boolean), reset=False)
    offset_compensation = Setting("SENSe<1>:RESistance:OCOMpensated", parameter=boolean, reset=False)
    sense_delay_s = Family("SENSe<1>:{}:DELay:USER<1-5>", dict.fromkeys(_SENSES, _DELAY))
    averaging = Family("SENSe<1>:{}:AVERage[:STATe]", dict.fromkeys(_SENSES, boolean), reset=False)
    average_count = Family("SENSe<1>:{}:AVERage:COUNt", dict.fromkeys(_SENSES, integer(1, 100, default=10)))
    average_kind = Family(
        "SENSe<1>:{}:AVERage:TCONtrol", dict.fromkeys(_SENSES, choice("REPeat", "MOVing", default="REP"))
    )
    relative = Family("SENSe<1>:{}:RELative", dict.fromkeys(_SENSES, number(low=-1e9, high=1e9, default=0.0)))
    relative_on = Family("SENSe<1>:{}:RELative:STATe", dict.fromkeys(_SENSES, boolean), reset=False)
    output_on = Setting("OUTPut<1>[:STATe]", parameter=boolean, reset=False)
    off_state = Family("OUTPut<1>:{}:SMODe", dict.fromkeys(_SOURCES, _OFF_STATE))
    terminals = Setting("ROUTe:TERMinals", parameter=choice("FRONt", "REAR", default="FRON"))
    display_digits = Family("DISPlay:{}:DIGits", dict.fromkeys(_SENSES, integer(3, 6, default=5)))
    display_light = Setting(
        "DISPlay:LIGHt:STATe",
        parameter=choice("ON100", "ON75", "ON50", "ON25", "OFF", "BLACkout", default="ON50"),
    )

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"KEITHLEY INSTRUMENTS,MODEL 2450,{serial},1.7.12b", environment, clock, lock)
        self._output = SourceOutput(environment, serial)
        self.level["VOLT"] = environment.bias_v
        self.output_on = environment.bias_on

    # The source.

    def operating_point(self) -> OperatingPoint:
        """Return what is at the terminals; nothing while the output is off."""
        if not self.output_on:
            return OperatingPoint()
        function = self.source_function
        limit = self.current_limit_a if function == "VOLT" else self.voltage_limit_v
        return self._output.operating_point(function, self.level[function], limit)

    def apply(self) -> None:
        """Put the output across the dot."""
        self._output.drive(self.operating_point() if self.output_on else None)

    def set_level(self, level: float) -> None:
        """Set the level of the function that is sourced."""
        self.level[self.source_function] = level
        self.apply()

    def choose_function(self, function: str) -> None:
        """Choose what is measured."""
        self.sense_function = function

    def take_reading(self, started_s: float) -> Reading:
        """Measure once, over as many power line cycles as are set."""
        function, source = self.sense_function, self.source_function
        cycles = self.cycles[function] * (self.average_count[function] if self.averaging[function] else 1)
        begin_s = max(self.clock.now_s, self.busy_until_s)
        self.busy_until_s = begin_s + cycles / LINE_FREQUENCY_HZ + (self.delay_s[source] if self.output_on else 0)
        point = self.operating_point()
        voltage_v, current_a = self._output.noisy(point, cycles)
        value = {"VOLT": voltage_v, "CURR": current_a, "RES": voltage_v / (current_a or CURRENT_NOISE_A)}[function]
        if not self.sense_auto[function] and abs(value) > 1.05 * self.sense_range[function]:
            value = NOT_A_NUMBER
        if self.relative_on[function]:
            value -= self.relative[function]
        measured = voltage_v if source == "VOLT" else current_a
        level = measured if self.read_back[source] and self.output_on else self.level[source]
        return Reading(value, _UNITS[function], level, _UNITS[source], begin_s, begin_s - started_s, point.limited)

    @command("SOURce<1>:VOLTage[:DC]:ILIMit[:LEVel]:TRIPped?")
    def get_current_limit_tripped(self) -> int:
        """Return 1 while the current limit acts."""
        return int(self.source_function == "VOLT" and self.operating_point().limited)

    @command("SOURce<1>:CURRent[:DC]:VLIMit[:LEVel]:TRIPped?")
    def get_voltage_limit_tripped(self) -> int:
        """Return 1 while the voltage limit acts."""
        return int(self.source_function == "CURR" and self.operating_point().limited)

    @command("SOURce<1>:VOLTage[:DC]:PROTection[:LEVel]:TRIPped?")
    @command("SOURce<1>:CURRent[:DC]:PROTection[:LEVel]:TRIPped?")
    @command("OUTPut<1>:INTerlock:TRIPped?")
    def get_nothing_tripped(self) -> int:
        """Return 0: overvoltage protection and interlock have not acted."""
        return 0

    @command("SENSe<1>:VOLTage[:DC]:RELative:ACQuire")
    @command("SENSe<1>:CURRent[:DC]:RELative:ACQuire")
    @command("SENSe<1>:RESistance:RELative:ACQuire")
    def acquire_relative(self) -> None:
        """Take a reading as the offset of the readings to come."""
        self.relative[self.sense_function] = self.take_reading(self.clock.now_s).value

    @command("SENSe<1>:AZERo:ONCE")
    def autozero_once(self) -> None:
        """Measure the zero now."""
        self.busy_until_s = self.clock.now_s + 0.1

    # System.

    @command("*LANG?")
    def get_language(self) -> str:
        """Return the command set."""
        return "SCPI"

    @command("*LANG", choice("SCPI", "TSP", "SCPI2400", "SCPI34401"))
    def set_language(self, language: str) -> None:
        """Choose the command set; only this one is there."""
        if language != "SCPI":
            raise ScpiError(-221, f"the command set {language} needs a restart that is not simulated")

    @command("SYSTem:LFRequency?")
    def get_line_frequency(self) -> int:
        """Return the power line frequency in Hz."""
        return LINE_FREQUENCY_HZ

    @command("SYSTem:CLEar")
    @command("STATus:CLEar")
    def clear_events(self) -> None:
        """Empty the event log and the event registers."""
        self.clear_status()

    @command("STATus:QUEue[:NEXT]?")
    @command("SYSTem:EVENtlog:NEXT?", optional(choice("ERRor", "WARNing", "INFormation", "ALL"), "ALL"))
    def get_event(self, kind: str = "ALL") -> str:
        """Return and remove the oldest event."""
        del kind
        return self.next_error()

    @command("SYSTem:EVENtlog:COUNt?", optional(choice("ERRor", "WARNing", "INFormation", "ALL"), "ALL"))
    def count_events(self, kind: str) -> int:
        """Return how many events wait."""
        del kind
        return self.count_errors()

    @command("DISPlay:CLEar")
    def clear_display(self) -> None:
        """Clear the text on the display."""

    @command("DISPlay:SCReen", choice("HOME", "HOME_LARGE_READING", "READING_TABLE", "GRAPH", "PLOT_SWIPE_SCREEN"))
    def show_screen(self, screen: str) -> None:
        """Show a screen; nobody looks."""
