"""The optical spectrum analyser: Yokogawa AQ6370D, SCPI over Ethernet behind a login.

Seven traces A to G; a sweep writes every trace in WRITE mode with the dot's line on the noise floor,
broadened by the resolution. The time of a sweep grows with points and sensitivity (AQ6370D remote
control manual IM AQ6370D-17EN, chapter 7). Wavelengths in m, levels in dBm.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.spectrum import SENSITIVITIES, Sweep, Trace
from qdhil_sim.devices.spectrum_traces import TRACES, TraceCommands, index_of, sci
from qdhil_sim.environment import NOMINAL_BIAS_V, NOMINAL_TEMPERATURE_K, Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.framing.framing import Framing, LoginFraming
from qdhil_sim.protocol.framing.transport import FramedTransport
from qdhil_sim.protocol.parameters import integer, number, text
from qdhil_sim.protocol.scpi import command
from qdhil_sim.protocol.server import Transport

_SWEEP_MODES = ("SINGle", "REPeat", "AUTO", "SEGMent")
_METER = number("M", low=6e-7, high=1.7e-6)
_STARK_NM_PER_V, _VARSHNI_NM_PER_K2 = -1.2, 6e-4
_PEAK_DBM, _LINEWIDTH_NM = -50.0, 0.004
_SWEPT_BIT = 0x01


def line_of(environment: Environment) -> float:
    """Return the line in nm: Stark shift with the bias, red shift with the temperature."""
    stark_nm = _STARK_NM_PER_V * (environment.bias_v - NOMINAL_BIAS_V) if environment.bias_on else 0.0
    return 930.0 + stark_nm + _VARSHNI_NM_PER_K2 * (environment.temperature_k**2 - NOMINAL_TEMPERATURE_K**2)


class SpectrumAnalyser(TraceCommands):
    """An AQ6370D on the bypass of the collection.

    ``line_nm`` returns the dot's line; without another it follows bias and temperature.
    """

    model: ClassVar[str] = "yokogawa-aq6370d"
    port: ClassVar[int] = 10001
    terminator: ClassVar[bytes] = b"\r\n"

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"YOKOGAWA,AQ6370D,{serial},02.08", clock, lock)
        self._environment = environment
        self._random = random.Random(serial)
        self.line_nm: Callable[[], float] = lambda: line_of(environment)
        self.reset()

    def reset(self) -> None:
        """Return to 930 nm with 10 nm span, empty traces, trace A active in WRITE mode."""
        self.sweep = Sweep(center_nm=930.0, span_nm=10.0)
        self.traces = {name: Trace("WRITE" if name == "TRA" else "FIX") for name in TRACES}
        self.active = "TRA"
        self.data_format = "ASCII"
        self.display = {"reference_dbm": -10.0, "position": 8.0, "scale_db": 10.0}
        self.follows_peak = False
        self._mode = 0
        self._interval_s = 0
        self._operation = self._operation_enable = 0
        self._sweep_end_s = 0.0
        self._running = False

    def framing(self) -> Framing:
        """Return lines behind the login."""
        return LoginFraming()

    def transports(self) -> Mapping[int, Transport]:
        """Return the Ethernet interface."""
        return {self.port: FramedTransport(self, self.framing)}

    def pending_until_s(self) -> float:
        """Return when the sweep ends."""
        return self._sweep_end_s

    def trigger(self) -> None:
        """Start a single sweep."""
        self._mode = 0
        self.start_sweep()

    @command("*TRG")
    def trigger_command(self) -> None:
        """Start a single sweep."""
        self.trigger()

    # Sweeping.

    @command("INITiate[:IMMediate]")
    def start_sweep(self) -> None:
        """Sweep in the mode chosen."""
        self._sweep_end_s = self.clock.now_s + self.sweep.duration_s
        self._running = True

    def _finish_sweep(self) -> bool:
        """Return whether no sweep runs; the end of one writes the traces."""
        if self._running and self.clock.finish(self._sweep_end_s):
            self._running = False
            self._operation |= _SWEPT_BIT
            peak_dbm = _PEAK_DBM + 10 * math.log10(max(self._environment.collection, 1e-6))
            levels = self.sweep.levels_dbm(self.line_nm(), _LINEWIDTH_NM, peak_dbm, self._random)
            for trace in self.traces.values():
                trace.take(self.sweep.wavelengths_nm(), levels)
            if self.follows_peak:
                self.sweep.center_nm = self.traces[self.active].peak()[0]
        return not self._running

    @command("ABORt")
    def abort(self) -> None:
        """Stop the sweep; the traces keep what they had."""
        self._running = False
        self._sweep_end_s = self.clock.now_s

    @command("INITiate:SMODe", text)
    def set_sweep_mode(self, mode: str) -> None:
        """Choose SINGLE, REPEAT, AUTO or SEGMENT, or 1 to 4."""
        self._mode = index_of(mode, _SWEEP_MODES, first=1)

    @command("INITiate:SMODe?")
    def get_sweep_mode(self) -> int:
        """Return 1 to 4."""
        return self._mode + 1

    @command("STATus:OPERation:CONDition?")
    def get_operation_condition(self) -> int:
        """Return 1 when the sweep is over."""
        return int(self._finish_sweep())

    @command("STATus:OPERation[:EVENt]?")
    def get_operation_event(self) -> int:
        """Return what ended since the last time asked."""
        self._finish_sweep()
        event, self._operation = self._operation, 0
        return event

    @command("STATus:OPERation:ENABle", integer(0, 65535))
    def set_operation_enable(self, mask: int) -> None:
        """Set the mask of the operation register."""
        self._operation_enable = mask

    @command("STATus:OPERation:ENABle?")
    def get_operation_enable(self) -> int:
        """Return the mask of the operation register."""
        return self._operation_enable

    # Conditions.

    @command("SENSe:WAVelength:CENTer", _METER)
    def set_center(self, value_m: float) -> None:
        """Set the center wavelength."""
        self.sweep.center_nm = value_m * 1e9

    @command("SENSe:WAVelength:CENTer?")
    def get_center(self) -> str:
        """Return the center wavelength."""
        return sci(self.sweep.center_nm * 1e-9)

    @command("SENSe:WAVelength:SPAN", number("M", low=0.0, high=1.1e-6))
    def set_span(self, value_m: float) -> None:
        """Set the span."""
        self.sweep.span_nm = value_m * 1e9

    @command("SENSe:WAVelength:SPAN?")
    def get_span(self) -> str:
        """Return the span."""
        return sci(self.sweep.span_nm * 1e-9)

    @command("SENSe:WAVelength:STARt", number("M", low=5e-8, high=1.7e-6))
    def set_start(self, value_m: float) -> None:
        """Set the shortest wavelength."""
        self._set_ends(value_m * 1e9, self.sweep.stop_nm)

    @command("SENSe:WAVelength:STARt?")
    def get_start(self) -> str:
        """Return the shortest wavelength."""
        return sci(self.sweep.start_nm * 1e-9)

    @command("SENSe:WAVelength:STOP", number("M", low=6e-7, high=2.25e-6))
    def set_stop(self, value_m: float) -> None:
        """Set the longest wavelength."""
        self._set_ends(self.sweep.start_nm, value_m * 1e9)

    @command("SENSe:WAVelength:STOP?")
    def get_stop(self) -> str:
        """Return the longest wavelength."""
        return sci(self.sweep.stop_nm * 1e-9)

    def _set_ends(self, start_nm: float, stop_nm: float) -> None:
        if stop_nm < start_nm:
            raise ScpiError(-222, "stop lies below start")
        self.sweep.center_nm, self.sweep.span_nm = (start_nm + stop_nm) / 2, stop_nm - start_nm

    @command("SENSe:BANDwidth[:RESolution]", number("M", low=2e-11, high=2e-9))
    @command("SENSe:BWIDth[:RESolution]", number("M", low=2e-11, high=2e-9))
    def set_resolution(self, value_m: float) -> None:
        """Set the resolution to the next of 0.02, 0.05, 0.1, 0.2, 0.5, 1 and 2 nm."""
        self.sweep.choose_resolution(value_m * 1e9)

    @command("SENSe:BANDwidth[:RESolution]?")
    @command("SENSe:BWIDth[:RESolution]?")
    def get_resolution(self) -> str:
        """Return the resolution."""
        return sci(self.sweep.resolution_nm * 1e-9)

    @command("SENSe:SWEep:POINts", integer(51, 50001))
    def set_points(self, points: int) -> None:
        """Set the number of samples; the automatic choice ends."""
        self.sweep.fixed_points = points

    @command("SENSe:SWEep:POINts?")
    def get_points(self) -> int:
        """Return the number of samples."""
        return self.sweep.points

    @command("SENSe:SWEep:POINts:AUTO", text)
    def set_points_auto(self, state: str) -> None:
        """Let span and resolution choose the number of samples, or keep it."""
        self.sweep.fixed_points = None if index_of(state, ("OFF", "ON")) else self.sweep.points

    @command("SENSe:SWEep:POINts:AUTO?")
    def get_points_auto(self) -> int:
        """Return 1 if span and resolution choose the number of samples."""
        return int(self.sweep.fixed_points is None)

    @command("SENSe:SWEep:TIME:INTerval", integer(0, 99999))
    def set_interval(self, interval_s: int) -> None:
        """Set the time between repeated sweeps."""
        self._interval_s = interval_s

    @command("SENSe:SWEep:TIME:INTerval?")
    def get_interval(self) -> int:
        """Return the time between repeated sweeps."""
        return self._interval_s

    @command("SENSe:SWEep:SPEed", text)
    def set_speed(self, speed: str) -> None:
        """Choose 1x or 2x, or 0 or 1."""
        self.sweep.speed = index_of(speed, ("1X", "2X"))

    @command("SENSe:SWEep:SPEed?")
    def get_speed(self) -> int:
        """Return 0 or 1."""
        return self.sweep.speed

    @command("SENSe:SENSe", text)
    def set_sensitivity(self, name: str) -> None:
        """Choose NHLD, NAUT, MID, HIGH1 to HIGH3 or NORMAL."""
        self.sweep.sensitivity = index_of("NORMAL" if name.upper() == "NORM" else name, SENSITIVITIES)

    @command("SENSe:SENSe?")
    def get_sensitivity(self) -> int:
        """Return 0 to 6."""
        return self.sweep.sensitivity
