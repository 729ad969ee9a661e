"""The driver of the superconducting detectors: Single Quantum WebSQ, JSON over TCP.

Control (port 12000): objects with ``request`` or ``command``; answers are objects with ``label`` and
``value``, each ended by 0x17. ``labelProps`` asks for every label with its bounds and unit. Counts (port
12345) are pushed as ``time, counts...`` lines, one for each measurement period, to whoever connects.
A bias above a detector's switching current latches it: it is resistive and counts nothing.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, JsonFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.framing.transport import FramedTransport
from qdhil_sim.protocol.server import Transport

COUNTS_PORT = 12345
LARGEST_UA = 50.0
SWITCHING_UA = 25.0
_LATCHED_OHM, _LINE_OHM = 5000.0, 50.0
_CALIBRATION_S = 30.0
_TURBO_PERIOD_S = 0.02
_END = "\x17"


class Refused(Exception):  # noqa: N818 - the driver's word for it
    """A request that can't be done; the text goes to the client under the label Error."""


class DetectorDriver(FramedInstrument):
    """A WebSQ with as many detectors as the bench has.

    ``count_rates_hz`` returns the rate of each detector, in order; the rack sets it.
    """

    model: ClassVar[str] = "single-quantum-websq"
    port: ClassVar[int] = 12000

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"WebSQ {serial}", clock, lock)
        self._environment = environment
        self._detectors = sorted(environment.detector_bias_ua)
        self._random = random.Random(serial)
        self._bias_ua = [environment.detector_bias_ua[number] for number in self._detectors]
        self._trigger_mv = [100.0] * len(self._detectors)
        self._dark_counts = [100.0] * len(self._detectors)
        self._enabled = True
        self._calibrated_s = 0.0
        self.period_ms = 100.0
        self.count_rates_hz: Callable[[], Sequence[float]] = lambda: [0.0] * len(self._detectors)

    def framing(self) -> Framing:
        """Return JSON objects, answers ended by 0x17."""
        return JsonFraming()

    def transports(self) -> Mapping[int, Transport]:
        """Return control and counts."""
        return {self.port: FramedTransport(self, self.framing), COUNTS_PORT: CountsTransport(self)}

    def act_on_environment(self) -> None:
        """Set the bias of each detector."""
        for number, bias_ua in zip(self._detectors, self._bias_ua, strict=True):
            self._environment.detector_bias_ua[number] = bias_ua if self._enabled else 0.0

    def answer(self, message: str) -> str | None:
        """Do what one object asks."""
        try:
            asked = json.loads(message)
            if not isinstance(asked, dict):
                raise Refused("an object is needed")
            if "command" in asked:
                return _reply(*self._command(str(asked["command"]), asked.get("value")))
            if asked.get("request") == "labelProps":
                return _END.join(_reply(label, props) for label, props in self._labels().items())
            return _reply(*self._request(str(asked.get("request"))))
        except json.JSONDecodeError:
            return _reply("Error", "malformed JSON")
        except Refused as refused:
            return _reply("Error", str(refused))

    def counts(self) -> list[int]:
        """Return the counts of one measurement period."""
        with self.lock:
            live = [self._enabled and bias_ua <= SWITCHING_UA for bias_ua in self._bias_ua]
            rates_hz = self.count_rates_hz()
        means = [rate * self.period_ms / 1000 * on for rate, on in zip(rates_hz, live, strict=False)]
        return [_poisson(self._random, mean) for mean in means]

    def _labels(self) -> dict[str, dict[str, Any]]:
        count = len(self._detectors)
        return {
            "NumberOfDetectors": {"value": count, "unit": ""},
            "BiasCurrent": {"value": self._bias_ua, "bounds": [[-LARGEST_UA, LARGEST_UA]] * count, "unit": "uA"},
            "TriggerLevel": {"value": self._trigger_mv, "bounds": [[-1000.0, 1000.0]] * count, "unit": "mV"},
            "BiasVoltage": {"value": self._voltages_mv(), "unit": "mV"},
            "InptMeasurementPeriod": {"value": self.period_ms, "bounds": [1.0, 10000.0], "unit": "ms"},
            "DetectorEnable": {"value": self._enabled, "unit": ""},
            "DarkCountsAutoIV": {"value": self._dark_counts, "unit": "1/s"},
            "StartAutoIV": {"value": self._calibrating(), "unit": ""},
        }

    def _request(self, label: str) -> tuple[str, Any]:
        labels = self._labels()
        if label not in labels:
            self.undefined_headers += 1
            raise Refused(f"unknown request {label}")
        return label, labels[label]["value"]

    def _command(self, name: str, value: object) -> tuple[str, Any]:
        if name == "SetAllBiasCurrents":
            self._bias_ua = self._numbers(value, -LARGEST_UA, LARGEST_UA)
            return "BiasCurrent", self._bias_ua
        if name == "SetAllTriggerLevels":
            self._trigger_mv = self._numbers(value, -1000.0, 1000.0)
            return "TriggerLevel", self._trigger_mv
        if name == "SetMeasurementPeriod":
            self.period_ms = _number(value, 1.0, 10000.0)
            return "InptMeasurementPeriod", self.period_ms
        if name == "DetectorEnable":
            self._enabled = bool(value)
            return "DetectorEnable", self._enabled
        if name == "DarkCountsAutoIV":
            self._dark_counts = self._numbers(value, 0.0, 1e6)
            return "DarkCountsAutoIV", self._dark_counts
        if name == "AutoCaliBiasCurrents":
            self._calibrated_s = self.clock.now_s + _CALIBRATION_S
            return "StartAutoIV", True
        self.undefined_headers += 1
        raise Refused(f"unknown command {name}")

    def _numbers(self, value: object, low: float, high: float) -> list[float]:
        if not isinstance(value, list) or len(value) != len(self._detectors):
            raise Refused(f"a list of {len(self._detectors)} numbers is needed")
        return [_number(entry, low, high) for entry in value]

    def _voltages_mv(self) -> list[float]:
        ohms = [_LATCHED_OHM if bias_ua > SWITCHING_UA else _LINE_OHM for bias_ua in self._bias_ua]
        return [bias_ua * ohm / 1000 for bias_ua, ohm in zip(self._bias_ua, ohms, strict=True)]

    def _calibrating(self) -> bool:
        return not self.clock.finish(self._calibrated_s)


class CountsTransport:
    """Pushes the counts of every measurement period, in the host's time; in turbo every 20 ms at the latest."""

    def __init__(self, driver: DetectorDriver) -> None:
        self._driver = driver

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until the client closes it."""
        elapsed_s = self._driver.clock.now_s
        while True:
            period_s = self._driver.period_ms / 1000
            time.sleep(min(period_s, _TURBO_PERIOD_S) if self._driver.clock.turbo else period_s)
            if self._driver.silent:
                continue
            elapsed_s += period_s
            line = ",".join([f"{elapsed_s:.3f}", *map(str, self._driver.counts())])
            connection.sendall(line.encode() + b"\n")


def _reply(label: str, value: object) -> str:
    return json.dumps({"label": label, "value": value})


def _number(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("a number is needed")
    if not low <= value <= high:
        raise Refused(f"{value:g} is not in {low:g} to {high:g}")
    return float(value)


def _poisson(generator: random.Random, mean: float) -> int:
    """Draw a Poisson count; above 1000 by its normal limit."""
    if mean > 1000:
        return max(0, round(generator.gauss(mean, mean**0.5)))
    count, elapsed = 0, generator.expovariate(1.0)
    while elapsed < mean:
        count += 1
        elapsed += generator.expovariate(1.0)
    return count
