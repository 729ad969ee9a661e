from __future__ import annotations

import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.cryostat import Cryostat
from qdhil_sim.environment import Environment


@pytest.fixture
def cryostat() -> Cryostat:
    return Cryostat("LSA21DE", Clock("turbo"), threading.RLock(), Environment())


def ask(cryostat: Cryostat, message: str) -> str:
    return b"".join(cryostat.respond(message.encode())).decode().removesuffix("\r\n")


def test_the_bench_feels_the_sample(cryostat: Cryostat) -> None:
    ask(cryostat, "SETP 1,4.5")
    assert cryostat.environment.temperature_k == pytest.approx(4.0, abs=0.01)
    assert ask(cryostat, "KRDG? B") == "+4.5000"
    assert cryostat.environment.temperature_k == pytest.approx(4.5, abs=1e-3)


def test_extremes(cryostat: Cryostat) -> None:
    ask(cryostat, "MNMXRST;SETP 1,4.5;KRDG? A;SETP 1,4.2;KRDG? A")
    low_k, high_k = map(float, ask(cryostat, "MDAT? A").split(","))
    assert low_k == pytest.approx(4.0, abs=0.01)
    assert high_k >= 4.499


def test_curve_of_the_sensors_is_what_they_show(cryostat: Cryostat) -> None:
    points = [tuple(map(float, ask(cryostat, f"CRVPT? 21,{index}").split(","))) for index in range(1, 201)]
    used = [point for point in points if point != (0.0, 0.0)]
    assert [kelvin for _, kelvin in used] == sorted((kelvin for _, kelvin in used), reverse=True)
    ohm = float(ask(cryostat, "SRDG? A"))
    near = min(used, key=lambda point: abs(10 ** point[0] - ohm))
    assert near[1] == pytest.approx(4.0, rel=0.1)
    assert ask(cryostat, "CRVHDR? 21") == "CX-1050        ,X12345    ,4,+325.000,1"


def test_user_curves(cryostat: Cryostat) -> None:
    ask(cryostat, "CRVHDR 30,'DOT','SN1',4,320,1;CRVPT 30,1,3.5,4.2")
    assert ask(cryostat, "CRVHDR? 30;CRVPT? 30,1") == "DOT            ,SN1       ,4,+320.000,1;+3.50000,+4.2000"
    ask(cryostat, "CRVDEL 30")
    assert ask(cryostat, "CRVPT? 30,1") == "+0.00000,+0.0000"
    ask(cryostat, "CRVHDR 5,'STD','SN1',4,320,1")
    assert ask(cryostat, "*ESR?").isdigit()
    assert ask(cryostat, "SYST:ERR?").startswith("-222")


def test_kept_settings(cryostat: Cryostat) -> None:
    ask(cryostat, "RELAY 1,1;DISPLAY 2,1,3;ZONE 1,2,10,50,20,0,0,2,1,0.5")
    assert ask(cryostat, "RELAY? 1;RELAYST? 1;RELAYST? 2") == "1,A,0;1;0"
    assert ask(cryostat, "DISPLAY?;ZONE? 1,2") == "2,1,3;+10.0000,+50.0000,+20.0000,+0.0000,+0.0000,2,1,+0.5000"
    assert ask(cryostat, "NET?").count(",") == 9
    ask(cryostat, "DFLT 99")
    assert ask(cryostat, "RELAYST? 1") == "0"
