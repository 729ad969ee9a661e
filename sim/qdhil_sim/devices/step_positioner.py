"""The slip-stick positioners under the objective, an attocube ANC300: x, y and z by steps, without a sensor.

An answer is a line ``name = value unit`` where a value is asked for, then ``OK``, or a message and ``ERROR``. The
console is behind a password on its own port; a serial device server has the USB port, without one. A step is as
long as its voltage makes it; light couples into the mode by ``exp(-(x^2 + y^2) / w^2 - z^2 / (10 w)^2)``. Device:
attocube ANC300 user manual, chapter 5.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.console import ConsoleFraming
from qdhil_sim.protocol.framing.framing import Framing
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.framing.transport import FramedTransport
from qdhil_sim.protocol.server import Transport

AXES = 3
SERIAL_PORT = 4001
PASSWORD = b"123456"
STEP_UM_PER_V = 2e-3
MODE_RADIUS_UM, DEPTH_UM = 2.5, 25.0
PATTERN = tuple(range(256))
_MODES = ("gnd", "inp", "cap", "stp", "off", "stp+", "stp-")
_CAPACITANCE_NF, _CAPACITANCE_S = (181.3, 180.2, 192.7), 1.0
_ENDLESS = ("c", "0")
_BANNER = b"\xff\xfb\x01\xff\xfb\x03\r\nattocube ANC300 controller\r\n\r\n"
_NUMBERS = {"v": ("voltage", 0.0, 150.0, "V"), "a": ("voltage", 0.0, 150.0, "V"), "f": ("frequency", 1.0, 1e4, "Hz")}
_WORDS = {
    "fil": ("filter", ("off", "16", "160")),
    "aci": ("acin", ("off", "on")),
    "dci": ("dcin", ("off", "on")),
    "tu": ("trigger", ("off", *"1234567")),
    "td": ("trigger", ("off", *"1234567")),
}


class Refused(Exception):  # noqa: N818 - what the console says, not a fault of the program
    """A command that is answered with a message and ``ERROR``."""


@dataclass
class Axis:
    """One axis; its position in um is what nobody can read."""

    mode: str = "gnd"
    numbers: dict[str, float] = field(default_factory=lambda: {"v": 30.0, "a": 0.0, "f": 1000.0})
    words: dict[str, str] = field(
        default_factory=lambda: {"fil": "16", "aci": "off", "dci": "off", "tu": "off", "td": "off"}
    )
    patterns: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"pu": PATTERN, "pd": PATTERN[::-1]})
    rest_um: float = 0.0
    step_um: float = 0.0
    start_s: float = 0.0
    end_s: float = 0.0

    def position_um(self, now_s: float) -> float:
        """Return where the axis is: at rest, or so many steps from there."""
        steps = math.floor((min(now_s, self.end_s) - self.start_s) * self.numbers["f"] + 1e-6)
        return self.rest_um + max(steps, 0) * self.step_um

    def stop(self, now_s: float) -> None:
        """Stop where it is."""
        self.rest_um = self.position_um(now_s)
        self.step_um, self.start_s, self.end_s = 0.0, 0.0, 0.0


class StepPositioner(FramedInstrument):
    """The positioners of one rig."""

    model: ClassVar[str] = "attocube-anc300"
    port: ClassVar[int] = 7230

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__("attocube ANC300 controller version 1.1.0-1304 2013-10-17 08:16", clock, lock)
        self._serial = serial
        self._environment = environment
        self.axes = {number: Axis() for number in range(1, AXES + 1)}
        self._trigger_outputs = dict.fromkeys((1, 2, 3), "0")

    def framing(self) -> Framing:
        """Return the console behind its password."""
        return ConsoleFraming(_BANNER, PASSWORD)

    def transports(self) -> Mapping[int, Transport]:
        """Return the console, and the USB port as a serial device server offers it."""
        serial_port = FramedTransport(self, lambda: ConsoleFraming(echo=False))
        return {self.port: FramedTransport(self, self.framing), SERIAL_PORT: serial_port}

    def pending_until_s(self) -> float:
        """Device time at which every axis that will rest does."""
        return max([0.0, *(axis.end_s for axis in self.axes.values() if axis.end_s < math.inf)])

    def act_on_environment(self) -> None:
        """Couple the light; in turbo the steps are done as soon as they are asked for."""
        x, y, z = (self._position_um(axis) for axis in self.axes.values())
        self._environment.collection = math.exp(-(x**2 + y**2) / MODE_RADIUS_UM**2 - (z / DEPTH_UM) ** 2)

    def _position_um(self, axis: Axis) -> float:
        done = self.clock.turbo and axis.end_s < math.inf
        return axis.position_um(axis.end_s if done else self.clock.now_s)

    def answer(self, message: str) -> str | None:
        """Run one command."""
        name, *arguments = message.lower().split()
        try:
            lines = self._run(name, arguments)
        except Refused as refused:
            return f"{refused}\r\nERROR"
        return "\r\n".join([*lines, "OK"])

    def _run(self, name: str, arguments: list[str]) -> list[str]:
        if name == "ver":
            return [self.shown_identity, "attocube systems AG"]
        if name == "getcser":
            return [f"ANC300B-{self._serial}"]
        if name in ("getto", "setto"):
            return self._trigger_output(name, arguments)
        if name == "help":
            return ["ver, getcser, getser, get*, set*, stepu, stepd, stepw, capw, stop, echo"]
        verb, what = name[:3], name[3:]
        known = what in (*_NUMBERS, *_WORDS, "m", "pu", "pd") or name in ("getser", "geto", "getc")
        if not (verb in ("get", "set") and known) and name not in ("stepu", "stepd", "stepw", "capw", "stop"):
            self.undefined_headers += 1
            raise Refused("Unknown command")
        axis, rest = self._axis(arguments)
        if verb == "get":
            return self._get(what, axis)
        if verb == "set":
            return self._set(what, axis, rest)
        return self._move(name, axis, rest)

    def _axis(self, arguments: list[str]) -> tuple[Axis, list[str]]:
        if not arguments or not arguments[0].isdecimal():
            raise Refused("Axis expected")
        number = int(arguments[0][:4])
        if number not in self.axes:
            raise Refused("Wrong axis number" if not 1 <= number <= 7 else "Axis not available")
        return self.axes[number], arguments[1:]

    def _get(self, what: str, axis: Axis) -> list[str]:
        number = next(index for index, each in self.axes.items() if each is axis)
        if what in _NUMBERS:
            label, _, _, unit = _NUMBERS[what]
            value = axis.numbers[what]
            return [f"{label} = {value:.0f} {unit}" if unit == "Hz" else f"{label} = {value:.6f} {unit}"]
        if what in _WORDS:
            return [f"{_WORDS[what][0]} = {axis.words[what]}"]
        if what in axis.patterns:
            return [str(value) for value in axis.patterns[what]]
        stepping = self.clock.now_s < axis.end_s
        return [
            {
                "m": f"mode = {axis.mode}",
                "ser": f"ANM300B-{self._serial}-{number}",
                "o": f"voltage = {axis.numbers['v'] if stepping else axis.numbers['a'] * (axis.mode == 'off'):.6f} V",
                "c": f"capacitance = {_CAPACITANCE_NF[number - 1]:.3f} nF",
            }[what]
        ]

    def _set(self, what: str, axis: Axis, rest: list[str]) -> list[str]:
        if what in axis.patterns:
            values = [int(word) for word in rest if word.isdecimal() and len(word) < 4]
            if len(values) != len(PATTERN) or len(rest) != len(PATTERN) or max(values) >= len(PATTERN):
                raise Refused("Pattern of 256 values from 0 to 255 expected")
            axis.patterns[what] = tuple(values)
            return []
        if len(rest) != 1:
            raise Refused("Wrong number of arguments")
        if what in _NUMBERS:
            self._set_number(what, axis, rest[0])
        elif what == "m":
            self._set_mode(axis, rest[0])
        elif rest[0] in _WORDS[what][1]:
            axis.words[what] = rest[0]
        else:
            raise Refused("Wrong argument")
        return []

    def _set_number(self, what: str, axis: Axis, written: str) -> None:
        _, low, high, _ = _NUMBERS[what]
        try:
            value = float(written)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise Refused(f"Value from {low:g} to {high:g} expected")
        if what in "vf" and self.clock.now_s < axis.end_s:
            axis.stop(self.clock.now_s)
        axis.numbers[what] = value

    def _set_mode(self, axis: Axis, mode: str) -> None:
        if mode not in _MODES:
            raise Refused("Unknown mode")
        axis.stop(self.clock.now_s if not self.clock.turbo or axis.end_s == math.inf else axis.end_s)
        axis.mode = mode
        if mode == "cap":
            axis.start_s, axis.end_s = self.clock.now_s, self.clock.now_s + _CAPACITANCE_S

    def _move(self, name: str, axis: Axis, rest: list[str]) -> list[str]:
        if name == "stop":
            axis.stop(self.clock.now_s)
        elif name in ("stepw", "capw"):
            if axis.end_s < math.inf:
                self.finish(axis.end_s)
            if axis.mode == "cap":
                axis.stop(axis.end_s)
                axis.mode = "gnd"
        elif not axis.mode.startswith("stp"):
            raise Refused("Axis in wrong mode")
        else:
            steps = rest[0] if rest else "1"
            if steps not in _ENDLESS and not (steps.isdecimal() and len(steps) < 9):
                raise Refused("Number of steps expected")
            axis.stop(axis.end_s if self.clock.turbo and axis.end_s < math.inf else self.clock.now_s)
            axis.step_um = STEP_UM_PER_V * axis.numbers["v"] * (1 if name == "stepu" else -1)
            axis.start_s = self.clock.now_s
            axis.end_s = math.inf if steps in _ENDLESS else axis.start_s + int(steps) / axis.numbers["f"]
        return []

    def _trigger_output(self, name: str, arguments: list[str]) -> list[str]:
        number = int(arguments[0]) if arguments and arguments[0] in ("1", "2", "3") else 0
        if not number or (name == "setto" and arguments[1:] not in (["0"], ["1"])):
            raise Refused("Wrong argument")
        if name == "getto":
            return [f"trigger = {self._trigger_outputs[number]}"]
        self._trigger_outputs[number] = arguments[1]
        return []
