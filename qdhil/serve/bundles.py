"""Which firmware a git commit is, by the signed manifests of a folder of bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdhil.errors import QdhilError, RefusedError
from qdhil.firmware.bundle import load_bundle
from qdhil.firmware.manifest import MANIFEST_NAME
from qdhil.keys.strict_json import parse_json

if TYPE_CHECKING:
    from qdhil.keys.trust import Trust


def firmware_of(commit: str, folder: Path, trust: Trust | None) -> str | None:
    """Return the SHA-256 of the firmware built from a commit.

    Parameters
    ----------
    commit
        All 40 digits.
    folder
        Holds bundle folders.
    trust
        Whose signatures on a bundle count; ``None`` takes unsigned ones.

    Returns
    -------
    str or None
        ``None`` where no bundle that holds names the commit, or several name it for different firmware.
    """
    try:
        manifests = sorted(folder.glob(f"*/{MANIFEST_NAME}"))
    except OSError:
        return None
    found = set()
    for file in manifests:
        if not _says(commit, file):
            continue
        try:
            bundle = load_bundle(file.parent, trust)
        except QdhilError:
            continue
        if bundle.manifest.git_commit == commit:
            found.add(bundle.sha256)
    return found.pop() if len(found) == 1 else None


def _says(commit: str, file: Path) -> bool:
    """Look before the image is read: most bundles are of other commits."""
    try:
        manifest: Any = parse_json(file.read_bytes(), "manifest")
    except (OSError, RefusedError):
        return False
    return isinstance(manifest, dict) and manifest.get("git_commit") == commit
