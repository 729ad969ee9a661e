"""Every fault of an instrument reaches the user as an InfraFault that names rig, instrument and quantity."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from conftest import ServedRack
from qdhil.errors import InfraFault
from qdhil.instruments import Session
from qdhil.rack.config import Instruments, load_rack
from qdhil.rack.config import Rig as Description
from qdhil.rack.rig import Rig, opened

RIG = "sim-a1"
ROLES = ("controller", "tagger", "cryostat", "switch")
TIMEOUT_S = 0.3


def impatient(rack: ServedRack) -> Description:
    """Return the rig with time-outs that a test can wait for."""
    description = load_rack(rack.file).rigs[RIG]
    data = description.instruments.model_dump()
    for role in ROLES:
        data[role]["timeout_s"] = TIMEOUT_S
    return description.model_copy(update={"instruments": Instruments.model_validate(data)})


@pytest.fixture(scope="module")
def warm_rack(served_rack: ServedRack) -> ServedRack:
    """The rack once its first light, which loads the kernels, has come."""
    with opened(RIG, load_rack(served_rack.file).rigs[RIG]) as rig:
        rig.acquire("hbt", 0.01)
    return served_rack


@pytest.fixture
def rig(warm_rack: ServedRack) -> Iterator[Rig]:
    with opened(RIG, impatient(warm_rack)) as rig:
        yield rig


def caught(call: Callable[..., object], *arguments: object) -> InfraFault:
    with pytest.raises(InfraFault) as caught:
        call(*arguments)
    assert caught.value.rig == RIG
    assert caught.value.exit_code == 30
    return caught.value


def use(rig: Rig, role: str) -> None:
    """Speak to an instrument as a campaign does."""
    if role == "tagger":
        rig.acquire("hbt", 0.01)
    elif role == "switch":
        rig.switch.select("hbt")
    elif role == "cryostat":
        rig.cryostat.check()
    else:
        rig.controller.check()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["silent", "slow", "garbled", "truncated", "reconnect", "half_open"])
def test_a_broken_link(rig: Rig, served_rack: ServedRack, role: str, kind: str) -> None:
    with served_rack.fault(role, kind):
        found = caught(use, rig, role)
    assert found.instrument == role
    rig.close()
    rig.open()
    use(rig, role)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["half_open", "wrong_identity", "truncated"])
def test_a_link_that_is_broken_from_the_start(served_rack: ServedRack, role: str, kind: str) -> None:
    session = Session(RIG, role, getattr(impatient(served_rack).instruments, role), "@py")
    with served_rack.fault(role, kind):
        found = caught(session.open)
    assert found.instrument == role
    if kind == "wrong_identity":
        assert found.quantity == "identity (*IDN?)"
        assert "ACME" in found.last_value
    session.open()
    session.close()


@pytest.mark.parametrize(
    ("kind", "quantity"),
    [
        ("crc", "payload CRC"),
        ("sequence", "sequence number of a block"),
        ("drop", "dropped tags"),
        ("truncated", "answer to TAGS:DATA? 524288"),
        ("garbled", "a block|TAGS:DATA|ACQ"),
    ],
)
def test_damaged_tags(rig: Rig, served_rack: ServedRack, kind: str, quantity: str) -> None:
    severity = 0.01 if kind in ("drop", "truncated") else 1.0
    with served_rack.fault("tagger", kind, severity=severity):
        found = caught(rig.acquire, "hbt", 0.02)
    assert found.instrument == "tagger"
    if kind not in ("truncated", "garbled"):
        assert found.quantity == quantity


def test_one_flipped_bit_among_the_tags_is_found(rig: Rig, served_rack: ServedRack) -> None:
    with served_rack.fault("tagger", "garbled", severity=1e-7):
        found = caught(rig.tagger.acquire, 0.02)
    assert found.instrument == "tagger"


def test_errors_of_the_device_itself(rig: Rig, served_rack: ServedRack) -> None:
    with served_rack.fault("switch", "error_burst"):
        found = caught(rig.switch.select, "hbt")
    assert "Device-specific error" in found.last_value
    rig.switch.session.write("*CLS")


def test_slowness_within_the_time_out_is_no_fault(rig: Rig, served_rack: ServedRack) -> None:
    with served_rack.fault("cryostat", "slow", severity=0.015):
        begin_s = time.monotonic()
        rig.cryostat.check()
    assert time.monotonic() - begin_s >= 0.15


def test_faults_begin_and_end_by_device_time(rig: Rig, served_rack: ServedRack) -> None:
    with served_rack.fault("tagger", "crc", onset_s=1.0, recovery_s=3.0):
        rig.acquire("hbt", 0.01)
        # asked after its end, an acquisition on a turbo clock is over: the fault has begun
        assert caught(rig.acquire, "blanked", 1.2).quantity == "payload CRC"
        assert caught(rig.acquire, "hbt", 0.01).quantity == "payload CRC"
        (entry,) = served_rack.control_port(verb="list")["faults"]
        assert (entry["kind"], entry["severity_now"]) == ("crc", 1.0)
        rig.acquire("blanked", 4.0)
        rig.acquire("hbt", 0.01)
    assert served_rack.control_port(verb="list")["faults"] == []
