from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
import pyvisa
from pyvisa.resources import MessageBasedResource

from qdhil_sim.clock import Clock
from qdhil_sim.protocol.connection import Connections, receive_exactly
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import block
from qdhil_sim.protocol.scpi import command
from qdhil_sim.protocol.server import Endpoint, Server
from qdhil_sim.protocol.vxi11 import Vxi11Transport

HOST, PORT = "127.77.2.1", 1024


class Keeper(Instrument):
    def __init__(self) -> None:
        super().__init__("QDHIL,KEEPER,1,1.0", Clock("turbo"), threading.RLock())
        self.kept = b""
        self.triggers = 0

    @command("KEEP", block)
    def keep(self, data: bytes) -> None:
        self.kept = data

    @command("KEPT?")
    def kept_data(self) -> Block:
        return Block(self.kept)

    def trigger(self) -> None:
        self.triggers += 1


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    instrument = Keeper()
    with Server() as server:
        server.bind(Endpoint(HOST, PORT, Vxi11Transport(instrument), instrument, Connections(), "keeper"))
        server.listen()
        yield instrument


@pytest.fixture
def client(keeper: Keeper) -> Iterator[MessageBasedResource]:
    manager = pyvisa.ResourceManager("@py")
    resource = manager.open_resource(f"TCPIP0::{HOST},{PORT}::inst0::INSTR", timeout=3000)
    yield resource
    resource.close()
    manager.close()
    gc.collect()


def test_queries_status_trigger_and_clear(client: MessageBasedResource, keeper: Keeper) -> None:
    assert client.query("*IDN?").strip() == "QDHIL,KEEPER,1,1.0"
    client.write("nothing")
    assert client.read_stb() & 0x04
    client.write("*IDN?")
    assert client.read_stb() & 0x10
    client.clear()
    assert not client.read_stb() & 0x10
    assert client.query("SYST:ERR?").strip() == '-113,"Undefined header;nothing"'
    client.assert_trigger()
    assert keeper.triggers == 1


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 20, 3_000_001])
def test_blocks_of_every_byte_both_ways(client: MessageBasedResource, keeper: Keeper, length: int) -> None:
    data = (bytes(range(256)) * (length // 256 + 1))[:length]
    client.write_raw(f"KEEP #{len(str(length))}{length}".encode() + data)
    assert client.query("*OPC?").strip() == "1"
    assert keeper.kept == data
    client.write("KEPT?")
    assert client.read_raw() == f"#{len(str(length))}{length}".encode() + data + b"\n"


def test_a_silent_instrument_times_out(client: MessageBasedResource, keeper: Keeper) -> None:
    keeper.silent = True
    client.timeout = 200
    with pytest.raises(pyvisa.VisaIOError, match="TMO"):
        client.query("*IDN?")
    keeper.silent = False
    client.timeout = 3000
    assert client.query("*OPC?").strip() == "1"


def test_two_links_keep_their_answers_apart(client: MessageBasedResource, keeper: Keeper) -> None:
    manager = pyvisa.ResourceManager("@py")
    other = manager.open_resource(f"TCPIP0::{HOST},{PORT}::inst0::INSTR", timeout=3000)
    client.write("*IDN?")
    assert other.query("*OPC?").strip() == "1"
    assert client.read().strip() == keeper.identity
    other.close()


@pytest.mark.parametrize(
    ("head", "status"), [((9, 0, 2, 1, 1, 10), 1), ((9, 0, 2, 0x0607AF, 1, 99), 3), ((9, 0, 2, 0x0607AF, 1, 11), 4)]
)
def test_bad_calls_are_refused_as_rpc_asks(keeper: Keeper, head: tuple[int, ...], status: int) -> None:
    call = struct.pack("!10i", *head, 0, 0, 0, 0)
    with socket.create_connection((HOST, PORT)) as connection:
        connection.sendall(struct.pack("!I", 1 << 31 | len(call)) + call)
        (length,) = struct.unpack("!I", receive_exactly(connection, 4))
        reply = struct.unpack("!6i", receive_exactly(connection, length & 0x7FFFFFFF))
    assert reply == (9, 1, 0, 0, 0, status)
