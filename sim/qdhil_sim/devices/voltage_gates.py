"""The source of gate voltages, a QDevil QDAC-II: channel 1 is the dot's bias, the others end at gates.

A generator - DC, a waveform, the current sensor - is initiated and runs at its trigger: at once, on the bus, or on
an internal one. The light sees where a ramp or a sweep ends; a waveform adds its offset. Device: QDAC-II user
manual, chapter 6 (SCPI commands).
"""

from __future__ import annotations

import random
import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import plain
from qdhil_sim.devices.source_output import SourceOutput
from qdhil_sim.devices.voltage_gates_levels import LISTED, GateLevels
from qdhil_sim.devices.voltage_gates_settings import (
    CHANNELS,
    EXTERNAL_OUTPUTS,
    INTERNAL_TRIGGERS,
    LARGEST_A,
    MOST_POINTS,
    VALUES,
    WAVEFORMS,
    flat,
)
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import INFINITY, integer, number, text
from qdhil_sim.protocol.scpi import command, declared_command

DOT_CHANNEL = 1
LINE_FREQUENCY_HZ = 50
_GATE_OHM, _GATE_NOISE_A = 10e9, 1e-12
_SOURCE = f"SOURce<1-{CHANNELS}>"
_SENSE = f"SENSe<1-{CHANNELS}>"
_ENDLESS_S = 3.15e7
Run = tuple[str, int]
"""A generator of a channel: ``DC``, ``SENSe`` or a waveform, and the channel's number."""


class Generator:
    """The commands that start and stop one kind of generator: ``DC``, ``SENSe`` or a waveform."""

    def __init__(self, kind: str) -> None:
        prefix = _SENSE if kind == "SENSe" else f"{_SOURCE}:{kind}"

        def initiate(gates: VoltageGates, channel: int, listed: list[int] | None) -> None:
            for each in listed or [channel]:
                gates.initiate(kind, each)

        def abort(gates: VoltageGates, channel: int, listed: list[int] | None) -> None:
            for each in listed or [channel]:
                gates.abort_generator(kind, each)

        def get_cycles_left(gates: VoltageGates, channel: int) -> int:
            return gates.cycles_left(kind, channel)

        def set_frequency(gates: VoltageGates, channel: int, frequency_hz: float) -> None:
            gates.source[f"{kind}:PERiod", channel] = 1 / frequency_hz

        def get_frequency(gates: VoltageGates, channel: int) -> str:
            return plain(1 / gates.source[f"{kind}:PERiod", channel])

        counted = (f"{_SOURCE}:SWEep", f"{_SOURCE}:LIST") if kind == "DC" else (prefix,)
        self.scpi_commands = [
            declared_command(f"{prefix}:INITiate[:IMMediate]", initiate, LISTED),
            declared_command(f"{prefix}:ABORt", abort, LISTED),
            *(declared_command(f"{each}:NCLeft?", get_cycles_left) for each in counted),
        ]
        if kind in WAVEFORMS[:3]:
            hertz = number("HZ", low=1e-5, high=500e3, default=1e3)
            self.scpi_commands += [
                declared_command(f"{prefix}:FREQuency", set_frequency, hertz),
                declared_command(f"{prefix}:FREQuency?", get_frequency),
            ]


class VoltageGates(GateLevels):
    """The voltage source of one rig's gates."""

    model: ClassVar[str] = "qdevil-qdac2"
    port: ClassVar[int] = 5025
    no_error = '0, "No error"'

    dc, sensing = Generator("DC"), Generator("SENSe")
    square, sine, triangle, awg = (Generator(kind) for kind in WAVEFORMS)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"QDevil, QDAC-II, {serial}, 13-1.57", environment, clock, lock)
        self._output = SourceOutput(environment, serial)
        self._random = random.Random(serial)
        self._stop_all()
        self._ramps[DOT_CHANNEL] = (environment.bias_v, environment.bias_v, 0.0)

    def _stop_all(self) -> None:
        self._data: dict[int, list[float]] = {}
        self._traces: dict[str, list[float]] = {}
        self._armed: set[Run] = set()
        self._ends_s: dict[Run, float] = {}

    def reset(self) -> None:
        """Return every channel to 0 V."""
        self._stop_all()
        super().reset()

    def apply(self) -> None:
        """Let what is initiated continuously wait for its trigger, and put channel 1 across the dot."""
        runs = ((kind, channel) for kind in ("DC", "SENSe", *WAVEFORMS) for channel in range(1, CHANNELS + 1))
        self._armed.update(run for run in runs if self._continuous(*run))
        offset_v = sum(
            self.source[f"{kind}:OFFSet", DOT_CHANNEL]
            for kind, channel in self._ends_s
            if channel == DOT_CHANNEL and kind in WAVEFORMS and self.cycles_left(kind, channel)
        )
        level_v = self.target_v(DOT_CHANNEL) + offset_v
        self._output.drive(self._output.operating_point("VOLT", level_v, LARGEST_A["HIGH"]))

    def pending_until_s(self) -> float:
        """Device time at which every generator that ends has ended."""
        return max([self.busy_until_s, *(end_s for end_s in self._ends_s.values() if end_s < _ENDLESS_S)])

    # Generators and their triggers.

    def _source(self, kind: str, channel: int) -> str:
        return str(
            self.sensor["TRIGger:SOURce", channel]
            if kind == "SENSe"
            else self.source[f"{kind}:TRIGger:SOURce", channel]
        )

    def _continuous(self, kind: str, channel: int) -> bool:
        return bool(
            self.sensor["INITiate:CONTinuous", channel]
            if kind == "SENSe"
            else self.source[f"{kind}:INITiate:CONTinuous", channel]
        )

    def initiate(self, kind: str, channel: int) -> None:
        """Start a generator, or let it wait for its trigger."""
        if self._source(kind, channel) == "IMM":
            self._run(kind, channel)
        else:
            self._armed.add((kind, channel))

    def _run(self, kind: str, channel: int) -> None:
        if kind == "SENSe":
            cycle_s, count = self.sensor["APERture", channel], self.sensor["COUNt", channel]
            gathered = self._data.setdefault(channel, [])
            if 0 < count < INFINITY:
                gathered += [self.measured_a(channel) for _ in range(min(round(count), MOST_POINTS))]
        elif kind == "DC":
            final, cycle_s, count = self.course(channel)
            self.go_to(channel, final)
        else:
            cycle_s, count = self.source[f"{kind}:PERiod", channel], self.source[f"{kind}:COUNt", channel]
        endless = (count < 0 or count >= INFINITY) and cycle_s > 0
        self._ends_s[(kind, channel)] = INFINITY if endless else self.clock.now_s + cycle_s * max(count, 0)
        self.apply()

    def _fire(self, source: str) -> None:
        for kind, channel in sorted(self._armed):
            if self._source(kind, channel) == source:
                if not self._continuous(kind, channel):
                    self._armed.discard((kind, channel))
                self._run(kind, channel)

    def cycles_left(self, kind: str, channel: int) -> int:
        """Return 1 while a generator runs, -1 if it does so without end."""
        end_s = self._ends_s.get((kind, channel), 0.0)
        return -1 if end_s >= _ENDLESS_S else int(not self.clock.finish(end_s))

    def abort_generator(self, kind: str, channel: int) -> None:
        """Stop a generator, and let it wait for nothing."""
        self._armed.discard((kind, channel))
        self._ends_s.pop((kind, channel), None)
        self.apply()

    def trigger(self) -> None:
        """Run what waits for the bus."""
        self._fire("BUS")

    @command("TINTernal", integer(1, INTERNAL_TRIGGERS))
    def fire_internal(self, trigger: int) -> None:
        """Fire an internal trigger."""
        self._fire(f"INT{trigger}")

    @command(f"OUTPut:TRIGger<1-{EXTERNAL_OUTPUTS}>:SIGNal")
    def fire_output(self, output: int) -> None:
        """Give a pulse at an output; nothing is connected."""

    @command(f"{_SOURCE}:ALL:ABORt", LISTED)
    def abort_channel(self, channel: int, listed: list[int] | None) -> None:
        """Stop every generator of a channel."""
        for each in listed or [channel]:
            for kind in ("DC", *WAVEFORMS):
                self.abort_generator(kind, each)

    @command("ABORt")
    def abort(self) -> None:
        """Stop everything."""
        self._armed.clear()
        self._ends_s.clear()
        self.apply()

    # The current sensors.

    def measured_a(self, channel: int) -> float:
        """Return a reading of a channel's current in A."""
        voltage_v, aperture_s = self.voltage_now(channel), self.sensor["APERture", channel]
        if channel == DOT_CHANNEL:
            point = self._output.operating_point("VOLT", voltage_v, LARGEST_A["HIGH"])
            current_a = self._output.noisy(point, aperture_s * LINE_FREQUENCY_HZ)[1]
        else:
            current_a = voltage_v / _GATE_OHM + self._random.gauss(0.0, _GATE_NOISE_A)
        largest = LARGEST_A[self.sensor["RANGe", channel]]
        return min(max(current_a, -largest), largest)

    @command(f"{_SENSE}:NPLCycles", number(low=1e-4, high=50, default=1.0), LISTED)
    def set_cycles(self, channel: int, cycles: float, listed: list[int] | None) -> None:
        """Set the aperture in power line cycles."""
        for each in listed or [channel]:
            self.sensor["APERture", each] = cycles / LINE_FREQUENCY_HZ

    @command(f"{_SENSE}:NPLCycles?", LISTED)
    def get_cycles(self, channel: int, listed: list[int] | None) -> str:
        """Return the aperture in power line cycles."""
        return ",".join(plain(self.sensor["APERture", each] * LINE_FREQUENCY_HZ) for each in listed or [channel])

    @command(f"READ<1-{CHANNELS}>?", LISTED)
    def read(self, channel: int, listed: list[int] | None) -> str:
        """Measure now and return the currents in A."""
        channels = listed or [channel]
        self.busy_until_s = self.clock.now_s + max(self.sensor["APERture", each] for each in channels)
        return ",".join(plain(self.measured_a(each)) for each in channels)

    @command(f"FETCh<1-{CHANNELS}>?", LISTED)
    @command(f"{_SENSE}:DATA:REMove?", LISTED)
    def fetch(self, channel: int, listed: list[int] | None) -> str:
        """Return the currents gathered in A, and forget them."""
        return ",".join(plain(value) for each in listed or [channel] for value in self._data.pop(each, []))

    @command(f"{_SENSE}:DATA:POINts?")
    def count_data(self, channel: int) -> int:
        """Return how many currents were gathered."""
        return len(self._data.get(channel, []))

    @command(f"{_SENSE}:DATA:LAST?")
    def get_last_current(self, channel: int) -> str:
        """Return the last current gathered in A."""
        gathered = self._data.get(channel)
        if not gathered:
            raise ScpiError(-230)
        return plain(gathered[-1])

    # Traces of the arbitrary waveform generators.

    @command("TRACe:DEFine", text, integer(2, 10**6))
    def define_trace(self, name: str, size: int) -> None:
        """Make a trace."""
        self._traces[name] = [0.0] * size

    @command("TRACe:DATA", text, *VALUES)
    def set_trace(self, name: str, *values: Any) -> None:
        """Fill a trace, from -1 to 1."""
        if name not in self._traces:
            raise ScpiError(-224, name)
        self._traces[name] = flat(values)

    @command("TRACe:REMove:ALL")
    def remove_traces(self) -> None:
        """Forget every trace."""
        self._traces.clear()

    @command("TRACe:CATalog?")
    def list_traces(self) -> str:
        """Return the names of the traces."""
        return ",".join(f'"{name}"' for name in self._traces)

    @command("SYSTem:COMMunicate:LAN:MAC?")
    def get_mac(self) -> str:
        """Return the network card's address."""
        return '"04E9E5000001"'
