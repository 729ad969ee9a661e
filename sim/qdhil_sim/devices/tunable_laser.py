"""A tunable telecom laser, a Keysight N7776C: a probe for scans of guides and filters, not the dot's excitation.

It has a wavelength, a power in W or dBm, and continuous, stepped and manual sweeps whose wavelengths it logs. Device:
Keysight N777xC programming guide, chapter 4.
"""

from __future__ import annotations

import math
import random
import re
import struct
import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting
from qdhil_sim.environment import Environment
from qdhil_sim.light.bench_light import SPEED_OF_LIGHT_M_PER_S
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Block
from qdhil_sim.protocol.parameters import (
    Parameter,
    boolean,
    boolean_or_integer,
    choice,
    integer,
    number,
    optional,
    text,
)
from qdhil_sim.protocol.scpi import command

LOWEST_M, HIGHEST_M = 1480e-9, 1640e-9
LOWEST_DBM, HIGHEST_DBM = -15.0, 13.0
PASSWORD = "1234"
STOPPED, RUNNING, PAUSED = 0, 1, 2
_NO_SLOT = re.compile(rb"\A(\s*:?(?:SOUR(?:CE)?|TRIG(?:GER)?|OUTP(?:UT)?))1?(?=[:?\s])(?!:CONF)", re.IGNORECASE)
_HEAD = "SOURce<0>[:CHANnel<1>]"
_WAVELENGTH = number("M", low=LOWEST_M, high=HIGHEST_M, default=1550e-9)
_EXTREME = optional(choice("MINimum", "MAXimum", "DEFault"), "NOW")
_LOGGED_NOISE_M = 5e-14
_STATES = {"STOP": STOPPED, "STAR": RUNNING, "PAUS": PAUSED, "CONT": RUNNING}


def to_w(power_dbm: float) -> float:
    """Return a power in W."""
    return 1e-3 * 10 ** (power_dbm / 10)


def to_dbm(power_w: float) -> float:
    """Return a power in dBm."""
    return 10 * math.log10(power_w / 1e-3)


_LOWEST_W, _HIGHEST_W = to_w(LOWEST_DBM), to_w(HIGHEST_DBM)
_IN_DBM = number("DBM", low=LOWEST_DBM - 1e-9, high=HIGHEST_DBM + 1e-9, default=0.0, others={"W": to_dbm})
_IN_W = number("W", low=_LOWEST_W * (1 - 1e-9), high=_HIGHEST_W * (1 + 1e-9), default=1e-3, others={"DBM": to_w})


def _form(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:+.8E}"
    return f"{int(value):+d}" if isinstance(value, int) else str(value)


def _setting(header: str, parameter: Parameter, reset: Any = None) -> Setting:
    return Setting(f"{_HEAD}:{header}", parameter=parameter, reset=reset, form=_form)


def _state(data: bytes) -> int:
    word = data.strip().upper().decode("latin-1")
    known = [
        state
        for name, state in _STATES.items()
        if word.startswith(name) and "START STOP PAUSE CONTINUE".find(word) >= 0
    ]
    return known[0] if known else integer(0, 3).convert(data)


class TunableLaser(ScpiInstrument):
    """The probe laser of one rig."""

    model: ClassVar[str] = "keysight-n7776c"
    port: ClassVar[int] = 5025
    no_error = '+0,"No error"'

    output_on = Setting(
        f"{_HEAD}:POWer:STATe", "OUTPut<0>[:CHANnel<1>][:STATe]", parameter=boolean, reset=False, form=_form
    )
    power_unit = _setting("POWer:UNIT", choice("DBM", "0", "Watt", "W", "1", default="DBM"))
    coherence_control = _setting("AM:STATe", boolean_or_integer(0, 1), 0)
    modulation_source = _setting("AM:SOURce", choice("INTernal", "COHCtrl", "0", "2", default="INT"))
    modulation_hz = _setting("AM:INTernal:FREQuency", number("HZ", low=200, high=1e6, default=1e3))
    sweep_start_m = _setting("WAVelength:SWEep:STARt", _WAVELENGTH, 1520e-9)
    sweep_stop_m = _setting("WAVelength:SWEep:STOP", _WAVELENGTH, 1570e-9)
    sweep_step_m = _setting(
        "WAVelength:SWEep:STEP[:WIDTh]", number("M", low=1e-13, high=HIGHEST_M - LOWEST_M, default=1e-9)
    )
    sweep_speed_m_per_s = _setting("WAVelength:SWEep:SPEed", number("M/S", low=5e-10, high=200e-9, default=50e-9))
    sweep_mode = _setting("WAVelength:SWEep:MODE", choice("STEPped", "MANual", "CONTinuous", default="STEP"))
    sweep_repeat = _setting("WAVelength:SWEep:REPeat", choice("ONEWay", "TWOWay", default="ONEW"))
    sweep_cycles = _setting("WAVelength:SWEep:CYCLes", integer(0, 999, default=1))
    sweep_dwell_s = _setting("WAVelength:SWEep:DWELl", number("S", low=0, high=1000, default=0.5))
    logging = _setting("WAVelength:SWEep:LLOGging", boolean, False)
    trigger_output = Setting(
        "TRIGger<0>[:CHANnel<1>]:OUTPut",
        parameter=choice("DISabled", "AVGover", "MEASure", "MODulation", "STFinished", "SWFinished", "SWSTarted",
                         default="DIS"),
    )  # fmt: skip
    trigger_input = Setting(
        "TRIGger<0>[:CHANnel<1>]:INPut",
        parameter=choice("IGNore", "SMEasure", "CMEasure", "NEXTstep", "SWStart", default="IGN"),
    )
    trigger_configuration = Setting("TRIGger:CONFiguration", parameter=integer(0, 3, default=1))

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"Keysight Technologies,N7776C,{serial},1.53.0", environment, clock, lock)
        self._random = random.Random(serial)
        self._locked = False
        self._return_to_default()

    def _return_to_default(self) -> None:
        self._wavelength_m, self._power_w = 1550e-9, 1e-3
        self._state, self._started_s, self._done_s = STOPPED, 0.0, 0.0
        self._course = (self._wavelength_m, self._wavelength_m, 1, False)
        self._logged: list[float] = []

    def reset(self) -> None:
        """Return to 1550 nm, 0 dBm, output off."""
        self._return_to_default()
        super().reset()

    def normalise(self, text: bytes) -> bytes:
        """Put the laser's slot where a command leaves it out: ``SOUR:POW?`` is ``SOUR0:POW?``."""
        return _NO_SLOT.sub(rb"\g<1>0", text)

    def apply(self) -> None:
        """Keep a laser that is locked dark."""
        if self._locked and self.output_on:
            self.output_on = False
            raise ScpiError(-203, "the laser is locked")

    @command("LOCK", boolean, text)
    def set_lock(self, lock: bool, password: str) -> None:
        """Lock the laser, or unlock it with the password; a locked laser emits nothing."""
        if password != PASSWORD:
            raise ScpiError(-221, "wrong password")
        self._locked = lock
        self.output_on = self.output_on and not lock

    @command("LOCK?")
    def get_lock(self) -> int:
        """Return whether the laser is locked."""
        return int(self._locked)

    # Power.

    @property
    def _in_dbm(self) -> bool:
        return self.power_unit in ("DBM", "0")

    @command(f"{_HEAD}:POWer[:LEVel][:IMMediate][:AMPLitude]", Parameter(lambda data: data))
    def set_power(self, written: bytes) -> None:
        """Set the power; a bare number is in the unit that was chosen."""
        self._power_w = to_w(_IN_DBM.convert(written)) if self._in_dbm else _IN_W.convert(written)

    @command(f"{_HEAD}:POWer[:LEVel][:IMMediate][:AMPLitude]?", _EXTREME)
    def get_power(self, extreme: str) -> str:
        """Return the power in the unit that was chosen."""
        power_w = {"MIN": _LOWEST_W, "MAX": _HIGHEST_W, "DEF": 1e-3}.get(extreme, self._power_w)
        return _form(to_dbm(power_w) if self._in_dbm else power_w)

    # Wavelength and sweeps.

    def wavelength_m(self) -> float:
        """Return the wavelength now, on its sweep."""
        if self._state != RUNNING or self.sweep_mode == "MAN" or self._done_s <= self._started_s:
            return self._wavelength_m
        start_m, stop_m, passes, both_ways = self._course
        if self.clock.finish(self._done_s):
            self._state, self._wavelength_m = STOPPED, start_m if both_ways else stop_m
            return self._wavelength_m
        phase = (self.clock.now_s - self._started_s) / (self._done_s - self._started_s) * passes
        there = phase % 2 if both_ways else phase % 1
        return start_m + (stop_m - start_m) * (there if there <= 1 else 2 - there)

    def _points(self) -> int:
        return int((self.sweep_stop_m - self.sweep_start_m) / self.sweep_step_m + 1e-6) + 1

    def pending_until_s(self) -> float:
        """Device time at which the sweep is over."""
        running = self._state == RUNNING and self._done_s < math.inf
        return max(self.busy_until_s, self._done_s if running else 0.0)

    @command(f"{_HEAD}:WAVelength[:CW][:FIXed]", _WAVELENGTH)
    def set_wavelength(self, wavelength_m: float) -> None:
        """Tune to a wavelength in m."""
        if self.wavelength_m() and self._state == RUNNING:
            raise ScpiError(-221, "a sweep is running")
        self.busy_until_s = self.clock.now_s + 0.2
        self._wavelength_m = wavelength_m

    @command(f"{_HEAD}:WAVelength[:CW][:FIXed]?", _EXTREME)
    def get_wavelength(self, extreme: str) -> str:
        """Return the wavelength in m."""
        known = {"MIN": LOWEST_M, "MAX": HIGHEST_M, "DEF": 1550e-9}
        return _form(known[extreme] if extreme in known else self.wavelength_m())

    @command(f"{_HEAD}:FREQuency?")
    @command(f"{_HEAD}:WAVelength:FREQuency?")
    def get_frequency(self) -> str:
        """Return the optical frequency in Hz."""
        return _form(SPEED_OF_LIGHT_M_PER_S / self.wavelength_m())

    def _problem(self) -> str:
        if self.sweep_stop_m <= self.sweep_start_m:
            return "368,LambdaStop <=LambdaStart"
        if self.logging and self.sweep_mode != "CONT":
            return "376,LambdaLogging only in continuous sweep"
        if self.logging and self.trigger_output != "STF":
            return "375,LambdaLogging only with StepFinished"
        return "378,too many triggers" if self._points() > 1_000_001 else "0,OK"

    @command(f"{_HEAD}:WAVelength:SWEep:CHECkparams?")
    def check_sweep(self) -> str:
        """Return 0, or the number and text of what is inconsistent."""
        return self._problem()

    @command(f"{_HEAD}:WAVelength:SWEep[:STATe]", Parameter(_state))
    def set_sweep(self, state: int) -> None:
        """Stop, start, pause or continue the sweep."""
        if state == RUNNING or state == 3:
            self._start_sweep()
        elif state == STOPPED:
            self._wavelength_m, self._state = self.wavelength_m(), STOPPED
        elif self._state == RUNNING:
            self._wavelength_m, self._state = self.wavelength_m(), PAUSED

    def _start_sweep(self) -> None:
        if not self._problem().startswith("0"):
            raise ScpiError(-221, self._problem())
        if not self.output_on:
            raise ScpiError(-221, "the output is off")
        one_s = (self.sweep_stop_m - self.sweep_start_m) / self.sweep_speed_m_per_s
        if self.sweep_mode != "CONT":
            one_s = self._points() * self.sweep_dwell_s
        both_ways = self.sweep_repeat == "TWOW"
        passes = max(self.sweep_cycles, 1) * (2 if both_ways else 1)
        self._course = (self.sweep_start_m, self.sweep_stop_m, passes, both_ways)
        self._state, self._wavelength_m, self._started_s = RUNNING, self.sweep_start_m, self.clock.now_s
        self._done_s = math.inf if self.sweep_mode == "MAN" else self._started_s + one_s * passes
        if self.logging:
            exact = [self.sweep_start_m + index * self.sweep_step_m for index in range(self._points())]
            self._logged = [value + self._random.gauss(0.0, _LOGGED_NOISE_M) for value in exact]

    @command(f"{_HEAD}:WAVelength:SWEep[:STATe]?")
    def get_sweep(self) -> str:
        """Return 0 while no sweep runs, 1 while one does, 2 while it pauses."""
        self.wavelength_m()
        return _form(self._state)

    @command(f"{_HEAD}:WAVelength:SWEep:STEP:NEXT")
    def next_step(self) -> None:
        """Go one step on in a manual sweep, or in one that pauses."""
        self._step(self.sweep_step_m)

    @command(f"{_HEAD}:WAVelength:SWEep:STEP:PREVious")
    def previous_step(self) -> None:
        """Go one step back."""
        self._step(-self.sweep_step_m)

    def _step(self, by_m: float) -> None:
        if self._state != PAUSED and not (self._state == RUNNING and self.sweep_mode == "MAN"):
            raise ScpiError(-221, "no sweep waits for a step")
        low_m, high_m = self.sweep_start_m, self.sweep_stop_m
        self._wavelength_m = min(max(self._wavelength_m + by_m, low_m), high_m)

    @command(f"{_HEAD}:READout:POINts?", choice("LLOGging", "PMAX"))
    def count_logged(self, kind: str) -> str:
        """Return how many wavelengths were logged."""
        return _form(len(self._logged) if kind == "LLOG" and self.clock.finish(self._done_s) else 0)

    @command(f"{_HEAD}:READout:DATA?", choice("LLOGging", "PMAX"))
    def get_logged(self, kind: str) -> Block:
        """Return the wavelengths that were logged, in m, as a block of double precision."""
        self.wait()
        if kind != "LLOG" or not self._logged:
            raise ScpiError(-230)
        return Block(struct.pack(f"<{len(self._logged)}d", *self._logged))

    @command("SLOT<0-1>:IDN?")
    @command("SLOT<0-1>[:HEAD<1>]:IDN?")
    def get_slot_identity(self, slot: int) -> str:
        """Return the identity of the module in a slot, which is the laser itself."""
        del slot
        return self.identity
