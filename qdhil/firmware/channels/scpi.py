"""What both SCPI channels share: everything but how the image gets there."""

from __future__ import annotations

from qdhil.firmware.bundle import Bundle
from qdhil.firmware.channels.image_upload import ImageRefused, restarted, verify_written
from qdhil.firmware.slots import Identity, Running
from qdhil.instruments import PhotonSourceController, wait_until
from qdhil.instruments.firmware_settings import Upload

_WORKING = ("BUSY", "UPDATING")


class ScpiSlots:
    """The slots of a controller that takes SYSTem:FIRMware commands.

    Parameters
    ----------
    controller
        The controller; its session is opened when it is first spoken to.
    settings
        How long an image may take, and how often an upload that breaks off is started.
    """

    def __init__(self, controller: PhotonSourceController, settings: Upload) -> None:
        self._controller = controller
        self._upload_timeout_s = settings.upload_timeout_s
        self._attempts = settings.attempts

    def running(self) -> Running:
        """Return what runs now."""
        controller = self._controller
        return Running(
            version=controller.version,
            digest=controller.running_sha256,
            confirmed=controller.confirmed,
            fpga_build=controller.fpga_build,
        )

    def staged_digest(self) -> str:
        """Return the digest of the image in the slot that does not run; empty if there is none."""
        return self._controller.slot_sha256(1 - self._controller.running_slot)

    def expected(self, bundle: Bundle) -> Identity:
        """Return version and file digest: these commands know nothing of a bootloader's own."""
        return Identity(bundle.version, bundle.sha256, bundle.fpga_build)

    def upload(self, bundle: Bundle) -> None:
        """Write an image to the slot that does not run; a transfer that breaks off is started again."""
        restarted(lambda: self._upload_once(bundle), self._attempts, self.close)

    def mark_for_test(self, bundle: Bundle) -> None:  # noqa: ARG002 - there is one image that it can be
        """Boot the staged image once at the next reset."""
        self._controller.mark_for_test()

    def confirm(self) -> None:
        """Make the running image the one that a power cycle boots."""
        self._controller.confirm()

    def revert(self) -> None:
        """Boot the confirmed image at the next reset; asks nothing."""
        self._controller.revert()

    def reboot(self) -> None:
        """Reset, and return when the controller answers with its identity again."""
        self._controller.reboot()

    def close(self) -> None:
        """Drop the connection."""
        self._controller.session.close()

    def _upload_once(self, bundle: Bundle) -> None:
        self._await_written()  # an upload that lost its connection may still be going on
        if self.staged_digest() == bundle.sha256:
            return
        self._transfer(bundle)
        verify_written(self, bundle, self._controller.session.fault)

    def _transfer(self, bundle: Bundle) -> None:
        """Bring the image to the slot, and return when nothing is going on any more."""
        raise NotImplementedError

    def _await_written(self) -> str:
        """Return the state in which an upload ended, whatever it is."""
        state = ""

        def written() -> bool:
            nonlocal state
            state = self._controller.upload_state
            return not state.startswith(_WORKING)

        if not wait_until(written, self._upload_timeout_s):
            raise self._controller.session.fault(
                "firmware upload", state, f"done within {self._upload_timeout_s:g} s", "power-cycle the controller"
            )
        return state

    def _refused(self, last: str, allowed: str) -> ImageRefused:
        session = self._controller.session
        return ImageRefused(
            session.rig,
            session.role,
            "firmware upload",
            last,
            allowed,
            "check that the image is whole and for this hardware",
        )
