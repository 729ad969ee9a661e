"""Switch a controller between confirmed and test firmware, and verify what really runs.

The candidate is only ever *test-booted*: it is never confirmed here, so that a power cycle at any
moment brings the baseline back. A block is measured only after :func:`run_confirmed` or
:func:`run_candidate` returned.
"""

from __future__ import annotations

from typing import Protocol

from qdhil.errors import InfraFault
from qdhil.firmware.bundle import Bundle

_LOOK = "see who else writes to this controller; then try again"


class FirmwareChannel(Protocol):
    """What a controller must offer to be switched between two images."""

    @property
    def version(self) -> str:
        """Version of the running image."""

    @property
    def running_sha256(self) -> str:
        """Digest of the running image, computed by the controller."""

    @property
    def running_slot(self) -> int:
        """Slot of the running image, 0 or 1."""

    @property
    def confirmed(self) -> bool:
        """Whether a power cycle would boot the running image."""

    def slot_sha256(self, slot: int) -> str:
        """Digest of the image in a slot, empty for an empty slot."""

    def upload(self, image: bytes) -> None:
        """Write an image to the inactive slot."""

    def mark_for_test(self) -> None:
        """Boot the inactive slot once at the next reset."""

    def revert(self) -> None:
        """Boot the confirmed image at the next reset."""

    def reboot(self) -> None:
        """Reset, and return when the controller answers again."""


def run_confirmed(channel: FirmwareChannel, baseline: Bundle, rig: str) -> None:
    """Boot the confirmed image and verify that it is the baseline.

    The reset is given without asking first: a mute controller must come back too.

    Raises
    ------
    InfraFault
        If something else runs afterwards.
    """
    channel.revert()
    channel.reboot()
    verify_running(channel, baseline, rig, confirmed=True)


def stage(channel: FirmwareChannel, bundle: Bundle) -> None:
    """Write a bundle's image to the inactive slot, unless it is there already."""
    if channel.slot_sha256(1 - channel.running_slot) != bundle.sha256:
        channel.upload(bundle.image)


def run_candidate(channel: FirmwareChannel, candidate: Bundle, rig: str) -> None:
    """Test-boot the staged candidate and verify that it runs unconfirmed.

    A test boot lasts until the next reset, so a candidate that runs already gives way to the confirmed
    image first: every visit starts with a boot of its own.

    Raises
    ------
    InfraFault
        If the staged image differs, or something else runs afterwards.
    """
    if not channel.confirmed:
        channel.revert()
        channel.reboot()
    staged = channel.slot_sha256(1 - channel.running_slot)
    if staged != candidate.sha256:
        raise InfraFault(rig, "controller", "sha256 of the staged image", staged or "empty", candidate.sha256, _LOOK)
    channel.mark_for_test()
    channel.reboot()
    verify_running(channel, candidate, rig, confirmed=False)


def verify_running(channel: FirmwareChannel, bundle: Bundle, rig: str, *, confirmed: bool) -> None:
    """Raise InfraFault unless exactly this image runs, confirmed or not as stated."""
    digest = channel.running_sha256
    if digest != bundle.sha256:
        raise InfraFault(
            rig,
            "controller",
            "sha256 of the running firmware",
            digest or "empty",
            f"{bundle.sha256} ({bundle.version})",
            "flash the baseline by hand, then try again",
        )
    version = channel.version
    if version != bundle.version:
        raise InfraFault(rig, "controller", "version of the running firmware", version, bundle.version, _LOOK)
    if channel.confirmed != confirmed:
        state, wanted = ("unconfirmed", "confirmed")[channel.confirmed], ("unconfirmed", "confirmed")[confirmed]
        raise InfraFault(rig, "controller", f"state of firmware {bundle.version}", state, wanted, _LOOK)
