"""The simulated controller fetches an image, and its SMP server on a serial console."""

from __future__ import annotations

import threading
import time

import pytest

from qdhil.firmware.channels.image_server import serving
from qdhil_sim.builds import read_image
from qdhil_sim.clock import Clock
from qdhil_sim.devices.controller import Controller
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.smp_console import SmpConsoleFraming

GOOD = read_image("1.5.0-good")


@pytest.fixture
def controller() -> Controller:
    return Controller("SN1", read_image("1.4.0"), (1,), Environment(), Clock("turbo"), threading.RLock())


def ask(controller: Controller, message: str) -> str:
    return b"".join(bytes(part) for part in controller.respond(message.encode())).decode().strip()


def ended(controller: Controller) -> str:
    deadline_s = time.monotonic() + 10
    while (state := ask(controller, "SYST:FIRM:STAT?")).startswith("UPDATING,"):
        assert time.monotonic() < deadline_s
        assert 0 <= int(state.split(",")[1]) <= 100
        time.sleep(0.005)
    return state


def fetch(controller: Controller, image: bytes, path: str = "") -> str:
    with serving("127.0.0.1", 0, image, "image.bin") as server:
        ask(controller, f'SYST:FIRM:UPD "{server.url()}{path}"')
        assert ask(controller, "SYST:ERR?").startswith("0,")
        return ended(controller)


def test_an_image_is_fetched_written_and_complete_until_the_next_boot(controller: Controller) -> None:
    assert fetch(controller, GOOD) == "COMPLETE"
    assert ask(controller, "SYST:FIRM:SLOT:VERS? 1;:SYST:FIRM:STAT?") == "1.5.0-good;COMPLETE"
    ask(controller, "SYST:FIRM:TEST;:SYST:REB")
    assert ask(controller, "SYST:FIRM:VERS?;STAT?") == "1.5.0-good;IDLE"


@pytest.mark.parametrize(
    ("image", "path", "says"),
    [
        (b"no image", "", "ERROR,malformed image"),
        (GOOD, "x", "ERROR,server said 404"),
        (b"", "", "ERROR,download failed: 0 bytes can't be taken"),
    ],
)
def test_what_goes_wrong_is_told_by_the_state(controller: Controller, image: bytes, path: str, says: str) -> None:
    assert fetch(controller, image, path) == says
    assert ask(controller, "SYST:FIRM:SLOT:VERS? 1") == '""'


def test_nobody_serves(controller: Controller) -> None:
    with serving("127.0.0.1", 0, GOOD, "image.bin") as server:
        url = server.url()
    ask(controller, f'SYST:FIRM:UPD "{url}"')
    assert ended(controller).startswith("ERROR,download failed: ")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "image.bin"])
def test_only_http_is_fetched(controller: Controller, url: str) -> None:
    ask(controller, f'SYST:FIRM:UPD "{url}"')
    assert ask(controller, "SYST:ERR?").startswith("-224,")
    assert ask(controller, "SYST:FIRM:STAT?") == "IDLE"


def test_one_at_a_time_and_a_reset_forgets_it(controller: Controller) -> None:
    with serving("127.0.0.1", 0, GOOD + b"#" * 4_000_000, "image.bin") as server:
        ask(controller, f'SYST:FIRM:UPD "{server.url()}"')
        ask(controller, f'SYST:FIRM:UPD "{server.url()}"')
        assert ask(controller, "SYST:ERR?").startswith("-221,")
        ask(controller, "SYST:REB")
        assert ask(controller, "SYST:FIRM:STAT?;SLOT:VERS? 1") == 'IDLE;""'


@pytest.mark.parametrize("size", [8, 100, 1500])
def test_console_packets_are_those_of_the_client_library(size: int) -> None:
    packets = pytest.importorskip("smp.packet")
    packet = bytes(number % 256 for number in range(size))
    framing = SmpConsoleFraming()
    lines = list(packets.encode(packet, line_length=128))
    assert [found for line in lines for found in framing.messages(b"log: hello\n" + line)] == [packet]
    decoder = packets.decode()
    next(decoder)
    with pytest.raises(StopIteration) as finished:  # noqa: PT012 - the last line ends it
        for line in framing.frame([packet[:3], packet[3:]]):
            decoder.send(bytes(line))
    assert finished.value.value == packet


def test_damaged_console_lines_are_passed_over() -> None:
    framing = SmpConsoleFraming()
    (line,) = framing.frame([b"12345678"])
    data = bytes(line)
    for at in range(len(data) - 1):
        for bit in (0x01, 0x10):
            damaged = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            assert framing.messages(damaged) == [], at
            assert framing.messages(b"\n\x04\x14AAAA\n") == []
    assert framing.messages(data) == [b"12345678"]
