"""The excitation laser: Toptica DLC pro with a CTL head, DeCoP over TCP.

The command line (port 1998) is a small Lisp: ``(param-ref 'laser1:ctl:wavelength-act)``; after every
answer comes the prompt. The monitoring line (port 1999) sends the parameters added to it when they
change. Codes and texts of errors as the DLC pro command reference lists them: a set that is refused
answers its negative code, a query an ``Error:`` line.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.laser_parameters import (
    NOT_READABLE,
    NOT_WRITABLE,
    OUT_OF_RANGE,
    UNKNOWN_PARAMETER,
    WRONG_TYPE,
    DecopError,
    LaserState,
    decode,
    encode,
    laser_parameters,
)
from qdhil_sim.devices.motion import Move
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, PromptFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.framing.monitoring import MonitoringTransport
from qdhil_sim.protocol.framing.transport import FramedTransport
from qdhil_sim.protocol.server import Transport

MONITORING_PORT = 1999
_EXPRESSION = re.compile(r"""\s*\(?\s*([a-z][a-z!?-]*)\s*(.*?)\s*\)?\s*\Z""", re.IGNORECASE | re.DOTALL)
_ATOM = re.compile(r'"(?:[^"\\]|\\.)*"|\'?\([^)]*\)|[^\s()]+')
_UNKNOWN_COMMAND, _SYNTAX = -2, -1
_PASSWORDS = {0: None, 1: None, 2: "CAUTION", 3: "", 4: ""}


class Laser(FramedInstrument):
    """A DLC pro; its wavelength, power and emission act on the bench."""

    model: ClassVar[str] = "toptica-dlc-pro"
    port: ClassVar[int] = 1998

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__("DLC pro", clock, lock)  # there is no identity query but the parameter system-type
        self._environment = environment
        self.state = LaserState(
            serial=serial, wavelength=Move.resting(environment.laser_nm), power_mw=environment.laser_mw, clock=clock
        )
        self._parameters = laser_parameters(self.state)

    def framing(self) -> Framing:
        """Return the shell of the command line."""
        return PromptFraming(b"DLC pro Command Line")

    def transports(self) -> Mapping[int, Transport]:
        """Return the command line and the monitoring line."""
        return {self.port: FramedTransport(self, self.framing), MONITORING_PORT: MonitoringTransport(self)}

    def act_on_environment(self) -> None:
        """Set wavelength, power and emission."""
        state, bench = self.state, self._environment
        bench.laser_nm = state.wavelength.target if self.clock.turbo else state.wavelength_nm
        bench.laser_mw = state.output_mw
        bench.laser_on = state.emission

    def answer(self, message: str) -> str:
        """Evaluate one expression."""
        match = _EXPRESSION.match(message)
        if match is None:
            return self._refusal(_SYNTAX)
        name, atoms = match[1].lower(), _ATOM.findall(match[2])
        try:
            if name in {"param-ref", "param-gsv"}:
                return self.read(_symbol(atoms), set_value=name == "param-gsv")
            if name == "param-set!":
                return str(self._write(_symbol(atoms), atoms[1:]))
            if name == "param-disp":
                return self._listing(_symbol(atoms) if atoms else "")
            if name in {"exec", "change-ul"}:
                command, arguments = (name, atoms) if name == "change-ul" else (_symbol(atoms), atoms[1:])
                return self._run_command(command, arguments)
        except DecopError as error:
            return self._refusal(error.code, error.name)
        self.undefined_headers += 1
        return self._refusal(_UNKNOWN_COMMAND, name)

    def read(self, name: str, *, set_value: bool = False) -> str:
        """Return a parameter's value as the command line prints it.

        Raises
        ------
        DecopError
            If there is no such parameter.
        """
        parameter = self._parameters.get(name)
        if parameter is None and any(known.startswith(f"{name}:") for known in self._parameters):
            raise DecopError(NOT_READABLE, name)
        if parameter is None:
            self.undefined_headers += 1
            raise DecopError(UNKNOWN_PARAMETER, name)
        return encode(parameter.kind, (parameter.set_value if set_value else parameter.value)())

    def monitored(self, name: str) -> str:
        """Return a parameter's value, or its error, for the monitoring line."""
        with self.lock:
            try:
                return self.read(name)
            except DecopError as error:
                return self._refusal(error.code, error.name)

    def _write(self, name: str, atoms: list[str]) -> int:
        """Set a parameter and return 0, or the negative code of the refusal."""
        parameter = self._parameters.get(name)
        if parameter is None:
            self.undefined_headers += 1
            return UNKNOWN_PARAMETER
        if parameter.write is None:
            return NOT_WRITABLE
        if len(atoms) != 1:
            return WRONG_TYPE
        try:
            value = decode(parameter.kind, atoms[0])
        except ValueError:
            return WRONG_TYPE
        if not isinstance(value, str) and not parameter.limits[0] <= value <= parameter.limits[1]:
            return OUT_OF_RANGE
        parameter.write(value)
        return 0

    def _listing(self, prefix: str) -> str:
        found = [
            f"{name} = {encode(entry.kind, entry.value())}"
            for name, entry in sorted(self._parameters.items())
            if not prefix or name == prefix or name.startswith(f"{prefix}:")
        ]
        if not found:
            self.undefined_headers += 1
            raise DecopError(UNKNOWN_PARAMETER, prefix)
        return "\n".join(found)

    def _run_command(self, name: str, arguments: list[str]) -> str:
        if name == "change-ul":
            return self._change_level(arguments)
        known = {"laser1:ctl:scan:start", "laser1:ctl:scan:stop", "laser1:ctl:scan:pause", "buzzer:play-welcome",
                 "system-messages:mark-as-read", "system-messages:show-all", "laser1:detect"}  # fmt: skip
        if name not in known:
            self.undefined_headers += 1
            raise DecopError(_UNKNOWN_COMMAND, name)
        if name == "laser1:ctl:scan:start":
            self.state.tune(self.state.scan_end_nm, self.state.scan_nm_per_s)
        elif name.startswith("laser1:ctl:scan:"):
            self.state.wavelength = self.state.wavelength.stopped(self.clock.now_s)
        return "()"

    def _change_level(self, arguments: list[str]) -> str:
        try:
            level = int(arguments[0])
        except (IndexError, ValueError) as error:
            raise DecopError(WRONG_TYPE, "change-ul") from error
        password = arguments[1].strip('"') if len(arguments) > 1 else ""
        if level in _PASSWORDS and _PASSWORDS[level] in {"", password}:
            self.state.user_level = level
        return str(self.state.user_level)

    def _refusal(self, code: int, name: str = "") -> str:
        texts = {
            _SYNTAX: "syntax error",
            _UNKNOWN_COMMAND: "unknown command",
            UNKNOWN_PARAMETER: "unknown parameter",
            NOT_READABLE: "parameter is not readable",
            WRONG_TYPE: "wrong parameter type",
        }
        return f"Error: {code} {texts[code]}" + (f": '{name}" if name else "")


def _symbol(atoms: list[str]) -> str:
    if not atoms or not atoms[0].startswith("'"):
        raise DecopError(WRONG_TYPE)
    return atoms[0][1:]
