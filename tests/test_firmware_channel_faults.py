"""Links that lose and cut, power that goes at any moment, and addresses where nobody is."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from channels_made import (
    CHANNELS,
    RIGS,
    CuttingTcp,
    LossyUdp,
    another,
    described,
    mcuboot,
    network_of,
    padded,
    raw,
    write_channel_rack,
)

from conftest import ServedRack, serve, stop
from qdhil.errors import InfraFault
from qdhil.firmware import Bundle, run_candidate, run_confirmed, stage, verify_running
from qdhil.firmware.channels.image_server import serving
from qdhil.instruments.config import Terminator
from qdhil.rack.rig import Rig

pytest.importorskip("cbor2")
pytest.importorskip("smpclient")


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    served = serve(write_channel_rack(tmp_path_factory.mktemp("rack")))
    yield served
    stop(served)


@pytest.fixture
def baseline(rack: ServedRack) -> Bundle:
    return raw(rack.file, "1.4.0")


def rig_with(rack: ServedRack, channel: str, firmware: dict[str, Any], controller: dict[str, Any] | None = None) -> Rig:
    """Return a channel's rig with other settings of its firmware channel and its controller."""
    rig = described(rack.file, channel)
    table = rig.firmware.channel.replace("-", "_")
    settings = {table: rig.firmware.channel_settings.model_copy(update=firmware)}
    instruments = {"controller": rig.instruments.controller.model_copy(update=controller or {})}
    changes = {
        "firmware": rig.firmware.model_copy(update=settings),
        "instruments": rig.instruments.model_copy(update=instruments),
    }
    return Rig(RIGS[channel], rig.model_copy(update=changes))


@pytest.mark.parametrize("seed", range(2))
def test_packets_that_are_lost_or_come_twice(rack: ServedRack, baseline: Bundle, seed: int) -> None:
    target = (network_of("smp-udp") + ".30", 1337)
    candidate = mcuboot(rack.file, b"# %d\n" % seed + b"#" + b"x" * 20000 + b"\n")
    with LossyUdp(target, loss=0.15, repeat=0.1, seed=seed) as relay:
        # 25 attempts in a row fail with a chance of (1 - 0.85**2)**25 = 1e-14
        patience = {"address": relay.address, "timeout_s": 0.1, "erase_timeout_s": 0.1, "attempts": 25}
        rig = rig_with(rack, "smp-udp", patience)
        for _ in range(3):
            stage(rig.firmware, candidate)
            run_candidate(rig.firmware, candidate, rig.name)
            run_confirmed(rig.firmware, baseline, rig.name)
        rig.close()
        assert relay.dropped > 0


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_block_cut_off_is_sent_again(rack: ServedRack, baseline: Bundle, cuts: int) -> None:
    candidate = padded(rack.file, 100_000 + cuts)
    with CuttingTcp((network_of("scpi-block") + ".30", 5025), [40_000] * cuts) as relay:
        resource = f"TCPIP0::{network_of('scpi-block')}.30::{relay.port}::SOCKET"
        rig = rig_with(rack, "scpi-block", {}, {"resource": resource, "terminator": Terminator()})
        stage(rig.firmware, candidate)
        run_candidate(rig.firmware, candidate, rig.name)
        run_confirmed(rig.firmware, baseline, rig.name)
        rig.close()
        assert relay.cuts == cuts


def test_a_block_cut_off_every_time_is_a_fault(rack: ServedRack, baseline: Bundle) -> None:
    with CuttingTcp((network_of("scpi-block") + ".30", 5025), [40_000] * 3) as relay:
        resource = f"TCPIP0::{network_of('scpi-block')}.30::{relay.port}::SOCKET"
        rig = rig_with(rack, "scpi-block", {}, {"resource": resource, "terminator": Terminator()})
        with pytest.raises(InfraFault, match="rig sim-a1, controller"):
            stage(rig.firmware, padded(rack.file, 200_000))
        assert relay.cuts == 3
        run_confirmed(rig.firmware, baseline, rig.name)
        rig.close()


def test_a_download_cut_off_is_started_again(rack: ServedRack, baseline: Bundle) -> None:
    host = network_of("scpi-url") + ".1"
    with socket.create_server((host, 0)) as probe:
        port = probe.getsockname()[1]
    candidate = padded(rack.file, 300_000)
    with CuttingTcpBack((host, port), [50_000, 90_000]) as relay:
        rig = rig_with(rack, "scpi-url", {"serve": f"{host}:{port}", "reached_as": f"{host}:{relay.port}"})
        stage(rig.firmware, candidate)
        run_candidate(rig.firmware, candidate, rig.name)
        run_confirmed(rig.firmware, baseline, rig.name)
        rig.close()
        assert relay.cuts == 2


class CuttingTcpBack(CuttingTcp):
    """Cuts what comes back instead."""

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._copy, args=(client, server, None), daemon=True).start()
            self._copy(server, client, self._cut_after.pop(0) if self._cut_after else None)


def test_the_image_is_served_at_its_own_path_only() -> None:
    import http.client

    def answer(port: int, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path, headers=headers)
        said = connection.getresponse()
        body = said.read()
        connection.close()
        return said.status, body

    with serving("127.0.0.1", 0, bytes(range(200)), "image.bin") as server:
        port, path = server.server_port, server.path
        assert len(path) > 40
        for other in ("/", "/image.bin", path + "x", path[:-1], "/../etc/passwd", path.rsplit("/", 1)[0]):
            assert answer(port, other) == (404, b"")
        assert answer(port, path, Range="bytes=190-") == (206, bytes(range(190, 200)))
        assert answer(port, path, Range="bytes=0-9") == (206, bytes(range(10)))
        assert answer(port, path, Range="bytes=200-")[0] == 416
        assert answer(port, path) == (200, bytes(range(200)))
    with pytest.raises(OSError, match=r"refused|reset"):
        answer(port, path)


def test_an_address_that_is_not_this_hosts(rack: ServedRack) -> None:
    rig = rig_with(rack, "scpi-url", {"serve": "192.0.2.7:8000"})
    with pytest.raises(InfraFault, match=r"HTTP server at 192.0.2.7:8000: .* set firmware.scpi_url.serve"):
        stage(rig.firmware, padded(rack.file, 5000))
    rig.close()


@pytest.mark.parametrize("address", ["udp://127.77.9.9:1337", "/nonexistent/port"])
def test_nobody_at_the_smp_address(rack: ServedRack, address: str) -> None:
    patience = {"address": address, "timeout_s": 0.2, "attempts": 2, "upload_timeout_s": 5.0}
    rig = rig_with(rack, "smp-udp", patience)
    rig.controller.boot_timeout_s = 1.0
    bundle = raw(rack.file, "1.4.0")
    began_s = time.monotonic()
    for action in (
        rig.firmware.running,
        rig.firmware.confirm,
        lambda: rig.firmware.upload(bundle),
        lambda: rig.firmware.mark_for_test(bundle),
        rig.firmware.reboot,
    ):
        with pytest.raises(InfraFault, match=r"rig sim-a3, controller: .*over SMP.*\(allowed: "):
            action()
    rig.firmware.revert()  # a controller that says nothing is left alone
    rig.close()
    assert time.monotonic() - began_s < 40


def cycle_power(rig: Rig) -> None:
    for word in ("0", "1"):
        rig.others["supply"].write(f"OUTP:GEN {word}")
        rig.others["supply"].query("*OPC?")


@pytest.mark.parametrize("channel", CHANNELS)
def test_power_that_goes_at_any_moment(rack: ServedRack, baseline: Bundle, channel: str) -> None:
    rounds = 6
    rig, bench = (Rig(RIGS[channel], described(rack.file, channel)) for _ in range(2))
    moments = random.Random(channel)
    good, other = mcuboot(rack.file), another(mcuboot(rack.file), rack.file)
    began_s = time.monotonic()
    trial(rig, good)
    whole_s = time.monotonic() - began_s
    run_confirmed(rig.firmware, baseline, rig.name)
    with ThreadPoolExecutor(1) as pool:
        for number in range(rounds):
            going_on = pool.submit(trial, rig, (other, good)[number % 2])
            time.sleep(moments.uniform(0, whole_s))
            cycle_power(bench)
            fault = going_on.exception(timeout=60)
            assert fault is None or isinstance(fault, InfraFault), repr(fault)
            rig.close()
            run_confirmed(rig.firmware, baseline, rig.name)
    for each in (rig, bench):
        each.close()


def trial(rig: Rig, candidate: Bundle) -> None:
    stage(rig.firmware, candidate)
    run_candidate(rig.firmware, candidate, rig.name)


@pytest.mark.slow
def test_in_real_time(tmp_path: Path) -> None:
    """Boots of 20 s are waited for on every channel, all at once."""
    served = serve(write_channel_rack(tmp_path, clock="realtime"))

    def whole(channel: str) -> None:
        rig = Rig(RIGS[channel], described(served.file, channel))
        candidate, baseline = mcuboot(served.file), raw(served.file, "1.4.0")
        run_confirmed(rig.firmware, baseline, rig.name)
        stage(rig.firmware, candidate)
        run_candidate(rig.firmware, candidate, rig.name)
        verify_running(rig.firmware, candidate, rig.name, confirmed=False)
        run_confirmed(rig.firmware, baseline, rig.name)
        rig.close()

    try:
        with ThreadPoolExecutor(len(CHANNELS)) as pool:
            list(pool.map(whole, CHANNELS))
    finally:
        stop(served)
