"""How fast tags travel from the simulated tagger to the real client, beside a plain socket.

The tagger hands out blocks that were prepared before, so what is timed is the way of the bytes: the
server's sending, PyVISA-py's receiving, and, as ``checked``, the client's checks of CRC and order. The peer is a
socket of the same machine that receives as many bytes into memory that is there already.

``MB`` is 10⁶ bytes, and a figure is the sustained rate over ``TOTAL_BYTES`` in blocks of one size.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time

import pytest

TOTAL_BYTES = 1 << 28
BLOCK_MIB = (1, 4, 8)
HOST = "127.76.1.1"
PLAIN_PORT = 5026
HISLIP = f"TCPIP0::{HOST}::hislip0::INSTR"
SOCKET = f"TCPIP0::{HOST}::5025::SOCKET"
ROUNDS = 3
SERVER = f"""
import socket, threading
import numpy as np
from qdhil.tags.wire import encode_block
from qdhil_sim.clock import Clock
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.hislip import HislipTransport
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import integer
from qdhil_sim.protocol.scpi import command
from qdhil_sim.protocol.server import Endpoint, Server
from qdhil_sim.protocol.stream import StreamTransport

class Prepared(Instrument):
    def __init__(self):
        super().__init__("QDHIL,TAGGER-8,BENCH,1", Clock("turbo"), threading.RLock())
        self._blocks = {{}}

    @command("TAGS:DATA?", integer(1, 1 << 23))
    def get_tags(self, count):
        if count not in self._blocks:
            words = (np.arange(count, dtype=np.int64) * 12_500 << 5) | 2
            self._blocks[count] = encode_block(words, sequence=0, acquisition=1, dropped=0)
        return Block(self._blocks[count])

class Plain:
    def serve(self, connection):
        data = bytes(1 << 24)
        while request := connection.recv(8):
            connection.sendall(memoryview(data)[: int.from_bytes(request, "little")])

tagger, open_ones = Prepared(), Connections()
with Server() as server:
    for port, transport in ((5025, StreamTransport(tagger)), (4880, HislipTransport(tagger)), ({PLAIN_PORT}, Plain())):
        server.bind(Endpoint("{HOST}", port, transport, tagger, open_ones, "bench"))
    server.listen()
    print("ready", flush=True)
    input()
"""


@pytest.fixture(scope="module", autouse=True)
def server():
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield
    process.communicate("\n", timeout=10)


@contextlib.contextmanager
def session(resource):
    from qdhil.instruments import Session
    from qdhil.instruments.config import OtherInstrument

    terminator = {"read": "\n", "write": "\n"} if resource.endswith("SOCKET") else None
    description = OtherInstrument.model_validate(
        {"model": "qdhil-tagger", "resource": resource, "terminator": terminator, "timeout_s": 20.0}
    )
    opened = Session("bench", "tagger", description, "@py")
    try:
        yield opened
    finally:
        opened.close()


def blocks_of(mib):
    return TOTAL_BYTES // (mib << 20)


def mb_per_s(pull, mib):
    """Return the best rate of some rounds of pulling TOTAL_BYTES."""
    pull()
    seconds = []
    for _ in range(ROUNDS):
        begin_s = time.perf_counter()
        for _ in range(blocks_of(mib)):
            pull()
        seconds.append(time.perf_counter() - begin_s)
    return round(TOTAL_BYTES / min(seconds) / 1e6)


def plain(connection, mib):
    size = mib << 20
    target = memoryview(bytearray(size))

    def pull():
        connection.sendall(size.to_bytes(8, "little"))
        view = target
        while view:
            view = view[connection.recv_into(view) :]

    return pull


@pytest.mark.parametrize("mib", BLOCK_MIB)
def test_transports(benchmark, mib):
    from qdhil.tags.wire import HEADER_BYTES, decode_block

    tags = ((mib << 20) - HEADER_BYTES) // 8
    info = benchmark.extra_info
    with socket.create_connection((HOST, PLAIN_PORT)) as connection:
        info["plain_socket_mb_per_s"] = mb_per_s(plain(connection, mib), mib)
    for name, resource in (("hislip", HISLIP), ("socket", SOCKET)):
        with session(resource) as opened:
            info[f"{name}_mb_per_s"] = mb_per_s(lambda s=opened: s.query_block(f"TAGS:DATA? {tags}"), mib)
            info[f"{name}_checked_mb_per_s"] = mb_per_s(
                lambda s=opened: decode_block(s.query_block(f"TAGS:DATA? {tags}")), mib
            )
    with session(HISLIP) as opened:
        benchmark.pedantic(opened.query_block, (f"TAGS:DATA? {tags}",), rounds=5, warmup_rounds=1)
