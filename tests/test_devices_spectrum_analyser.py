from __future__ import annotations

import struct
import threading

import pytest
from framed_made import Line, make, served

from qdhil_sim.clock import Clock
from qdhil_sim.devices.spectrum_analyser import SpectrumAnalyser, line_of
from qdhil_sim.environment import Environment

HOST = "127.77.3.4"
END = b"\r\n"


def test_login_and_without() -> None:
    analyser, _ = make(SpectrumAnalyser)
    with served(analyser, HOST), Line(HOST, 10001) as line:
        assert line.ask(b"*IDN?\n", END) == b"YOKOGAWA,AQ6370D,SN1,02.08"
        assert line.ask(b'OPEN "anonymous"\r\n', END) == b"AUTHENTICATE CRAM-MD5."
        assert line.ask(b" \r\n", END) == b"READY"
        assert line.ask(b"*IDN?\r\n", END) == b"YOKOGAWA,AQ6370D,SN1,02.08"


def sweep(line: Line) -> tuple[list[float], list[float]]:
    line.write(b":INIT:SMOD SINGLE;:INIT\n")
    while line.ask(b":STAT:OPER:COND?\n", END) == b"0":
        pass
    wavelengths, levels = (
        [float(word) for word in line.ask(f":TRAC:{axis}? TRA\n".encode(), END).split(b",")] for axis in "XY"
    )
    return wavelengths, levels


def test_the_line_follows_bias_and_temperature_as_wide_as_the_resolution() -> None:
    analyser, bench = make(SpectrumAnalyser)
    bench.bias_v, bench.temperature_k = 0.20, 20.0
    with served(analyser, HOST), Line(HOST, 10001) as line:
        line.write(b"SENS:WAV:CENT 930NM;SPAN 4NM;:SENS:BAND 0.2nm;:SENS:SWE:POIN 2001;:SENS:SENS HIGH1\n")
        wavelengths, levels = sweep(line)
        assert len(levels) == 2001 == int(line.ask(b"TRAC:DATA:SNUM? TRA\n", END))
        center_m, width_m, _ = (float(word) for word in line.ask(b"CALC;:CALC:DATA?\n", END).split(b","))
    assert line_of(bench) == pytest.approx(930.53, abs=0.01)
    assert wavelengths[levels.index(max(levels))] * 1e9 == pytest.approx(line_of(bench), abs=0.01)
    assert center_m * 1e9 == pytest.approx(line_of(bench), abs=0.01)
    assert width_m * 1e9 == pytest.approx(0.2, rel=0.05)


def test_traces_hold_what_their_mode_says() -> None:
    analyser, _ = make(SpectrumAnalyser)
    with served(analyser, HOST), Line(HOST, 10001) as line:
        line.write(b":TRACe:ATTRibute:TRB MAX;:SENS:SWE:POIN 101\n")
        assert line.ask(b":trac:attr:trb?\n", END) == b"2"
        _, first = sweep(line)
        _, second = sweep(line)
        held = [float(word) for word in line.ask(b"TRAC:Y? TRB,1,101\n", END).split(b",")]
        assert held == [max(pair) for pair in zip(first, second, strict=True)]
        assert line.ask(b"TRAC:Y? TRC;:SYST:ERR?\n", END).endswith(b'0,"No error"')
        line.write(b"TRAC:DEL TRA;:CALC\n")
        assert line.ask(b"SYST:ERR?\n", END).startswith(b"-230,")
        line.write(b"TRAC:ACT TRQ\n")
        assert line.ask(b"SYST:ERR?\n", END).startswith(b"-224,")


def test_binary_traces() -> None:
    analyser, _ = make(SpectrumAnalyser)
    with served(analyser, HOST), Line(HOST, 10001) as line:
        _, levels = sweep(line)
        line.write(b"FORM:DATA REAL,32;:TRAC:Y? TRA,1,2\n")
        block = line.read_until(b"\r\n")
        assert block[:3] == b"#18"
        assert struct.unpack("<2f", block[3:11]) == pytest.approx(levels[:2])
        assert line.ask(b"FORM?\n", END) == b"REAL,32"


def test_a_sweep_takes_its_time_in_real_time() -> None:
    analyser = SpectrumAnalyser("1", Environment(), Clock("realtime"), threading.RLock())
    with served(analyser, HOST), Line(HOST, 10001) as line:
        assert line.ask(b"SENS:SWE:POIN 201;:INIT;:STAT:OPER:COND?\n", END) == b"0"
        assert line.ask(b"*OPC?\n", END) == b"1"
        assert 0.3 < analyser.clock.now_s < 3
        assert line.ask(b"STAT:OPER:COND?;:STAT:OPER?;:STAT:OPER?\n", END) == b"1;1;0"
