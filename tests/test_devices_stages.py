from __future__ import annotations

import math
import threading

import pytest
from framed_made import Line, make, served
from hypothesis import given
from hypothesis import strategies as st

from qdhil_sim.clock import Clock
from qdhil_sim.devices.fibre_positioner import MODE_RADIUS_MM, OPTIMUM_MM, FibrePositioner
from qdhil_sim.devices.motion import Move
from qdhil_sim.devices.translation_stage import LIGHT_MM_PER_PS, MATCHED_MM, TranslationStage
from qdhil_sim.environment import Environment

HOST = "127.77.3.1"


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.01, 100), st.floats(0.01, 1000), st.floats(0, 1))
def test_a_move_keeps_its_limits(origin: float, target: float, velocity: float, acceleration: float, at: float) -> None:
    move = Move(3.0, origin, target, velocity, acceleration)
    assert move.position(3.0) == pytest.approx(origin, abs=1e-9)
    assert move.position(move.end_s) == target
    time_s, step_s = 3.0 + at * move.duration_s, max(1e-6, 1e-6 * move.duration_s)
    assert abs(move.speed(time_s)) <= velocity * (1 + 1e-9)
    walked = abs(move.position(time_s + step_s) - move.position(time_s))
    assert walked <= velocity * step_s * 1.01 + 1e-9
    assert min(origin, target) - 1e-9 <= move.position(time_s) <= max(origin, target) + 1e-9


def test_a_stopped_move_brakes_at_its_acceleration() -> None:
    move = Move(0.0, 0.0, 10.0, 2.0, 4.0).stopped(2.5)
    assert move.position(2.5) == pytest.approx(4.5)
    assert move.target == pytest.approx(4.5 + 0.5)
    assert move.speed(2.75) == pytest.approx(1.0, abs=1.1)


def test_esp301_moves_the_delay() -> None:
    stage, bench = make(TranslationStage)
    with served(stage, HOST), Line(HOST, 5000) as line:
        assert line.ask(b"1TP\r", b"\r\n") == b"12.500000"
        assert line.ask(b"1PR1.5;1WS;1MD?\r", b"\r\n") == b"1"
        assert line.ask(b"1PA?\r\n", b"\r\n") == b"14.000000"
        assert bench.hom_delay_error_ps == pytest.approx(2 * 1.5 / LIGHT_MM_PER_PS)
        line.write(f"1PA{MATCHED_MM}\r".encode())
        assert line.ask(b"1TP?\r", b"\r\n") == b"12.500000"
    assert bench.hom_delay_error_ps == 0


def test_esp301_errors_are_numbered_as_in_the_manual() -> None:
    stage, _ = make(TranslationStage)
    with served(stage, HOST), Line(HOST, 5000) as line:
        line.write(b"1PA30\r1XY1\rPA1\r7TP\r2PA1\r1MF\r1PA1\r1VA99\r")
        assert [line.ask(b"TE?\r", b"\r\n") for _ in range(8)] == [
            b"101", b"6", b"37", b"9", b"208", b"113", b"110", b"0",
        ]  # fmt: skip
        line.write(b"1PA30\r")
        code, _, text = line.ask(b"TB?\r", b"\r\n").split(b", ")
    assert (code, text) == (b"113", b"AXIS-1 MOTOR NOT ENABLED")
    assert stage.undefined_headers == 1


def test_esp301_keeps_what_drive_and_servo_are_set_to() -> None:
    stage, _ = make(TranslationStage)
    with served(stage, HOST), Line(HOST, 5000) as line:
        assert line.ask(b"1KP75.5;1KP?;1ZA1A3H;1ZA?;1QM?;TE?\r", b"0\r\n") == b"75.5\r\n1A3H\r\n3\r\n"


def test_esp301_takes_device_time_in_real_time() -> None:
    stage = TranslationStage("1", Environment(), Clock("realtime"), threading.RLock())
    with served(stage, HOST), Line(HOST, 5000) as line:
        # 0.4 mm at 4 mm/s and 16 mm/s^2 never reach full speed: 2 sqrt(0.4 / 16) = 0.316 s
        assert line.ask(b"1PR0.4;1MD?\r", b"\r\n") == b"0"
        assert MATCHED_MM <= float(line.ask(b"1TP\r", b"\r\n")) < MATCHED_MM + 0.4
        assert line.ask(b"1WS;1MD?\r", b"\r\n") == b"1"
        assert 0.31 < stage.clock.now_s < 2.0
        assert line.ask(b"1TP\r", b"\r\n") == b"12.900000"


def test_c863_couples_as_two_gaussian_modes() -> None:
    stage, bench = make(FibrePositioner)
    with served(stage, HOST), Line(HOST, 50000) as line:
        line.write(f"MOV 1 {OPTIMUM_MM + MODE_RADIUS_MM}\n".encode())
        assert line.ask(b"ONT? 1\n") == b"1=1"
        assert line.ask(b"POS?\n") == b"1=7.5025000"
        assert bench.collection == pytest.approx(math.exp(-1))
        line.write(f"MOV 1 {OPTIMUM_MM}\n".encode())
        assert line.ask(b"\x05") == b"0"
        assert line.ask(b"\x07") == b"\xb1"
    assert bench.collection == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"MOV 1 99", b"7"), (b"MOV 2 1", b"15"), (b"MOV 1 x", b"1"), (b"MOV 1", b"24"), (b"FOO 1", b"2"),
        (b"SVO 1 0\nMOV 1 1", b"5"), (b"VEL 1 100", b"17"), (b"HLT 1", b"10"), (b"SPA? 1 0x999", b"54"),
        (b"\x18", b"10"),
    ],
)  # fmt: skip
def test_c863_error_codes(command: bytes, code: bytes) -> None:
    stage, _ = make(FibrePositioner)
    with served(stage, HOST), Line(HOST, 50000) as line:
        assert line.ask(command + b"\nERR?\n") == code
        assert line.ask(b"ERR?\n") == b"0"
    assert stage.undefined_headers == (code == b"2")


def test_c863_answers_of_several_lines_have_blanks_before_all_line_feeds_but_the_last() -> None:
    stage, _ = make(FibrePositioner)
    with served(stage, HOST), Line(HOST, 50000) as line:
        lines = line.ask(b"SPA? 1 0x49 1 0x3C\n", b"DG\n").split(b"\n")
        assert lines == [b"1 0x49=1.5 ", b"1 0x3c=M-111.1"]
        assert line.ask(b"*IDN?\n").startswith(b"(c)2015 Physik Instrumente")
