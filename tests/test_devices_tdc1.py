from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial
from framed_made import Line, make, served

from qdhil_sim.clock import Clock
from qdhil_sim.devices.tdc1 import Events, Tdc1, words
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.serial_link import SerialLink

HOST = "127.77.3.5"


def comb(duration_s: float) -> Events:
    """An event every 10 us on inputs 1, 3, 1, 3 ... the third 4 ns behind the first."""
    first_ps = np.arange(0, round(duration_s * 1e12), 10_000_000, dtype=np.int64)
    times_ps = np.stack([first_ps, first_ps + 4000], axis=1).ravel()
    return times_ps, np.tile([1, 3], len(first_ps))


@pytest.fixture
def tagger() -> Any:
    device, _ = make(Tdc1)
    device.acquire = comb
    return device


def test_counts_and_coincidences(tagger: Any) -> None:
    with served(tagger, HOST), Line(HOST, 5000) as line:
        assert line.ask(b"*idn?\r\n") == b"TDC1 SN1\r"
        assert line.ask(b"time 100;singles;counts?\r\n") == b"10000 0 10000 0\r"
        assert line.ask(b"pairs;counts?\r\n") == b"10000 0 10000 0 10000 0 0 0\r"
        assert line.ask(b"NEG 0.4;level?;") == b"-0.400 V\r"
        assert line.ask(b"time 65535;time?;") == b"-1\r"
        assert line.ask(b"dance;") == b"Unknown command\r"
    assert tagger.undefined_headers == 1


def test_words_roll_over_after_268_ms() -> None:
    times_ps = np.array([0, 2000, 268_435_454_000, 268_435_456_000], np.int64)
    found = np.frombuffer(words(times_ps, np.array([1, 2, 3, 4])), "<u4")
    assert (found >> 5).tolist() == [0, 1, (1 << 27) - 1, 0]
    assert (found & 0x1F).tolist() == [1, 2, 4, 8]


def test_timestamps_over_a_serial_port(tagger: Any, tmp_path: Path) -> None:
    link = tmp_path / "tdc1"
    with SerialLink(link, tagger), serial.Serial(str(link), timeout=1) as port:
        port.write(b"timestamp;time 100;counts?\r\n")
        data = port.read(8 * 10000)
        found = np.frombuffer(data, "<u4")
        assert len(found) == 20000
        assert (np.diff(found >> 5) >= 0).all()
        assert np.bincount(found & 0x1F).tolist() == [0, 10000, 0, 0, 10000]
        port.write(b"mode?\r\n")
        assert port.readline() == b"3\r\n"
    assert not link.exists()


def test_an_endless_stream_ends_when_something_is_sent(tagger: Any) -> None:
    with served(tagger, HOST), Line(HOST, 5000) as line:
        line.write(b"timestamp;time 0;counts?\r\n")
        line.read_until(words(np.array([60_000_000_000], np.int64), np.array([1])))
        line.write(b"abort\r\nsingles\r\n*idn?\r\n")
        line.read_until(b"TDC1 SN1\r\n")


def test_counting_takes_its_time_in_real_time() -> None:
    device = Tdc1("1", Environment(), Clock("realtime"), threading.RLock())
    with served(device, HOST), Line(HOST, 5000) as line:
        assert line.ask(b"time 200;counts?;") == b"0 0 0 0\r"
    assert 0.2 <= device.clock.now_s < 2
