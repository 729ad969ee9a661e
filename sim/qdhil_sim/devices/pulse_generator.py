"""The pulse generator of the rig, a Keysight 81160A: two outputs, the first opens the laser's modulator.

Frequency, period, width and duty cycle follow from one another, and so do amplitude, offset and the two
levels, as the instrument keeps them. Device: Keysight 81150A/81160A user's guide, chapter 5. The
modulator passes the laser while output 1 is on and its pulses are high enough.
"""

from __future__ import annotations

import math
import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.pulse_generator_waveforms import WaveformCommands
from qdhil_sim.devices.setting import Family, Setting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import INFINITY, Parameter, boolean, choice, integer, number
from qdhil_sim.protocol.scpi import command

OUTPUTS = (1, 2)
GATE_OUTPUT = 1
GATE_LOWEST_V = 0.5
"""Step between the levels, in V, that opens the modulator."""
FUNCTIONS = ("SINusoid", "SQUare", "RAMP", "PULSe", "NOISe", "DC", "USER")
_HIGHEST_HZ = {"SIN": 500e6, "SQU": 330e6, "RAMP": 20e6, "PULS": 330e6, "NOIS": 330e6, "DC": 500e6, "USER": 330e6}
_PULSED = {"PULS", "SQU"}
_SHORTEST_S, _LONGEST_S = 3.0303e-9, 1e6
_SHORTEST_WIDTH_S = 1.5e-9
_LEVEL = number("V", low=-5, high=5, default=0.5)
_MODULATIONS = dict.fromkeys(("AM", "FM", "PM", "FSKey", "PWM", "SWEep", "BURSt"), boolean)


def _edge() -> Parameter:
    return number("S", low=1e-9, high=1e3, default=1e-9)


def _rms_factor(generator: Any, output: int) -> float:
    return {"SIN": 1 / math.sqrt(8), "RAMP": 1 / math.sqrt(12)}.get(generator.function[output], 0.5)


def _shown_amplitude(generator: Any, key: tuple[int]) -> float:
    amplitude_v = generator.high_v[key] - generator.low_v[key]
    if generator.unit[key] == "VPP":
        return float(amplitude_v)
    rms_v = amplitude_v * _rms_factor(generator, key[0])
    return float(rms_v if generator.unit[key] == "VRMS" else 10 * math.log10(rms_v**2 / 50 / 1e-3))


def _set_amplitude(generator: Any, key: tuple[int], value: float) -> None:
    if generator.unit[key] == "DBM":
        value = math.sqrt(50 * 1e-3 * 10 ** (value / 10))
    if generator.unit[key] != "VPP":
        value /= _rms_factor(generator, key[0])
    middle_v = (generator.high_v[key] + generator.low_v[key]) / 2
    generator.set_levels(key, middle_v - value / 2, middle_v + value / 2)


def _set_offset(generator: Any, key: tuple[int], value: float) -> None:
    half_v = (generator.high_v[key] - generator.low_v[key]) / 2
    generator.set_levels(key, value - half_v, value + half_v)


def _set_period(generator: Any, key: tuple[int], value: float) -> None:
    generator.set_period(key, value)


class PulseGenerator(WaveformCommands):
    """The pulse generator of one rig."""

    model: ClassVar[str] = "keysight-81160a"
    port: ClassVar[int] = 5025
    no_error = '+0,"No error"'

    function = Setting("[SOURce:]FUNCtion<1-2>[:SHAPe]", parameter=choice(*FUNCTIONS, default="SIN"))
    period_s = Setting(
        "[SOURce:]PULSe:PERiod<1-2>", "[SOURce:]FUNCtion<1-2>:PULSe:PERiod",
        parameter=number("S", low=_SHORTEST_S, high=_LONGEST_S, default=1e-6),
        read=lambda generator, key: generator.values.get(("period_s", *key), 1e-6), write=_set_period,
    )  # fmt: skip
    frequency_hz = Setting(
        "[SOURce:]FREQuency<1-2>[:CW]", "[SOURce:]FREQuency<1-2>:FIXed",
        parameter=number("HZ", low=1e-6, high=500e6, default=1e6),
        read=lambda generator, key: 1 / generator.period_s[key],
        write=lambda generator, key, value: generator.set_period(key, 1 / value),
    )  # fmt: skip
    width_s = Setting(
        "[SOURce:]PULSe:WIDTh<1-2>", "[SOURce:]FUNCtion<1-2>:PULSe:WIDTh",
        parameter=number("S", low=_SHORTEST_WIDTH_S, high=_LONGEST_S, default=100e-9),
        read=lambda generator, key: generator.held_width_s(key),
        write=lambda generator, key, value: generator.set_width(key, value),
    )  # fmt: skip
    duty_percent = Setting(
        "[SOURce:]PULSe:DCYCle<1-2>", "[SOURce:]FUNCtion<1-2>:PULSe:DCYCle",
        parameter=number("PCT", low=0.00000015, high=99.9, default=10.0, others={"%": float}),
        read=lambda generator, key: 100 * generator.width_s[key] / generator.period_s[key],
        write=lambda generator, key, value: generator.set_width(key, value / 100 * generator.period_s[key]),
    )  # fmt: skip
    hold = Setting("[SOURce:]PULSe:HOLD<1-2>", parameter=choice("WIDTh", "DCYCle", default="WIDT"))
    delay_s = Setting("[SOURce:]PULSe:DELay<1-2>", parameter=number("S", low=0, high=999.5, default=0.0))
    trigger_delay_s = Setting("[SOURce:]PULSe:TDELay<1-2>", parameter=number("S", low=0, high=999.5, default=0.0))
    leading_s = Setting(
        "[SOURce:]PULSe:TRANsition<1-2>[:LEADing]", "[SOURce:]FUNCtion<1-2>:PULSe:TRANsition[:LEADing]",
        parameter=_edge(),
    )  # fmt: skip
    trailing_s = Setting(
        "[SOURce:]PULSe:TRANsition<1-2>:TRAiling", "[SOURce:]FUNCtion<1-2>:PULSe:TRANsition:TRAiling",
        parameter=_edge(),
    )  # fmt: skip
    trailing_auto = Setting("[SOURce:]PULSe:TRANsition<1-2>:TRAiling:AUTO", parameter=boolean, reset=True)
    unit = Setting("[SOURce:]VOLTage<1-2>:UNIT", parameter=choice("VPP", "VRMS", "DBM", default="VPP"))
    high_v = Setting(
        "[SOURce:]VOLTage<1-2>[:LEVel][:IMMediate]:HIGH", parameter=_LEVEL, reset=0.5,
        read=lambda generator, key: generator.values.get(("high_v", *key), 0.5),
        write=lambda generator, key, value: generator.set_levels(key, generator.low_v[key], value),
    )  # fmt: skip
    low_v = Setting(
        "[SOURce:]VOLTage<1-2>[:LEVel][:IMMediate]:LOW", parameter=_LEVEL, reset=-0.5,
        read=lambda generator, key: generator.values.get(("low_v", *key), -0.5),
        write=lambda generator, key, value: generator.set_levels(key, value, generator.high_v[key]),
    )  # fmt: skip
    amplitude = Setting(
        "[SOURce:]VOLTage<1-2>[:LEVel][:IMMediate][:AMPLitude]",
        parameter=number("V", low=-90, high=10, default=1.0, others={"VPP": float, "VRMS": float, "DBM": float}),
        read=_shown_amplitude, write=_set_amplitude,
    )  # fmt: skip
    offset_v = Setting(
        "[SOURce:]VOLTage<1-2>[:LEVel][:IMMediate]:OFFSet", parameter=number("V", low=-5, high=5, default=0.0),
        read=lambda generator, key: (generator.high_v[key] + generator.low_v[key]) / 2, write=_set_offset,
    )  # fmt: skip
    range_auto = Setting("[SOURce:]VOLTage<1-2>:RANGe:AUTO", parameter=boolean, reset=True)
    limit_on = Setting("[SOURce:]VOLTage<1-2>:LIMit:STATe", parameter=boolean, reset=False)
    highest_v = Setting("[SOURce:]VOLTage<1-2>:LIMit[:HIGH]", parameter=number("V", low=-9.999, high=10, default=5.0))
    lowest_v = Setting("[SOURce:]VOLTage<1-2>:LIMit:LOW", parameter=number("V", low=-10, high=9.999, default=-5.0))
    phase_deg = Setting("[SOURce:]PHASe<1-2>[:ADJust]", parameter=number("DEG", low=-360, high=360, default=0.0))
    output_on = Setting("OUTPut<1-2>[:STATe]", parameter=boolean, reset=False)
    complement = Setting("OUTPut<1-2>:COMPlement", parameter=boolean, reset=False)
    polarity = Setting("OUTPut<1-2>:POLarity", parameter=choice("NORMal", "INVerted", default="NORM"))
    load_ohm = Setting(
        "OUTPut<1-2>:LOAD", "OUTPut<1-2>:IMPedance:EXTernal",
        parameter=number("OHM", low=0.3, high=INFINITY, default=50.0),
    )  # fmt: skip
    source_ohm = Setting("OUTPut<1-2>:IMPedance[:INTernal]", parameter=number("OHM", low=5, high=50, default=50.0))
    route = Setting("OUTPut<1-2>:ROUTe", parameter=choice("HIVoltage", "HIBandwidth", default="HIB"))
    modulation_on = Family("[SOURce:]{}<1-2>:STATe", _MODULATIONS, reset=False)
    burst_mode = Setting("[SOURce:]BURSt<1-2>:MODE", parameter=choice("TRIGgered", "GATed", default="TRIG"))
    burst_cycles = Setting("[SOURce:]BURSt<1-2>:NCYCles", parameter=integer(1, 2147483647, default=1))
    burst_period_s = Setting(
        "[SOURce:]BURSt<1-2>:INTernal:PERiod", parameter=number("S", low=1e-6, high=500, default=10e-3)
    )
    arm_source = Setting(
        "ARM:SOURce<1-2>",
        parameter=choice("IMMediate", "INTernal2", "EXTernal", "MANual", "INTernal", default="IMM"),
    )
    arm_level_v = Setting("ARM:LEVel<1-2>", parameter=number("V", low=-10, high=10, default=1.0))
    arm_slope = Setting("ARM:SLOPe<1-2>", parameter=choice("POSitive", "NEGative", "EITHer", default="POS"))
    arm_frequency_hz = Setting(
        "ARM[:INTernal]:FREQuency<1-2>", parameter=number("HZ", low=2e-3, high=330e6, default=100e3)
    )
    pulse_count = Setting("TRIGger<1-2>:COUNt", parameter=integer(1, 2147483647, default=1))
    coupled_to = Setting("TRACk:CHANnel<1-2>", parameter=boolean, reset=False)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"Agilent Technologies,81160A,{serial},1.0.3.0-2.6", environment, clock, lock)
        self.function[GATE_OUTPUT] = "PULS"
        self.values["period_s", GATE_OUTPUT] = 1 / environment.rep_rate_hz
        self.values["width_s", GATE_OUTPUT] = 2e-9
        self.values["low_v", GATE_OUTPUT], self.values["high_v", GATE_OUTPUT] = 0.0, 1.0
        self.output_on[GATE_OUTPUT] = environment.pulse_gate_on

    def apply(self) -> None:
        """Open the modulator, or not."""
        step_v = self.high_v[GATE_OUTPUT] - self.low_v[GATE_OUTPUT]
        pulsed = self.function[GATE_OUTPUT] in _PULSED and self.polarity[GATE_OUTPUT] == "NORM"
        triggered = self.arm_source[GATE_OUTPUT] != "MAN"
        on = self.output_on[GATE_OUTPUT] and pulsed and triggered
        self.environment.pulse_gate_on = bool(on and step_v >= GATE_LOWEST_V)

    # Quantities that follow from one another.

    def set_levels(self, key: tuple[int], low_v: float, high_v: float) -> None:
        """Set both levels, inside the limits and the window of 5 V into 50 ohm."""
        if not 0.05 <= high_v - low_v <= 10 or high_v > 5 or low_v < -5:
            raise ScpiError(-222, f"levels {low_v:g} V and {high_v:g} V")
        if self.limit_on[key] and not (self.lowest_v[key] <= low_v and high_v <= self.highest_v[key]):
            raise ScpiError(-221, "the levels are beyond the limits set")
        for output in self._together(key):
            self.values["low_v", output], self.values["high_v", output] = low_v, high_v

    def set_period(self, key: tuple[int], period_s: float) -> None:
        """Set the period; the width or the duty cycle stays, as ``PULSe:HOLD`` says."""
        if 1 / period_s > _HIGHEST_HZ[self.function[key]] * (1 + 1e-6):
            raise ScpiError(-222, f"{1 / period_s:g} Hz with this function")
        duty = self.width_s[key] / self.period_s[key]
        for output in self._together(key):
            self.values["period_s", output] = period_s
            if self.hold[key] == "DCYC":
                self.values["width_s", output] = duty * period_s

    def set_width(self, key: tuple[int], width_s: float) -> None:
        """Set the pulse width, which is shorter than the period."""
        if not _SHORTEST_WIDTH_S <= width_s < self.period_s[key]:
            raise ScpiError(-222, f"width {width_s:g} s")
        for output in self._together(key):
            self.values["width_s", output] = width_s

    def held_width_s(self, key: tuple[int]) -> float:
        """Return the pulse width; a period that became shorter than the width leaves a tenth of it."""
        width_s, period_s = float(self.values.get(("width_s", *key), 100e-9)), float(self.period_s[key])
        return width_s if width_s < period_s else period_s / 10

    def _together(self, key: tuple[int]) -> tuple[int, ...]:
        return OUTPUTS if self.coupled_to[key] else key

    @command("TRIGger<1-2>[:IMMediate]")
    @command("ARM<1-2>[:IMMediate]")
    def trigger_output(self, output: int) -> None:
        """Trigger an output whose arm source is manual; one that runs freely ignores it."""
        if self.arm_source[output] != "MAN":
            raise ScpiError(-211, "the arm source is not MANual")
