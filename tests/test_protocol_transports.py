from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import pyvisa
from pyvisa.constants import ResourceAttribute
from pyvisa.resources import MessageBasedResource

from qdhil_sim.clock import Clock
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.hislip import HislipTransport
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import block, integer
from qdhil_sim.protocol.scpi import command
from qdhil_sim.protocol.server import Endpoint, Server
from qdhil_sim.protocol.stream import StreamTransport

HOST = "127.77.1.1"
STREAM, HISLIP = f"TCPIP0::{HOST}::5025::SOCKET", f"TCPIP0::{HOST}::hislip0::INSTR"
HEADER = struct.Struct("!2sBBIQ")


class Echo(Instrument):
    """Says back what it is told."""

    def __init__(self) -> None:
        super().__init__("QDHIL,ECHO,1,1.0", Clock("turbo"), threading.RLock())
        self.triggers = 0
        self.kept = b""
        self.booted = True

    def accepts_connections(self) -> bool:
        return self.booted

    @command("KEEP", block)
    def keep(self, data: bytes) -> None:
        self.kept = data

    @command("KEPT?")
    def kept_data(self) -> Block:
        return Block(self.kept)

    @command("RAMP?", integer(0, 1 << 27))
    def ramp(self, length: int) -> Block:
        return Block((bytes(range(256)) * (length // 256 + 1))[:length])

    def trigger(self) -> None:
        self.triggers += 1


@pytest.fixture
def connections() -> Connections:
    return Connections()


@pytest.fixture
def echo(connections: Connections) -> Iterator[Echo]:
    instrument = Echo()
    with Server() as server:
        server.bind(Endpoint(HOST, 5025, StreamTransport(instrument), instrument, connections, "echo"))
        server.bind(Endpoint(HOST, 4880, HislipTransport(instrument), instrument, connections, "echo"))
        server.listen()
        yield instrument
    _wait_until(lambda: len(connections) == 0)


@pytest.fixture
def visa(echo: Echo) -> Iterator[Callable[[str], MessageBasedResource]]:
    manager = pyvisa.ResourceManager("@py")
    opened: list[MessageBasedResource] = []

    def open_resource(resource: str) -> MessageBasedResource:
        ends = {"read_termination": "\n", "write_termination": "\n"}
        opened.append(manager.open_resource(resource, **ends))
        opened[-1].timeout = 5000
        return opened[-1]

    yield open_resource
    for resource in opened:
        resource.close()
    manager.close()
    gc.collect()


def _wait_until(done: Callable[[], bool], limit_s: float = 5.0) -> None:
    end_s = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.005)


def read_block(resource: MessageBasedResource) -> bytes:
    resource.set_visa_attribute(ResourceAttribute.termchar_enabled, False)
    digits = resource.read_bytes(2)
    assert digits[:1] == b"#"
    length = int(resource.read_bytes(int(digits[1:])))
    data = resource.read_bytes(length, chunk_size=1 << 20) if length else b""
    assert resource.read_bytes(1) == b"\n"
    resource.set_visa_attribute(ResourceAttribute.termchar_enabled, resource.read_termination is not None)
    return bytes(data)


@pytest.mark.parametrize("resource", [STREAM, HISLIP])
def test_queries_and_compounds(visa: Callable[[str], MessageBasedResource], resource: str) -> None:
    client = visa(resource)
    assert client.query("*IDN?") == "QDHIL,ECHO,1,1.0"
    assert client.query("*IDN?;*OPC?;*TST?") == "QDHIL,ECHO,1,1.0;1;0"
    client.write("nothing:here")
    assert client.query("SYST:ERR?") == '-113,"Undefined header;nothing:here"'


@pytest.mark.parametrize("resource", [STREAM, HISLIP])
def test_many_blocks_of_every_size(visa: Callable[[str], MessageBasedResource], resource: str) -> None:
    client = visa(resource)
    pattern = bytes(range(256)) * 12000
    for length in [0, 1, 9, 65535, 65536, 1048575, 1048576, 3000001, *range(100)]:
        client.write(f"RAMP? {length}")
        assert read_block(client) == pattern[:length]
    assert client.query("*IDN?") == "QDHIL,ECHO,1,1.0"


@pytest.mark.parametrize("resource", [STREAM, HISLIP])
@pytest.mark.parametrize("length", [0, 700, 2_500_000])
def test_blocks_as_arguments(
    visa: Callable[[str], MessageBasedResource], echo: Echo, resource: str, length: int
) -> None:
    client = visa(resource)
    data = (b"\r\n;,'\"#15\x00\xff" * (length // 11 + 1))[:length]
    client.write_raw(f"KEEP #{len(str(length))}{length}".encode() + data + b";*OPC?\n")
    assert client.read() == "1"
    assert echo.kept == data
    client.write("KEPT?")
    assert read_block(client) == data


def test_hislip_data_messages_fit_what_the_client_takes(echo: Echo) -> None:
    with RawHislip(max_message_bytes=1000) as client:
        client.send_data_end(b"RAMP? 5000\n", message_id=0x77)
        messages = [client.receive()]
        while messages[-1][1] != 7:
            messages.append(client.receive())
    assert [kind for _, kind, _, _ in messages] == [6] * 5 + [7]
    assert all(message_id == 0x77 for _, _, message_id, _ in messages)
    assert max(len(payload) for _, _, _, payload in messages) <= 1000 - HEADER.size
    assert b"".join(payload for _, _, _, payload in messages)[:6] == b"#45000"


def test_hislip_messages_may_come_in_pieces(echo: Echo) -> None:
    with RawHislip() as client:
        client.sync.sendall(HEADER.pack(b"HS", 6, 0, 2, 3) + b"*ID")
        client.send_data_end(b"N?", message_id=4)
        assert client.receive()[2:] == (4, b"QDHIL,ECHO,1,1.0\n")


def test_hislip_device_clear_drops_what_was_begun(visa: Callable[[str], MessageBasedResource]) -> None:
    client = visa(HISLIP)
    for _ in range(3):
        client.clear()
        assert client.query("*IDN?") == "QDHIL,ECHO,1,1.0"
    with RawHislip() as raw:
        raw.sync.sendall(HEADER.pack(b"HS", 6, 0, 2, 7) + b"KEEP #9")
        raw.asynchronous.sendall(HEADER.pack(b"HS", 19, 0, 0, 0))
        assert raw.receive(raw.asynchronous)[1] == 23
        raw.sync.sendall(HEADER.pack(b"HS", 8, 0, 0, 0))
        assert raw.receive()[1] == 9
        raw.send_data_end(b"*TST?", message_id=2)
        assert raw.receive()[3] == b"0\n"


def test_hislip_device_clear_ends_an_answer_nobody_reads(echo: Echo) -> None:
    with RawHislip(max_message_bytes=4096) as client:
        client.send_data_end(b"RAMP? 100000000", message_id=2)
        client.receive()
        client.asynchronous.sendall(HEADER.pack(b"HS", 19, 0, 0, 0))
        assert client.receive(client.asynchronous)[1] == 23
        client.sync.sendall(HEADER.pack(b"HS", 8, 0, 0, 0))
        received = 0
        while (message := client.receive())[1] != 9:
            received += len(message[3])
        assert received < 100_000_000
        client.send_data_end(b"*TST?", message_id=2)
        assert client.receive()[3] == b"0\n"


def test_hislip_status_trigger_and_unknown_messages(visa: Callable[[str], MessageBasedResource], echo: Echo) -> None:
    client = visa(HISLIP)
    assert client.read_stb() == 0
    client.write("*IDN?")
    _wait_until(lambda: client.read_stb() == 0x10)
    client.read()
    assert client.read_stb() == 0
    client.write("nonsense")
    _wait_until(lambda: client.read_stb() == 0x04)
    with RawHislip() as raw:
        raw.sync.sendall(HEADER.pack(b"HS", 12, 0, 2, 0))
        _wait_until(lambda: echo.triggers == 1)
        raw.sync.sendall(HEADER.pack(b"HS", 99, 0, 0, 4) + b"what")
        assert raw.receive()[1] == 3
        for request, response, control in [(4, 5, 1), (24, 25, 0), (10, 11, 0)]:
            raw.asynchronous.sendall(HEADER.pack(b"HS", request, 1, 0, 0))
            assert raw.receive(raw.asynchronous)[:2] == (control, response)
        raw.sync.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert raw.receive()[1] == 2


def test_half_a_hislip_session_ends_with_the_other(echo: Echo, connections: Connections) -> None:
    for first in ("sync", "asynchronous"):
        with RawHislip() as client:
            assert len(connections) == 2
            getattr(client, first).close()
            _wait_until(lambda: len(connections) == 0)
    with socket.create_connection((HOST, 4880), timeout=5) as stranger:
        stranger.sendall(HEADER.pack(b"HS", 17, 0, 4711, 0))
        assert HEADER.unpack(stranger.recv(16, socket.MSG_WAITALL))[1] == 2


def test_several_clients_at_once_get_their_own_answers(visa: Callable[[str], MessageBasedResource]) -> None:
    clients = [visa(resource) for resource in (STREAM, HISLIP) * 4]
    wrong: list[str] = []

    def work(client: MessageBasedResource, number: int) -> None:
        for _ in range(50):
            client.write(f"RAMP? {number}")
            if read_block(client) != bytes(range(number)):
                wrong.append(f"client {number}")

    threads = [threading.Thread(target=work, args=(c, n + 1)) for n, c in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("port", [5025, 4880])
def test_booting_instrument_resets_connections(echo: Echo, port: int) -> None:
    echo.booted = False
    with pytest.raises(ConnectionError), socket.create_connection((HOST, port), timeout=5) as client:
        _exactly(client, 1)


def test_stream_takes_any_line_ending_and_empty_lines(echo: Echo) -> None:
    with socket.create_connection((HOST, 5025), timeout=5) as client, client.makefile("rb") as lines:
        client.sendall(b"\n\r\n*TST?\r*TST?\r\n\n*TST?\n")
        assert [lines.readline() for _ in range(3)] == [b"0\n"] * 3


class RawHislip:
    """A HiSLIP client that can be as rude as a test needs."""

    def __init__(self, max_message_bytes: int = 1 << 20) -> None:
        self.sync = socket.create_connection((HOST, 4880), timeout=5)
        self.sync.sendall(HEADER.pack(b"HS", 0, 0, 0x0100_7878, 7) + b"hislip0")
        session_id = self.receive()[2] & 0xFFFF
        self.asynchronous = socket.create_connection((HOST, 4880), timeout=5)
        self.asynchronous.sendall(HEADER.pack(b"HS", 17, 0, session_id, 0))
        assert self.receive(self.asynchronous)[1] == 18
        size = struct.pack("!Q", max_message_bytes)
        self.asynchronous.sendall(HEADER.pack(b"HS", 15, 0, 0, 8) + size)
        assert self.receive(self.asynchronous)[1] == 16

    def __enter__(self) -> RawHislip:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sync.close()
        self.asynchronous.close()

    def send_data_end(self, data: bytes, message_id: int) -> None:
        self.sync.sendall(HEADER.pack(b"HS", 7, 0, message_id, len(data)) + data)

    def receive(self, channel: socket.socket | None = None) -> tuple[int, int, int, bytes]:
        channel = channel or self.sync
        header = _exactly(channel, HEADER.size)
        _, kind, control, parameter, length = HEADER.unpack(header)
        return control, kind, parameter, _exactly(channel, length)


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = channel.recv(length - len(data))
        if not piece:
            raise ConnectionError("closed by the server")
        data += piece
    return data
