"""The contract of a firmware channel, on each channel and each kind of image, against a simulated rack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from channels_made import CHANNELS, RIGS, another, damaged, described, mcuboot, raw, with_manifest, write_channel_rack

from conftest import ServedRack, serve, stop
from qdhil.errors import InfraFault
from qdhil.firmware import (
    Bundle,
    confirm_running,
    run_candidate,
    run_confirmed,
    stage,
    verify_running,
)
from qdhil.rack.rig import Rig

pytest.importorskip("cbor2")
pytest.importorskip("smpclient")
IMAGES = ("raw", "mcuboot")


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    served = serve(write_channel_rack(tmp_path_factory.mktemp("rack")))
    yield served
    stop(served)


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def baseline(rack: ServedRack) -> Bundle:
    return raw(rack.file, "1.4.0")


@pytest.fixture(params=IMAGES)
def candidate(request: pytest.FixtureRequest, rack: ServedRack) -> Bundle:
    return mcuboot(rack.file) if request.param == "mcuboot" else raw(rack.file, "1.5.0-good")


@pytest.fixture
def rig(rack: ServedRack, channel: str, baseline: Bundle) -> Iterator[Rig]:
    """A rig of the channel, which is on its baseline again afterwards."""
    opened = Rig(RIGS[channel], described(rack.file, channel))
    yield opened
    opened.close()
    again = Rig(RIGS[channel], described(rack.file, channel))
    run_confirmed(again.firmware, baseline, again.name)
    again.close()


def cycle_power(rig: Rig) -> None:
    rig.close()
    for word in ("0", "1"):
        rig.others["supply"].write(f"OUTP:GEN {word}")
        rig.others["supply"].query("*OPC?")


def test_trial_and_return(rig: Rig, baseline: Bundle, candidate: Bundle) -> None:
    run_confirmed(rig.firmware, baseline, rig.name)
    stage(rig.firmware, candidate)
    assert rig.firmware.staged_digest() == rig.firmware.expected(candidate).digest
    run_candidate(rig.firmware, candidate, rig.name)
    running = rig.firmware.running()
    assert (running.confirmed, running.fpga_build) == (False, "f150")
    with pytest.raises(InfraFault, match=f"rig {rig.name}, controller: digest of the running firmware"):
        verify_running(rig.firmware, baseline, rig.name, confirmed=True)
    with pytest.raises(InfraFault, match=r"state of firmware .*: unconfirmed \(allowed: confirmed\)"):
        verify_running(rig.firmware, candidate, rig.name, confirmed=True)
    run_candidate(rig.firmware, candidate, rig.name)  # each visit has a boot of its own
    run_confirmed(rig.firmware, baseline, rig.name)
    assert rig.firmware.staged_digest() == rig.firmware.expected(candidate).digest


def test_what_the_two_kinds_of_channel_report(rig: Rig, candidate: Bundle, channel: str) -> None:
    expected = rig.firmware.expected(candidate)
    wrapped = candidate.manifest.format == "mcuboot"
    if channel.startswith("smp") and wrapped:
        assert (expected.version, expected.digest) == ("1.5.0.3", candidate.boot_digest)
        assert expected.digest != candidate.sha256
    else:
        assert (expected.version, expected.digest) == (candidate.version, candidate.sha256)


def test_a_power_cycle_ends_a_trial(rig: Rig, baseline: Bundle, candidate: Bundle) -> None:
    stage(rig.firmware, candidate)
    run_candidate(rig.firmware, candidate, rig.name)
    cycle_power(rig)
    with pytest.raises(InfraFault, match="digest of the running firmware"):
        verify_running(rig.firmware, candidate, rig.name, confirmed=False)
    verify_running(rig.firmware, baseline, rig.name, confirmed=True)


def test_a_mark_does_not_outlive_the_return_to_baseline(rig: Rig, baseline: Bundle, candidate: Bundle) -> None:
    stage(rig.firmware, candidate)
    rig.firmware.mark_for_test(candidate)
    run_confirmed(rig.firmware, baseline, rig.name)
    rig.firmware.reboot()
    verify_running(rig.firmware, baseline, rig.name, confirmed=True)


def test_confirmation_is_for_good(rig: Rig, baseline: Bundle, candidate: Bundle) -> None:
    stage(rig.firmware, candidate)
    with pytest.raises(InfraFault, match="digest of the running firmware"):
        confirm_running(rig.firmware, candidate, rig.name)
    run_candidate(rig.firmware, candidate, rig.name)
    confirm_running(rig.firmware, candidate, rig.name)
    confirm_running(rig.firmware, candidate, rig.name)
    cycle_power(rig)
    run_confirmed(rig.firmware, candidate, rig.name)
    stage(rig.firmware, baseline)
    run_candidate(rig.firmware, baseline, rig.name)
    confirm_running(rig.firmware, baseline, rig.name)


def test_nothing_is_written_over_the_confirmed_image(
    rig: Rig, rack: ServedRack, baseline: Bundle, candidate: Bundle
) -> None:
    stage(rig.firmware, candidate)
    run_candidate(rig.firmware, candidate, rig.name)
    with pytest.raises(InfraFault, match="firmware upload"):
        rig.firmware.upload(another(candidate, rack.file))
    run_confirmed(rig.firmware, baseline, rig.name)


def test_an_image_damaged_on_the_way_is_never_booted(
    rig: Rig, rack: ServedRack, baseline: Bundle, candidate: Bundle
) -> None:
    other = another(candidate, rack.file)
    with pytest.raises(InfraFault, match=r"firmware upload|digest of the written image"):
        stage(rig.firmware, damaged(other))
    with pytest.raises(InfraFault, match="digest of the staged image"):
        run_candidate(rig.firmware, other, rig.name)
    verify_running(rig.firmware, baseline, rig.name, confirmed=True)


@pytest.mark.parametrize("fact", [{"fpga_build": "f151"}, {"version": "1.5.0-other"}])
def test_a_manifest_that_disagrees_is_found_after_the_boot(
    rig: Rig, baseline: Bundle, candidate: Bundle, fact: dict[str, str]
) -> None:
    if "version" in fact and candidate.manifest.format == "mcuboot":
        pytest.skip("of an MCUboot image the version is read from the image")
    other = with_manifest(candidate, **fact)
    stage(rig.firmware, other)
    with pytest.raises(InfraFault, match=r"(FPGA build|version) of the running firmware: .* \(allowed: "):
        run_candidate(rig.firmware, other, rig.name)
    run_confirmed(rig.firmware, baseline, rig.name)


def test_another_image_in_the_slot_is_not_booted(rig: Rig, rack: ServedRack, channel: str, candidate: Bundle) -> None:
    stage(rig.firmware, candidate)
    somebody = Rig(rig.name, described(rack.file, channel))
    stage(somebody.firmware, raw(rack.file, "1.5.0-pulse20"))
    somebody.close()
    with pytest.raises(InfraFault, match="digest of the staged image"):
        run_candidate(rig.firmware, candidate, rig.name)


def test_a_controller_that_comes_back_with_another_image(
    rig: Rig, rack: ServedRack, channel: str, baseline: Bundle, candidate: Bundle
) -> None:
    stage(rig.firmware, candidate)
    rig.firmware.mark_for_test(candidate)
    cycle_power(rig)  # its own boot has used the mark up, or has lost it
    rig.firmware.reboot()
    with pytest.raises(InfraFault, match="digest of the running firmware"):
        verify_running(rig.firmware, candidate, rig.name, confirmed=False)


def test_a_mute_candidate_gives_way(rig: Rig, rack: ServedRack, baseline: Bundle) -> None:
    mute = raw(rack.file, "1.5.0-mute")
    rig.controller.boot_timeout_s = 3.0
    stage(rig.firmware, mute)
    with pytest.raises(InfraFault, match=f"rig {rig.name}, controller: "):  # noqa: PT012
        run_candidate(rig.firmware, mute, rig.name)
        for _ in range(20):  # it leaves out some answers: all of 40 come with a chance below 1e-6
            verify_running(rig.firmware, mute, rig.name, confirmed=False)
    rig.close()
    run_confirmed(rig.firmware, baseline, rig.name)


def test_a_controller_that_says_nothing_is_a_fault_of_the_rig(rig: Rig, rack: ServedRack) -> None:
    candidate = raw(rack.file, "1.5.0-good")
    rig.controller.boot_timeout_s = 1.0
    rack.inject("silent", rig=rig.name, instrument="controller")
    try:
        for action in (
            rig.firmware.running,
            rig.firmware.staged_digest,
            rig.firmware.confirm,
            lambda: rig.firmware.mark_for_test(candidate),
        ):
            with pytest.raises(InfraFault, match=f"rig {rig.name}, controller: .* \\(allowed: "):
                action()
    finally:
        rack.inject("silent", rig=rig.name, instrument="controller", value=False)


def test_the_rack_names_them_all(rack: ServedRack) -> None:
    assert {described(rack.file, channel).firmware.channel for channel in CHANNELS} == {"scpi-block", "scpi-url", "smp"}
    assert Path(described(rack.file, "smp-serial").firmware.channel_settings.address).is_symlink()  # type: ignore[union-attr]
