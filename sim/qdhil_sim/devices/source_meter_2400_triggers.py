"""Triggers, sweeps and the reading buffer of a Keithley 2400: arm layer times trigger layer readings.

``INITiate`` takes them, into the buffer too where ``TRACe:FEED:CONTrol NEXT`` asks for it; ``READ?`` takes
them and answers. A source in sweep or list mode goes to its next level before each reading. Device: Keithley
Series 2400 SourceMeter user's manual (2400S-900-01), sections 11 and 18.
"""

from __future__ import annotations

import threading

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Family, Setting
from qdhil_sim.devices.source_meter_2400_readings import MOST_READINGS, BufferedReadings, Reading, several, written
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import choice, integer, number
from qdhil_sim.protocol.scpi import command

VOLTAGE, CURRENT = "VOLTage[:DC]", "CURRent[:DC]"
LEVELS = {
    VOLTAGE: number("V", low=-210, high=210, default=0.0),
    CURRENT: number("A", low=-1.05, high=1.05, default=0.0),
}
MOST_LEVELS = 100
_LINE = integer(1, 4)
_DELAY = number("S", low=0, high=999.9999, default=0.0)


class OutputOffError(ScpiError):
    """Error 803: a reading needs the output on."""

    def __init__(self) -> None:
        super().__init__(-221)
        self.code, self.text = 803, "Not permitted with OUTPUT off"

    @property
    def event_status_bit(self) -> int:
        """Execution error."""
        return 0x10


class TriggeredReadings(BufferedReadings):
    """The part of a 2400 that takes readings one after the other; the instrument says what one reading is."""

    source_function: str
    level: Family

    arm_count = Setting("ARM[:SEQuence<1>][:LAYer<1>]:COUNt", parameter=integer(1, MOST_READINGS, default=1))
    arm_source = Setting(
        "ARM[:SEQuence<1>][:LAYer<1>]:SOURce",
        parameter=choice("IMMediate", "TIMer", "MANual", "BUS", "TLINk", "NSTest", "PSTest", "BSTest", default="IMM"),
    )
    arm_timer_s = Setting(
        "ARM[:SEQuence<1>][:LAYer<1>]:TIMer", parameter=number("S", low=1e-3, high=99999.99, default=0.1)
    )
    arm_direction = Setting(
        "ARM[:SEQuence<1>][:LAYer<1>]:DIRection", parameter=choice("SOURce", "ACCeptor", default="ACC")
    )
    arm_input = Setting("ARM[:SEQuence<1>][:LAYer<1>]:ILINe", parameter=_LINE, reset=1)
    arm_output_line = Setting("ARM[:SEQuence<1>][:LAYer<1>]:OLINe", parameter=_LINE, reset=2)
    arm_output = Setting(
        "ARM[:SEQuence<1>][:LAYer<1>]:OUTPut", parameter=choice("TENTer", "TEXit", "NONE", default="NONE")
    )
    trigger_count = Setting("TRIGger[:SEQuence<1>]:COUNt", parameter=integer(1, MOST_READINGS, default=1))
    trigger_source = Setting("TRIGger[:SEQuence<1>]:SOURce", parameter=choice("IMMediate", "TLINk", default="IMM"))
    trigger_delay_s = Setting("TRIGger[:SEQuence<1>]:DELay", parameter=_DELAY)
    trigger_direction = Setting(
        "TRIGger[:SEQuence<1>]:DIRection", parameter=choice("SOURce", "ACCeptor", default="ACC")
    )
    trigger_input_line = Setting("TRIGger[:SEQuence<1>]:ILINe", parameter=_LINE, reset=1)
    trigger_output_line = Setting("TRIGger[:SEQuence<1>]:OLINe", parameter=_LINE, reset=2)
    trigger_input = Setting(
        "TRIGger[:SEQuence<1>]:INPut", parameter=choice("SOURce", "DELay", "SENSe", "NONE", default="NONE")
    )
    trigger_output = Setting(
        "TRIGger[:SEQuence<1>]:OUTPut", parameter=choice("SOURce", "DELay", "SENSe", "NONE", default="NONE")
    )
    mode = Family("SOURce<1>:{}:MODE", dict.fromkeys((VOLTAGE, CURRENT), choice("FIXed", "LIST", "SWEep")), reset="FIX")
    start = Family("SOURce<1>:{}:STARt", LEVELS)
    stop = Family("SOURce<1>:{}:STOP", LEVELS)
    step = Family("SOURce<1>:{}:STEP", LEVELS)
    sweep_points = Setting("SOURce<1>:SWEep:POINts", parameter=integer(2, MOST_READINGS, default=2500))
    sweep_spacing = Setting("SOURce<1>:SWEep:SPACing", parameter=choice("LINear", "LOGarithmic", default="LIN"))
    sweep_direction = Setting("SOURce<1>:SWEep:DIRection", parameter=choice("UP", "DOWN", default="UP"))
    sweep_ranging = Setting("SOURce<1>:SWEep:RANGing", parameter=choice("BEST", "AUTO", "FIXed", default="BEST"))

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._lists: dict[str, list[float]] = {"VOLT": [], "CURR": []}

    def take_reading(self) -> Reading:
        """Measure once."""
        raise NotImplementedError

    def require_output(self) -> None:
        """Raise what the instrument queues where readings need an output that is on."""
        raise NotImplementedError

    def reset(self) -> None:
        """Return to the reset state; the buffer stays."""
        self._lists = {"VOLT": [], "CURR": []}
        super().reset()

    def _levels(self) -> list[float] | None:
        function = self.source_function
        if self.mode[function] == "LIST":
            return self._lists[function]
        if self.mode[function] == "FIX":
            return None
        start, stop, points = self.start[function], self.stop[function], self.sweep_points
        if self.sweep_spacing == "LOG":
            if start * stop <= 0:
                raise ScpiError(-221, "a logarithmic sweep does not cross 0")
            levels = [start * (stop / start) ** (index / (points - 1)) for index in range(points)]
        else:
            levels = [start + (stop - start) * index / (points - 1) for index in range(points)]
        return levels if self.sweep_direction == "UP" else levels[::-1]

    def run_triggers(self) -> None:
        """Take the readings of the trigger model.

        Raises
        ------
        ScpiError
            803 if the output is off, -221 for a sweep that can't be run, -222 for more than 2500 readings.
        """
        count, levels = self.arm_count * self.trigger_count, self._levels()
        if count > MOST_READINGS:
            raise ScpiError(-222, f"{count} readings")
        self.require_output()
        idle_from_s, self._last = self.busy_until_s, []
        storing = self.feed_control == "NEXT"
        for index in range(count):
            if levels:
                self.level[self.source_function] = levels[index % len(levels)]
                self.apply()
            self.busy_until_s = max(self.busy_until_s, self.clock.now_s) + self.trigger_delay_s
            if self.arm_source == "TIM" and index:
                self.busy_until_s += self.arm_timer_s
            self._last.append(self.take_reading())
            if storing and len(self._buffer) < self.capacity:
                self._buffer.append(self._last[-1])
        if storing and len(self._buffer) >= self.capacity:
            self.feed_control = "NEV"
        self._running_until_s, self.busy_until_s = self.busy_until_s, idle_from_s

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        """Run the trigger model; on the bus trigger it waits for that."""
        if self.arm_source != "BUS":
            self.run_triggers()

    def trigger(self) -> None:
        """Run the trigger model if it waits for the bus."""
        if self.arm_source != "BUS":
            raise ScpiError(-211)
        self.run_triggers()

    @command("ABORt")
    @command("TRIGger[:SEQuence<1>]:CLEar")
    def abort(self) -> None:
        """End the trigger model, and forget a trigger that waits."""
        self._running_until_s = 0.0

    @command("SOURce<1>:LIST:VOLTage", *several(LEVELS[VOLTAGE], MOST_LEVELS))
    def set_voltage_list(self, *levels: float | None) -> None:
        """Set the levels of a list sweep of voltage."""
        self._lists["VOLT"] = [level for level in levels if level is not None]

    @command("SOURce<1>:LIST:CURRent", *several(LEVELS[CURRENT], MOST_LEVELS))
    def set_current_list(self, *levels: float | None) -> None:
        """Set the levels of a list sweep of current."""
        self._lists["CURR"] = [level for level in levels if level is not None]

    @command("SOURce<1>:LIST:VOLTage?")
    def get_voltage_list(self) -> str:
        """Return the levels of a list sweep of voltage."""
        return ",".join(written(level) for level in self._lists["VOLT"])

    @command("SOURce<1>:LIST:CURRent?")
    def get_current_list(self) -> str:
        """Return the levels of a list sweep of current."""
        return ",".join(written(level) for level in self._lists["CURR"])
