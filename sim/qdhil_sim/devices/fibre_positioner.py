"""The positioner of the collection fibre: PI C-863 Mercury controller, General Command Set 2 (GCS2).

A command is a line; the answer to a query is ``item=value`` lines, all but the last with a blank before the line
feed; single bytes (#5 moving, #7 ready, #24 stop) need no line. A refused command leaves an error code that ``ERR?``
returns once (GCS manual PZ281, C-863 user manual MS205). The fibre couples by the overlap of two equal Gaussian
modes, ``exp(-(x - x0)^2 / w^2)``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.motion import Move
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, LineFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument

OPTIMUM_MM = 7.5
MODE_RADIUS_MM = 2.5e-3
TRAVEL_MM = (0.0, 15.0)
AXIS, _STAGE = "1", "M-111.1DG"
_SYNTAX, _UNKNOWN, _NOT_READY, _OUT_OF_LIMITS = 1, 2, 5, 7
_STOPPED, _ILLEGAL_AXIS, _FORMAT, _UNKNOWN_PARAMETER = 10, 15, 24, 54
_REFERENCE_VELOCITY = 0.5
_VELOCITY, _ACCELERATION, _DECELERATION = 0x49, 0xB, 0xC


class GcsError(Exception):
    """A GCS error code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class FibrePositioner(FramedInstrument):
    """A C-863 with a linear stage on its one axis, referenced and with its servo on."""

    model: ClassVar[str] = "pi-c863"
    port: ClassVar[int] = 50000

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        identity = f"(c)2015 Physik Instrumente (PI) GmbH & Co. KG, C-863.11, {serial}, 1.4.0.0"
        super().__init__(identity, clock, lock)
        self._serial = serial
        self._environment = environment
        self._move = Move.resting(OPTIMUM_MM)
        self._error = 0
        self._servo = self._referenced = self._reference_on = True
        self._settings: dict[int, float | str] = {
            0x15: TRAVEL_MM[1], 0x30: TRAVEL_MM[0], 0x3C: _STAGE, _VELOCITY: 1.5, 0xA: 3.0,
            _ACCELERATION: 4.0, _DECELERATION: 4.0, 0x4A: 8.0, 0x4B: 8.0, 0x36: 2.0, 0x8: 0.05,
        }  # fmt: skip

    def framing(self) -> Framing:
        """Return lines that end with a line feed, and GCS's single bytes."""
        return LineFraming(b"\n", single_bytes=b"\x03\x04\x05\x06\x07\x08\x18\x1b")

    def pending_until_s(self) -> float:
        """Return when the axis rests."""
        return max(self._move.end_s, 0.0)

    def act_on_environment(self) -> None:
        """Set the coupling; in turbo a move is over as soon as it is asked for."""
        position_mm = self._move.target if self.clock.turbo else self._move.position(self.clock.now_s)
        self._environment.collection = math.exp(-(((position_mm - OPTIMUM_MM) / MODE_RADIUS_MM) ** 2))

    def answer(self, message: str) -> str | None:
        """Run one command."""
        if message in self._SINGLE:
            return self._SINGLE[message](self)
        name, *arguments = message.split()
        name = name.upper()
        try:
            if name in self._OF_AXIS and name.endswith("?"):
                return self._each_axis(self._OF_AXIS[name], arguments)
            if name in self._COMMANDS:
                return self._COMMANDS[name](self, arguments)
            self.undefined_headers += 1
            raise GcsError(_UNKNOWN)
        except GcsError as error:
            self._error = error.code
            return None

    def _each_axis(self, query: Callable[[FibrePositioner], str], arguments: list[str]) -> str:
        if any(argument != AXIS for argument in arguments):
            raise GcsError(_ILLEGAL_AXIS)
        return f"{AXIS}={query(self)}"

    # Arguments.

    def _value(self, arguments: list[str]) -> float:
        if len(arguments) != 2:
            raise GcsError(_FORMAT)
        if arguments[0] != AXIS:
            raise GcsError(_ILLEGAL_AXIS)
        try:
            value = float(arguments[1])
        except ValueError as error:
            raise GcsError(_SYNTAX) from error
        if not math.isfinite(value):
            raise GcsError(_SYNTAX)
        return value

    def _no_other_axis(self, arguments: list[str]) -> None:
        if any(argument != AXIS for argument in arguments):
            raise GcsError(_ILLEGAL_AXIS)

    def _setting(self, number: int) -> float:
        return float(self._settings[number])

    # Motion.

    def _position_mm(self) -> float:
        if self.clock.turbo:
            self.clock.finish(self._move.end_s)
        return self._move.position(self.clock.now_s)

    def _go(self, target_mm: float, velocity: float | None = None) -> None:
        if not self._servo or not self._referenced:
            raise GcsError(_NOT_READY)
        if not TRAVEL_MM[0] <= target_mm <= TRAVEL_MM[1]:
            raise GcsError(_OUT_OF_LIMITS)
        now_s = self.clock.now_s
        velocity = velocity or self._setting(_VELOCITY)
        self._move = Move(now_s, self._move.position(now_s), target_mm, velocity, self._setting(_ACCELERATION))

    def _move_to(self, arguments: list[str]) -> None:
        self._go(self._value(arguments))

    def _move_by(self, arguments: list[str]) -> None:
        self._go(self._move.target + self._value(arguments))

    def _go_home(self, arguments: list[str]) -> None:
        self._no_other_axis(arguments)
        self._go(TRAVEL_MM[0])

    def _reference(self, target_mm: float, arguments: list[str]) -> None:
        self._no_other_axis(arguments)
        if not self._servo or not self._reference_on:
            raise GcsError(_NOT_READY)
        self._referenced = True
        self._go(target_mm, _REFERENCE_VELOCITY)

    def _halt(self, arguments: list[str]) -> None:
        self._no_other_axis(arguments)
        self._move = self._move.stopped(self.clock.now_s)
        raise GcsError(_STOPPED)

    def _stop(self, _arguments: list[str]) -> None:
        self._move = Move.resting(self._move.position(self.clock.now_s))
        raise GcsError(_STOPPED)

    def _stop_byte(self) -> None:
        self._move = Move.resting(self._move.position(self.clock.now_s))
        self._error = _STOPPED

    def _set_position(self, arguments: list[str]) -> None:
        if self._reference_on:
            raise GcsError(_NOT_READY)
        self._move = Move.resting(self._value(arguments))
        self._referenced = True

    def _set_servo(self, arguments: list[str]) -> None:
        self._servo = self._switch(arguments)
        if not self._servo:
            self._move = Move.resting(self._move.position(self.clock.now_s))

    def _set_reference_mode(self, arguments: list[str]) -> None:
        self._reference_on = self._switch(arguments)

    def _switch(self, arguments: list[str]) -> bool:
        value = self._value(arguments)
        if value not in (0, 1):
            raise GcsError(17)
        return value == 1

    def _moving(self) -> bool:
        return not self.clock.finish(self._move.end_s)

    def _on_target(self) -> str:
        return str(int(self._servo and not self._moving()))

    def _status_register(self) -> str:
        bits = 0x0100 * self._referenced | 0x1000 * self._servo | 0x2000 * self._moving()
        return f"0x{bits | 0x8000 * (not self._moving()):x}"

    def _motion_bits(self) -> str:
        return str(int(self._moving()))

    def _ready_byte(self) -> str:
        return chr(0xB1)

    # Settings.

    def _set_rate(self, number: int, arguments: list[str]) -> None:
        value = self._value(arguments)
        limits = {_VELOCITY: self._setting(0xA), _ACCELERATION: self._setting(0x4A), _DECELERATION: 8.0}
        if not 0 < value <= limits[number]:
            raise GcsError(17)
        self._settings[number] = value

    def _number_of(self, text: str) -> int:
        try:
            return int(text, 0)
        except ValueError as error:
            raise GcsError(_SYNTAX) from error

    def _get_parameters(self, arguments: list[str]) -> str:
        if len(arguments) % 2:
            raise GcsError(_FORMAT)
        wanted = [(a, self._number_of(b)) for a, b in zip(arguments[::2], arguments[1::2], strict=True)]
        wanted = wanted or [(AXIS, number) for number in self._settings]
        if any(axis != AXIS for axis, _ in wanted):
            raise GcsError(_ILLEGAL_AXIS)
        if any(number not in self._settings for _, number in wanted):
            raise GcsError(_UNKNOWN_PARAMETER)
        return " \n".join(f"{axis} 0x{number:x}={self._settings[number]}" for axis, number in wanted)

    def _set_parameter(self, arguments: list[str]) -> None:
        if len(arguments) != 3:
            raise GcsError(_FORMAT)
        number = self._number_of(arguments[1])
        if number not in self._settings:
            raise GcsError(_UNKNOWN_PARAMETER)
        self._settings[number] = _STAGE if number == 0x3C else self._value([arguments[0], arguments[2]])

    # Identity and errors.

    def _take_error(self, _arguments: list[str]) -> str:
        error, self._error = self._error, 0
        return str(error)

    def _versions(self, _arguments: list[str]) -> str:
        return "FW_DSP: V1.4.0.0 \nFW_BOOT: V1.1.0.0"

    def _help(self, _arguments: list[str]) -> str:
        return " \n".join(["The following commands are valid:", *sorted({*self._COMMANDS, *self._OF_AXIS})])

    def _restart(self, _arguments: list[str]) -> None:
        self._move = Move.resting(self._move.position(self.clock.now_s))
        self._referenced = self._servo = False
        self._error = 0

    _SINGLE: ClassVar[dict[str, Callable[[FibrePositioner], str | None]]] = {
        "\x04": _status_register,
        "\x05": _motion_bits,
        "\x07": _ready_byte,
        "\x18": _stop_byte,
    }
    _OF_AXIS: ClassVar[dict[str, Callable[[FibrePositioner], str]]] = {
        "POS?": lambda self: f"{self._position_mm():.7f}",
        "MOV?": lambda self: f"{self._move.target:.7f}",
        "ONT?": _on_target,
        "SVO?": lambda self: str(int(self._servo)),
        "FRF?": lambda self: str(int(self._referenced)),
        "RON?": lambda self: str(int(self._reference_on)),
        "VEL?": lambda self: f"{self._setting(_VELOCITY):.7f}",
        "ACC?": lambda self: f"{self._setting(_ACCELERATION):.7f}",
        "DEC?": lambda self: f"{self._setting(_DECELERATION):.7f}",
        "TMN?": lambda _self: f"{TRAVEL_MM[0]:.7f}",
        "TMX?": lambda _self: f"{TRAVEL_MM[1]:.7f}",
        "CST?": lambda _self: _STAGE,
        "LIM?": lambda _self: "1",
        "TRS?": lambda _self: "1",
        "DFH?": lambda _self: "0.0000000",
        "TCV?": lambda self: f"{abs(self._move.speed(self.clock.now_s)):.7f}",
    }
    _COMMANDS: ClassVar[dict[str, Callable[[FibrePositioner, list[str]], str | None]]] = {
        "*IDN?": lambda self, _arguments: self.shown_identity,
        "IDN?": lambda self, _arguments: self.shown_identity,
        "ERR?": _take_error,
        "SAI?": lambda _self, _arguments: AXIS,
        "TVI?": lambda _self, _arguments: "123456789",
        "CSV?": lambda _self, _arguments: "2.0",
        "SSN?": lambda self, _arguments: self._serial,
        "VER?": _versions,
        "HLP?": _help,
        "MOV": _move_to,
        "MVR": _move_by,
        "GOH": _go_home,
        "FRF": lambda self, arguments: self._reference((TRAVEL_MM[0] + TRAVEL_MM[1]) / 2, arguments),
        "FNL": lambda self, arguments: self._reference(TRAVEL_MM[0], arguments),
        "FPL": lambda self, arguments: self._reference(TRAVEL_MM[1], arguments),
        "HLT": _halt,
        "STP": _stop,
        "POS": _set_position,
        "SVO": _set_servo,
        "RON": _set_reference_mode,
        "VEL": lambda self, arguments: self._set_rate(_VELOCITY, arguments),
        "ACC": lambda self, arguments: self._set_rate(_ACCELERATION, arguments),
        "DEC": lambda self, arguments: self._set_rate(_DECELERATION, arguments),
        "SPA?": _get_parameters,
        "SPA": _set_parameter,
        "RBT": _restart,
    }
