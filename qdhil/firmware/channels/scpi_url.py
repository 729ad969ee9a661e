"""Firmware by SCPI URL, as RAUC-style boxes take it: the controller fetches the image and says how far it is."""

from __future__ import annotations

from qdhil.firmware.bundle import Bundle
from qdhil.firmware.channels.image_server import serving
from qdhil.firmware.channels.scpi import ScpiSlots
from qdhil.instruments import PhotonSourceController
from qdhil.instruments.firmware_settings import ScpiUrl, host_and_port


class ScpiUrlChannel(ScpiSlots):
    """``SYSTem:FIRMware:UPDate "<url>"``, then ``SYSTem:FIRMware:STATe?`` until COMPLETE or ERROR.

    Parameters
    ----------
    controller
        The controller.
    settings
        Where this host serves the image, and how long it may take.
    """

    def __init__(self, controller: PhotonSourceController, settings: ScpiUrl) -> None:
        super().__init__(controller, settings)
        self._host, self._port = host_and_port(settings.serve)
        self._reached_as = settings.reached_as

    def _transfer(self, bundle: Bundle) -> None:
        try:
            with serving(self._host, self._port, bundle.image, bundle.manifest.image) as server:
                self._controller.fetch_image(server.url(self._reached_as))
                error = self._controller.next_error()
                if error is not None:
                    raise self._refused(error, "no error")
                state = self._await_written()
        except OSError as error:
            raise self._controller.session.fault(
                f"HTTP server at {self._host}:{self._port}",
                error.strerror or str(error),
                "listening",
                "set firmware.scpi_url.serve in the rack file to an address of this host",
            ) from error
        if state != "COMPLETE":
            # its text does not tell a broken download from a bad image: both are tried again
            raise self._controller.session.fault(
                "firmware upload", state, "COMPLETE", "check the network, and that the image is for this hardware"
            )
