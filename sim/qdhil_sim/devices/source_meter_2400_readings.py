"""Readings of a Keithley 2400: what they consist of, the buffer that keeps them, its statistics and status.

Device: Keithley Series 2400 SourceMeter user's manual (2400S-900-01), sections 9 and 18.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import Register, ScpiInstrument
from qdhil_sim.devices.setting import Setting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import MASTER_SUMMARY_BIT
from qdhil_sim.protocol.parameters import NOT_A_NUMBER, Parameter, choice, integer, optional
from qdhil_sim.protocol.scpi import command

MEASUREMENT_SUMMARY_BIT = 0x01
READING_AVAILABLE_BIT, BUFFER_AVAILABLE_BIT, BUFFER_FULL_BIT = 1 << 6, 1 << 8, 1 << 9
"""Bits of the measurement event register."""
IN_LIMIT, VOLTAGE_READ, CURRENT_READ, OHM_READ, VOLTAGE_SOURCE, CURRENT_SOURCE, FOUR_WIRE = (
    1 << bit for bit in (3, 11, 12, 13, 14, 15, 22)
)
"""Bits of a reading's status."""
MOST_READINGS = 2500


@dataclass(frozen=True)
class Reading:
    """One reading: V, A, ohm, s and the status word."""

    voltage_v: float = NOT_A_NUMBER
    current_a: float = NOT_A_NUMBER
    resistance_ohm: float = NOT_A_NUMBER
    time_s: float = 0.0
    status: int = 0


ELEMENTS: dict[str, Callable[[Reading], float]] = {
    "VOLT": lambda reading: reading.voltage_v,
    "CURR": lambda reading: reading.current_a,
    "RES": lambda reading: reading.resistance_ohm,
    "TIME": lambda reading: reading.time_s,
    "STAT": lambda reading: float(reading.status),
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "MEAN": statistics.fmean,
    "SDEV": lambda values: statistics.stdev(values) if len(values) > 1 else 0.0,
    "MAX": max,
    "MIN": min,
    "PKPK": lambda values: max(values) - min(values),
}


def written(value: float) -> str:
    """Return a number as this instrument writes it."""
    return f"{value:+.6E}"


def several(parameter: Parameter, most: int) -> tuple[Parameter, ...]:
    """Return a parameter that may be given up to ``most`` times."""
    return (parameter, *(optional(parameter, None),) * (most - 1))


class BufferedReadings(ScpiInstrument):
    """The part of a 2400 that keeps readings."""

    capacity = Setting("TRACe:POINts", "DATA:POINts", parameter=integer(1, MOST_READINGS, default=100))
    feed = Setting("TRACe:FEED", "DATA:FEED", parameter=choice("SENSe<1>", "SENSe", "CALC", default="SENS"))
    feed_control = Setting("TRACe:FEED:CONTrol", "DATA:FEED:CONTrol", parameter=choice("NEXT", "NEVer", default="NEV"))
    timestamps = Setting("TRACe:TSTamp:FORMat", parameter=choice("ABSolute", "DELTa", default="ABS"))
    statistic = Setting(
        "CALCulate3:FORMat", parameter=choice("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK", default="MEAN")
    )
    measurement_enable = Setting("STATus:MEASurement:ENABle", parameter=integer(0, 65535, default=0))

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._elements = list(ELEMENTS)
        self._last: list[Reading] = []
        self._buffer: list[Reading] = []
        self._running_until_s = 0.0
        self._measurement = Register()

    def reset(self) -> None:
        """Return to the reset state; the buffer stays."""
        self._elements, self._last, self._running_until_s = list(ELEMENTS), [], 0.0
        super().reset()

    def pending_until_s(self) -> float:
        """Device time at which the trigger model is idle."""
        return max(self.busy_until_s, self._running_until_s)

    def in_elements(self, readings: list[Reading]) -> str:
        """Return the chosen elements of each reading."""
        return ",".join(written(ELEMENTS[element](reading)) for reading in readings for element in self._elements)

    @command("FORMat:ELEMents[:SENSe<1>]", *several(choice("VOLTage", "CURRent", "RESistance", "TIME", "STATus"), 5))
    def set_elements(self, *names: str | None) -> None:
        """Choose what a reading consists of; the order is the instrument's."""
        self._elements = [element for element in ELEMENTS if element in names]

    @command("FORMat:ELEMents[:SENSe<1>]?")
    def get_elements(self) -> str:
        """Return what a reading consists of."""
        return ",".join(self._elements)

    @command("FETCh?")
    @command("SENSe<1>:DATA[:LATest]?")
    def fetch(self) -> str:
        """Return the readings that were taken last."""
        if not self._last:
            raise ScpiError(-230)
        return self.in_elements(self._last)

    @command("TRACe:DATA?")
    @command("DATA:DATA?")
    def get_buffer(self) -> str | None:
        """Return the readings of the buffer."""
        self.wait()
        if not self._buffer:
            raise ScpiError(-230, "the buffer is empty")
        return self.in_elements(self._buffer)

    @command("TRACe:CLEar")
    @command("DATA:CLEar")
    def clear_buffer(self) -> None:
        """Empty the buffer."""
        self._buffer = []
        self.look_at_buffer()

    @command("TRACe:POINts:ACTual?")
    @command("DATA:POINts:ACTual?")
    def count_buffer(self) -> int:
        """Return how many readings the buffer holds."""
        return len(self._buffer)

    @command("TRACe:FREE?")
    def get_free(self) -> str:
        """Return bytes free and used."""
        used = len(self._buffer) * 24
        return f"{MOST_READINGS * 24 - used}, {used}"

    @command("CALCulate3:DATA?")
    def get_statistics(self) -> str:
        """Return the statistic of each quantity over the buffer."""
        self.wait()
        if not self._buffer:
            raise ScpiError(-230, "the buffer is empty")
        answers = []
        for element in [each for each in self._elements if each in ("VOLT", "CURR", "RES")]:
            values = [ELEMENTS[element](reading) for reading in self._buffer]
            answers.append(NOT_A_NUMBER if NOT_A_NUMBER in values else STATISTICS[self.statistic](values))
        return ",".join(written(answer) for answer in answers)

    # Measurement status.

    @command("STATus:MEASurement:CONDition?")
    def get_measurement_condition(self) -> int:
        """Return what holds: readings available, buffer available, buffer full."""
        if not self.clock.finish(self._running_until_s):
            return 0
        condition = READING_AVAILABLE_BIT if self._last else 0
        condition |= BUFFER_AVAILABLE_BIT if len(self._buffer) > 1 else 0
        return condition | (BUFFER_FULL_BIT if self._buffer and len(self._buffer) >= self.capacity else 0)

    def look_at_buffer(self) -> None:
        """Latch what changed since the last look."""
        self._measurement.look(self.get_measurement_condition(), 65535, 0)

    @command("STATus:MEASurement[:EVENt]?")
    def get_measurement_event(self) -> int:
        """Return what happened, and clear it."""
        self.look_at_buffer()
        return self._measurement.read()

    @command("*CLS")
    def clear_status(self) -> None:
        """Empty the error queue and the event registers."""
        super().clear_status()
        self.look_at_buffer()
        self._measurement.read()

    def status_byte(self) -> int:
        """Return the status byte with the measurement summary, bit 0."""
        status = super().status_byte() & ~MASTER_SUMMARY_BIT
        self.look_at_buffer()
        if self._measurement.event & self.measurement_enable:
            status |= MEASUREMENT_SUMMARY_BIT
        return status | (MASTER_SUMMARY_BIT if status & self.get_service_enable() else 0)
