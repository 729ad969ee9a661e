"""Which channel a rig's firmware goes over."""

from __future__ import annotations

from qdhil.errors import ConfigurationError
from qdhil.firmware.channels.scpi_block import ScpiBlockChannel
from qdhil.firmware.channels.scpi_url import ScpiUrlChannel
from qdhil.firmware.channels.smp import SmpChannel
from qdhil.firmware.slots import FirmwareChannel
from qdhil.instruments import PhotonSourceController
from qdhil.instruments.firmware_settings import ScpiBlock, ScpiUrl, Smp, Upload


def open_channel(controller: PhotonSourceController, settings: Upload) -> FirmwareChannel:
    """Return the channel to a controller that its settings are for; nothing is connected before it is used.

    Raises
    ------
    ConfigurationError
        If there is no channel with such settings.
    """
    if isinstance(settings, ScpiBlock):
        return ScpiBlockChannel(controller, settings)
    if isinstance(settings, ScpiUrl):
        return ScpiUrlChannel(controller, settings)
    if isinstance(settings, Smp):
        return SmpChannel(controller, settings)
    raise ConfigurationError(f"no firmware channel has settings like {type(settings).__name__}")
