"""What every upload does: start again after a break, stop at a refusal, and look what was written."""

from __future__ import annotations

from collections.abc import Callable

from qdhil.errors import InfraFault
from qdhil.firmware.bundle import Bundle
from qdhil.firmware.slots import FirmwareChannel


class ImageRefused(InfraFault):
    """The controller has looked at the whole image and does not take it: to send it again would change nothing."""


def restarted(upload: Callable[[], None], attempts: int, close: Callable[[], None]) -> None:
    """Call ``upload`` until it goes through; each attempt after a fault has connections of its own.

    Raises
    ------
    InfraFault
        The last attempt's fault, or :class:`ImageRefused` at once.
    """
    for attempt in range(1, attempts + 1):
        try:
            upload()
            return
        except ImageRefused:
            raise
        except InfraFault:
            if attempt >= attempts:
                raise
            close()


def verify_written(channel: FirmwareChannel, bundle: Bundle, fault: Callable[[str, object, str], InfraFault]) -> None:
    """Raise InfraFault, made by ``fault``, unless the slot that does not run holds the bundle's image."""
    staged, expected = channel.staged_digest(), channel.expected(bundle).digest
    if staged != expected:
        raise fault("digest of the written image", staged or "empty", f"{expected} ({bundle.version})")
