"""DC voltages of a QDAC-II: each channel goes to its level at its slew rate, through a list or a sweep."""

from __future__ import annotations

import threading
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import plain
from qdhil_sim.devices.voltage_gates_settings import CHANNELS, LARGEST_V, VALUES, VOLTAGE, GateSettings, flat
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import channel_list, optional
from qdhil_sim.protocol.scpi import command

LISTED = optional(channel_list(1, CHANNELS), None)
"""The channel list at the end of a command."""
_SOURCE = f"SOURce<1-{CHANNELS}>"


class GateLevels(GateSettings):
    """The part of a QDAC-II that makes DC voltages."""

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._ramps: dict[int, tuple[float, float, float]] = {}
        self._lists: dict[int, list[float]] = {}

    def reset(self) -> None:
        """Return every channel to 0 V."""
        self._ramps, self._lists = {}, {}
        super().reset()

    def target_v(self, channel: int) -> float:
        """Return where a channel is or goes to."""
        return self._ramps.get(channel, (0.0, 0.0, 0.0))[1]

    def voltage_now(self, channel: int) -> float:
        """Return the DC voltage of a channel now, on its ramp."""
        origin, target, start_s = self._ramps.get(channel, (0.0, 0.0, 0.0))
        slew_v_per_s: float = self.source["VOLTage:SLEW", channel]
        end_s = start_s + abs(target - origin) / slew_v_per_s
        if self.clock.finish(end_s):
            return target
        return origin + (target - origin) * (self.clock.now_s - start_s) / (end_s - start_s)

    def go_to(self, channel: int, voltage_v: float) -> None:
        """Send a channel to a voltage in V.

        Raises
        ------
        ScpiError
            -222 if it is outside the channel's range.
        """
        largest = LARGEST_V[self.source["RANGe", channel]]
        if abs(voltage_v) > largest:
            raise ScpiError(-222, f"{voltage_v:g} V in a range of {largest:g} V")
        self._ramps[channel] = (self.voltage_now(channel), voltage_v, self.clock.now_s)

    @command(f"{_SOURCE}:VOLTage[:LEVel][:IMMediate][:AMPLitude]", VOLTAGE, LISTED)
    def set_voltage(self, channel: int, voltage_v: float, listed: list[int] | None) -> None:
        """Set the DC voltage in V, which is reached at the slew rate."""
        for each in listed or [channel]:
            self.go_to(each, voltage_v)
        self.apply()

    @command(f"{_SOURCE}:VOLTage[:LEVel][:IMMediate][:AMPLitude]?", LISTED)
    def get_voltage(self, channel: int, listed: list[int] | None) -> str:
        """Return the DC voltage in V that was set."""
        return ",".join(plain(self.target_v(each)) for each in listed or [channel])

    @command(f"{_SOURCE}:VOLTage[:LEVel]:LAST?", LISTED)
    def get_last_voltage(self, channel: int, listed: list[int] | None) -> str:
        """Return the DC voltage in V now."""
        return ",".join(plain(self.voltage_now(each)) for each in listed or [channel])

    @command(f"{_SOURCE}:RANGe:LOW:MINimum?")
    def get_low_minimum(self, channel: int) -> str:
        """Return the lowest voltage of the low range in V."""
        del channel
        return plain(-LARGEST_V["LOW"])

    @command(f"{_SOURCE}:RANGe:LOW:MAXimum?")
    def get_low_maximum(self, channel: int) -> str:
        """Return the highest voltage of the low range in V."""
        del channel
        return plain(LARGEST_V["LOW"])

    @command(f"{_SOURCE}:RANGe:HIGH:MINimum?")
    def get_high_minimum(self, channel: int) -> str:
        """Return the lowest voltage of the high range in V."""
        del channel
        return plain(-LARGEST_V["HIGH"])

    @command(f"{_SOURCE}:RANGe:HIGH:MAXimum?")
    def get_high_maximum(self, channel: int) -> str:
        """Return the highest voltage of the high range in V."""
        del channel
        return plain(LARGEST_V["HIGH"])

    # Lists and sweeps.

    @command(f"{_SOURCE}:LIST:VOLTage", *VALUES)
    def set_list(self, channel: int, *values: Any) -> None:
        """Set the voltages of a list, as numbers or as a block of single precision."""
        self._lists[channel] = flat(values)

    @command(f"{_SOURCE}:LIST:VOLTage:APPend", *VALUES)
    def append_list(self, channel: int, *values: Any) -> None:
        """Add voltages to a list."""
        self._lists[channel] = [*self._lists.get(channel, []), *flat(values)]

    @command(f"{_SOURCE}:LIST:VOLTage?")
    def get_list(self, channel: int) -> str:
        """Return the voltages of a list."""
        return ",".join(plain(value) for value in self._lists.get(channel, []))

    @command(f"{_SOURCE}:LIST:POINts?")
    def count_list(self, channel: int) -> int:
        """Return how many voltages a list has."""
        return len(self._lists.get(channel, []))

    @command(f"{_SOURCE}:SWEep:TIME?")
    def get_sweep_time(self, channel: int) -> str:
        """Return how long one sweep takes in s."""
        return plain(self.source["SWEep:POINts", channel] * self.source["SWEep:DWELl", channel])

    def course(self, channel: int) -> tuple[float, float, float]:
        """Return the DC generator's final voltage, its time of one cycle and its cycles."""
        mode = self.source["VOLTage:MODE", channel]
        if mode == "FIX":
            return self.source["VOLTage:TRIGgered", channel], 0.0, 1.0
        points = self._lists.get(channel, [])
        if mode == "LIST" and not points:
            raise ScpiError(-221, "the list is empty")
        kind = "LIST" if mode == "LIST" else "SWEep"
        ends = (points[0], points[-1]) if points and mode == "LIST" else (
            self.source["SWEep:STARt", channel], self.source["SWEep:STOP", channel]
        )  # fmt: skip
        count = len(points) if mode == "LIST" else self.source["SWEep:POINts", channel]
        final = ends[0] if self.source[f"{kind}:DIRection", channel] == "DOWN" else ends[1]
        return final, count * self.source[f"{kind}:DWELl", channel], self.source[f"{kind}:COUNt", channel]
