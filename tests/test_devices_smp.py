from __future__ import annotations

import hashlib
import socket
import struct
import threading
from typing import Any

import pytest

from qdhil_sim.builds import read_image
from qdhil_sim.devices.firmware import FirmwareSlots
from qdhil_sim.devices.mcuboot import BadImage, parse_mcuboot, payload_of, wrap_mcuboot
from qdhil_sim.devices.smp_server import PORT, SmpServer
from qdhil_sim.devices.smp_slots import ControllerSlots
from qdhil_sim.protocol.udp import UdpService

cbor2 = pytest.importorskip("cbor2")
HOST = "127.77.3.7"
BASELINE, CANDIDATE = read_image("1.4.0"), wrap_mcuboot(read_image("1.5.0-good"), "1.5.0+3")


class Board:
    """Two slots that boot at once."""

    def __init__(self, baseline: bytes = BASELINE) -> None:
        self.slots = FirmwareSlots.holding(baseline)
        self.lock = threading.RLock()
        self.up = True

    def accepts_connections(self) -> bool:
        return self.up

    def reboot(self) -> None:
        self.slots.reset()


class Client:
    def __init__(self, server: SmpServer) -> None:
        self._server = server
        self._sequence = 0

    def call(self, group: int, command: int, write: bool = False, version: int = 1, **request: Any) -> dict[str, Any]:
        body = cbor2.dumps(request)
        self._sequence += 1
        head = struct.pack("!BBHHBB", version << 3 | 2 * write, 0, len(body), group, self._sequence, command)
        answer = self._server.respond(head + body)
        assert answer is not None
        kind, _, length, *rest = struct.unpack_from("!BBHHBB", answer)
        assert (kind, length) == (version << 3 | 2 * write + 1, len(answer) - 8)
        assert rest == [group, self._sequence, command]
        return dict(cbor2.loads(answer[8:]))

    def upload(self, data: bytes, chunk: int = 500, sha: bytes | None = None) -> dict[str, Any]:
        sha = sha or hashlib.sha256(data).digest()
        answer = self.call(1, 1, write=True, off=0, len=len(data), sha=sha, data=data[:chunk])
        while "off" in answer and answer["off"] < len(data):
            offset = answer["off"]
            answer = self.call(1, 1, write=True, off=offset, data=data[offset : offset + chunk])
        return answer

    def states(self) -> list[dict[str, Any]]:
        return list(self.call(1, 0)["images"])


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def client(board: Board) -> Client:
    return Client(SmpServer(ControllerSlots(board)))


def test_operating_system_group(client: Client) -> None:
    assert client.call(0, 0, write=True, d="hello") == {"r": "hello"}
    assert client.call(0, 6)["buf_size"] >= 512
    assert client.call(0, 8) == {"bootloader": "MCUboot"}
    assert client.call(0, 7, format="a")["output"].startswith("Zephyr psc-2 ")


def test_trial_revert_and_confirmation(client: Client, board: Board) -> None:
    before = client.states()
    assert [(each["slot"], each["active"], each["confirmed"]) for each in before] == [(0, True, True)]
    assert client.upload(CANDIDATE) == {"off": len(CANDIDATE), "match": True}
    new = client.states()[1]
    assert new["version"] == "1.5.0.3"
    assert new["hash"] == parse_mcuboot(CANDIDATE).digest
    assert client.call(1, 0, write=True, hash=new["hash"])["images"][1]["pending"] is True
    client.call(0, 5, write=True)
    assert [(each["version"], each["confirmed"]) for each in client.states()] == [("1.5.0.3", False), ("1.4.0", True)]
    client.call(0, 5, write=True)
    assert [(each["version"], each["confirmed"]) for each in client.states()] == [("1.4.0", True), ("1.5.0.3", False)]
    client.call(1, 0, write=True, hash=new["hash"])
    client.call(0, 5, write=True)
    client.call(1, 0, write=True, confirm=True)
    client.call(0, 5, write=True)
    assert client.states()[0]["version"] == "1.5.0.3"
    assert board.slots.image.image.version == "1.5.0-good"


def test_bare_images_are_taken_as_well(client: Client) -> None:
    assert client.upload(read_image("1.5.0-good"))["match"] is True
    assert client.states()[1]["hash"] == hashlib.sha256(read_image("1.5.0-good")).digest()


def test_broken_images_are_refused(client: Client, board: Board) -> None:
    for data, code in (
        (CANDIDATE[:100] + bytes([CANDIDATE[100] ^ 1]) + CANDIDATE[101:], 24),
        (CANDIDATE[:-10], 4),
        (b"\xff" * 300, 23),
        (wrap_mcuboot(b"no toml", "1.0.0"), 22),
    ):
        assert client.upload(data) == {"err": {"group": 1, "rc": code}}
        assert board.slots.contents[1] is None
    assert client.upload(CANDIDATE, sha=bytes(32)) == {"err": {"group": 1, "rc": 24}}


def test_an_upload_broken_off_goes_on_where_it_was(client: Client, board: Board) -> None:
    sha = hashlib.sha256(CANDIDATE).digest()
    first = {"off": 0, "len": len(CANDIDATE), "sha": sha, "data": CANDIDATE[:100]}
    assert client.call(1, 1, write=True, **first) == {"off": 100}
    assert client.call(1, 1, write=True, off=200, data=b"x") == {"off": 100}
    assert client.call(1, 1, write=True, **first) == {"off": 100}
    assert client.call(1, 1, write=True, off=100, data=CANDIDATE[100:])["match"] is True
    assert board.slots.contents[1] is not None


def test_the_confirmed_image_is_never_overwritten(client: Client, board: Board) -> None:
    client.upload(CANDIDATE)
    client.call(1, 0, write=True, hash=parse_mcuboot(CANDIDATE).digest)
    client.call(0, 5, write=True)
    assert client.call(1, 5, write=True) == {"err": {"group": 1, "rc": 9}}
    assert client.upload(CANDIDATE) == {"err": {"group": 1, "rc": 9}}
    assert client.call(1, 5, write=True, version=0) == {"rc": 6}
    board.slots.reset()
    assert client.call(1, 5, write=True) == {}
    assert len(client.states()) == 1


def test_requests_that_make_no_sense(client: Client) -> None:
    assert client.call(63, 0) == {"rc": 8}
    assert client.call(0, 0, write=True, d=5) == {"rc": 3}
    assert client.call(1, 0, write=True, hash=bytes(32)) == {"err": {"group": 1, "rc": 8}}
    running = client.states()[0]["hash"]
    assert client.call(1, 0, write=True, hash=running) == {"err": {"group": 1, "rc": 33}}
    assert client.call(1, 1, write=True, off=0, len=1 << 30, data=b"") == {"err": {"group": 1, "rc": 30}}


@pytest.mark.parametrize("packet", [b"", b"\x08\x00", b"\x0a\x00\x00\x05\x00\x00\x01\x00"])
def test_what_is_no_packet_is_not_answered(board: Board, packet: bytes) -> None:
    assert SmpServer(ControllerSlots(board)).respond(packet) is None


def test_a_board_that_boots_does_not_answer(board: Board) -> None:
    board.up = False
    assert SmpServer(ControllerSlots(board)).respond(b"\x08\x00\x00\x01\x00\x00\x01\x06\xa0") is None


def test_over_udp(board: Board) -> None:
    with (
        UdpService(HOST, PORT, SmpServer(ControllerSlots(board)).respond),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(5)
        client.sendto(b"\x08\x00\x00\x01\x00\x00\x07\x06\xa0", (HOST, PORT))
        answer = client.recv(2000)
    assert answer[6] == 7
    assert cbor2.loads(answer[8:])["buf_count"] >= 1


def test_image_parts() -> None:
    image = parse_mcuboot(CANDIDATE)
    assert image.payload == read_image("1.5.0-good") == payload_of(CANDIDATE)
    assert payload_of(BASELINE) == BASELINE
    for end in range(0, len(CANDIDATE) - 1, 7):
        with pytest.raises(BadImage):
            parse_mcuboot(CANDIDATE[:end])


def test_signatures() -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key, other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    digest = parse_mcuboot(CANDIDATE).digest

    def signed(by: Any) -> bytes:
        trailer = CANDIDATE[-40:]
        signature = by.sign(digest)
        total = struct.pack("<HH", 0x6907, 40 + 4 + len(signature))
        return CANDIDATE[:-40] + total + trailer[4:] + struct.pack("<HH", 0x24, len(signature)) + signature

    assert parse_mcuboot(signed(key), public).version == "1.5.0.3"
    for data, reason in ((signed(other), "signature"), (CANDIDATE, "no signature")):
        with pytest.raises(BadImage) as caught:
            parse_mcuboot(data, public)
        assert caught.value.reason == reason
    board = Board()
    client = Client(SmpServer(ControllerSlots(board, public)))
    assert client.upload(BASELINE) == {"err": {"group": 1, "rc": 23}}
    assert client.upload(signed(key))["match"] is True
