"""The delay stage of the interferometer: Newport ESP301 motion controller, ESP command set.

Commands are ``xxAAnn``: axis, two letters, parameter; several stand on a line between semicolons and run
in turn; a query's answer ends with CR LF. Errors go to the error buffer that ``TE?`` and ``TB?`` read,
those of an axis as 100 times the axis plus the code (ESP301 user's manual, chapter 3 and appendix A).
Axis 1 moves the delay line: ``delay = 2 x / c`` against the matched position.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.motion import Move
from qdhil_sim.devices.stage_axis import AXIS_ERRORS, ERRORS, KEPT, TRAVEL_MM, Axis, EspError
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, LineFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.link_faults import Buffer

LIGHT_MM_PER_PS = 0.299792458
MATCHED_MM = 12.5
_COMMAND = re.compile(r"(\d*)\s*([A-Z]{2})\s*(\?|[^?\s].*?)?\s*\Z")
_ERROR_BUFFER_LENGTH = 10
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d+)?")
_LARGEST = 1e9


class TranslationStage(FramedInstrument):
    """An ESP301 with one stage connected, on axis 1; axes 2 and 3 exist and have none."""

    model: ClassVar[str] = "newport-esp301"
    port: ClassVar[int] = 5000

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__("ESP301 Version 3.0.1 6/1/99", clock, lock)
        self._serial = serial
        self._environment = environment
        start_mm = MATCHED_MM + environment.hom_delay_error_ps * LIGHT_MM_PER_PS / 2
        self._axes = {number: Axis(number, start_mm if number == 1 else 0.0) for number in (1, 2, 3)}
        self._buffer: deque[tuple[int, int]] = deque()
        self._done_until_s = 0.0

    def framing(self) -> Framing:
        """Return CR, LF or both in, CR LF out."""
        return LineFraming(b"\r\n")

    def pending_until_s(self) -> float:
        """Return when all axes rest."""
        return max(self._axes[1].move.end_s, 0.0)

    def position_mm(self) -> float:
        """Return where the delay line is now, from its travel's lower end."""
        return self._axes[1].move.position(self.clock.now_s)

    def act_on_environment(self) -> None:
        """Set the delay error; in turbo a move is over as soon as it is asked for."""
        move = self._axes[1].move
        position_mm = move.target if self.clock.turbo else move.position(self.clock.now_s)
        self._environment.hom_delay_error_ps = 2 * (position_mm - MATCHED_MM) / LIGHT_MM_PER_PS

    def run_message(self, message: bytes) -> list[Buffer]:
        """Run the commands of one line in turn; their answers stand on lines of their own."""
        answers: list[Buffer] = []
        for unit in message.split(b";"):
            if unit.strip():
                answers += super().run_message(unit)
        return [b"\r\n".join(answers)] if answers else []

    def answer(self, message: str) -> str | None:
        """Run one command, once a wait on the motion before it is over."""
        self.finish(self._done_until_s)
        try:
            return self._run(message.upper())
        except EspError as error:
            self._note(error.code)
            return None

    def _note(self, code: int) -> None:
        if len(self._buffer) == _ERROR_BUFFER_LENGTH:
            self._buffer.popleft()
        self._buffer.append((code, round(self.clock.now_s / 400e-6) % 2**31))

    def _run(self, text: str) -> str | None:
        if text.startswith("*IDN?"):
            text = "VE?"
        match = _COMMAND.match(text)
        name = match[2] if match else ""
        if match is None or name not in {*self._GLOBAL, *self._OF_AXIS, *KEPT, *self._axes[1].values}:
            self.undefined_headers += 1
            raise EspError(6)
        argument = match[3] or ""
        if name in self._GLOBAL:
            return self._GLOBAL[name](self, argument)
        if not match[1]:
            raise EspError(37)
        axis = self._axes.get(int(match[1]))
        if axis is None:
            raise EspError(9)
        if axis.number != 1 and name not in {"MO", "MF", "ID", "SN", "MD", "TP", "ST"}:
            raise axis.error(8)
        if name in self._OF_AXIS:
            return self._OF_AXIS[name](self, axis, argument)
        return self._keep(axis, name, argument) if name in KEPT else self._limit(axis, name, argument)

    # The whole controller.

    def _error_code(self, _argument: str) -> str:
        return str(self._buffer.popleft()[0] if self._buffer else 0)

    def _error_text(self, _argument: str) -> str:
        code, ticks = self._buffer.popleft() if self._buffer else (0, round(self.clock.now_s / 400e-6))
        if code < 100:
            return f"{code}, {ticks}, {ERRORS.get(code, 'UNKNOWN ERROR')}"
        return f"{code}, {ticks}, AXIS-{code // 100} {AXIS_ERRORS.get(code % 100, 'UNKNOWN ERROR')}"

    def _version(self, _argument: str) -> str:
        return self.shown_identity

    def _status(self, _argument: str) -> str:
        moving = not self.clock.finish(self.pending_until_s())
        # 01010000b, motor power in the bits above the axes' motion bits (manual, TS)
        return chr(0x50 | int(moving))

    def _abort(self, _argument: str) -> None:
        axis = self._axes[1]
        axis.move = Move.resting(axis.move.position(self.clock.now_s))
        axis.on = False

    def _nothing(self, argument: str) -> None:
        pass

    def _restart(self, _argument: str) -> None:
        self._buffer.clear()
        self._axes[1].move = Move.resting(self.position_mm())

    # One axis.

    def _limit(self, axis: Axis, name: str, argument: str) -> str | None:
        if argument == "?":
            return f"{axis.values[name]:g}"
        value = self._number(axis, argument)
        if name in {"VA", "OH", "JH", "JL"} and value > axis.values["VU"]:
            raise axis.error(10)
        if name in {"AC", "AG"} and value > axis.values["AU"]:
            raise axis.error(11)
        if name not in {"SL", "SR"} and value <= 0:
            raise axis.error(1)
        axis.values[name] = value
        return None

    def _keep(self, axis: Axis, name: str, argument: str) -> str | None:
        # flags, whose names begin with Z, are written in hexadecimal: ZA123H
        if argument == "?":
            return f"{int(axis.kept[name]):X}H" if name[0] == "Z" else f"{axis.kept[name]:g}"
        if name[0] == "Z" and re.fullmatch("[0-9A-F]+H", argument):
            axis.kept[name] = int(argument[:-1], 16)
        else:
            axis.kept[name] = self._number(axis, argument)
        return None

    def _number(self, axis: Axis, argument: str) -> float:
        if not argument:
            raise EspError(38)
        if not _NUMBER.fullmatch(argument):
            raise axis.error(1)
        value = float(argument)
        if abs(value) > _LARGEST:
            raise axis.error(1)
        return value

    def _go(self, axis: Axis, to_mm: float, velocity: float) -> None:
        if not axis.on:
            raise axis.error(13)
        if not axis.values["SL"] <= to_mm <= axis.values["SR"]:
            raise axis.error(1)
        now_s = self.clock.now_s
        axis.move = Move(now_s, axis.move.position(now_s), to_mm, velocity, axis.values["AC"])

    def _move_absolute(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return f"{axis.move.target - axis.origin_mm:.6f}"
        self._go(axis, self._number(axis, argument) + axis.origin_mm, axis.values["VA"])
        return None

    def _move_relative(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return f"{axis.move.target - axis.origin_mm:.6f}"
        self._go(axis, axis.move.target + self._number(axis, argument), axis.values["VA"])
        return None

    def _home(self, axis: Axis, _argument: str) -> None:
        axis.origin_mm = TRAVEL_MM[0]
        self._go(axis, TRAVEL_MM[0], axis.values["OH"])

    def _to_limit(self, axis: Axis, argument: str) -> None:
        self._go(axis, axis.values["SR"] if argument == "+" else axis.values["SL"], axis.values["VA"])

    def _stop(self, axis: Axis, _argument: str) -> None:
        axis.move = axis.move.stopped(self.clock.now_s)

    def _on(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return str(int(axis.on))
        axis.on = True
        return None

    def _off(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return str(int(not axis.on))
        axis.on = False
        axis.move = Move.resting(axis.move.position(self.clock.now_s))
        return None

    def _position(self, axis: Axis, _argument: str) -> str:
        if self.clock.turbo:
            self.clock.finish(axis.move.end_s)
        return f"{axis.move.position(self.clock.now_s) - axis.origin_mm:.6f}"

    def _done(self, axis: Axis, _argument: str) -> str:
        return str(int(self.clock.finish(axis.move.end_s)))

    def _wait(self, axis: Axis, argument: str) -> None:
        delay_s = self._number(axis, argument) / 1000 if argument else 0.0
        self._done_until_s = max(axis.move.end_s, 0.0) + delay_s

    def _define_home(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return f"{axis.origin_mm:.6f}"
        position_mm = axis.move.position(self.clock.now_s)
        axis.origin_mm = position_mm - (self._number(axis, argument) if argument else 0.0)
        return None

    def _units(self, axis: Axis, argument: str) -> str | None:
        if argument == "?":
            return str(axis.unit)
        unit = self._number(axis, argument)
        if unit not in range(12):
            raise axis.error(1)
        axis.unit = int(unit)
        return None

    def _stage(self, axis: Axis, _argument: str) -> str:
        return f"TS100CC,SN:{self._serial}" if axis.number == 1 else "Unknown"

    _GLOBAL: ClassVar[dict[str, Callable[[TranslationStage, str], str | None]]] = {
        "TE": _error_code,
        "TB": _error_text,
        "VE": _version,
        "TS": _status,
        "TX": _status,
        "AB": _abort,
        "RS": _restart,
    }
    _OF_AXIS: ClassVar[dict[str, Callable[[TranslationStage, Axis, str], str | None]]] = {
        "PA": _move_absolute,
        "PR": _move_relative,
        "OR": _home,
        "MT": _to_limit,
        "ST": _stop,
        "MO": _on,
        "MF": _off,
        "TP": _position,
        "DP": lambda _self, axis, _argument: f"{axis.move.target - axis.origin_mm:.6f}",
        "TV": lambda self, axis, _argument: f"{axis.move.speed(self.clock.now_s):.6f}",
        "MD": _done,
        "WS": _wait,
        "DH": _define_home,
        "SN": _units,
        "ID": _stage,
    }
