"""The smaller SCPI instruments of the bench: clock, pulse generator, power meter, supply."""

from __future__ import annotations

import math
import re
import threading
from typing import TypeVar

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.power_meter import PowerMeter, responsivity_a_per_w
from qdhil_sim.devices.pulse_generator import PulseGenerator
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.signal_generator import SignalGenerator
from qdhil_sim.devices.source_meter import SourceMeter
from qdhil_sim.devices.supply import Supply
from qdhil_sim.environment import Environment

Device = TypeVar("Device", bound=ScpiInstrument)
_NO_BRACKETS = str.maketrans("", "", "[]")
DEVICES = [SignalGenerator, PulseGenerator, PowerMeter, Supply, SourceMeter]


def made(device: type[Device]) -> Device:
    return device("SIM1", Environment(), Clock("turbo"), threading.RLock())


def ask(instrument: ScpiInstrument, message: str) -> str:
    return b"".join(instrument.respond(message.encode())).decode().rstrip("\r\n")


def error(instrument: ScpiInstrument) -> int:
    return int(ask(instrument, "SYST:ERR?").split(",")[0])


@pytest.mark.parametrize("device", DEVICES)
def test_switching_the_rack_on_leaves_the_bench_nominal(device: type[ScpiInstrument]) -> None:
    instrument = made(device)
    instrument.apply()
    assert instrument.environment == Environment()


@pytest.mark.parametrize("device", DEVICES)
def test_every_query_without_parameters_answers(device: type[ScpiInstrument]) -> None:
    instrument = made(device)
    members = [getattr(device, name) for name in dir(device)]
    queries = [found for member in members for found in getattr(member, "scpi_commands", []) if found.query]
    asked = [found for found in queries if not any(parameter.required for parameter in found.parameters)]
    assert len(asked) > 30
    for found in asked:
        ask(instrument, "*CLS")
        assert instrument.respond(written(found.pattern).encode()) or error(instrument) in {-221, -230}, found.pattern
    assert instrument.undefined_headers == 0


def written(pattern: str) -> str:
    """Return a header that a pattern stands for: long form, with every optional node."""
    return re.sub(r"<(n|\d+)(-\d+)?>", lambda match: match[1].replace("n", "1"), pattern).translate(_NO_BRACKETS)


# Signal generator.


def test_clock_sets_the_repetition_rate() -> None:
    clock = made(SignalGenerator)
    assert ask(clock, "FREQ 76 MHz;FREQ?") == "76000000.000000"
    assert clock.environment.rep_rate_hz == 76e6
    ask(clock, "ENBR 0")
    assert clock.environment.rep_rate_hz == 80e6
    ask(clock, "ENBR 1;*RST")
    assert clock.environment.rep_rate_hz == 10e6


def test_clock_needs_no_blanks_and_counts_its_own_errors() -> None:
    clock = made(SignalGenerator)
    assert ask(clock, "FREQ80e6;TYPE3;TYPE?;OPTN?2") == "3;0"
    ask(clock, "FREQ 9 GHz;AMPR;WHAT 1;PHAS 10 KG")
    assert [ask(clock, "LERR?") for _ in range(5)] == ["10", "116", "111", "127", "0"]
    assert clock.undefined_headers == 1


def test_amplitudes_in_volts() -> None:
    clock = made(SignalGenerator)
    for written in ("AMPR 0.2236 RMS", "AMPR 632.5 mVpp", "AMPR 0 dBm"):
        ask(clock, written)
        assert float(ask(clock, "AMPR?")) == pytest.approx(0.0, abs=0.01)


# Pulse generator.


def test_frequency_period_width_and_duty_follow_from_one_another() -> None:
    pulser = made(PulseGenerator)
    ask(pulser, "FREQ1 100 MHz;:PULS:WIDT1 2.5ns")
    assert float(ask(pulser, ":PULS:PER1?")) == pytest.approx(10e-9)
    assert float(ask(pulser, ":PULS:DCYC1?")) == pytest.approx(25)
    ask(pulser, ":PULS:HOLD1 DCYC;:PULS:PER1 20ns")
    assert float(ask(pulser, ":PULS:WIDT1?")) == pytest.approx(5e-9)
    ask(pulser, ":PULS:WIDT1 30ns;:FREQ1 400 MHz")
    assert [error(pulser), error(pulser)] == [-222, -222]


def test_levels_follow_from_one_another() -> None:
    pulser = made(PulseGenerator)
    ask(pulser, ":VOLT2 2;:VOLT2:OFFS 0.5")
    assert [float(ask(pulser, f":VOLT2:{level}?")) for level in ("HIGH", "LOW")] == [1.5, -0.5]
    ask(pulser, ":FUNC2 SIN;:VOLT2:UNIT DBM")
    assert float(ask(pulser, ":VOLT2?")) == pytest.approx(10 * math.log10(2**2 / 8 / 50 / 1e-3), abs=1e-6)
    ask(pulser, ":VOLT2:UNIT VPP;:VOLT2:LIM:HIGH 1.6;LOW -1;STAT ON;:VOLT2:HIGH 1.7;:VOLT2:HIGH 1.6")
    assert [error(pulser), error(pulser)] == [-221, 0]
    ask(pulser, ":VOLT2:LOW 1.6")
    assert error(pulser) == -222


@pytest.mark.parametrize(
    "closes", [":OUTP1 OFF", ":FUNC1 DC", ":VOLT1:HIGH 0.2", ":OUTP1:POL INV", ":ARM:SOUR1 MAN", "*RST"]
)
def test_modulator_opens_for_pulses_only(closes: str) -> None:
    pulser = made(PulseGenerator)
    ask(pulser, closes)
    assert not pulser.environment.pulse_gate_on
    ask(pulser, "*RST;:ARM:SOUR1 IMM;:APPL1:PULS 80e6, 1, 0.5")
    assert pulser.environment.pulse_gate_on


def test_waveforms() -> None:
    pulser = made(PulseGenerator)
    pulser.respond(b":DATA1:DAC VOLATILE,#14\x00\x0a\x1f\xff")
    assert ask(pulser, ":DATA1:ATTR:POIN?;:DATA1:COPY EDGE;:DATA2:NVOL:CAT?;:DATA2:NVOL:FREE?") == '2;"EDGE";3'
    ask(pulser, ":DATA1:DAC VOLATILE,0,9000;:DATA1:DEL NONE")
    assert [error(pulser), error(pulser)] == [-222, -224]
    assert ask(pulser, "APPL2?").startswith('"SIN ')


# Power meter.


def test_power_meter_sees_the_laser_through_its_calibration() -> None:
    meter = made(PowerMeter)
    ask(meter, "SENS:AVER 1000")
    assert float(ask(meter, "MEAS:POW?")) == pytest.approx(10e-3, rel=1e-3)
    ask(meter, "SENS:CORR:WAV 780 NM")
    ratio = responsivity_a_per_w(930) / responsivity_a_per_w(780)
    assert float(ask(meter, "READ?")) == pytest.approx(10e-3 * ratio, rel=1e-3)
    ask(meter, "SENS:CORR:WAV 0.93um;:SENS:CORR 3")
    assert float(ask(meter, "READ?")) == pytest.approx(10e-3 * 10**0.3, rel=1e-3)
    meter.environment.laser_on = False
    assert float(ask(meter, "READ?")) < 1e-9


def test_ranges_units_and_status() -> None:
    meter = made(PowerMeter)
    assert float(ask(meter, "SENS:POW:RANG?")) == 50e-3
    ask(meter, "SENS:POW:RANG 4mW")
    assert ask(meter, "SENS:POW:RANG:AUTO?;:MEAS:POW?;:STAT:QUES:COND?") == "0;9.900000E+37;8"
    ask(meter, "SENS:POW:RANG:AUTO ON;:SENS:POW:UNIT DBM")
    assert float(ask(meter, "MEAS?")) == pytest.approx(10.0, abs=0.05)
    ask(meter, "MEAS:ENER?")
    assert error(meter) == -221
    ask(meter, "*CLS;CONF:CURR;:INIT")
    assert float(ask(meter, "FETC?")) == pytest.approx(10e-3 * responsivity_a_per_w(930), rel=1e-2)
    assert ask(meter, "STAT:OPER?;:STAT:OPER?;:CONF?") == "512;0;CURR"


def test_zeroing_in_the_light_spoils_the_readings() -> None:
    meter = made(PowerMeter)
    ask(meter, "SENS:CORR:COLL:ZERO")
    assert abs(float(ask(meter, "MEAS:POW?"))) < 1e-6
    assert float(ask(meter, "SENS:CORR:COLL:ZERO:MAGN?")) > 1e-4


# Supply.


def test_supply_feeds_the_controller() -> None:
    supply = made(Supply)
    assert ask(supply, "INST:NSEL 1;:MEAS:VOLT?;CURR?") == "12.000;1.5000"
    for off, on in (("OUTP:GEN 0", "OUTP:GEN 1"), ("OUTP OFF", "OUTP ON"), ("VOLT 9", "VOLT 12"), ("CURR 1", "CURR 2")):
        ask(supply, off)
        assert not supply.environment.controller_powered, off
        ask(supply, on)
        assert supply.environment.controller_powered, on
    ask(supply, "INST OUT2;:OUTP OFF;:VOLT 0")
    assert supply.environment.controller_powered


def test_supply_limits_and_protection() -> None:
    supply = made(Supply)
    assert ask(supply, "CURR 0.5;:MEAS:VOLT?;:STAT:QUES:INST:ISUM1:COND?") == "4.000;1"
    ask(supply, "CURR 2;:VOLT:PROT 11;:VOLT 12")
    assert ask(supply, "VOLT:PROT:TRIP?;:MEAS:VOLT?") == "1;0.000"
    ask(supply, "VOLT:PROT 15;:VOLT:PROT:CLE")
    assert supply.environment.controller_powered
    ask(supply, "FUSE ON;:CURR 1")
    assert ask(supply, "FUSE:TRIP?") == "1"
    assert ask(supply, "INST:NSEL 4;:INST?;:VOLT MAX;:VOLT?;:VOLT? MIN") == "OUTP4;32.050;0.000"
    ask(supply, "VOLT 33;:INST:NSEL 5")
    assert [error(supply), error(supply)] == [-222, -222]
