"""The source meter on the dot's diode, a Keithley 2400: an older tree of commands than the 2450's.

The limit of one quantity is the protection of the other's sense function; several quantities are measured
at once. The instrument has GPIB and a serial port: over TCP a gateway serves it. Device: Keithley Series 2400
SourceMeter user's manual (2400S-900-01), section 18.
"""

from __future__ import annotations

import threading
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Family, Setting
from qdhil_sim.devices.source_meter_2400_readings import (
    CURRENT_READ,
    CURRENT_SOURCE,
    FOUR_WIRE,
    IN_LIMIT,
    OHM_READ,
    VOLTAGE_READ,
    VOLTAGE_SOURCE,
    Reading,
)
from qdhil_sim.devices.source_meter_2400_sense import RESISTANCE, SENSES, SenseFunctions
from qdhil_sim.devices.source_meter_2400_triggers import CURRENT, LEVELS, VOLTAGE, OutputOffError
from qdhil_sim.devices.source_output import CURRENT_NOISE_A, OperatingPoint, SourceOutput
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.parameters import NOT_A_NUMBER, Parameter, boolean, choice, integer, number, optional, text
from qdhil_sim.protocol.scpi import command

LINE_FREQUENCY_HZ = 50
_SOURCE_RANGES = {
    VOLTAGE: number("V", low=-210, high=210, default=21.0),
    CURRENT: number("A", low=-1.05, high=1.05, default=1.05e-4),
}
_SENSE_RANGES = {
    VOLTAGE: number("V", low=-210, high=210, default=21.0),
    CURRENT: number("A", low=-1.05, high=1.05, default=1.05e-4),
    RESISTANCE: number("OHM", low=0, high=210e6, default=2.1e5),
}
_LIMITS = {
    VOLTAGE: number("V", low=-210, high=210, default=21.0),
    CURRENT: number("A", low=-1.05, high=1.05, default=1.05e-4),
}
_CYCLES = number(low=0.01, high=10, default=1.0)


def _azero(data: bytes) -> bool:
    return True if data.strip().upper() == b"ONCE" else bool(boolean.convert(data))


class SourceMeter2400(SenseFunctions):
    """The source meter of one rig."""

    model: ClassVar[str] = "keithley-2400"
    port: ClassVar[int] = 5025
    no_error = '+0,"No error"'
    scpi_version = "1996.0"

    source_function = Setting("SOURce<1>:FUNCtion[:MODE]", parameter=choice("VOLTage", "CURRent", default="VOLT"))
    source_shape = Setting("SOURce<1>:FUNCtion:SHAPe", parameter=choice("DC", default="DC"))
    level = Family("SOURce<1>:{}[:LEVel][:IMMediate][:AMPLitude]", LEVELS)
    triggered_level = Family("SOURce<1>:{}[:LEVel]:TRIGgered[:AMPLitude]", LEVELS)
    source_range = Family("SOURce<1>:{}:RANGe", _SOURCE_RANGES)
    source_auto = Family("SOURce<1>:{}:RANGe:AUTO", dict.fromkeys((VOLTAGE, CURRENT), boolean), reset=True)
    overvoltage_v = Setting(
        "SOURce<1>:VOLTage[:DC]:PROTection[:LEVel]", parameter=number("V", low=20, high=210), reset=210.0
    )
    delay_s = Setting("SOURce<1>:DELay", parameter=number("S", low=0, high=999.9999, default=0.003))
    delay_auto = Setting("SOURce<1>:DELay:AUTO", parameter=boolean, reset=True)
    clear_auto = Setting("SOURce<1>:CLEar:AUTO", parameter=boolean, reset=False)
    output_on = Setting("OUTPut<1>[:STATe]", parameter=boolean, reset=False)
    off_state = Setting("OUTPut<1>:SMODe", parameter=choice("HIMPedance", "NORMal", "ZERO", "GUARd", default="NORM"))
    output_enable = Setting("OUTPut<1>:ENABle[:STATe]", parameter=boolean, reset=False)
    terminals = Setting("ROUTe:TERMinals", parameter=choice("FRONt", "REAR", default="FRON"))
    limit = Family("SENSe<1>:{}:PROTection[:LEVel]", _LIMITS)
    synchronised = Family(
        "SENSe<1>:{}:PROTection:RSYNchronize", dict.fromkeys((VOLTAGE, CURRENT), boolean), reset=False
    )
    sense_range = Family("SENSe<1>:{}:RANGe[:UPPer]", _SENSE_RANGES)
    sense_auto = Family("SENSe<1>:{}:RANGe:AUTO", dict.fromkeys(SENSES, boolean), reset=True)
    lowest_range = Family("SENSe<1>:{}:RANGe:AUTO:LLIMit", _SENSE_RANGES)
    cycles = Setting("SENSe<1>:CURRent[:DC]:NPLCycles", "SENSe<1>:VOLTage[:DC]:NPLCycles",
                     "SENSe<1>:RESistance:NPLCycles", parameter=_CYCLES)  # fmt: skip
    ohm_mode = Setting("SENSe<1>:RESistance:MODE", parameter=choice("MANual", "AUTO", default="AUTO"))
    offset_compensation = Setting("SENSe<1>:RESistance:OCOMpensated", parameter=boolean, reset=False)
    averaging = Setting("SENSe<1>:AVERage[:STATe]", parameter=boolean, reset=False)
    average_count = Setting("SENSe<1>:AVERage:COUNt", parameter=integer(1, 100, default=10))
    average_kind = Setting("SENSe<1>:AVERage:TCONtrol", parameter=choice("REPeat", "MOVing", default="REP"))
    four_wire = Setting("SYSTem:RSENse", parameter=boolean, reset=False)
    guard = Setting("SYSTem:GUARd", parameter=choice("OHMS", "CABLe", default="CABL"))
    autozero = Setting("SYSTem:AZERo[:STATe]", parameter=Parameter(_azero), reset=True)
    beeper_on = Setting("SYSTem:BEEPer:STATe", parameter=boolean, reset=True)
    auto_line_frequency = Setting("SYSTem:LFRequency:AUTO", parameter=boolean, reset=True)
    data_format = Setting("FORMat[:DATA]", parameter=choice("ASCii", default="ASC"))
    display_on = Setting("DISPlay:ENABle", parameter=boolean, reset=True)
    digits = Setting("DISPlay:DIGits", parameter=integer(4, 7, default=6))
    window_text = Setting("DISPlay[:WINDow<1-2>]:TEXT[:DATA]", parameter=text, reset="")
    window_text_on = Setting("DISPlay[:WINDow<1-2>]:TEXT:STATe", parameter=boolean, reset=False)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        identity = f"KEITHLEY INSTRUMENTS INC.,MODEL 2400,{serial},C30   Mar 17 2006 09:29:29/A02  /K/J"
        super().__init__(identity, environment, clock, lock)
        self._output = SourceOutput(environment, serial)
        self._timer_from_s = clock.now_s
        self.level["VOLT"] = environment.bias_v
        self.output_on = environment.bias_on

    def operating_point(self) -> OperatingPoint:
        """Return what is at the terminals; nothing while the output is off."""
        if not self.output_on:
            return OperatingPoint()
        function = self.source_function
        limit = abs(self.limit["CURR" if function == "VOLT" else "VOLT"])
        return self._output.operating_point(function, self.level[function], limit)

    def apply(self) -> None:
        """Put the output across the dot."""
        self._output.drive(self.operating_point() if self.output_on else None)

    def require_output(self) -> None:
        """Switch the output on where it goes off after readings by itself; else it has to be on."""
        if self.clear_auto:
            self.output_on = True
            self.apply()
        if not self.output_on:
            raise OutputOffError

    def run_triggers(self) -> None:
        """Take the readings; then the output goes off where it does so by itself."""
        super().run_triggers()
        if self.clear_auto:
            self.clear_source()

    def take_reading(self) -> Reading:
        """Measure once, over as many power line cycles as are set, for each quantity."""
        cycles = self.cycles * (self.average_count if self.averaging else 1)
        begin_s = max(self.clock.now_s, self.busy_until_s)
        self.busy_until_s = begin_s + self.delay_s + len(self._sensed) * cycles / LINE_FREQUENCY_HZ
        point = self.operating_point()
        voltage_v, current_a = self._output.noisy(point, cycles)
        function = self.source_function
        status = VOLTAGE_SOURCE if function == "VOLT" else CURRENT_SOURCE
        status |= (IN_LIMIT if point.limited else 0) | (FOUR_WIRE if self.four_wire else 0)
        for sensed, bit in (("VOLT", VOLTAGE_READ), ("CURR", CURRENT_READ), ("RES", OHM_READ)):
            status |= bit if sensed in self._sensed else 0
        # what is sourced and not measured is reported as programmed
        instead = {"VOLT": NOT_A_NUMBER, "CURR": NOT_A_NUMBER, function: self.level[function]}
        return Reading(
            self._ranged("VOLT", voltage_v) if "VOLT" in self._sensed else instead["VOLT"],
            self._ranged("CURR", current_a) if "CURR" in self._sensed else instead["CURR"],
            voltage_v / (current_a or CURRENT_NOISE_A) if "RES" in self._sensed else NOT_A_NUMBER,
            begin_s - self._timer_from_s,
            status,
        )

    def _ranged(self, function: str, value: float) -> float:
        over = not self.sense_auto[function] and abs(value) > 1.055 * abs(self.sense_range[function])
        return 9.9e37 if over else value

    @command("READ?")
    def read(self) -> str:
        """Take readings and return them."""
        self.run_triggers()
        self.busy_until_s = self.pending_until_s()
        return self.in_elements(self._last)

    @command("MEASure?")
    def measure(self) -> str:
        """Take one reading as configured."""
        self.arm_count = self.trigger_count = 1
        return self.read()

    @command("MEASure:VOLTage[:DC]?")
    def measure_voltage(self) -> str:
        """Configure for voltage and take one reading."""
        self.configure_voltage()
        return self.measure()

    @command("MEASure:CURRent[:DC]?")
    def measure_current(self) -> str:
        """Configure for current and take one reading."""
        self.configure_current()
        return self.measure()

    @command("MEASure:RESistance?")
    def measure_resistance(self) -> str:
        """Configure for resistance and take one reading."""
        self.configure_resistance()
        return self.measure()

    @command("SENSe<1>:CURRent[:DC]:PROTection:TRIPped?")
    def get_current_limit_tripped(self) -> int:
        """Return 1 while the current limit acts."""
        return int(self.source_function == "VOLT" and self.operating_point().limited)

    @command("SENSe<1>:VOLTage[:DC]:PROTection:TRIPped?")
    def get_voltage_limit_tripped(self) -> int:
        """Return 1 while the voltage limit acts."""
        return int(self.source_function == "CURR" and self.operating_point().limited)

    @command("SOURce<1>:VOLTage[:DC]:PROTection:TRIPped?")
    @command("OUTPut<1>:ENABle:TRIPped?")
    def get_nothing_tripped(self) -> int:
        """Return 0: overvoltage protection and interlock have not acted."""
        return 0

    @command("SOURce<1>:CLEar[:IMMediate]")
    def clear_source(self) -> None:
        """Switch the output off."""
        self.output_on = False
        self.apply()

    # System.

    @command("SYSTem:TIME:RESet")
    def reset_timer(self) -> None:
        """Start the time stamps from 0."""
        self._timer_from_s = self.clock.now_s

    @command("SYSTem:TIME?")
    def get_time(self) -> str:
        """Return the time stamp now in s."""
        return f"{self.clock.now_s - self._timer_from_s:.3f}"

    @command("SYSTem:LFRequency?")
    def get_line_frequency(self) -> int:
        """Return the power line frequency in Hz."""
        return LINE_FREQUENCY_HZ

    @command(
        "SYSTem:BEEPer[:IMMediate]", optional(number(low=65, high=2e6), 1e3), optional(number(low=0, high=7.9), 0.1)
    )
    def beep_for(self, frequency_hz: float, duration_s: float) -> None:
        """Beep; nobody listens."""

    @command("SYSTem:CLEar")
    @command("STATus:QUEue:CLEar")
    def clear_errors(self) -> None:
        """Empty the error queue."""
        self._errors.clear()

    @command("STATus:QUEue[:NEXT]?")
    def get_queued(self) -> str:
        """Return and remove the oldest error."""
        return self.next_error()

    @command("SYSTem:LOCal")
    @command("SYSTem:REMote")
    @command("SYSTem:RWLock")
    @command("DISPlay:CNDisplay")
    def set_remote(self) -> None:
        """Choose who has the front panel; nobody stands there."""
