"""RAUC bundles, as ``rauc info`` reads them where RAUC is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from qdhil.errors import RefusedError

_TIMEOUT_S = 60
_SQUASHFS_MAGIC = b"hsqs"


@dataclass(frozen=True)
class RaucFacts:
    """What a RAUC bundle says of itself.

    Parameters
    ----------
    version
        Its version.
    compatible
        The hardware it is for.
    """

    version: str
    compatible: str


def read_raucb(data: bytes) -> RaucFacts | None:
    """Return what a bundle says, or ``None`` where there is no ``rauc`` to ask.

    The device checks RAUC's own signature with its own keyring; here the manifest's signature binds the file.

    Raises
    ------
    RefusedError
        If it is no RAUC bundle.
    """
    if not data.startswith(_SQUASHFS_MAGIC):
        raise RefusedError("RAUC bundle: it does not begin like one")
    rauc = shutil.which("rauc")
    if rauc is None:
        return None
    with tempfile.TemporaryDirectory(prefix="qdhil-rauc-") as folder:
        file = Path(folder) / "bundle.raucb"
        file.write_bytes(data)
        command = [rauc, "info", "--no-verify", "--output-format=json", str(file)]
        try:
            answer = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RefusedError(f"RAUC bundle: rauc info does not answer ({type(error).__name__})") from error
    if answer.returncode:
        raise RefusedError(f"RAUC bundle: rauc info can't read it (exit code {answer.returncode})")
    return _facts(answer.stdout)


def _facts(answer: bytes) -> RaucFacts:
    try:
        data = json.loads(answer)
        version, compatible = data["version"], data["compatible"]
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError("RAUC bundle: rauc info says neither version nor compatible") from error
    if not isinstance(version, str) or not isinstance(compatible, str):
        raise RefusedError("RAUC bundle: rauc info says neither version nor compatible")
    return RaucFacts(version, compatible)
