"""The commands of a source meter that take readings and keep them in named buffers.

``READ?`` measures into a buffer and returns the last reading, ``MEASure?`` chooses the function first,
``FETCh?`` returns what is there, ``TRACe`` manages the buffers. Device: Keithley Model 2450 Reference
Manual, section 13.
"""

from __future__ import annotations

import struct
import threading

from qdhil_sim.clock import Clock
from qdhil_sim.devices.reading_buffer import Reading, ReadingBuffer, elements_of
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Block
from qdhil_sim.protocol.parameters import Parameter, choice, integer, optional, text
from qdhil_sim.protocol.scpi import command

DEFAULT_BUFFERS = ("defbuffer1", "defbuffer2")
DEFAULT_CAPACITY = 100_000
_CAPACITY = integer(10, 1_000_000, default=DEFAULT_CAPACITY)
_NAME = optional(text, DEFAULT_BUFFERS[0])
_ELEMENT = choice(
    "READing", "SOURce", "RELative", "SEConds", "FRACtional", "STATus", "SOURSTATus", "UNIT", "SOURUNIT", "DATE",
    "TIME", "TSTamp", "FORMatted", "SOURFORMatted",
)  # fmt: skip
_ELEMENTS: tuple[Parameter, ...] = (optional(_ELEMENT, None),) * 14
_STYLE = choice("COMPact", "STANdard", "FULL", "WRITable", "FULLWRITable")


class TraceCommands(ScpiInstrument):
    """Readings and buffers; the instrument itself says how one reading is taken."""

    data_format = Setting("FORMat[:DATA]", parameter=choice("ASCii", "REAL", "SREal", default="ASC"))
    byte_order = Setting("FORMat:BORDer", parameter=choice("NORMal", "SWAPped", default="SWAP"))
    digits = Setting("FORMat:ASCii:PRECision", parameter=integer(0, 16, default=0))
    count = Setting("[SENSe<1>:]COUNt", parameter=integer(1, 300_000, default=1))

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self.buffers = {name: ReadingBuffer(DEFAULT_CAPACITY) for name in DEFAULT_BUFFERS}

    def take_reading(self, started_s: float) -> Reading:
        """Measure once."""
        raise NotImplementedError

    def choose_function(self, function: str) -> None:
        """Choose what is measured."""
        raise NotImplementedError

    def reset(self) -> None:
        """Return to the reset state; buffers made by the user go."""
        self.buffers = {name: ReadingBuffer(DEFAULT_CAPACITY) for name in DEFAULT_BUFFERS}
        super().reset()

    def measure_into(self, name: str) -> None:
        """Take ``SENSe:COUNt`` readings into a buffer."""
        buffer = self._buffer(name)
        for _ in range(self.count):
            self._add(buffer)

    def _add(self, buffer: ReadingBuffer) -> None:
        started_s = buffer.readings[0].time_s if buffer.readings else self.clock.now_s
        buffer.add(self.take_reading(started_s))

    def _buffer(self, name: str) -> ReadingBuffer:
        if name.lower() not in self.buffers:
            raise ScpiError(-220, f"no buffer {name}")
        return self.buffers[name.lower()]

    def _answer(self, readings: list[Reading], elements: tuple[str | None, ...]) -> str | Block:
        values = elements_of(readings, [element for element in elements if element] or ["READ"])
        if self.data_format == "ASC":
            return ",".join(value if isinstance(value, str) else self._written(value) for value in values)
        kind = "d" if self.data_format == "REAL" else "f"
        numbers = [float(value) for value in values if isinstance(value, float)]
        order = "<" if self.byte_order == "SWAP" else ">"
        return Block(struct.pack(f"{order}{len(numbers)}{kind}", *numbers))

    def _written(self, value: float) -> str:
        return f"{value:.{(self.digits or 7) - 1}E}"

    # Readings.

    @command("READ?", _NAME, *_ELEMENTS)
    def read(self, name: str, *elements: str | None) -> str | Block:
        """Measure and return the last reading."""
        self.measure_into(name)
        return self.fetch(name, *elements)

    @command("FETCh?", _NAME, *_ELEMENTS)
    def fetch(self, name: str, *elements: str | None) -> str | Block:
        """Return the last reading of a buffer."""
        readings = self._buffer(name).readings
        if not readings:
            raise ScpiError(-230, f"{name} is empty")
        return self._answer([readings[-1]], elements)

    @command("MEASure?", _NAME, *_ELEMENTS)
    def measure(self, name: str, *elements: str | None) -> str | Block:
        """Measure with the function chosen and return the reading."""
        return self.read(name, *elements)

    @command("MEASure:VOLTage[:DC]?", _NAME, *_ELEMENTS)
    def measure_voltage(self, name: str, *elements: str | None) -> str | Block:
        """Measure voltage."""
        self.choose_function("VOLT")
        return self.read(name, *elements)

    @command("MEASure:CURRent[:DC]?", _NAME, *_ELEMENTS)
    def measure_current(self, name: str, *elements: str | None) -> str | Block:
        """Measure current."""
        self.choose_function("CURR")
        return self.read(name, *elements)

    @command("MEASure:RESistance?", _NAME, *_ELEMENTS)
    def measure_resistance(self, name: str, *elements: str | None) -> str | Block:
        """Measure resistance."""
        self.choose_function("RES")
        return self.read(name, *elements)

    # Buffers.

    @command("TRACe:MAKE", text, _CAPACITY, optional(_STYLE, "STAN"))
    def make_buffer(self, name: str, capacity: int, style: str) -> None:
        """Make a buffer; every style holds full readings."""
        del style
        if name.lower() in self.buffers:
            raise ScpiError(-221, f"buffer {name} exists")
        self.buffers[name.lower()] = ReadingBuffer(capacity)

    @command("TRACe:DELete", text)
    def delete_buffer(self, name: str) -> None:
        """Remove a buffer that the user made."""
        if name.lower() in DEFAULT_BUFFERS:
            raise ScpiError(-221, f"{name} stays")
        self._buffer(name)
        del self.buffers[name.lower()]

    @command("TRACe:CLEar", _NAME)
    def clear_buffer(self, name: str) -> None:
        """Empty a buffer."""
        self._buffer(name).readings.clear()

    @command("TRACe:TRIGger", _NAME)
    def trigger_into(self, name: str) -> None:
        """Measure into a buffer."""
        self.measure_into(name)

    @command("TRACe:POINts", _CAPACITY, _NAME)
    def set_capacity(self, capacity: int, name: str) -> None:
        """Set how many readings a buffer holds; that empties it."""
        self._buffer(name).resize(capacity)

    @command("TRACe:POINts?", _NAME)
    def get_capacity(self, name: str) -> int:
        """Return how many readings a buffer holds."""
        return self._buffer(name).capacity

    @command("TRACe:FILL:MODE", choice("CONTinuous", "ONCE"), _NAME)
    def set_fill_mode(self, mode: str, name: str) -> None:
        """Choose what a full buffer does."""
        self._buffer(name).once = mode == "ONCE"

    @command("TRACe:FILL:MODE?", _NAME)
    def get_fill_mode(self, name: str) -> str:
        """Return what a full buffer does."""
        return "ONCE" if self._buffer(name).once else "CONT"

    @command("TRACe:ACTual?", _NAME)
    @command("TRACe:ACTual:END?", _NAME)
    def get_length(self, name: str) -> int:
        """Return how many readings there are, which is the number of the last."""
        return len(self._buffer(name).readings)

    @command("TRACe:ACTual:STARt?", _NAME)
    def get_first(self, name: str) -> int:
        """Return the number of the first reading; 0 if there is none."""
        return int(bool(self._buffer(name).readings))

    @command("TRACe:DATA?", integer(1, 1_000_000), integer(1, 1_000_000), _NAME, *_ELEMENTS)
    def get_data(self, first: int, last: int, name: str, *elements: str | None) -> str | Block:
        """Return readings ``first`` to ``last``, counted from 1."""
        readings = list(self._buffer(name).readings)
        if not first <= last <= len(readings):
            raise ScpiError(-222, f"{name} holds {len(readings)} readings")
        return self._answer(readings[first - 1 : last], elements)

    @command("TRACe:STATistics:AVERage?", _NAME)
    def get_average(self, name: str) -> str:
        """Return the mean of a buffer."""
        return self._statistic(name, "AVER")

    @command("TRACe:STATistics:STDDev?", _NAME)
    def get_spread(self, name: str) -> str:
        """Return the standard deviation of a buffer."""
        return self._statistic(name, "STDD")

    @command("TRACe:STATistics:MINimum?", _NAME)
    def get_minimum(self, name: str) -> str:
        """Return the smallest reading of a buffer."""
        return self._statistic(name, "MIN")

    @command("TRACe:STATistics:MAXimum?", _NAME)
    def get_maximum(self, name: str) -> str:
        """Return the largest reading of a buffer."""
        return self._statistic(name, "MAX")

    @command("TRACe:STATistics:PK2Pk?", _NAME)
    def get_span(self, name: str) -> str:
        """Return largest minus smallest reading of a buffer."""
        return self._statistic(name, "PK2P")

    def _statistic(self, name: str, which: str) -> str:
        return self._written(self._buffer(name).statistics()[which])

    @command("TRACe:STATistics:CLEar", _NAME)
    def clear_statistics(self, name: str) -> None:
        """Forget a buffer's readings, of which the statistics are made."""
        self._buffer(name).readings.clear()

    @command("TRACe:UNIT?", _NAME)
    def get_unit(self, name: str) -> str:
        """Return the unit of the last reading."""
        readings = self._buffer(name).readings
        return readings[-1].unit if readings else "none"
