from __future__ import annotations

import math
import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.coldfinger import ColdFinger, ThermalSystem
from qdhil_sim.devices.cryostat import Cryostat


def ask(cryostat: Cryostat, message: str) -> str:
    return b"".join(cryostat.respond(message.encode())).decode().removesuffix("\r\n")


@pytest.fixture
def cryostat() -> Cryostat:
    return Cryostat("LSA21DE", Clock("turbo"), threading.RLock())


def test_heater_step_is_a_first_order_response() -> None:
    finger = ColdFinger(finger_k=3.0, sample_k=3.0)
    heater_w, tau_s = 0.8, finger.time_constant_s
    for step in range(1, 2001):
        finger.step(heater_w, 0.05)
        expected_k = 3.0 + 0.8 / 0.5 * (1 - math.exp(-step * 0.05 / tau_s))
        assert finger.finger_k == pytest.approx(expected_k, abs=1e-9)


def test_sample_follows_the_finger_with_its_own_time_constant() -> None:
    """Two first-order stages in a row: T = T1 - dT (tau1 e^(-t/tau1) - tau2 e^(-t/tau2)) / (tau1 - tau2)."""
    finger = ColdFinger(finger_k=3.0, sample_k=3.0)
    tau1, tau2 = finger.time_constant_s, finger.sample_time_constant_s
    for _ in range(600):
        finger.step(0.5, 0.05)
    decay = (tau1 * math.exp(-30 / tau1) - tau2 * math.exp(-30 / tau2)) / (tau1 - tau2)
    assert finger.sample_k == pytest.approx(4.0 - decay, abs=1e-4)


def test_inertia_after_a_setpoint_step() -> None:
    system = ThermalSystem(0.0)
    system.set_target(5.0)
    system.advance_to(1.0)
    assert 4.0 < system.finger.finger_k < 4.5
    system.advance_to(300.0)
    assert system.finger.finger_k == pytest.approx(5.0, abs=1e-3)
    assert system.heater_w == pytest.approx(1.0, abs=1e-2)


def test_result_does_not_depend_on_how_often_it_is_asked() -> None:
    often, once = ThermalSystem(0.0), ThermalSystem(0.0)
    for system in (often, once):
        system.set_target(4.5)
    for tick in range(1, 1001):
        often.advance_to(tick * 0.013)
    once.advance_to(13.0)
    assert often.finger.finger_k == pytest.approx(once.finger.finger_k, abs=2e-3)


def test_a_rest_of_hours_is_skipped() -> None:
    system = ThermalSystem(0.0)
    system.advance_to(1e6)
    assert system.finger.finger_k == pytest.approx(4.0, abs=1e-9)


def test_starts_steady_at_four_kelvin(cryostat: Cryostat) -> None:
    assert ask(cryostat, "*IDN?") == "LSCI,MODEL336,LSA21DE/LSA21DE,2.9"
    assert ask(cryostat, "KRDG? A;*ESR?") == "+4.0000;128"
    assert ask(cryostat, "KRDG? 0") == "+4.0000,+4.0000,+3.0000,+0.0000"
    assert ask(cryostat, "CRDG? A") == "-269.1500"
    assert ask(cryostat, "SETP? 1;RANGE? 1;HTR? 1;RDGST? A") == "+4.0000;2;+10.00;000"
    assert float(ask(cryostat, "SRDG? A")) > float(ask(cryostat, "SRDG? B")) - 1e-9 > 0


def test_polling_a_temperature_sees_it_settled_in_turbo(cryostat: Cryostat) -> None:
    begin_s = cryostat.clock.now_s
    ask(cryostat, "SETP 1,4.5")
    assert ask(cryostat, "HTR? 1") != "+15.00"
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(4.5, abs=2e-3)
    assert 20 < cryostat.clock.now_s - begin_s < 600
    assert float(ask(cryostat, "KRDG? B")) == pytest.approx(4.5, abs=2e-3)


def test_in_real_time_a_setpoint_step_is_not_there_at_once() -> None:
    cryostat = Cryostat("LSA21DE", Clock("realtime"), threading.RLock())
    ask(cryostat, "SETP 1,6.0")
    assert float(ask(cryostat, "KRDG? A")) < 4.5


def test_heater_off_cools_to_the_base(cryostat: Cryostat) -> None:
    ask(cryostat, "RANGE 1,0")
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(3.0, abs=2e-3)
    ask(cryostat, "RANGE 1,2")
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(4.0, abs=2e-3)


def test_open_loop_output(cryostat: Cryostat) -> None:
    ask(cryostat, "OUTMODE 1,3,1,0;MOUT 1,20;RANGE 1,2")
    assert ask(cryostat, "OUTMODE? 1;MOUT? 1") == "3,1,0;+20.0000"
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(3.0 + 1.0 / 0.5, abs=2e-3)


def test_ramp_moves_the_setpoint_at_its_rate(cryostat: Cryostat) -> None:
    begin_s = cryostat.clock.now_s
    ask(cryostat, "RAMP 1,1,0.5;SETP 1,4.5")
    assert ask(cryostat, "RAMP? 1") == "1,+0.5000"
    assert ask(cryostat, "SETP? 1") != "+4.5000"
    assert ask(cryostat, "RAMPST? 1;SETP? 1") == "0;+4.5000"
    assert cryostat.clock.now_s - begin_s == pytest.approx(60, abs=1)


def test_heat_load_warms_out_of_band_and_goes_again(cryostat: Cryostat) -> None:
    cryostat.inject("warm", 1.5)
    assert float(ask(cryostat, "KRDG? A")) > 4.5
    assert ask(cryostat, "HTR? 1") == "+00.00"
    cryostat.inject("warm", 0)
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(4.0, abs=2e-3)


def test_small_heat_load_is_held_by_the_loop(cryostat: Cryostat) -> None:
    cryostat.inject("warm", 0.2)
    assert float(ask(cryostat, "KRDG? A")) == pytest.approx(4.0, abs=2e-3)
    cryostat.clock.finish(cryostat.clock.now_s + 600)
    assert float(ask(cryostat, "HTR? 1")) == pytest.approx(6.0, abs=0.05)


@pytest.mark.parametrize(
    ("write", "query", "answer"),
    [
        ("INNAME A,'Pillar 7'", "INNAME? A", "Pillar 7"),
        ("TLIMIT B,300", "TLIMIT? B", "+300.0000"),
        ("PID 1,60,15,1", "PID? 1", "+60.0000,+15.0000,+1.0000"),
        ("INTYPE A,3,1,0,1,1", "INTYPE? A", "3,1,0,1,1"),
        ("ALARM A,1,5,3,0.1,1,0,0", "ALARM? A", "1,+5.0000,+3.0000,+0.1000,1,0,0"),
        ("HTRSET 1,1,2,1.5,2", "HTRSET? 1", "1,2,+1.5000,2"),
        ("SETP 2,77", "SETP? 2", "+77.0000"),
        ("BRIGT 2", "BRIGT?;LEDS?;MODE?;INCRV? A;HTRST? 1;AOUT? 3", "2;1;0;21;0;+000.0"),
    ],
)
def test_settings_are_kept(cryostat: Cryostat, write: str, query: str, answer: str) -> None:
    assert ask(cryostat, write) == ""
    assert ask(cryostat, query) == answer
    assert ask(cryostat, "SYST:ERR:COUN?") == "0"


@pytest.mark.parametrize("message", ["KRDG? E", "SETP 5,4", "SETP 1,900", "RANGE 3,1", "OUTMODE 1,1,2,0"])
def test_what_the_instrument_has_not_is_refused(cryostat: Cryostat, message: str) -> None:
    assert ask(cryostat, message) == ""
    assert ask(cryostat, "SYST:ERR:COUN?") == "1"
