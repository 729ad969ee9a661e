"""Firmware by SMP: MCUboot's slots, over UDP or a serial port.

The steps are taken one by one, because a tool's "upgrade" uploads and resets without marking the image for
test. What MCUboot does not know, the FPGA build and the boot's end, comes from the controller's own session.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qdhil.errors import InfraFault
from qdhil.firmware.bundle import Bundle
from qdhil.firmware.channels.image_upload import verify_written
from qdhil.firmware.channels.smp_link import SmpLink, error_text, smp_client
from qdhil.firmware.slots import Identity, Running
from qdhil.instruments import PhotonSourceController, wait_until
from qdhil.instruments.firmware_settings import Smp

_LOOK = "see who else manages this controller"


class SmpChannel:
    """Upload, image state and reset of a controller with MCUboot.

    Parameters
    ----------
    controller
        The same controller's SCPI session.
    settings
        Where its management server answers.

    Raises
    ------
    ConfigurationError
        If smpclient isn't installed.
    """

    def __init__(self, controller: PhotonSourceController, settings: Smp) -> None:
        self._controller = controller
        self._client = smp_client(serial=settings.udp is None)
        self._link = SmpLink(controller.session.rig, settings, self._client)
        self._attempts = settings.attempts
        self._boot_timeout_s = controller.boot_timeout_s

    def running(self) -> Running:
        """Return what runs now: the active image, and the FPGA build from the controller's session."""
        active, _ = self._slots()
        return Running(
            version=active.version,
            digest=_digest(active),
            confirmed=bool(active.confirmed),
            fpga_build=self._controller.fpga_build,
        )

    def staged_digest(self) -> str:
        """Return the digest of the image in the slot that does not run; empty if there is none."""
        _, other = self._slots()
        return _digest(other)

    def expected(self, bundle: Bundle) -> Identity:
        """Return the version and the hash that MCUboot knows the image by."""
        return Identity(bundle.boot_version, bundle.boot_digest, bundle.fpga_build)

    def upload(self, bundle: Bundle) -> None:
        """Write an image to the slot that does not run; a transfer that breaks off goes on where it was."""
        self._link.upload(bundle.image)
        verify_written(self, bundle, self._link.fault)

    def mark_for_test(self, bundle: Bundle) -> None:
        """Boot the bundle's image once at the next reset."""
        digest = bytes.fromhex(bundle.boot_digest)
        said = self._write_state("mark for test boot", hash=digest)
        _, other = self._slots()
        if other is None or not other.pending or other.permanent or _digest(other) != bundle.boot_digest:
            raise self._link.fault("mark for test boot", said or "not pending", "pending", _LOOK)

    def confirm(self) -> None:
        """Make the running image the one that a power cycle boots."""
        # without a hash it is whatever runs when the request comes: a reset in between confirms nothing new
        said = self._write_state("confirmation of the running image", confirm=True)
        active, _ = self._slots()
        if not active.confirmed:
            raise self._link.fault("confirmation of the running image", said or "unconfirmed", "confirmed", _LOOK)

    def revert(self) -> None:
        """Let the next reset boot the confirmed image.

        An image on trial gives way by itself. One that is only marked would be booted first, and MCUboot can't
        take the mark back: that boot is got over here. A controller that does not answer is left as it is.
        """
        with suppress(InfraFault):
            active, other = self._slots(attempts=1)
            if active.confirmed and other is not None and other.pending:
                self._reset()
                wait_until(self._answers, self._boot_timeout_s)

    def reboot(self) -> None:
        """Reset, and return when the controller answers with its identity again."""
        self._reset()
        self._controller.await_boot()
        if not wait_until(self._answers, self._boot_timeout_s):
            raise self._link.fault("boot", "no answer over SMP", f"an answer within {self._boot_timeout_s:g} s")

    def close(self) -> None:
        """Drop the session; SMP keeps no connection."""
        self._controller.session.close()

    def _reset(self) -> None:
        """Give one reset: it went through if it was answered, or if the controller dropped its session."""
        session = self._controller.session
        last: InfraFault | None = None
        for _ in range(self._attempts):
            session.close()
            with suppress(InfraFault):
                session.open(identify=False)
            try:
                self._link.call(lambda client: client.os.ResetWrite(), "a reset", attempts=1)
            except InfraFault as fault:
                last = fault
                answered = False
            else:
                answered = True
            if session.close_when_dropped() or answered:
                return
        if last is not None:
            raise last

    def _answers(self) -> bool:
        try:
            self._slots(attempts=1)
        except InfraFault:
            return False
        return True

    def _write_state(self, what: str, **state: Any) -> str | None:
        """Write an image state; return the server's error, if it has one."""
        answer = self._link.call(lambda client: client.image.ImageStatesWrite(**state), what)
        return error_text(answer, self._client)

    def _slots(self, attempts: int | None = None) -> tuple[Any, Any]:
        """Return the image that runs and the other one, which may be ``None``.

        Raises
        ------
        InfraFault
            If nothing answers, or no image is said to run.
        """
        answer = self._link.call(lambda client: client.image.ImageStatesRead(), "image states", attempts=attempts)
        said = error_text(answer, self._client)
        if said is not None:
            raise self._link.fault("image states", said, "a list of images")
        images = [image for image in answer.images if not image.image]
        active = next((image for image in images if image.active), None)
        if active is None:
            raise self._link.fault("image states", "no active image", "one active image", _LOOK)
        return active, next((image for image in images if not image.active), None)


def _digest(image: Any) -> str:
    return image.hash.hex() if image is not None and image.hash else ""
