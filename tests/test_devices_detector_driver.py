from __future__ import annotations

import itertools
import json
import socket
import threading
from typing import Any

from framed_made import Line, make, served

from qdhil_sim.clock import Clock
from qdhil_sim.devices.detector_driver import COUNTS_PORT, DetectorDriver
from qdhil_sim.environment import Environment

HOST = "127.77.3.3"


def ask(line: Line, **request: Any) -> tuple[str, Any]:
    answer = json.loads(line.ask(json.dumps(request).encode(), b"\x17"))
    return answer["label"], answer["value"]


def test_every_label_is_told_at_once() -> None:
    driver, _ = make(DetectorDriver)
    with served(driver, HOST), Line(HOST, 12000) as line:
        line.write(b'{"request": "labelProps", "value": "None"}')
        labels = [json.loads(line.read_until(b"\x17")) for _ in range(8)]
    assert {each["label"]: each["value"]["value"] for each in labels}["NumberOfDetectors"] == 4
    assert all("unit" in each["value"] for each in labels)


def test_bias_acts_on_the_bench() -> None:
    driver, bench = make(DetectorDriver)
    with served(driver, HOST), Line(HOST, 12000) as line:
        bias_ua = [10.0, 11.0, 12.0, 30.0]
        assert ask(line, command="SetAllBiasCurrents", value=bias_ua) == ("BiasCurrent", bias_ua)
        assert list(bench.detector_bias_ua.values()) == bias_ua
        voltages_mv = ask(line, request="BiasVoltage")[1]
        assert voltages_mv[3] > 50 * voltages_mv[2]
        assert ask(line, command="DetectorEnable", value=False) == ("DetectorEnable", False)
    assert list(bench.detector_bias_ua.values()) == [0.0] * 4


def test_refusals_come_under_the_label_error() -> None:
    driver, bench = make(DetectorDriver)
    with served(driver, HOST), Line(HOST, 12000) as line:
        for request in (
            {"command": "SetAllBiasCurrents", "value": [1.0]},
            {"command": "SetAllBiasCurrents", "value": [1.0, 2.0, 3.0, 99.0]},
            {"command": "Dance"},
            {"request": "Weather"},
        ):
            assert ask(line, **request)[0] == "Error"
        assert ask(line, request="BiasCurrent") == ("BiasCurrent", [18.0] * 4)
    assert driver.undefined_headers == 2
    assert bench.detector_bias_ua[4] == 18.0


def test_counts_are_pushed_and_a_latched_detector_counts_nothing() -> None:
    driver, _ = make(DetectorDriver)
    driver.count_rates_hz = lambda: [1e6, 1e6, 1e6, 0.0]
    driver.period_ms = 10.0
    with served(driver, HOST), Line(HOST, 12000) as line, Line(HOST, COUNTS_PORT) as counts:
        ask(line, command="SetAllBiasCurrents", value=[18.0, 18.0, 26.0, 18.0])
        counts.read_until(b"\n")
        lines = [[float(word) for word in counts.read_until(b"\n").split(b",")] for _ in range(20)]
    times_s = [line[0] for line in lines]
    assert max(abs(b - a - 0.01) for a, b in itertools.pairwise(times_s)) < 0.0011
    for number, mean in ((1, 1e4), (2, 1e4), (3, 0), (4, 0)):
        # 20 lines of mean 1e4: the sum is 2e5 with a deviation of 447; six of them are missed in 5e8 runs
        assert abs(sum(line[number] for line in lines) - 20 * mean) <= 6 * (20 * mean) ** 0.5


def test_lines_come_at_the_measurement_period_in_real_time() -> None:
    driver = DetectorDriver("1", Environment(), Clock("realtime"), threading.RLock())
    driver.period_ms = 60.0
    with served(driver, HOST), socket.create_connection((HOST, COUNTS_PORT), timeout=5) as connection:
        before_s = driver.clock.now_s
        received = b""
        while received.count(b"\n") < 3:
            received += connection.recv(1000)
        assert driver.clock.now_s - before_s >= 0.15
