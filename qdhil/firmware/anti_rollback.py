"""Nothing older comes after what a rig has confirmed, unless somebody signed for that; nothing replayed ever does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qdhil.errors import RefusedError
from qdhil.firmware.downgrade import accept_permission
from qdhil.firmware.history import Installed, KnownFirmware
from qdhil.firmware.manifest import Manifest, version_numbers
from qdhil.keys.trust import Trust


def check_not_older(
    manifest: Manifest,
    installed: Installed,
    hardware: str,
    permissions: Sequence[bytes],
    trust: Trust | None,
    now: datetime,
) -> None:
    """Refuse what is replayed, or older than anything a rig has confirmed.

    The image in service is never refused. Older means a lower sequence number, version, or MCUboot
    security counter. A signed permission lets an older image in, never a replayed one.

    Parameters
    ----------
    manifest
        Of the bundle to install.
    installed
        What the rig has confirmed.
    hardware
        The rig's hardware revision; a permission is for one.
    permissions
        Signed permissions, as read from their files.
    trust
        Whose permissions count.
    now
        The time.

    Raises
    ------
    RefusedError
        With the reason, and why no permission helped where there are some.
    """
    if not installed.confirmed or installed.confirmed[-1].sha256 == manifest.sha256:
        return
    what = f"firmware {manifest.version}"
    for known in installed.confirmed:
        if known.sequence == manifest.sequence and known.sha256 != manifest.sha256:
            raise RefusedError(f"{what}: replayed: sequence {known.sequence} was another image")
    older = next((why for known in reversed(installed.confirmed) if (why := _older(manifest, known))), None)
    if older is None:
        return
    if not permissions:
        raise RefusedError(f"{what}: {older}; going back takes a signed permission")
    refusals = []
    for data in permissions:
        try:
            accept_permission(data, trust, installed.confirmed[-1].sha256, manifest.sha256, hardware, now)
        except RefusedError as error:
            refusals.append(str(error))
        else:
            return
    raise RefusedError(f"{what}: {older}; {'; '.join(refusals)}")


def _older(manifest: Manifest, known: KnownFirmware) -> str | None:
    """Say in which way a bundle is older than confirmed firmware, if it is."""
    if manifest.sequence < known.sequence:
        return f"older: sequence {manifest.sequence}, the rig has confirmed {known.sequence}"
    if version_numbers(manifest.version) < version_numbers(known.version):
        return f"older: the rig has confirmed {known.version}"
    if known.security_counter is not None and (
        manifest.security_counter is None or manifest.security_counter < known.security_counter
    ):
        return f"older: security counter {manifest.security_counter}, the rig has confirmed {known.security_counter}"
    return None
