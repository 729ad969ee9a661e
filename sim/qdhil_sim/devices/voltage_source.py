"""A low-noise source for the dot's diode, a Yokogawa GS200 with monitor: the other way to make the bias.

The level belongs to a range and may exceed it by a fifth. A program is a list of levels that are run one
after the other, each reached on a slope. Device: Yokogawa GS200 user's manual (IM GS210-01EN), chapter 15.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting
from qdhil_sim.devices.source_output import OperatingPoint, SourceOutput
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import INFINITY, boolean, choice, integer, number, text
from qdhil_sim.protocol.scpi import command

RANGES = {"VOLT": (10e-3, 100e-3, 1.0, 10.0, 30.0), "CURR": (1e-3, 10e-3, 100e-3, 200e-3)}
OVER_RANGE = {30.0: 32.0, 200e-3: 200e-3}
"""Largest level of the ranges that do not go to 120 %."""
LINE_FREQUENCY_HZ = 50
END_OF_PROGRAM_BIT, READY_BIT, LOW_LIMIT_BIT, HIGH_LIMIT_BIT = 1 << 7, 1 << 8, 1 << 10, 1 << 11
"""Bits of the extended event register."""
_LEVEL = number(low=-32, high=32, default=0.0)
_LARGEST_PROGRAM = 10000


def largest_level(range_: float) -> float:
    """Return the largest level of a range."""
    return OVER_RANGE.get(range_, 1.2 * range_)


class VoltageSource(ScpiInstrument):
    """The source of one rig."""

    model: ClassVar[str] = "yokogawa-gs200"
    port: ClassVar[int] = 7655
    options = "/MON"

    output_on = Setting("OUTPut[:STATe]", parameter=boolean, reset=False)
    voltage_limit_v = Setting("[SOURce:]PROTection:VOLTage", parameter=number("V", low=1, high=30, default=30.0))
    current_limit_a = Setting("[SOURce:]PROTection:CURRent", parameter=number("A", low=1e-3, high=0.2, default=0.2))
    monitor_on = Setting("SENSe[:STATe]", parameter=boolean, reset=False)
    cycles = Setting("SENSe:NPLC", parameter=integer(1, 25, default=1))
    delay_ms = Setting("SENSe:DELay", parameter=integer(0, 999999, default=0))
    interval_s = Setting("SENSe:INTerval", parameter=number("S", low=0.1, high=3600, default=0.1))
    trigger_source = Setting(
        "SENSe:TRIGger", parameter=choice("READy", "TIMer", "COMMunicate", "IMMediate", default="READ")
    )
    autozero = Setting("SENSe:ZERO:AUTO", parameter=boolean, reset=True)
    four_wire = Setting("SENSe:REMote", parameter=boolean, reset=False)
    guard = Setting("SENSe:GUARd", parameter=boolean, reset=False)
    event_enable = Setting("STATus:ENABle", parameter=integer(0, 65535, default=0))
    program_repeats = Setting("PROGram:REPeat", parameter=boolean, reset=False)
    program_interval_s = Setting("PROGram:INTerval", parameter=number("S", low=0.1, high=3600, default=1.0))
    program_slope_s = Setting("PROGram:SLOPe", parameter=number("S", low=0, high=3600, default=0.0))
    program_trigger = Setting("PROGram:TRIGger", parameter=choice("NORMal", "MEND", default="NORM"))
    bnc_output = Setting("ROUTe:BNCO", parameter=choice("TRIGger", "OUTPut", "READy", default="TRIG"))
    bnc_input = Setting("ROUTe:BNCI", parameter=choice("TRIGger", "OUTPut", default="TRIG"))
    display_on = Setting("SYSTem:DISPlay[:STATe]", parameter=boolean, reset=True)
    key_lock = Setting("SYSTem:KLOCk", parameter=boolean, reset=False)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"YOKOGAWA,GS210,{serial},2.02", environment, clock, lock)
        self._output = SourceOutput(environment, serial)
        self._programs: dict[str, list[float]] = {}
        self._program: list[float] = []
        self._loaded = ""
        self._program_until_s = 0.0
        self._editing = False
        self._return_to_default()
        self._range, self._level = 1.0, environment.bias_v
        self.output_on = environment.bias_on

    def _return_to_default(self) -> None:
        self._function, self._range, self._level = "VOLT", 30.0, 0.0

    def reset(self) -> None:
        """Return to 0 V in the 30 V range, output off."""
        self._return_to_default()
        super().reset()

    def operating_point(self) -> OperatingPoint:
        """Return what is at the terminals; nothing while the output is off."""
        if not self.output_on:
            return OperatingPoint()
        limit = self.current_limit_a if self._function == "VOLT" else self.voltage_limit_v
        return self._output.operating_point(self._function, self._level, limit)

    def apply(self) -> None:
        """Put the output across the dot."""
        self._output.drive(self.operating_point() if self.output_on else None)

    def questionable_condition(self) -> int:
        """Return bit 0 while the limiter acts."""
        return int(self.operating_point().limited)

    @command("STATus:CONDition?")
    def get_condition(self) -> int:
        """Return what holds now: ready for a program, limiting upwards or downwards."""
        ready = READY_BIT if self.clock.finish(self._program_until_s) else 0
        point = self.operating_point()
        if not point.limited:
            return ready
        return ready | (HIGH_LIMIT_BIT if point.voltage_v > 0 else LOW_LIMIT_BIT)

    @command("STATus[:EVENt]?")
    def get_event(self) -> int:
        """Return what happened, the end of a program among it, and clear it."""
        event = self.get_condition()
        if self._program_until_s and self.clock.finish(self._program_until_s):
            self._program_until_s = 0.0
            event |= END_OF_PROGRAM_BIT
        return event

    @command("STATus:ERRor?")
    def get_status_error(self) -> str:
        """Return and remove the oldest error."""
        return self.next_error()

    def pending_until_s(self) -> float:
        """Device time at which the program is at its end."""
        return max(self.busy_until_s, self._program_until_s)

    # The source.

    @command("[SOURce:]FUNCtion", choice("VOLTage", "CURRent"))
    def set_function(self, function: str) -> None:
        """Choose voltage or current; the output goes off and the level to 0 in the largest range."""
        if function != self._function:
            self._function, self._range, self._level = function, RANGES[function][-1], 0.0
            self.output_on = False
            self.apply()

    @command("[SOURce:]FUNCtion?")
    def get_function(self) -> str:
        """Return what is sourced."""
        return self._function

    @command("[SOURce:]RANGe", text)
    def set_range(self, written: str) -> None:
        """Choose the smallest range that holds a value, or ``MIN``, ``MAX``, ``UP``, ``DOWN``."""
        ranges = RANGES[self._function]
        index = ranges.index(self._range)
        words = {"MIN": 0, "MAX": len(ranges) - 1, "UP": min(index + 1, len(ranges) - 1), "DOWN": max(index - 1, 0)}
        if (word := written.strip().upper()) in words:
            self._range = ranges[words[word]]
        else:
            unit = "V" if self._function == "VOLT" else "A"
            self._range = self._range_for(abs(number(unit).convert(word.encode())), ranges)
        largest = largest_level(self._range)
        self._level = min(max(self._level, -largest), largest)
        self.apply()

    @command("[SOURce:]RANGe?")
    def get_range(self) -> str:
        """Return the range in V or A."""
        return f"{self._range:.0E}"

    @staticmethod
    def _range_for(value: float, ranges: tuple[float, ...], reach: float = 1 + 1e-9) -> float:
        for range_ in ranges:
            if value <= range_ * reach:
                return range_
        if value <= largest_level(ranges[-1]):
            return ranges[-1]
        raise ScpiError(-222, f"{value:g}")

    @command("[SOURce:]LEVel[:FIXed]", _LEVEL)
    def set_level(self, level: float) -> None:
        """Set the level in V or A, or note it while a program is edited."""
        if abs(level) > largest_level(self._range) * (1 + 1e-9):
            raise ScpiError(-222, f"{level:g} in the range {self._range:g}")
        self._change_level(level)

    @command("[SOURce:]LEVel:AUTO", _LEVEL)
    def set_level_and_range(self, level: float) -> None:
        """Set the level in the smallest range that holds it."""
        self._range = self._range_for(abs(level), RANGES[self._function])
        self._change_level(level)

    def _change_level(self, level: float) -> None:
        if self._editing:
            if len(self._program) >= _LARGEST_PROGRAM:
                raise ScpiError(-223)
            self._program.append(level)
            return
        self._level = level
        self.apply()

    @command("[SOURce:]LEVel[:FIXed]?")
    def get_level(self) -> str:
        """Return the level in V or A."""
        return f"{self._level:+.5E}"

    # The monitor.

    @command("MEASure?")
    @command("READ?")
    @command("FETCh?")
    def measure(self) -> str:
        """Return the current while voltage is sourced, the voltage while current is."""
        if not self.monitor_on:
            raise ScpiError(-221, "the monitor is off")
        point = self.operating_point()
        if not self.output_on:
            return f"{INFINITY:+.5E}"
        self.busy_until_s = self.clock.now_s + self.cycles / LINE_FREQUENCY_HZ + self.delay_ms * 1e-3
        voltage_v, current_a = self._output.noisy(point, self.cycles)
        return f"{current_a if self._function == 'VOLT' else voltage_v:+.5E}"

    @command("SENSe:ZERO[:EXECute]")
    def measure_zero(self) -> None:
        """Measure the monitor's zero."""
        self.busy_until_s = self.clock.now_s + 0.1

    # Programs.

    @command("PROGram:EDIT:STARt")
    def start_editing(self) -> None:
        """Note the levels to come instead of sourcing them."""
        self._editing, self._program = True, []

    @command("PROGram:EDIT:END")
    def end_editing(self) -> None:
        """Source levels again."""
        self._editing = False

    @command("PROGram:RUN")
    @command("PROGram:CONTinue")
    def run_program(self) -> None:
        """Run the program to its last level; ``*OPC?`` waits for it."""
        if not self._program:
            raise ScpiError(-221, "there is no program")
        self._program_until_s = self.clock.now_s + len(self._program) * self.program_interval_s
        self._level = self._program[-1]
        self.apply()

    @command("PROGram:HOLD")
    @command("PROGram:PAUSe")
    def pause_program(self) -> None:
        """Stop where the program is."""
        self._program_until_s = 0.0

    @command("PROGram:COUNt?")
    @command("PROGram:POINt?")
    def count_levels(self) -> int:
        """Return how many levels the program has."""
        return len(self._program)

    @command("PROGram:SAVE", text)
    def save_program(self, name: str) -> None:
        """Keep the program under a name."""
        self._programs[name] = list(self._program)

    @command("PROGram:LOAD", text)
    def load_program(self, name: str) -> None:
        """Return to a program that was kept."""
        if name not in self._programs:
            raise ScpiError(-224, name)
        self._loaded, self._program = name, list(self._programs[name])

    @command("PROGram:LOAD?")
    def get_program(self) -> str:
        """Return the name of the program loaded."""
        return f'"{self._loaded}"'

    @command("SYSTem:LFRequency?")
    def get_line_frequency(self) -> int:
        """Return the power line frequency in Hz."""
        return LINE_FREQUENCY_HZ

    @command("SYSTem:LOCal")
    @command("SYSTem:REMote")
    def set_remote(self) -> None:
        """Go to local or remote; the front panel is nobody's."""

    def inject(self, fault: str, value: Any) -> None:
        """Switch a fault on; ``trip`` switches the output off, as overheating does."""
        if fault != "trip":
            super().inject(fault, value)
            return
        self.output_on = False
        self.apply()
