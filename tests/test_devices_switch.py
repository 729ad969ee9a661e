from __future__ import annotations

import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.switch import Switch


def ask(switch: Switch, message: str) -> str:
    return b"".join(switch.respond(message.encode())).decode().removesuffix("\n")


@pytest.fixture
def switch() -> Switch:
    return Switch("S1", 4, Clock("turbo"), threading.RLock())


def test_what_its_driver_asks_on_connect(switch: Switch) -> None:
    assert ask(switch, "*IDN?") == "DiCon Fiberoptics Inc,GP600,S1,1.00"
    assert ask(switch, "SYST:ERR?") == "+0, No Error"
    assert ask(switch, "SYST:CONF?") == "X1"
    assert ask(switch, "X1 DIM?") == "1,4"


@pytest.mark.parametrize("message", ["X1 CH 1 3", "x1 ch 1 3", "X1 CH 1,3", "X1  CH 1  3"])
def test_positions(switch: Switch, message: str) -> None:
    assert ask(switch, "X1 CH 1?") == "1,0"
    ask(switch, message)
    assert ask(switch, "X1 CH 1?") == "1,3"
    assert ask(switch, "X1 CH 1 2;X1 CH 1?;*OPC?") == "1,2;1"
    ask(switch, "RESET")
    assert ask(switch, "X1 CH 1?") == "1,0"


def test_nothing_is_connected_while_the_mirror_moves(switch: Switch) -> None:
    begin_s = switch.clock.now_s
    ask(switch, "X1 CH 1 3")
    assert switch.connected_output == 0
    assert ask(switch, "X1 CH 1?") == "1,3"
    assert switch.connected_output == 3
    assert switch.clock.now_s - begin_s == pytest.approx(0.02, abs=0.005)


def test_in_real_time_the_next_command_waits_for_the_mirror() -> None:
    switch = Switch("S1", 4, Clock("realtime"), threading.RLock())
    begin_s = switch.clock.now_s
    assert ask(switch, "X1 CH 1 3;X1 CH 1?") == "1,3"
    assert switch.clock.now_s - begin_s >= 0.02
    assert switch.connected_output == 3


@pytest.mark.parametrize(
    ("message", "code"),
    [("X1 CH 1 5", "-222"), ("X1 CH 2 1", "-222"), ("X2 CH 1 1", "-113"), ("X1 CH 1", "-109")],
)
def test_refusals_in_the_makers_form(switch: Switch, message: str, code: str) -> None:
    assert ask(switch, message) == ""
    assert ask(switch, "SYST:ERR?").startswith(f"{code}, ")
    assert ask(switch, "SYST:ERR?") == "+0, No Error"


def test_other_settings(switch: Switch) -> None:
    ask(switch, "X1 W 1310;WEN 1")
    assert ask(switch, "X1 W?;WEN?;VER?") == "1310.0;1;1.00"
    assert ask(switch, "X1 WAVESAVAIL?") == "930.0,1310.0,1550.0"
