"""The photon-source controller PSC-2: the device under test, with two firmware slots."""

from __future__ import annotations

from collections.abc import Callable

from qdhil.errors import InfraFault
from qdhil.instruments.config import Controller
from qdhil.instruments.session import Session
from qdhil.instruments.wait import wait_until

_NO_ERROR_CODES = ("0", "+0")


class PhotonSourceController:
    """Firmware slots, reboot and feedback locks of the source's controller.

    Parameters
    ----------
    session, config
        How it is reached.
    gone
        Whether it is known by now that it never comes back, so that a boot is not waited for.
    """

    def __init__(self, session: Session, config: Controller, gone: Callable[[], bool] = lambda: False) -> None:
        self.session = session
        self._gone = gone
        self.boot_timeout_s = config.boot_timeout_s
        """How long a boot may take."""
        self._lock_timeout_s = config.lock_timeout_s

    @property
    def version(self) -> str:
        """Get the version of the running firmware."""
        return self.session.query("SYST:FIRM:VERS?").strip('"')

    @property
    def running_sha256(self) -> str:
        """Get the SHA-256 of the running image, as the controller computed it."""
        return self.session.query("SYST:FIRM:HASH?").strip('"')

    @property
    def fpga_build(self) -> str:
        """Get the FPGA build that runs."""
        return self.session.query("SYST:FIRM:FPGA?").strip('"')

    @property
    def running_slot(self) -> int:
        """Get the slot that is running, 0 or 1."""
        return self.session.query_as("SYST:FIRM:SLOT?", int, "running slot", "0 or 1")

    @property
    def confirmed(self) -> bool:
        """Get whether the running image is the one that a power cycle would boot."""
        return self.session.query_as("SYST:FIRM:CONF?", int, "confirmed flag", "0 or 1") == 1

    @property
    def locked(self) -> bool:
        """Get whether the feedback loops (laser sync, bias) have locked."""
        return self.session.query_as("SOUR:LOCK?", int, "lock flag", "0 or 1") == 1

    def slot_sha256(self, slot: int) -> str:
        """Get the SHA-256 of the image in a slot, empty for an empty slot."""
        return self.session.query(f"SYST:FIRM:SLOT:HASH? {slot}").strip('"')

    @property
    def upload_state(self) -> str:
        """Get how the upload is going: IDLE, BUSY,<per cent>, UPDATING,<per cent>,<text>, COMPLETE or ERROR,<text>."""
        return self.session.query("SYST:FIRM:STAT?").strip('"')

    def send_image(self, image: bytes) -> None:
        """Control the inactive slot: write an image that comes with the command. Goes on after the command."""
        self.session.write_block("SYST:FIRM:UPL", image)

    def fetch_image(self, url: str) -> None:
        """Control the inactive slot: write an image that the controller fetches. Goes on after the command."""
        self.session.write(f'SYST:FIRM:UPD "{url}"', shown="SYST:FIRM:UPD")

    def mark_for_test(self) -> None:
        """Control the next reset: boot the inactive slot once, unconfirmed."""
        self.session.write("SYST:FIRM:TEST")
        self.check_errors("mark for test boot")

    def confirm(self) -> None:
        """Control every reset from now on: boot the image that runs."""
        self.session.write("SYST:FIRM:CONF")
        self.check_errors("confirmation of the running image")

    def revert(self) -> None:
        """Control the next reset: boot the confirmed image. Asks nothing, so that it works on a mute controller."""
        self.session.open(identify=False)
        self.session.write("SYST:FIRM:REV")

    def reboot(self) -> None:
        """Control a reset and wait until the controller answers with its identity again.

        Raises
        ------
        InfraFault
            If it does not come back within the boot time-out.
        """
        self.session.write("SYST:REB")
        self.session.close_when_dropped()
        self.await_boot()

    def await_boot(self) -> None:
        """Wait until the controller answers with its identity, on a connection of its own.

        Raises
        ------
        InfraFault
            If it does not come back within the boot time-out.
        """
        self.session.close()
        last: list[InfraFault] = []

        def answers() -> bool:
            try:
                self.session.open()
            except InfraFault as fault:
                if self._gone():
                    raise
                last.append(fault)
                return False
            return True

        if not wait_until(answers, self.boot_timeout_s):
            raise self.session.fault(
                "boot",
                last[-1].last_value,
                f"an answer within {self.boot_timeout_s:g} s",
                "power-cycle the controller",
            ) from last[-1]

    def wait_for_lock(self) -> None:
        """Wait until the feedback loops have locked, or raise InfraFault."""
        if not wait_until(lambda: self.locked, self._lock_timeout_s):
            raise self.session.fault(
                "feedback lock", "0", f"1 within {self._lock_timeout_s:g} s", "check laser sync and bias"
            )

    def check(self) -> dict[str, float]:
        """Return uptime and self-test, or raise InfraFault if the self-test failed or the lock is lost."""
        result = self.session.query_as("SYST:SELF?", int, "self-test", "0")
        if result != 0:
            raise self.session.fault("self-test", result, "0", "see the controller's error list")
        if not self.locked:
            raise self.session.fault("feedback lock", "0", "1", "check laser sync and bias")
        return {"uptime_s": self.session.query_as("SYST:UPT?", float, "uptime", "seconds")}

    def check_errors(self, action: str) -> None:
        """Raise InfraFault if the controller has an error to tell after an action."""
        error = self.next_error()
        if error is not None:
            raise self.session.fault(action, error, "no error")

    def next_error(self) -> str | None:
        """Get the oldest error of the controller; ``None`` if there is none."""
        error = self.session.query("SYST:ERR?")
        return None if error.split(",")[0] in _NO_ERROR_CODES else error
