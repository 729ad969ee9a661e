"""What a client, a script or a bench may ask of the simulated rack that nobody should: it answers, and stays."""

from __future__ import annotations

import json
import math
import socket
import struct
import threading
import time
from dataclasses import replace

import pytest

from conftest import serve, stop, write_rack
from qdhil.rack.config import load_rack
from qdhil_sim.clock import Clock
from qdhil_sim.control_port import ControlPort
from qdhil_sim.devices.pulse_generator import PulseGenerator
from qdhil_sim.devices.spectrum_traces import index_of
from qdhil_sim.environment import Environment
from qdhil_sim.light.bench_light import light_on
from qdhil_sim.light.closed_form import predict
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.setup import load_setup
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import boolean, channel_list, integer, number
from qdhil_sim.protocol.udp import UdpService
from qdhil_sim.world import RigWorld

_HEADER = struct.Struct("!2sBBIQ")
LONG = b"9" * 5000


@pytest.fixture
def world(rack_file):
    return RigWorld("sim-a1", load_rack(rack_file).rigs["sim-a1"], rack_file)


def ask(world, role, message):
    return b"".join(world.instruments[role].respond(message.encode())).decode().strip()


# Numbers beyond what a computer holds.


@pytest.mark.parametrize(
    ("parameter", "data", "code"),
    [
        (number("V"), b"1e" + LONG, -124),
        (number("V"), b"1e9999999999", -123),
        (number("V"), b"1e999", -222),
        (number("V"), b"1e300 EXV", -222),
        (number("V"), b"#H" + b"F" * 250, -222),
        (number("V"), b"#H" + b"F" * 400, -124),
        (number("V"), b"#H-5", -121),
        (number("V"), b"#H_1", -121),
        (integer(0, 255), LONG, -124),
        (boolean, b"1e999", -222),
        (boolean, b"-1e999", -222),
        (channel_list(1, 4), b"(@" + LONG + b")", -124),
        (channel_list(1, 4), b"(@1:" + b"9" * 200 + b")", -222),
    ],
)
def test_a_number_too_large_is_refused(parameter, data, code):
    with pytest.raises(ScpiError) as refused:
        parameter.convert(data)
    assert refused.value.code == code


def test_a_suffix_too_large_is_refused():
    pulser = PulseGenerator("1", Environment(), Clock("turbo"), threading.RLock())
    assert pulser.respond(b"OUTP" + LONG + b" ON;:FREQ" + LONG + b"?") == []
    assert ask_errors(pulser) == [-114, -114]


def ask_errors(instrument):
    count = int(b"".join(instrument.respond(b"SYST:ERR:COUN?")))
    return [int(b"".join(instrument.respond(b"SYST:ERR?")).split(b",")[0]) for _ in range(count)]


@pytest.mark.parametrize(("word", "index"), [("sing", 0), ("SINGLE", 0), ("rep", 1), ("2", 1), ("03", 2)])
def test_choices_by_long_form_short_form_and_number(word, index):
    assert index_of(word, ("SINGle", "REPeat", "AUTO"), first=1) == index


@pytest.mark.parametrize("word", ["SINGL", "0", "4", "9" * 5000, "²"])
def test_other_choices_are_refused(word):
    with pytest.raises(ScpiError):
        index_of(word, ("SINGle", "REPeat", "AUTO"), first=1)


# The bench at its limits.


@pytest.mark.parametrize("clock_hz", ["0", "0.000001", "1", "1000"])
def test_a_clock_that_hardly_ticks_leaves_the_rig_answering(world, clock_hz):
    ask(world, "switch", "X1 CH 1 1")
    ask(world, "clock", f"FREQ {clock_hz}")
    rate_hz, error = ask(world, "tagger", "INP2:COUN?;:SYST:ERR?").split(";")
    assert float(rate_hz) < 2000
    assert error == '0,"No error"'
    ask(world, "clock", "FREQ 80e6")
    assert float(ask(world, "tagger", "INP2:COUN?")) > 1e6


@pytest.mark.parametrize("laser_nm", [800.0, 925.0, 1550.0])
def test_a_laser_far_from_the_line_makes_no_light_of_the_dot(laser_nm):
    setup = load_setup("pillar-930")
    bench = light_on(replace(Environment(), laser_nm=laser_nm), setup, PulseControls())
    leak = setup.emitter.leak_photons + setup.emitter.background_photons
    assert predict(bench.setup, bench.controls).mean_photons == pytest.approx(leak, rel=1e-6)


@pytest.mark.parametrize("shift_ghz", [10, 20, 40, 100])
def test_a_detuned_pulse_excites_less_often_and_as_purely(shift_ghz):
    """Both photons of a pair need the laser: purity falls no further than leak and background make it."""
    clean = load_setup("pillar-930").emitter.model_copy(update={"leak_photons": 0.0, "background_photons": 0.0})
    setup = load_setup("pillar-930").model_copy(update={"emitter": clean})
    detuned = setup.model_copy(update={"emitter": clean.model_copy(update={"detuning_ghz": float(shift_ghz)})})
    at, off = (predict(each, PulseControls()) for each in (setup, detuned))
    assert off.mean_photons < at.mean_photons
    assert off.g2 == pytest.approx(at.g2, rel=0.02)


# The control port.


@pytest.fixture
def control(world):
    port = ControlPort(0, {"sim-a1": world})
    port.start()
    yield port.server_address
    port.shutdown()
    port.server_close()


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"rig": "sim-a1", "fault": "warm", "value": NaN}',
        b'{"rig": "sim-a1", "fault": "warm", "value": 1e400}',
        b'{"rig": "sim-a1", "fault": "warm", "value": -1000}',
        b'{"rig": "sim-a1", "fault": "drop", "value": 1e400}',
        b'{"rig": "sim-a1", "fault": "drop", "value": -5}',
        b'{"rig": "sim-a1", "fault": "sequence", "value": 1e300}',
        b'{"rig": "sim-a1", "fault": "sequence", "value": 0}',
    ],
)
def test_nonsense_on_the_control_port_is_refused_on_the_same_connection(world, control, line):
    with socket.create_connection(control, timeout=5) as connection, connection.makefile() as lines:
        connection.sendall(line + b"\n")
        assert not json.loads(lines.readline())["ok"]
        connection.sendall(b'{"verb": "list"}\n')
        assert json.loads(lines.readline()) == {"ok": True, "faults": []}
    assert math.isfinite(float(ask(world, "cryostat", "KRDG? A")))


def test_one_packet_does_not_make_a_datagram_server_deaf(capsys):
    def respond(packet: bytes) -> bytes:
        return bytes([1 // packet[0]])

    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with UdpService(*address, respond), socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        for packet in (b"\0", b"\1"):
            client.sendto(packet, address)
        assert client.recv(10) == b"\1"
    assert "ZeroDivisionError" in capsys.readouterr().err


# Device clear over HiSLIP.


class Hislip:
    """Two channels of a client that can do what PyVISA does not."""

    def __init__(self, host):
        self.synchronous = socket.create_connection((host, 4880), timeout=5)
        self.send(self.synchronous, 0, 0x0100_5858, b"hislip0")
        self.session = self.receive(self.synchronous)[1] & 0xFFFF
        self.asynchronous = self.second_channel(host)
        assert self.receive(self.asynchronous)[0] == 18

    def second_channel(self, host):
        channel = socket.create_connection((host, 4880), timeout=5)
        self.send(channel, 17, self.session)
        return channel

    def send(self, channel, kind, parameter=0, payload=b""):
        channel.sendall(_HEADER.pack(b"HS", kind, 0, parameter, len(payload)) + payload)

    def receive(self, channel):
        head = channel.recv(_HEADER.size, socket.MSG_WAITALL)
        _, kind, _, parameter, length = _HEADER.unpack(head)
        return kind, parameter, channel.recv(length, socket.MSG_WAITALL) if length else b""

    def ask(self, text, message_id=2):
        self.send(self.synchronous, 7, message_id, text)
        return self.receive(self.synchronous)[2]

    def clear(self):
        self.send(self.asynchronous, 19)
        assert self.receive(self.asynchronous)[0] == 23
        self.send(self.synchronous, 8)
        while self.receive(self.synchronous)[0] != 9:
            pass

    def close(self):
        self.synchronous.close()
        self.asynchronous.close()


@pytest.fixture(scope="module")
def realtime_rack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rack")
    rack = serve(write_rack(folder, **{"seed = 20260101": 'seed = 20260101\nclock = "realtime"'}))
    yield rack
    stop(rack)


@pytest.fixture
def tagger(realtime_rack):
    resource = load_rack(realtime_rack.file).rigs["sim-a1"].instruments.tagger.resource
    client = Hislip(resource.split("::")[1])
    yield client
    client.close()


def test_a_device_clear_ends_a_wait_for_completion(tagger):
    tagger.send(tagger.synchronous, 7, 2, b"*RST;ACQ:DUR 30;STAR;*OPC?")
    time.sleep(0.3)
    begun = time.monotonic()
    tagger.clear()
    assert tagger.ask(b"ACQ:STAT?;:ACQ:STOP", 4) == b"RUN\n"
    assert time.monotonic() - begun < 5


def test_a_device_clear_ends_a_slow_answer(tagger, realtime_rack):
    with realtime_rack.fault("tagger", "slow", severity=1.0):
        tagger.send(tagger.synchronous, 7, 2, b"*IDN?")
        time.sleep(0.3)
        begun = time.monotonic()
        tagger.clear()
        assert time.monotonic() - begun < 5
    assert tagger.ask(b"*OPC?", 4) == b"1\n"


def test_a_session_has_one_asynchronous_channel(tagger):
    host = tagger.synchronous.getpeername()[0]
    with tagger.second_channel(host) as second:
        assert tagger.receive(second)[0] == 2
    assert tagger.ask(b"*OPC?") == b"1\n"
