"""The firmware of a rig: its bundles, checked as its table ``[rigs.NAME.firmware]`` asks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from qdhil.firmware.bundle import Bundle, find_bundle
from qdhil.firmware.history import NOTHING_INSTALLED, Installed, read_history, record_confirmed
from qdhil.keys.trust import Trust, load_trust
from qdhil.rack.config import Rig
from qdhil.rack.selection import bundle_folder


def rig_bundles(name: str, rig: Rig, rack_file: Path, baseline: str, candidate: str) -> tuple[Bundle, Bundle]:
    """Return the baseline in service and the candidate, both checked for a rig.

    Where the rig asks for signatures or keeps a history, the candidate must not be older than the baseline,
    nor than anything the rig has confirmed.

    Parameters
    ----------
    name, rig
        The rig and what the rack file says of it.
    rack_file
        Where that was read.
    baseline, candidate
        Version or path of each.

    Raises
    ------
    ConfigurationError
        If there is no such bundle, or a file can't be read.
    RefusedError
        With the reason for which one of them must not run here.
    """
    source, folder, trust = rig.firmware, bundle_folder(rig, rack_file), rig_trust(rig, rack_file)
    in_service = find_bundle(
        baseline, folder, hardware=source.hardware, trust=trust, bootloader=source.bootloader, in_service=True
    )
    installed = NOTHING_INSTALLED
    if trust is not None or source.history is not None:
        installed = rig_history(name, rig, rack_file).then(in_service.manifest)
    return in_service, find_bundle(
        candidate, folder, hardware=source.hardware, trust=trust, bootloader=source.bootloader, installed=installed
    )


def rig_trust(rig: Rig, rack_file: Path) -> Trust | None:
    """Return the keys that must have signed a rig's firmware, or ``None`` where unsigned firmware is taken."""
    if rig.firmware.trust is None:
        return None
    return load_trust(rack_file.parent / rig.firmware.trust, "firmware")


def rig_history(name: str, rig: Rig, rack_file: Path) -> Installed:
    """Return what a rig has confirmed, as far as its history file knows."""
    file = _history_file(name, rig, rack_file)
    return NOTHING_INSTALLED if file is None else read_history(file, name)


def remember_confirmed(name: str, rig: Rig, rack_file: Path, bundle: Bundle) -> None:
    """Note in the rig's history file, if it has one, that it confirmed a bundle.

    Raises
    ------
    RecordFault
        If it can't be written.
    """
    file = _history_file(name, rig, rack_file)
    if file is not None:
        record_confirmed(file, name, bundle.manifest, datetime.now(UTC))


def _history_file(name: str, rig: Rig, rack_file: Path) -> Path | None:
    history = rig.firmware.history
    return None if history is None else rack_file.parent / history.replace("{rig}", name)
