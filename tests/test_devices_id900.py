from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from framed_made import make

from qdhil_sim.devices.id900 import INPUTS, RAW_PORT, Id900
from qdhil_sim.devices.tdc1 import Events

zmq = pytest.importorskip("zmq")
from qdhil_sim.protocol.zmq_service import ZmqService  # noqa: E402

HOST = "127.77.3.6"


def comb(duration_s: float) -> Events:
    """An event every 10 us on input 1, followed after 4250 ps by one on input 2."""
    first_ps = np.arange(0, round(duration_s * 1e12), 10_000_000, dtype=np.int64)
    return np.stack([first_ps, first_ps + 4250], axis=1).ravel(), np.tile([1, 2], len(first_ps))


@pytest.fixture
def context() -> Iterator[Any]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def device() -> Iterator[Any]:
    made, _ = make(Id900)
    made.acquire = comb
    with ZmqService(HOST, 5555, made, {number: RAW_PORT + number for number in INPUTS}):
        yield made


@pytest.fixture
def ask(context: Any, device: Any) -> Iterator[Callable[[str], str]]:
    with context.socket(zmq.REQ) as requests:
        requests.setsockopt(zmq.RCVTIMEO, 3000)
        requests.setsockopt(zmq.LINGER, 0)
        requests.connect(f"tcp://{HOST}:5555")

        def ask_(text: str) -> str:
            requests.send_string(text)
            return str(requests.recv().decode())

        yield ask_


def test_settings_in_long_and_short_form(ask: Callable[[str], str]) -> None:
    assert ask("*IDN?") == "IDQ,ID900,SN1,2.12.0"
    assert ask("INPUt2:THREshold 0.5V;:INPU2:EDGE FALLING") == ""
    assert ask("INPU2:THRE?;EDGE?") == "0.5V;FALLING"
    assert ask("INPU1:THRE?") == "1V"
    assert ask("DEVIce:RESolution LOWRES;:DEVI:RES:BWID?") == "100"
    assert ask("RECord:DURation 2500TB;:REC:DUR?") == "2500TB"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("NONSENSE", "SCPI_ERR_UNDEFINED_HEADER"),
        ("INPU1:THRE 9V", "SCPI_ERR_DATA_OUT_OF_RANGE"),
        ("INPU9:COUN?", "SCPI_ERR_HEADER_SUFFIX_OUT_OF_RANGE"),
        ("INPU1:COUP", "SCPI_ERR_MISSING_PARAMETER"),
    ],
)
def test_errors_are_answers(ask: Callable[[str], str], device: Any, command: str, error: str) -> None:
    assert ask(command) == error
    assert ask("*IDN?").startswith("IDQ")
    assert device.undefined_headers == (command == "NONSENSE")


def test_counters_histogram_and_raw_tags(ask: Callable[[str], str], context: Any) -> None:
    with context.socket(zmq.PAIR) as tags:
        tags.setsockopt(zmq.RCVTIMEO, 3000)
        tags.connect(f"tcp://{HOST}:{RAW_PORT + 2}")
        assert ask("INPU2:COUN:INTE 100;:INPU2:COUN?") == "10000"
        ask("HIST1:REF:LINK INPU1;:HIST1:STOP:LINK INPU2;:HIST1:MIN 1000;BWID 500;BCOU 20")
        ask("INPU1:COUN:MODE ACCUM;:RAW2:SEND ON;:REC:DUR 50000000000;:REC:PLAY")
        assert ask("REC:STAT?") == "STOPPED"
        assert ask("INPU1:COUN?") == "5000"
        histogram = json.loads(ask("HIST1:DATA?"))
        assert [index for index, count in enumerate(histogram) if count] == [(4250 - 1000) // 500]
        assert sum(histogram) == 5000
        times_ps = np.frombuffer(tags.recv(), "<u8")
        assert times_ps.tolist() == comb(0.05)[0][1::2].tolist()
        assert ask("RAW2:ERRORS?") == "0"


def test_tags_nobody_takes_are_reported_lost(ask: Callable[[str], str]) -> None:
    ask("RAW1:SEND ON;:REC:DUR 10000000;:REC:PLAY")
    assert ask("RAW1:ERRO?") == "1"
    assert ask("RAW1:ERRO:CLEA;:RAW1:ERRO?") == "0"


def test_a_silent_device_leaves_its_client_waiting(ask: Callable[[str], str], device: Any, context: Any) -> None:
    device.silent = True
    with context.socket(zmq.REQ) as requests:
        requests.setsockopt(zmq.RCVTIMEO, 200)
        requests.setsockopt(zmq.LINGER, 0)
        requests.connect(f"tcp://{HOST}:5555")
        requests.send_string("*IDN?")
        with pytest.raises(zmq.Again):
            requests.recv()
    device.silent = False
    assert ask("*OPC?") == "1"
