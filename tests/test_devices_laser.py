from __future__ import annotations

import time

import pytest
from framed_made import Line, make, served

from qdhil_sim.devices.laser import MONITORING_PORT, Laser

HOST = "127.77.3.2"
END = b"\n> "


def test_a_shell_with_prompts() -> None:
    laser, _ = make(Laser)
    with served(laser, HOST), Line(HOST, 1998) as line:
        line.read_until(END)
        assert line.ask(b"(param-ref 'system-type)\n", END) == b'"DLC pro"'
        assert line.ask(b"(param-ref 'laser1:ctl:wavelength-act)\r\n", END) == b"930.0"
        assert line.ask(b"(param-gsv 'laser1:dl:cc:current-set)\n", END) == b"80.0"
        assert line.ask(b"(param-disp 'laser1:dl:tc)\n", END).splitlines()[0] == b"laser1:dl:tc:enabled = #t"
        assert line.ask(b'(exec \'change-ul 2 "wrong")\n', END) == b"3"
        assert line.ask(b'(change-ul 2 "CAUTION")\n', END) == b"2"


def test_settings_act_on_the_bench() -> None:
    laser, bench = make(Laser)
    with served(laser, HOST), Line(HOST, 1998) as line:
        line.read_until(END)
        assert line.ask(b"(param-set! 'laser1:ctl:wavelength-set 931.5)\n", END) == b"0"
        assert line.ask(b"(param-set! 'laser1:dl:cc:current-set 120)\n", END) == b"0"
        assert bench.laser_nm == 931.5
        assert bench.laser_mw == pytest.approx(20.0)
        assert line.ask(b"(param-set! 'laser1:dl:cc:enabled #f)\n", END) == b"0"
    assert bench.laser_on is False
    assert bench.laser_mw == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"(param-set! 'laser1:ctl:wavelength-set 2000.0)", b"-12"),
        (b"(param-set! 'laser1:ctl:wavelength-set #t)", b"-11"),
        (b"(param-set! 'laser1:ctl:wavelength-act 930.0)", b"-4"),
        (b"(param-set! 'nothing 1)", b"-3"),
        (b"(param-ref 'nothing)", b"Error: -3 unknown parameter: 'nothing"),
        (b"(param-ref 'laser1:dl)", b"Error: -5 parameter is not readable: 'laser1:dl"),
        (b"(frobnicate)", b"Error: -2 unknown command: 'frobnicate"),
        (b"(exec 'nothing)", b"Error: -2 unknown command: 'nothing"),
        (b")(", b"Error: -1 syntax error"),
    ],
)
def test_refusals(command: bytes, answer: bytes) -> None:
    laser, bench = make(Laser)
    with served(laser, HOST), Line(HOST, 1998) as line:
        line.read_until(END)
        assert line.ask(command + b"\n", END) == answer
    assert laser.undefined_headers == (b"unknown" in answer or answer == b"-3")
    assert bench.laser_nm == 930.0


def test_tuning_takes_time_in_real_time() -> None:
    laser, bench = make(Laser, "realtime")
    with served(laser, HOST), Line(HOST, 1998) as line:
        line.read_until(END)
        line.ask(b"(param-set! 'laser1:ctl:wavelength-set 931.0)\n", END)
        assert line.ask(b"(param-ref 'laser1:busy)\n", END) == b"#t"
        assert 930.0 <= float(line.ask(b"(param-ref 'laser1:ctl:wavelength-act)\n", END)) < 931.0
        assert bench.laser_nm < 931.0
        time.sleep(0.35)
        assert line.ask(b"(param-ref 'laser1:busy)\n", END) == b"#f"
    assert bench.laser_nm == 931.0


def test_monitoring_sends_what_changes() -> None:
    laser, _ = make(Laser)
    with served(laser, HOST), Line(HOST, 1998) as line, Line(HOST, MONITORING_PORT) as monitor:
        line.read_until(END)
        monitor.write(b"(add 'laser1:dl:cc:current-set 20)\n(add 'nothing)\n")
        first, second = monitor.read_until(b"\n"), monitor.read_until(b"\n")
        assert first.endswith(b" 'laser1:dl:cc:current-set 80.0)")
        assert second.startswith(b"(Error: -3 (")
        line.ask(b"(param-set! 'laser1:dl:cc:current-set 81.5)\n", END)
        assert monitor.read_until(b"\n").endswith(b" 81.5)")
        monitor.write(b"(remove 'laser1:dl:cc:current-set)\n")
        time.sleep(0.05)
        line.ask(b"(param-set! 'laser1:dl:cc:current-set 82.5)\n", END)
        assert monitor.quiet()


def test_a_silent_laser_shows_no_prompt() -> None:
    laser, _ = make(Laser)
    with served(laser, HOST), Line(HOST, 1998) as line:
        line.read_until(END)
        laser.silent = True
        line.write(b"(param-ref 'uptime)\n")
        assert line.quiet()
        laser.silent = False
        assert line.ask(b"(param-ref 'laser1:type)\n", END) == b'"CTL"'
