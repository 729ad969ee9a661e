"""Firmware by SCPI block: the image travels inside the command, and its writing is polled."""

from __future__ import annotations

from qdhil.firmware.bundle import Bundle
from qdhil.firmware.channels.scpi import ScpiSlots


class ScpiBlockChannel(ScpiSlots):
    """``SYSTem:FIRMware:UPLoad <block>``, then ``SYSTem:FIRMware:STATe?`` until it is no more BUSY."""

    def _transfer(self, bundle: Bundle) -> None:
        self._controller.send_image(bundle.image)
        error = self._controller.next_error()
        if error is not None:
            raise self._refused(error, "no error")
        state = self._await_written()
        if state != "IDLE":
            raise self._refused(state, "IDLE")
