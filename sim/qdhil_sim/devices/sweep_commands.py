"""Sweeps of a source meter and the trigger model that runs them: levels one after the other, a reading at each.

``SOURce:SWEep`` and ``SOURce:LIST`` set a sweep up, ``INITiate`` runs it into its buffer. ``TRIGger:LOAD
"SimpleLoop"`` sets up repeated readings at a constant level.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from qdhil_sim.clock import Clock
from qdhil_sim.devices.trace_commands import TraceCommands
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import boolean, choice, integer, number, optional, text
from qdhil_sim.protocol.scpi import command

_LOOP_LIMIT = 100_000
_LEVEL_V = number("V", low=-210, high=210)
_LEVEL_A = number("A", low=-1.05, high=1.05)
_DELAY = optional(number("S", low=-1, high=10e3), -1.0)
_REST = (
    optional(integer(1, _LOOP_LIMIT), 1),
    optional(choice("AUTO", "BEST", "FIXed"), "BEST"),
    optional(boolean, True),
    optional(boolean, False),
    optional(text, "defbuffer1"),
)
_POINTS = optional(integer(2, _LOOP_LIMIT), 2)
_LIST_POINTS = 100


@dataclass(frozen=True)
class Plan:
    """What ``INITiate`` runs: levels to source (None leaves the level), a delay in s at each, and the buffer."""

    levels: tuple[float | None, ...]
    delay_s: float
    buffer: str


class SweepCommands(TraceCommands):
    """Sweeps and triggers; the instrument itself says how a level is set."""

    source_function: str

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._plan = Plan((None,), 0.0, "defbuffer1")
        self._lists: dict[str, list[float]] = {"VOLT": [], "CURR": []}
        self._running_until_s = 0.0

    def set_level(self, level: float) -> None:
        """Set the level of the function that is sourced."""
        raise NotImplementedError

    def reset(self) -> None:
        """Return to the reset state."""
        self._plan = Plan((None,), 0.0, "defbuffer1")
        self._lists = {"VOLT": [], "CURR": []}
        super().reset()

    def _arm(self, function: str, levels: list[float], delay_s: float, count: int, dual: bool, buffer: str) -> None:
        if self.source_function != function:
            raise ScpiError(-221, f"the source function is {self.source_function}")
        self._buffer(buffer)
        once = levels + levels[::-1] if dual else levels
        if len(once) * count > _LOOP_LIMIT:
            raise ScpiError(-223)
        self._plan = Plan(tuple(once * count), max(delay_s, 0.0), buffer)

    @command("SOURce<1>:SWEep:VOLTage:LINear", _LEVEL_V, _LEVEL_V, _POINTS, _DELAY, *_REST)
    def sweep_voltage(self, start: float, stop: float, points: int, delay_s: float, *rest: object) -> None:
        """Sweep voltage in equal steps."""
        self._sweep("VOLT", _linear(start, stop, points), delay_s, rest)

    @command("SOURce<1>:SWEep:CURRent:LINear", _LEVEL_A, _LEVEL_A, _POINTS, _DELAY, *_REST)
    def sweep_current(self, start: float, stop: float, points: int, delay_s: float, *rest: object) -> None:
        """Sweep current in equal steps."""
        self._sweep("CURR", _linear(start, stop, points), delay_s, rest)

    @command("SOURce<1>:SWEep:VOLTage:LINear:STEP", _LEVEL_V, _LEVEL_V, _LEVEL_V, _DELAY, *_REST)
    def step_voltage(self, start: float, stop: float, step: float, delay_s: float, *rest: object) -> None:
        """Sweep voltage in steps of a given size."""
        self._sweep("VOLT", _stepped(start, stop, step), delay_s, rest)

    @command("SOURce<1>:SWEep:CURRent:LINear:STEP", _LEVEL_A, _LEVEL_A, _LEVEL_A, _DELAY, *_REST)
    def step_current(self, start: float, stop: float, step: float, delay_s: float, *rest: object) -> None:
        """Sweep current in steps of a given size."""
        self._sweep("CURR", _stepped(start, stop, step), delay_s, rest)

    @command("SOURce<1>:SWEep:VOLTage:LOG", _LEVEL_V, _LEVEL_V, _POINTS, _DELAY, *_REST)
    def sweep_voltage_log(self, start: float, stop: float, points: int, delay_s: float, *rest: object) -> None:
        """Sweep voltage in equal ratios."""
        self._sweep("VOLT", _logarithmic(start, stop, points), delay_s, rest)

    @command("SOURce<1>:SWEep:CURRent:LOG", _LEVEL_A, _LEVEL_A, _POINTS, _DELAY, *_REST)
    def sweep_current_log(self, start: float, stop: float, points: int, delay_s: float, *rest: object) -> None:
        """Sweep current in equal ratios."""
        self._sweep("CURR", _logarithmic(start, stop, points), delay_s, rest)

    def _sweep(self, function: str, levels: list[float], delay_s: float, rest: tuple[object, ...]) -> None:
        count, _, _, dual, buffer = rest
        self._arm(function, levels, delay_s, int(str(count)), bool(dual), str(buffer))

    @command("SOURce<1>:LIST:VOLTage", _LEVEL_V, *(optional(_LEVEL_V, None),) * (_LIST_POINTS - 1))
    def set_voltage_list(self, *levels: float | None) -> None:
        """Set the levels of a list sweep of voltage."""
        self._lists["VOLT"] = [level for level in levels if level is not None]

    @command("SOURce<1>:LIST:CURRent", _LEVEL_A, *(optional(_LEVEL_A, None),) * (_LIST_POINTS - 1))
    def set_current_list(self, *levels: float | None) -> None:
        """Set the levels of a list sweep of current."""
        self._lists["CURR"] = [level for level in levels if level is not None]

    @command("SOURce<1>:LIST:VOLTage?")
    def get_voltage_list(self) -> str:
        """Return the levels of a list sweep of voltage."""
        return ",".join(f"{level:.6E}" for level in self._lists["VOLT"])

    @command("SOURce<1>:LIST:CURRent?")
    def get_current_list(self) -> str:
        """Return the levels of a list sweep of current."""
        return ",".join(f"{level:.6E}" for level in self._lists["CURR"])

    @command("SOURce<1>:LIST:VOLTage:POINts?")
    def count_voltage_list(self) -> int:
        """Return how many levels a list sweep of voltage has."""
        return len(self._lists["VOLT"])

    @command("SOURce<1>:LIST:CURRent:POINts?")
    def count_current_list(self) -> int:
        """Return how many levels a list sweep of current has."""
        return len(self._lists["CURR"])

    @command("SOURce<1>:SWEep:VOLTage:LIST", optional(integer(1, _LIST_POINTS), 1), _DELAY, *_REST)
    def sweep_voltage_list(self, first: int, delay_s: float, *rest: object) -> None:
        """Sweep the list of voltages from its ``first`` level on."""
        self._sweep("VOLT", self._lists["VOLT"][first - 1 :], delay_s, (rest[0], None, *rest[2:]))

    @command("SOURce<1>:SWEep:CURRent:LIST", optional(integer(1, _LIST_POINTS), 1), _DELAY, *_REST)
    def sweep_current_list(self, first: int, delay_s: float, *rest: object) -> None:
        """Sweep the list of currents from its ``first`` level on."""
        self._sweep("CURR", self._lists["CURR"][first - 1 :], delay_s, (rest[0], None, *rest[2:]))

    # The trigger model.

    @command("TRIGger:LOAD", text, optional(integer(1, _LOOP_LIMIT), 1), _DELAY, optional(text, "defbuffer1"))
    def load_trigger_model(self, name: str, count: int, delay_s: float, buffer: str) -> None:
        """Load a trigger model: ``SimpleLoop`` reads ``count`` times, ``Empty`` does nothing."""
        if name.upper() not in {"SIMPLELOOP", "EMPTY"}:
            raise ScpiError(-224, name)
        self._buffer(buffer)
        levels = (None,) * count if name.upper() == "SIMPLELOOP" else ()
        self._plan = Plan(levels, max(delay_s, 0.0), buffer)

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        """Run the trigger model; it takes its time, and ``*WAI`` waits for it."""
        if self.clock.now_s < self._running_until_s:
            raise ScpiError(-213)
        buffer, idle_from_s = self._buffer(self._plan.buffer), self.busy_until_s
        for level in self._plan.levels:
            if level is not None:
                self.set_level(level)
            self.busy_until_s = max(self.busy_until_s, self.clock.now_s) + self._plan.delay_s
            self._add(buffer)
        self._running_until_s, self.busy_until_s = self.busy_until_s, idle_from_s

    @command("ABORt")
    def abort(self) -> None:
        """End the trigger model."""
        self._running_until_s = 0.0

    def trigger(self) -> None:
        """Run the trigger model as a bus trigger does."""
        self.initiate()

    def pending_until_s(self) -> float:
        """Device time at which the trigger model is idle."""
        return max(self.busy_until_s, self._running_until_s)

    @command("TRIGger:STATe?")
    def get_trigger_state(self) -> str:
        """Return the state of the trigger model, twice, and its block."""
        state = "IDLE" if self.clock.finish(self._running_until_s) else "RUNNING"
        return f"{state};{state};{len(self._plan.levels)}"


def _linear(start: float, stop: float, points: int) -> list[float]:
    return [start + (stop - start) * index / (points - 1) for index in range(points)]


def _stepped(start: float, stop: float, step: float) -> list[float]:
    if step == 0 or (stop - start) / step < 0 or (stop - start) / step >= _LOOP_LIMIT:
        raise ScpiError(-222, f"step {step:g}")
    return [start + step * index for index in range(math.floor((stop - start) / step + 1e-9) + 1)]


def _logarithmic(start: float, stop: float, points: int) -> list[float]:
    if start <= 0 or stop <= 0:
        raise ScpiError(-222, "a logarithmic sweep stays above 0")
    return [start * (stop / start) ** (index / (points - 1)) for index in range(points)]
