"""Switch a controller between confirmed and test firmware, and verify what really runs.

The candidate is only ever *test-booted* by a campaign, so that a power cycle at any moment brings the
baseline back; :func:`confirm_running` is the one place that makes an image permanent. A block is measured
only after :func:`run_confirmed` or :func:`run_candidate` returned, whatever channel the image went over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qdhil.errors import InfraFault
from qdhil.firmware.bundle import Bundle

_LOOK = "see who else writes to this controller; then try again"
_FLASH = "flash the baseline by hand, or name what runs there as the baseline; then try again"
_LEFT = "see why the controller left that image or did not boot it (a power cycle does both); then try again"


@dataclass(frozen=True)
class Identity:
    """What a controller must report of an image, in the words of one channel.

    Parameters
    ----------
    version
        Version as that channel reports it.
    digest
        SHA-256 of the image file, or the hash that a bootloader computes, in lower-case hex.
    fpga_build
        FPGA build that belongs to the image.
    """

    version: str
    digest: str
    fpga_build: str


@dataclass(frozen=True)
class Running:
    """What a controller says it runs.

    Parameters
    ----------
    version, digest
        As in :class:`Identity`.
    confirmed
        Whether a power cycle would boot this image.
    fpga_build
        FPGA build; ``None`` where it can't be told, which no bundle allows.
    """

    version: str
    digest: str
    confirmed: bool
    fpga_build: str | None


class FirmwareChannel(Protocol):
    """A way to switch a controller between two images.

    Every method raises :class:`~qdhil.errors.InfraFault` if the controller can't be reached, refuses, or is
    not done in time.
    """

    def running(self) -> Running:
        """Return what runs now."""

    def staged_digest(self) -> str:
        """Return the digest of the image in the slot that does not run; empty if there is none."""

    def expected(self, bundle: Bundle) -> Identity:
        """Return what this channel reports of a bundle that runs."""

    def upload(self, bundle: Bundle) -> None:
        """Write a bundle's image to the slot that does not run, and return when the slot holds it."""

    def mark_for_test(self, bundle: Bundle) -> None:
        """Boot the staged image once at the next reset; it is this bundle's."""

    def confirm(self) -> None:
        """Make the running image the one that a power cycle boots."""

    def revert(self) -> None:
        """Boot the confirmed image at the next reset; works on a controller that answers no query."""

    def reboot(self) -> None:
        """Reset, and return when the controller answers with its identity again."""

    def close(self) -> None:
        """Drop every connection; the next call connects anew."""


def run_confirmed(channel: FirmwareChannel, baseline: Bundle, rig: str) -> None:
    """Boot the confirmed image and verify that it is the baseline.

    The reset is given without asking first: a mute controller must come back too. Where a test boot was
    still due it is over after that reset, and a second one brings the confirmed image.

    Raises
    ------
    InfraFault
        If something else runs afterwards.
    """
    channel.revert()
    channel.reboot()
    if not channel.running().confirmed:
        channel.revert()
        channel.reboot()
    verify_running(channel, baseline, rig, confirmed=True)


def stage(channel: FirmwareChannel, bundle: Bundle) -> None:
    """Write a bundle's image to the inactive slot, unless it is there already."""
    if channel.staged_digest() != channel.expected(bundle).digest:
        channel.upload(bundle)


def run_candidate(channel: FirmwareChannel, candidate: Bundle, rig: str) -> None:
    """Test-boot the staged candidate and verify that it runs unconfirmed.

    A test boot lasts until the next reset, so a candidate that runs already gives way to the confirmed
    image first: every visit starts with a boot of its own.

    Raises
    ------
    InfraFault
        If the staged image differs, or something else runs afterwards.
    """
    if not channel.running().confirmed:
        channel.revert()
        channel.reboot()
    _verify_staged(channel, candidate, rig)
    channel.mark_for_test(candidate)
    channel.reboot()
    verify_running(channel, candidate, rig, confirmed=False)


def confirm_running(channel: FirmwareChannel, bundle: Bundle, rig: str) -> None:
    """Make a bundle that runs permanent, and verify that it is; nothing happens if it is already.

    Raises
    ------
    InfraFault
        If another image runs, or it is not permanent afterwards.
    """
    if not _verify_identity(channel, bundle, rig, _LEFT).confirmed:
        channel.confirm()
    verify_running(channel, bundle, rig, confirmed=True)


def verify_running(channel: FirmwareChannel, bundle: Bundle, rig: str, *, confirmed: bool) -> None:
    """Raise InfraFault unless exactly this image and FPGA build run, confirmed or not as stated."""
    running = _verify_identity(channel, bundle, rig, _FLASH if confirmed else _LEFT)
    if running.confirmed != confirmed:
        state, wanted = _state(running.confirmed), _state(confirmed)
        raise InfraFault(rig, "controller", f"state of firmware {bundle.version}", state, wanted, _LOOK)


def _verify_identity(channel: FirmwareChannel, bundle: Bundle, rig: str, advice: str) -> Running:
    """Return what runs, or raise InfraFault unless it is this bundle."""
    running, expected = channel.running(), channel.expected(bundle)
    if running.digest != expected.digest:
        _differs(rig, "digest", running.digest, f"{expected.digest} ({bundle.version})", advice)
    if running.version != expected.version:
        _differs(rig, "version", running.version, expected.version, _LOOK)
    if running.fpga_build != expected.fpga_build:
        _differs(rig, "FPGA build", running.fpga_build, f"{expected.fpga_build} ({bundle.version})", advice)
    return running


def _differs(rig: str, fact: str, last: str | None, wanted: str, advice: str) -> None:
    raise InfraFault(rig, "controller", f"{fact} of the running firmware", last or "empty", wanted, advice)


def _verify_staged(channel: FirmwareChannel, bundle: Bundle, rig: str) -> None:
    staged, expected = channel.staged_digest(), channel.expected(bundle).digest
    if staged != expected:
        raise InfraFault(
            rig, "controller", "digest of the staged image", staged or "empty", f"{expected} ({bundle.version})", _LOOK
        )


def _state(confirmed: bool) -> str:
    return "confirmed" if confirmed else "unconfirmed"
