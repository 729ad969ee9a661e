"""Every fault of a rig is an InfraFault that names rig, instrument, quantity, last value and band."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import ServedRack, serve, stop
from qdhil.errors import InfraFault
from qdhil.instruments import Session
from qdhil.rack.config import Rig as Description
from qdhil.rack.config import load_rack
from qdhil.rack.rig import Rig, opened


def described(rack: ServedRack, rig: str = "sim-a1") -> Description:
    return load_rack(rack.file).rigs[rig]


@pytest.fixture
def rig(served_rack: ServedRack) -> Iterator[Rig]:
    with opened("sim-a1", described(served_rack)) as rig:
        yield rig


def caught(call: Callable[..., object], *arguments: object) -> InfraFault:
    with pytest.raises(InfraFault) as caught:
        call(*arguments)
    fault = caught.value
    assert fault.rig.startswith("sim-a")
    for part in (fault.rig, fault.instrument, fault.quantity, fault.last_value, fault.band):
        assert part
        assert part in str(fault)
    return fault


def test_a_healthy_rig_counts_on_every_path(rig: Rig) -> None:
    health = rig.check_health()
    assert 3.9 < health["temperature_k"] < 4.3
    for path in ("hbt", "hom_parallel", "hom_orthogonal"):
        acquisition = rig.acquire(path, 0.02)
        assert 20_000 < acquisition.t_a_ps.size < 60_000
        assert abs(acquisition.t_a_ps.size - acquisition.t_b_ps.size) < 4_000
    dark = rig.acquire("blanked", 0.5)
    assert dark.t_a_ps.size < 200
    assert dark.sync_ps.size == pytest.approx(0.5 * 80e6 / 8192, abs=2)


@pytest.mark.parametrize(
    ("fault", "value", "quantity", "last_value"),
    [
        ("crc", None, "payload CRC", "0x"),
        ("sequence", 2, "sequence number of a block", "2"),
        ("drop", 7, "dropped tags", "7"),
    ],
)
def test_damaged_tags(
    rig: Rig, served_rack: ServedRack, fault: str, value: int, quantity: str, last_value: str
) -> None:
    served_rack.inject(fault, value=value)
    found = caught(rig.acquire, "hbt", 0.02)
    assert (found.instrument, found.quantity) == ("tagger", quantity)
    assert last_value in found.last_value
    assert rig.acquire("hbt", 0.02).t_a_ps.size > 20_000, "the next acquisition is clean"


def test_warm_cold_finger(served_rack: ServedRack) -> None:
    served_rack.inject("warm", rig="sim-a2", value=5.0)
    with opened("sim-a2", described(served_rack, "sim-a2")) as rig:
        fault = warmed(rig)
    assert (fault.instrument, fault.quantity, fault.band) == ("cryostat", "temperature", "3.9 to 4.3 K")
    assert float(fault.last_value.removesuffix(" K")) > 4.3


def warmed(rig: Rig) -> InfraFault:
    for _ in range(200):
        rig.acquire("blanked", 1.0)
        try:
            rig.check_health()
        except InfraFault as fault:
            return fault
    return pytest.fail("5 W on the cold finger did not warm it out of its band within 200 s")


@pytest.mark.parametrize("instrument", ["controller", "tagger", "cryostat", "switch"])
def test_silent_instrument(served_rack: ServedRack, instrument: str) -> None:
    served_rack.inject("silent", instrument=instrument)
    found = caught(Rig("sim-a1", quick(described(served_rack))).open)
    served_rack.inject("silent", instrument=instrument, value=False)
    assert found.instrument == instrument
    assert found.last_value == "none"


@pytest.mark.parametrize("instrument", ["controller", "tagger", "cryostat", "switch"])
def test_wrong_identity(served_rack: ServedRack, instrument: str) -> None:
    served_rack.inject("wrong_identity", rig="sim-a2", instrument=instrument, value="ACME,TOASTER,1,1")
    description = getattr(described(served_rack, "sim-a2").instruments, instrument)
    found = caught(Session("sim-a2", instrument, description, "@py").open)
    assert (found.instrument, found.quantity) == (instrument, "identity (*IDN?)")
    assert "ACME,TOASTER" in found.last_value


def test_an_instrument_that_babbles_on(served_rack: ServedRack) -> None:
    def babble(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    with socket.create_server(("127.0.98.1", 7777)) as server:
        threading.Thread(target=babble, args=(server,), daemon=True).start()
        description = quick(described(served_rack)).instruments.cryostat.model_copy(
            update={"resource": "TCPIP0::127.0.98.1::7777::SOCKET", "timeout_s": 0.2}
        )
        found = caught(Session("sim-a1", "cryostat", description, "@py").open)
    assert found.last_value == "bytes without an end for 1 s"


def test_dead_rack(rack_file: Path) -> None:
    rack = serve(rack_file)
    with opened("sim-a1", described(rack)) as rig:
        rack.process.kill()
        rack.process.wait()
        found = caught(rig.check_health)
        assert found.instrument == "cryostat"
        rig.close()
        assert caught(rig.open).last_value == "refused, or not this protocol"
    stop(rack)


def test_a_rig_that_was_never_there(rack_file: Path) -> None:
    assert caught(Rig("sim-a1", load_rack(rack_file).rigs["sim-a1"]).open).quantity.startswith("connection to TCPIP0::")


def test_a_rack_whose_addresses_are_taken_is_refused(served_rack: ServedRack) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "qdhil_sim", "up", "--rack", str(served_rack.file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 64
    assert len(again.stderr.strip().splitlines()) <= 2


def quick(description: Description) -> Description:
    """The same rig with a short patience."""
    data = description.model_dump()
    for role in ("controller", "tagger", "cryostat", "switch"):
        data["instruments"][role]["timeout_s"] = 0.5
    return Description.model_validate(data)
