"""The delay generator, a Stanford Research DG645: edges of four outputs, each so long after another edge.

Channels: 0 is T0, 1 is T1, 2 to 9 are A to H; an output lasts from an odd edge's partner to it, AB from A to B. Its
AB output gates the modulator: triggered at a rate, the gate opens. Device: SRS DG645 user manual, chapter 4.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Setting
from qdhil_sim.devices.stanford import StanfordInstrument
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import Parameter, integer, number
from qdhil_sim.protocol.scpi import command

T0, T1 = 0, 1
CHANNELS, OUTPUTS = 10, 5
LONGEST_S, RESOLUTION_S = 2000.0, 5e-12
GATE_OUTPUT, GATE_LOWEST_V = 1, 1.0
"""Output AB, and the step that opens the modulator."""
INTERNAL, SINGLE_SHOTS, LINE = 0, (3, 4, 5), 6
LINE_FREQUENCY_HZ = 50.0
TRIGGERED_BIT, RATE_BIT, END_OF_DELAY_BIT = 0x01, 0x02, 0x04
_CHANNEL, _OUTPUT = integer(0, CHANNELS - 1), integer(0, OUTPUTS - 1)
_TIME = number("S", low=-LONGEST_S, high=LONGEST_S, default=0.0)


def _setting(name: str, parameter: Parameter, places: int = 6, **options: Any) -> Setting:
    return Setting(name, parameter=parameter, form=lambda value: f"{value:+.{places}f}", **options)


def _index(name: str, high: int, default: int = 0, **options: Any) -> Setting:
    return Setting(name, parameter=integer(0, high, default=default), **options)


class DelayGenerator(StanfordInstrument):
    """The delay generator of one rig."""

    model: ClassVar[str] = "srs-dg645"
    port: ClassVar[int] = 5025
    error_numbers: ClassVar[Mapping[int, int]] = {
        -102: 126, -108: 115, -109: 116, -113: 110, -121: 118,
        -138: 127, -221: 12, -222: 10, -224: 10,
    }  # fmt: skip

    trigger_source = _index("TSRC", 6)
    trigger_rate_hz = _setting("TRAT", number("HZ", low=1e-6, high=10e6, default=80e3))
    trigger_level_v = _setting("TLVL", number("V", low=-3.5, high=3.5, default=1.0), 2)
    holdoff_s = _setting("HOLD", number("S", low=0, high=1000, default=0.0), 12)
    inhibit = _index("INHB", 5)
    advanced_trigger = _index("ADVT", 1)
    prescale = Setting("PRES", parameter=integer(1, 2147483647, default=1), selector=(_OUTPUT,))
    prescale_phase = Setting("PHAS", parameter=integer(0, 2147483647, default=0), selector=(integer(1, 4),))
    burst_on = _index("BURM", 1)
    burst_count = Setting("BURC", parameter=integer(1, 2**32 - 1, default=5))
    burst_delay_s = _setting("BURD", number("S", low=0, high=LONGEST_S, default=0.0), 12)
    burst_period_s = _setting("BURP", number("S", low=100e-9, high=2000, default=10e-6), 12)
    burst_first_only = _index("BURT", 1)
    amplitude_v = _setting("LAMP", number("V", low=0.5, high=5, default=2.5), 2, selector=(_OUTPUT,))
    offset_v = _setting("LOFF", number("V", low=-2, high=2, default=0.0), 2, selector=(_OUTPUT,))
    polarity = _index("LPOL", 1, 1, selector=(_OUTPUT,))
    display_on = _index("SHDP", 1, 1)
    delay_step_s = _setting("SSDL", number("S", low=0, high=LONGEST_S, default=1e-9), 12, selector=(_CHANNEL,))
    amplitude_step_v = _setting("SSLA", number("V", low=0, high=5, default=0.1), 2, selector=(_OUTPUT,))
    offset_step_v = _setting("SSLO", number("V", low=0, high=4, default=0.1), 2, selector=(_OUTPUT,))
    rate_step_hz = _setting("SSTR", number("HZ", low=0, high=10e6, default=1.0))
    level_step_v = _setting("SSTL", number("V", low=0, high=3.5, default=0.1), 2)
    holdoff_step_s = _setting("SSHD", number("S", low=0, high=1000, default=1e-6), 12)
    prescale_step = Setting("SSPS", parameter=integer(1, 2147483647, default=1), selector=(_OUTPUT,))
    phase_step = Setting("SSPH", parameter=integer(1, 2147483647, default=1), selector=(integer(1, 4),))
    burst_count_step = Setting("SSBC", parameter=integer(1, 2147483647, default=1))
    burst_delay_step_s = _setting("SSBD", number("S", low=0, high=LONGEST_S, default=1e-6), 12)
    burst_period_step_s = _setting("SSBP", number("S", low=0, high=LONGEST_S, default=1e-6), 12)
    instrument_enable = _index("INSE", 255)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"Stanford Research Systems,DG645,s/n{serial},ver1.21.00B", environment, clock, lock)
        self._status = 0
        self._shown = (11, 2)
        self._forget_delays()

    def _forget_delays(self) -> None:
        self._delays: dict[int, tuple[int, float]] = {}

    def reset(self) -> None:
        """Return to the factory's settings."""
        self._forget_delays()
        super().reset()

    def apply(self) -> None:
        """Open the modulator while output AB is triggered at a rate and swings far enough."""
        triggered = self.trigger_source not in SINGLE_SHOTS and self.inhibit not in (1, 2, 3, 4, 5)
        self.environment.pulse_gate_on = bool(triggered and self.amplitude_v[GATE_OUTPUT] >= GATE_LOWEST_V)

    def edge_s(self, channel: int) -> float:
        """Return when an edge comes after T0."""
        reference, delay_s = self._delays.get(channel, (T0, 0.0))
        return 0.0 if channel == T0 else delay_s + self.edge_s(reference)

    @command("*CLS")
    def clear_status(self) -> None:
        """Empty the error queues and the event registers."""
        super().clear_status()
        self._status = 0

    # Delays.

    @command("DLAY", _CHANNEL, _CHANNEL, _TIME)
    def set_delay(self, channel: int, reference: int, delay_s: float) -> None:
        """Let an edge come so long after another, in steps of 5 ps."""
        if channel in (T0, T1):
            raise ScpiError(-221, "T0 and T1 have no delay of their own")
        self._refuse_circle(channel, reference)
        before = self._delays.get(channel)
        self._delays[channel] = (reference, round(delay_s / RESOLUTION_S) * RESOLUTION_S)
        if not 0 <= self.edge_s(channel) <= LONGEST_S:
            self._delays[channel] = before or (T0, 0.0)
            raise ScpiError(-222, "an edge comes from 0 s to 2000 s after T0")
        self._status |= END_OF_DELAY_BIT

    def _refuse_circle(self, channel: int, reference: int) -> None:
        while reference != T0:
            if reference == channel:
                raise ScpiError(-221, "an edge can't wait for itself")
            reference = self._delays.get(reference, (T0, 0.0))[0]

    @command("DLAY?", _CHANNEL)
    def get_delay(self, channel: int) -> str:
        """Return what an edge waits for, and how long in s."""
        if channel == T1:
            return f"{T0},{max(self.edge_s(each) for each in range(2, CHANNELS)):+.12f}"
        reference, delay_s = self._delays.get(channel, (T0, 0.0))
        return f"{reference},{delay_s:+.12f}"

    @command("LINK", _CHANNEL, _CHANNEL)
    def set_link(self, channel: int, reference: int) -> None:
        """Choose what an edge waits for; it comes when it came."""
        self._refuse_circle(channel, reference)
        delay_s = self.edge_s(channel) - self.edge_s(reference)
        if channel not in (T0, T1):
            self._delays[channel] = (reference, delay_s)

    @command("LINK?", _CHANNEL)
    def get_link(self, channel: int) -> int:
        """Return what an edge waits for."""
        return self._delays.get(channel, (T0, 0.0))[0]

    @command("SPDL", _CHANNEL, integer(-1, 1))
    def step_delay(self, channel: int, steps: int) -> None:
        """Move an edge by its step."""
        reference, delay_s = self._delays.get(channel, (T0, 0.0))
        self.set_delay(channel, reference, delay_s + steps * self.delay_step_s[channel])

    @command("SPLA", _OUTPUT, integer(-1, 1))
    def step_amplitude(self, output: int, steps: int) -> None:
        """Move an amplitude by its step."""
        amplitude_v = self.amplitude_v[output] + steps * self.amplitude_step_v[output]
        if not 0.5 <= amplitude_v <= 5:
            raise ScpiError(-222, f"{amplitude_v:g} V")
        self.amplitude_v[output] = amplitude_v
        self.apply()

    # Triggers.

    def trigger(self) -> None:
        """Trigger once, where single shots are awaited."""
        if self.trigger_source not in SINGLE_SHOTS:
            raise ScpiError(-221, "triggers come by themselves")
        last_s = max(self.edge_s(channel) for channel in range(CHANNELS))
        self.busy_until_s = self.clock.now_s + last_s
        self._status |= TRIGGERED_BIT | END_OF_DELAY_BIT

    def rate_hz(self) -> float:
        """Return how often it is triggered."""
        if self.trigger_source == LINE:
            return LINE_FREQUENCY_HZ
        return float(self.trigger_rate_hz) if self.trigger_source == INTERNAL else 0.0

    @command("INSR?")
    def get_instrument_status(self) -> int:
        """Return what happened, and clear it: triggers, triggers while busy, ends of delays."""
        last_s = max(self.edge_s(channel) for channel in range(CHANNELS))
        status = self._status | (TRIGGERED_BIT if self.rate_hz() else 0)
        status |= RATE_BIT if self.rate_hz() * last_s > 1 else 0
        self._status = 0
        return status

    @command("DISP", integer(0, 15), _CHANNEL)
    def set_display(self, kind: int, channel: int) -> None:
        """Choose what is shown."""
        self._shown = (kind, channel)

    @command("DISP?")
    def get_display(self) -> str:
        """Return what is shown."""
        return f"{self._shown[0]},{self._shown[1]}"

    @command("TIMB?")
    def get_timebase(self) -> int:
        """Return 0: the internal time base."""
        return 0

    @command("EMAC?")
    def get_mac(self) -> str:
        """Return the network card's address."""
        return "00.19.B3.02.00.01"

    @command("REMT")
    @command("LCAL")
    @command("LOCK")
    @command("UNLK")
    def set_remote(self) -> None:
        """Go to remote or local; the front panel is nobody's."""
