"""Waveform memory of the pulse generator, and ``APPLy``, which sets a whole waveform at once."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting, quoted, short_form
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import Parameter, block, boolean, choice, number, optional, text
from qdhil_sim.protocol.scpi import Command, command, declared_command

BUILT_IN = ("CARDIAC", "EXP_FALL", "EXP_RISE", "HAVERSINE", "SINC", "VOLCANO", "GAUSSIAN", "LORENTZ")
_STORES = 4
_LARGEST_POINTS = 2048
_DAC = 8191
_SHAPES = ("SINusoid", "SQUare", "RAMP", "PULSe", "NOISe", "DC", "USER")


def _or_default(parameter: Parameter) -> Parameter:
    """Return a parameter that ``DEF`` and leaving it out leave as it is (None)."""

    def convert(data: bytes) -> Any:
        return None if data.strip().upper() in {b"DEF", b"DEFAULT"} else parameter.convert(data)

    return optional(Parameter(convert), None)


_FREQUENCY = _or_default(number("HZ", low=1e-6, high=500e6))
_AMPLITUDE = _or_default(number("V", low=-90, high=10))
_OFFSET = _or_default(number("V", low=-5, high=5))


def _points(largest: float) -> Parameter:
    """Return a parameter that is a block of points or the first of a list; its value is a list."""
    kind = "h" if largest > 1 else "f"
    one = number(low=-largest, high=largest)

    def convert(data: bytes) -> list[float]:
        if data[:1] != b"#" or not data[1:2].isdigit():
            return [one.convert(data)]
        payload = block.convert(data)
        count, rest = divmod(len(payload), struct.calcsize(kind))
        if rest:
            raise ScpiError(-161)
        points = [float(point) for point in struct.unpack(f">{count}{kind}", payload)]
        if any(abs(point) > largest for point in points):
            raise ScpiError(-222)
        return points

    return Parameter(convert)


def _further(largest: float) -> tuple[Parameter, ...]:
    return (optional(number(low=-largest, high=largest), None),) * (_LARGEST_POINTS - 1)


class ApplyCommands:
    """``APPLy<output>:<shape> frequency, amplitude, offset`` of every shape."""

    def __init__(self) -> None:
        self.scpi_commands: list[Command] = [
            declared_command(f"APPLy<1-2>:{shape}", _apply(short_form(shape)), _FREQUENCY, _AMPLITUDE, _OFFSET)
            for shape in _SHAPES
        ]


def _apply(shape: str) -> Callable[..., None]:
    def set_waveform(generator: Any, output: int, *values: float | None) -> None:
        generator.apply_waveform(output, shape, *values)

    return set_waveform


class WaveformCommands(ScpiInstrument):
    """Waveforms; the generator itself has frequency, amplitude and offset."""

    apply_shapes = ApplyCommands()
    user_waveform = Setting("[SOURce:]FUNCtion<1-2>:USER", parameter=text, reset="EXP_RISE", form=str)
    square_duty_percent = Setting(
        "[SOURce:]FUNCtion<1-2>:SQUare:DCYCle", parameter=number("PCT", low=0.1, high=99.9, default=50.0)
    )
    ramp_symmetry_percent = Setting(
        "[SOURce:]FUNCtion<1-2>:RAMP:SYMMetry", parameter=number("PCT", low=0, high=100, default=100.0)
    )
    display_on = Setting("DISPlay", parameter=boolean, reset=True)
    reference = Setting("[SOURce:]ROSCillator:SOURce", parameter=choice("INTernal", "EXTernal", default="INT"))
    function: Any
    frequency_hz: Any
    amplitude: Any
    offset_v: Any
    output_on: Any

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._volatile: dict[int, list[float]] = {}
        self._stored: dict[str, list[float]] = {}

    def apply_waveform(
        self, output: int, shape: str, frequency_hz: float | None, amplitude: float | None, offset_v: float | None
    ) -> None:
        """Set shape, frequency, amplitude and offset of an output and switch it on."""
        if shape == "DC" and offset_v is None:
            raise ScpiError(-109, "DC is set by its offset")
        self.function[output] = shape
        if offset_v is not None:
            self.offset_v[output] = offset_v
        if amplitude is not None and shape != "DC":
            self.amplitude[output] = amplitude
        if frequency_hz is not None and shape not in {"DC", "NOIS"}:
            self.frequency_hz[output] = frequency_hz
        self.output_on[output] = True
        self.apply()

    @command("APPLy<1-2>?")
    def get_waveform(self, output: int) -> str:
        """Return shape, frequency, amplitude and offset of an output."""
        numbers = (self.frequency_hz[output], self.amplitude[output], self.offset_v[output])
        return quoted(f"{self.function[output]} " + ",".join(f"{value:.6E}" for value in numbers))

    @command("[SOURce:]DATA<1-2>:DAC", choice("VOLATILE"), _points(_DAC), *_further(_DAC))
    def load_integers(self, output: int, _: str, first: list[float], *points: float | None) -> None:
        """Load a waveform of integers from -8191 to 8191, written out or as a block of 16-bit integers."""
        self._load(output, [*first, *points], _DAC)

    @command("[SOURce:]DATA<1-2>", choice("VOLATILE"), _points(1), *_further(1))
    def load_numbers(self, output: int, _: str, first: list[float], *points: float | None) -> None:
        """Load a waveform of numbers from -1 to 1, written out or as a block of 32-bit numbers."""
        self._load(output, [*first, *points], 1)

    def _load(self, output: int, points: list[float | None], scale: float) -> None:
        self._volatile[output] = [point / scale for point in points if point is not None]

    @command("[SOURce:]DATA<1-2>:COPY", text, optional(text, "VOLATILE"))
    def store(self, output: int, name: str, source: str) -> None:
        """Keep the waveform loaded under a name."""
        if source.upper() != "VOLATILE" or output not in self._volatile:
            raise ScpiError(-224, source)
        if name.upper() in BUILT_IN or (name.upper() not in self._stored and len(self._stored) >= _STORES):
            raise ScpiError(-221, f"{name} can't be stored")
        self._stored[name.upper()] = self._volatile[output]

    @command("[SOURce:]DATA<1-2>:DELete[:NAME]", text)
    def delete(self, output: int, name: str) -> None:
        """Remove a stored waveform."""
        if name.upper() == "VOLATILE":
            self._volatile.pop(output, None)
        elif self._stored.pop(name.upper(), None) is None:
            raise ScpiError(-224, name)

    @command("[SOURce:]DATA<1-2>:DELete:ALL")
    def delete_all(self, output: int) -> None:
        """Remove every waveform."""
        self._volatile.pop(output, None)
        self._stored.clear()

    @command("[SOURce:]DATA<1-2>:CATalog?")
    def get_catalogue(self, output: int) -> str:
        """Return the names of every waveform."""
        volatile = ("VOLATILE",) if output in self._volatile else ()
        return ",".join(map(quoted, (*volatile, *BUILT_IN, *self._stored)))

    @command("[SOURce:]DATA<1-2>:NVOLatile:CATalog?")
    def get_stored(self, output: int) -> str:
        """Return the names of the stored waveforms."""
        del output
        return ",".join(map(quoted, self._stored)) or quoted("")

    @command("[SOURce:]DATA<1-2>:NVOLatile:FREE?")
    def count_free(self, output: int) -> int:
        """Return how many waveforms can be stored yet."""
        del output
        return _STORES - len(self._stored)

    @command("[SOURce:]DATA<1-2>:ATTRibute:POINts?", optional(text, "VOLATILE"))
    def count_points(self, output: int, name: str) -> int:
        """Return how many points a waveform has."""
        waveforms = {"VOLATILE": self._volatile.get(output, []), **self._stored}
        return len(waveforms.get(name.upper(), []))
