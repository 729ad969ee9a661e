from __future__ import annotations

import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.diode import Diode
from qdhil_sim.devices.voltage_source import VoltageSource
from qdhil_sim.environment import Environment


@pytest.fixture
def source() -> VoltageSource:
    return VoltageSource("SIM1", Environment(), Clock("turbo"), threading.RLock())


def ask(source: VoltageSource, message: str) -> str:
    return b"".join(source.respond(message.encode())).decode().removesuffix("\n")


def error(source: VoltageSource) -> int:
    return int(ask(source, "SYST:ERR?").split(",")[0])


def test_starts_at_the_working_point(source: VoltageSource) -> None:
    source.apply()
    assert source.environment == Environment()
    assert ask(source, "SOUR:FUNC?;RANG?;LEV?;:OUTP?") == "VOLT;1E+00;+4.50000E-01;1"


def test_levels_stay_inside_their_range(source: VoltageSource) -> None:
    ask(source, "SOUR:LEV 1.2;LEV 1.3")
    assert error(source) == -222
    assert ask(source, "SOUR:LEV:AUTO 9;:SOUR:RANG?") == "1E+01"
    assert ask(source, "SOUR:RANG DOWN;LEV?;RANG?") == "+1.20000E+00;1E+00"
    assert ask(source, "SOUR:RANG 15;RANG?;LEV 32;LEV?") == "3E+01;+3.20000E+01"
    ask(source, "SOUR:RANG 50")
    assert error(source) == -222


def test_monitor_and_limiter(source: VoltageSource) -> None:
    ask(source, "MEAS?")
    assert error(source) == -221
    ask(source, "SENS ON;:SENS:NPLC 25;:SOUR:RANG 10;LEV 1.45")
    assert float(ask(source, "MEAS?")) == pytest.approx(Diode().current_a(1.45, 10.0), rel=1e-3)
    ask(source, "SOUR:PROT:CURR 1mA;:SOUR:LEV 5")
    assert float(ask(source, "MEAS?")) == pytest.approx(1e-3, rel=1e-3)
    assert ask(source, "STAT:QUES:COND?") == "1"
    assert source.environment.bias_v == pytest.approx(Diode().voltage_v(1e-3, 10.0))


def test_change_of_function_takes_the_bias_away(source: VoltageSource) -> None:
    assert ask(source, "SOUR:FUNC CURR;:OUTP?;:SOUR:RANG?;LEV?") == "0;2E-01;+0.00000E+00"
    assert not source.environment.bias_on
    ask(source, "SOUR:RANG 1mA;LEV 1e-6;:OUTP ON")
    assert source.environment.bias_v == pytest.approx(Diode().voltage_v(1e-6, 10.0))


def test_programs(source: VoltageSource) -> None:
    ask(source, "PROG:EDIT:STAR;:SOUR:LEV 0.1;LEV 0.2;LEV 0.3;:PROG:EDIT:END")
    assert ask(source, "SOUR:LEV?;:PROG:COUN?") == "+4.50000E-01;3"
    begin_s = source.clock.now_s
    assert ask(source, "PROG:INT 2;RUN;*OPC?") == "1"
    assert source.clock.now_s - begin_s == pytest.approx(6, abs=0.01)
    assert [int(ask(source, "STAT:EVEN?")) & 0x80 for _ in range(2)] == [0x80, 0]
    assert source.environment.bias_v == 0.3
    ask(source, "PROG:SAVE 'ramp';LOAD 'ramp'")
    assert ask(source, "PROG:LOAD?") == '"ramp"'
    ask(source, "PROG:LOAD 'none'")
    assert error(source) == -224
