"""A second cryostat's temperature controller, an Oxford Instruments Mercury iTC.

Every line is answered, ``SET`` too, with what was asked and its outcome: ``STAT:SET:DEV:MB1.T1:TEMP:LOOP:P:5:VALID``.
A branch of the tree may be read whole. Its cold finger is its own, not that of the dot. Device: Mercury iTC user
handbook, chapter 6 (SCPI command set).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.coldfinger import ThermalSystem
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, LineFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument

FINGER, SAMPLE, HEATER = "DEV:MB1.T1:TEMP", "DEV:DB6.T1:TEMP", "DEV:MB0.H1:HTR"
SETTLE_LIMIT_S = 1800.0
_GAIN_OF_P, _RESET_OF_I, _HIGHEST_K = 10.0, 20.0, 2000.0
_SWITCH = ("ON", "OFF")


class MercuryItc(FramedInstrument):
    """The temperature controller of one second cryostat."""

    model: ClassVar[str] = "oxford-mercury-itc"
    port: ClassVar[int] = 7020

    def __init__(self, serial: str, _environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"IDN:OXFORD INSTRUMENTS:MERCURY ITC:{serial}:2.6.04.000", clock, lock)
        self.thermal = ThermalSystem(clock.now_s)
        loop = f"{FINGER}:LOOP"
        self._settings: dict[str, str] = {
            "SYS:USER": "NORMAL", "SYS:MAN:HVER": "1", "SYS:MAN:FVER": "2.6.04.000", "SYS:MAN:SERL": serial,
            f"{FINGER}:NICK": "Finger", f"{SAMPLE}:NICK": "Sample", f"{HEATER}:NICK": "Heater",
            f"{FINGER}:TYPE": "PTC", f"{SAMPLE}:TYPE": "PTC",
            f"{loop}:HTR": "MB0.H1", f"{loop}:AUX": "None", f"{loop}:P": "5.0000", f"{loop}:I": "1.0000",
            f"{loop}:D": "0.0000", f"{loop}:PIDT": "OFF", f"{loop}:ENAB": "ON", f"{loop}:RENA": "OFF",
            f"{loop}:RSET": "1.0000", f"{loop}:TSET": "4.0000", f"{loop}:HSET": "0.0000", f"{loop}:FAUT": "OFF",
            f"{HEATER}:VLIM": "10.0000", f"{HEATER}:RES": "20.0000",
        }  # fmt: skip
        self._measured: dict[str, Callable[[], str]] = {
            "SYS:CAT": lambda: ":".join((FINGER, SAMPLE, HEATER)),
            f"{FINGER}:SIG:TEMP": lambda: f"{self.thermal.finger.finger_k:.4f}K",
            f"{SAMPLE}:SIG:TEMP": lambda: f"{self.thermal.finger.sample_k:.4f}K",
            f"{FINGER}:SIG:VOLT": lambda: f"{_sensor_mv(self.thermal.finger.finger_k):.4f}mV",
            f"{SAMPLE}:SIG:VOLT": lambda: f"{_sensor_mv(self.thermal.finger.sample_k):.4f}mV",
            f"{HEATER}:SIG:POWR": lambda: f"{self.thermal.heater_w:.4f}W",
            f"{HEATER}:SIG:VOLT": lambda: f"{math.sqrt(self.thermal.heater_w * self._number(HEATER, 'RES')):.4f}V",
            f"{HEATER}:SIG:CURR": lambda: f"{math.sqrt(self.thermal.heater_w / self._number(HEATER, 'RES')):.4f}A",
            f"{HEATER}:PMAX": lambda: f"{self._number(HEATER, 'VLIM') ** 2 / self._number(HEATER, 'RES'):.4f}",
        }
        self._limits = {
            f"{loop}:P": (0.0, 1e4), f"{loop}:I": (0.0, 1e4), f"{loop}:D": (0.0, 1e4),
            f"{loop}:TSET": (0.0, _HIGHEST_K),
            f"{loop}:HSET": (0.0, 100.0), f"{loop}:RSET": (0.0, 1e5), f"{HEATER}:VLIM": (0.0, 40.0),
            f"{HEATER}:RES": (10.0, 2000.0),
        }  # fmt: skip
        self._units = {f"{loop}:TSET": "K", f"{loop}:RSET": "K/m"}

    def framing(self) -> Framing:
        """Return lines that end with a line feed."""
        return LineFraming(b"\n")

    def answer(self, message: str) -> str | None:
        """Read or set what the line names."""
        verb, _, path = message.strip().partition(":")
        if message.strip().upper() == "*IDN?":
            return self.shown_identity
        if verb.upper() == "READ" and path:
            return f"STAT:{path}:{self._read(path.upper())}" if path else None
        if verb.upper() == "SET" and path:
            name, _, value = path.rpartition(":")
            return f"STAT:SET:{path}:{self._set(name.upper(), value)}"
        self.undefined_headers += 1
        return f"{message}:INVALID"

    def _number(self, device: str, name: str) -> float:
        return float(self._settings[f"{device}:{name}"])

    def _missing(self, path: str) -> str:
        self.undefined_headers += 1
        devices = (FINGER, SAMPLE, HEATER)
        known = path.startswith("SYS") or any(path.startswith(each) for each in devices)
        return "INVALID" if known else "NOT_FOUND"

    def _read(self, path: str) -> str:
        self._observe()
        if path in self._measured:
            return self._measured[path]()
        if path in self._settings:
            return self._settings[path] + self._units.get(path, "")
        below = sorted(name for name in {*self._settings, *self._measured} if name.startswith(f"{path}:"))
        if not below:
            return self._missing(path)
        return ":".join(f"{name.removeprefix(f'{path}:')}:{self._read(name)}" for name in below)

    def _set(self, path: str, value: str) -> str:
        if path in self._measured or path.startswith("SYS:MAN") or path.endswith(":TYPE"):
            return "DENIED"
        if path not in self._settings:
            return self._missing(path)
        if path in self._limits:
            try:
                number = float(value)
            except ValueError:
                return "INVALID"
            low, high = self._limits[path]
            if not low <= number <= high:
                return "INVALID"
            value = f"{number:.4f}"
        elif self._settings[path] in _SWITCH:
            value = value.upper()
            if value not in _SWITCH:
                return "INVALID"
        self.thermal.advance_to(self.clock.now_s)
        self._settings[path] = value
        self._control()
        return "VALID"

    def _control(self) -> None:
        loop, device = self.thermal.loop, f"{FINGER}:LOOP"
        integral_min = self._number(device, "I")
        loop.gain, loop.rate = _GAIN_OF_P * self._number(device, "P"), self._number(device, "D")
        loop.reset = _RESET_OF_I / integral_min if integral_min else 0.0
        closed = self._settings[f"{device}:ENAB"] == "ON"
        loop.mode = 1 if closed else 3
        loop.manual_percent = 0.0 if closed else self._number(device, "HSET")
        ramped = self._settings[f"{device}:RENA"] == "ON"
        self.thermal.ramp_k_per_s = self._number(device, "RSET") / 60 if ramped else 0.0
        self.thermal.set_target(self._number(device, "TSET"))

    def _observe(self) -> None:
        self.thermal.advance_to(self.clock.now_s)
        if self.clock.turbo and not self.thermal.steady:
            self.clock.finish(self.thermal.settle(lambda: self.thermal.steady, SETTLE_LIMIT_S))
            self.thermal.advance_to(self.clock.now_s)


def _sensor_mv(temperature_k: float) -> float:
    """Return a sensor's voltage at 10 uA: a resistance that falls with temperature."""
    return 30.0 / math.sqrt(max(temperature_k, 1e-3))
