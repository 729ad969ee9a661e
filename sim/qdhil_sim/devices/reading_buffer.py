"""Reading buffers of a source meter: a reading with what was sourced and when, and its elements as text."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

POWER_ON = datetime(2026, 1, 1, tzinfo=UTC)
"""The instrument's clock when device time began."""

_IN_LIMIT, _OUTPUT_ON = 0x08, 0x01


@dataclass(frozen=True)
class Reading:
    """One reading."""

    value: float
    unit: str
    source: float
    source_unit: str
    time_s: float
    relative_s: float
    limited: bool

    status: int = 0

    @property
    def moment(self) -> datetime:
        """When it was taken."""
        return POWER_ON + timedelta(seconds=self.time_s)

    @property
    def source_status(self) -> int:
        """State of the source: bit 0 output on, bit 3 in limit."""
        return _OUTPUT_ON | (_IN_LIMIT if self.limited else 0)


ELEMENTS: dict[str, Callable[[Reading], float | str]] = {
    "READ": lambda reading: reading.value,
    "SOUR": lambda reading: reading.source,
    "REL": lambda reading: reading.relative_s,
    "SEC": lambda reading: float(int(reading.moment.timestamp())),
    "FRAC": lambda reading: reading.moment.microsecond / 1e6,
    "STAT": lambda reading: str(reading.status),
    "SOURSTAT": lambda reading: str(reading.source_status),
    "UNIT": lambda reading: reading.unit,
    "SOURUNIT": lambda reading: reading.source_unit,
    "DATE": lambda reading: f"{reading.moment:%m/%d/%Y}",
    "TIME": lambda reading: f"{reading.moment:%H:%M:%S.%f}",
    "TST": lambda reading: f"{reading.moment:%m/%d/%Y %H:%M:%S.%f}",
    "FORM": lambda reading: _engineering(reading.value, reading.unit),
    "SOURFORM": lambda reading: _engineering(reading.source, reading.source_unit),
}
"""What can be asked of a reading, by the short form of its name."""


class ReadingBuffer:
    """Readings in order; a full buffer drops its oldest (fill mode ``CONT``) or takes no more (``ONCE``)."""

    def __init__(self, capacity: int) -> None:
        self.readings: deque[Reading] = deque(maxlen=capacity)
        self.once = False

    @property
    def capacity(self) -> int:
        """How many readings it holds."""
        return self.readings.maxlen or 0

    def resize(self, capacity: int) -> None:
        """Change the capacity; that empties it."""
        self.readings = deque(maxlen=capacity)

    def add(self, reading: Reading) -> None:
        """Take a reading."""
        if not self.once or len(self.readings) < self.capacity:
            self.readings.append(reading)

    def statistics(self) -> dict[str, float]:
        """Return average, standard deviation, minimum, maximum and peak-to-peak of the readings."""
        values = [reading.value for reading in self.readings]
        if not values:
            return dict.fromkeys(("AVER", "STDD", "MIN", "MAX", "PK2P"), 0.0)
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))
        low, high = min(values), max(values)
        return {"AVER": mean, "STDD": spread, "MIN": low, "MAX": high, "PK2P": high - low}


def elements_of(readings: Iterable[Reading], elements: list[str]) -> list[float | str]:
    """Return the chosen elements of each reading, one after the other."""
    return [ELEMENTS[element](reading) for reading in readings for element in elements]


def _engineering(value: float, unit: str) -> str:
    exponent = max(-15, min(9, 3 * math.floor(math.log10(abs(value)) / 3))) if value else 0
    prefix = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}[exponent]
    return f"{value / 10**exponent:+.6f} {prefix}{unit}"
