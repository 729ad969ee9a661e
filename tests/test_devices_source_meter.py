from __future__ import annotations

import math
import struct
import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.diode import Diode
from qdhil_sim.devices.source_meter import SourceMeter
from qdhil_sim.environment import Environment


@pytest.fixture
def environment() -> Environment:
    return Environment()


@pytest.fixture
def meter(environment: Environment) -> SourceMeter:
    return SourceMeter("SIM1", environment, Clock("turbo"), threading.RLock())


def ask(meter: SourceMeter, message: str) -> str:
    return b"".join(bytes(part) for part in meter.respond(message.encode())).decode().removesuffix("\n")


def error(meter: SourceMeter) -> int:
    return int(ask(meter, "SYST:ERR?").split(",")[0])


@pytest.mark.parametrize("voltage_v", [-20.0, -1.0, 0.0, 0.45, 1.4, 1.6, 3.0])
def test_diode_is_one_curve_from_both_sides(voltage_v: float) -> None:
    diode = Diode()
    assert diode.voltage_v(diode.current_a(voltage_v)) == pytest.approx(voltage_v, abs=1e-6)


def test_diode_regimes() -> None:
    diode = Diode()
    assert diode.current_a(1.44) / diode.current_a(1.40) == pytest.approx(math.e, rel=0.05)
    assert diode.current_a(-1.0) == pytest.approx(-1e-9, rel=1e-3)
    assert diode.current_a(-1.0, laser_mw=10) == pytest.approx(-1.2e-9, rel=1e-3)
    assert diode.voltage_v(-1e-5) < -12
    slope_ohm = (diode.voltage_v(2e-2) - diode.voltage_v(1e-2)) / 1e-2
    assert slope_ohm == pytest.approx(1e3, rel=0.01)


def test_starts_at_the_working_point_and_reset_takes_the_bias_away(
    meter: SourceMeter, environment: Environment
) -> None:
    assert ask(meter, "OUTP?;:SOUR:VOLT?") == "1;4.500000E-01"
    ask(meter, "SOUR:VOLT 0.5")
    assert (environment.bias_v, environment.bias_on) == (0.5, True)
    ask(meter, "*RST")
    assert (environment.bias_v, environment.bias_on) == (0.0, False)
    ask(meter, "SOUR:VOLT 300mV;:OUTP ON")
    assert (environment.bias_v, environment.bias_on) == (0.3, True)


def test_readings_are_of_the_diode(meter: SourceMeter) -> None:
    expected_a = Diode().current_a(1.45, 10.0)
    assert float(ask(meter, "SOUR:VOLT 1.45;:MEAS:CURR?")) == pytest.approx(expected_a, rel=1e-3)
    assert float(ask(meter, "MEAS:VOLT?")) == pytest.approx(1.45, abs=1e-5)
    assert float(ask(meter, "MEAS:RES?")) == pytest.approx(1.45 / expected_a, rel=1e-2)
    assert ask(meter, "SENS:FUNC?") == '"RES"'


def test_limits_hold_and_say_so(meter: SourceMeter, environment: Environment) -> None:
    ask(meter, "SOUR:VOLT:ILIM 1 UA;:SOUR:VOLT 3;:SENS:FUNC 'CURR'")
    assert float(ask(meter, "READ?")) == pytest.approx(1e-6, rel=1e-4)
    assert ask(meter, "SOUR:VOLT:ILIM:TRIP?") == "1"
    assert environment.bias_v == pytest.approx(Diode().voltage_v(1e-6, 10.0))
    ask(meter, "SOUR:FUNC CURR;:SOUR:CURR 1e-3;:SOUR:CURR:VLIM 1.2")
    assert ask(meter, "SOUR:CURR:VLIM:TRIP?;:SOUR:VOLT:ILIM:TRIP?") == "1;0"
    assert float(ask(meter, "MEAS:VOLT?")) == pytest.approx(1.2, abs=1e-5)


def test_range_that_is_too_small_overflows(meter: SourceMeter) -> None:
    ask(meter, "SENS:FUNC 'VOLT';:SENS:VOLT:RANG:AUTO OFF;:SENS:VOLT:RANG 0.02")
    assert ask(meter, "READ?") == "9.910000E+37"


def test_noise_falls_with_the_integration_time(meter: SourceMeter) -> None:
    def spread(cycles: float) -> float:
        ask(meter, f"TRAC:CLE;:SENS:FUNC 'VOLT';:SENS:VOLT:NPLC {cycles};:SENS:COUN 400;:TRAC:TRIG")
        return float(ask(meter, "TRAC:STAT:STDD?"))

    # the ratio of two estimates of 400 each has a standard error of 5 %: five of them either way
    assert spread(0.1) / spread(10) == pytest.approx(10, rel=0.25)


def test_buffers(meter: SourceMeter) -> None:
    ask(meter, "TRAC:MAKE 'curve', 20;:SENS:COUN 3;:READ? 'curve'")
    assert ask(meter, "TRAC:ACT? 'CURVE';:TRAC:POIN? 'curve';:TRAC:ACT:STAR? 'curve'") == "3;20;1"
    readings = ask(meter, "TRAC:DATA? 1,3,'curve',REL,SOUR,UNIT").split(",")
    assert [float(value) for value in readings[::3]] == pytest.approx([0, 0.02, 0.04])
    assert readings[2::3] == ["Amp DC"] * 3
    ask(meter, "TRAC:DATA? 2,4,'curve'")
    assert error(meter) == -222
    ask(meter, "FETC? 'other'")
    assert error(meter) == -220
    ask(meter, "TRAC:DEL 'curve';DEL 'defbuffer1'")
    assert [error(meter), error(meter)] == [-221, 0]
    ask(meter, "TRAC:POIN 10;FILL:MODE ONCE;:SENS:COUN 30;:TRAC:TRIG")
    assert ask(meter, "TRAC:ACT?;:TRAC:FILL:MODE?") == "10;ONCE"


def test_binary_readings(meter: SourceMeter) -> None:
    parts = meter.respond(b"FORM REAL;:SENS:FUNC 'VOLT';:READ? 'defbuffer1',READ,SOUR")
    message = b"".join(bytes(part) for part in parts)
    assert message[:4] == b"#216"
    assert struct.unpack("<2d", message[4:20]) == pytest.approx((0.45, 0.45), abs=1e-5)


def test_sweeps(meter: SourceMeter, environment: Environment) -> None:
    begin_s = meter.clock.now_s
    ask(meter, "SOUR:SWE:VOLT:LIN 0, 1.6, 5, 0.1;:INIT")
    assert ask(meter, "*OPC?;:TRIG:STAT?") == "1;IDLE;IDLE;5"
    assert meter.clock.now_s - begin_s == pytest.approx(5 * 0.12, abs=0.01)
    levels = [float(value) for value in ask(meter, "TRAC:DATA? 1,5,'defbuffer1',SOUR").split(",")]
    assert levels == pytest.approx([0, 0.4, 0.8, 1.2, 1.6], abs=1e-5)
    assert environment.bias_v == 1.6
    ask(meter, "TRAC:CLE;:SOUR:SWE:VOLT:LIN:STEP 1, 0.9, -0.05, 0, 2, AUTO, ON, ON;:INIT;*WAI")
    assert ask(meter, "TRAC:ACT?") == "12"
    ask(meter, "TRAC:CLE;:SOUR:LIST:VOLT 0.1,0.2,0.3;:SOUR:SWE:VOLT:LIST 2;:INIT;*WAI")
    assert ask(meter, "TRAC:ACT?;:SOUR:LIST:VOLT:POIN?") == "2;3"
    ask(meter, "SOUR:SWE:CURR:LIN 0,1e-6,5")
    ask(meter, "SOUR:SWE:VOLT:LOG 0,1,5")
    assert [error(meter), error(meter)] == [-221, -222]
    ask(meter, "TRAC:CLE;:TRIG:LOAD 'SimpleLoop', 7;*TRG;*WAI")
    assert ask(meter, "TRAC:ACT?") == "7"


def test_other_functions_are_kept_apart(meter: SourceMeter) -> None:
    ask(meter, "SENS:VOLT:NPLC 2;:SENS1:CURR:DC:NPLC 5")
    assert (
        ask(meter, "SENS:VOLT:NPLC?;:SENS:CURR:NPLC?;:SENS:RES:NPLC? MAX") == "2.000000E+00;5.000000E+00;1.000000E+01"
    )
    assert ask(meter, "*LANG?;:SYST:LFR?;:ROUT:TERM?") == "SCPI;50;FRON"
    ask(meter, "*LANG TSP;:SOUR2:VOLT 1;:TRAC:FEED:CONT NEXT")
    assert [error(meter) for _ in range(3)] == [-221, -114, -113]
