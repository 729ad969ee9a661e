"""The ``smpmgr`` command on the controller's firmware, with an image that MCUboot's ``imgtool`` made and signed.

Uploads the image, boots it on trial, resets without confirming and looks that the first image is back; an
image with one bit flipped must be refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from client import HOST, report

PAYLOAD = Path(__file__).parents[3] / "sim" / "qdhil_sim" / "builds" / "1.5.0-good" / "image.toml"
STATE = re.compile(
    r"slot=(\d), version='([^']+)', image=0, hash=HashBytes\(\s*'([0-9A-F]{64})'\s*\), bootable=True, "
    r"pending=\w+, confirmed=(\w+), active=(\w+)"
)


def call(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, "-m", *arguments]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done


def smpmgr(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return call("smpmgr", "--ip", HOST, *arguments, check=check)


def slots() -> dict[int, tuple[str, str, bool]]:
    """Return version, hash and whether it is confirmed, by slot."""
    text = re.sub(r"\s+", " ", smpmgr("image", "state-read").stdout)
    return {int(slot): (version, sha, confirmed == "True") for slot, version, sha, confirmed, _ in STATE.findall(text)}


def make_image(folder: Path) -> Path:
    """Return a signed image that carries the firmware."""
    key, image = folder / "key.pem", folder / "image.bin"
    call("imgtool.main", "keygen", "--key", str(key), "--type", "ed25519")
    layout = ["--header-size", "0x20", "--pad-header", "--slot-size", "0x40000", "--align", "4"]
    call("imgtool.main", "sign", "--key", str(key), "--version", "1.5.0+7", *layout, str(PAYLOAD), str(image))
    return image


with tempfile.TemporaryDirectory() as name:
    image = make_image(Path(name))
    read = {"echo": "hello" in smpmgr("os", "echo", "hello").stdout}
    before = slots()
    smpmgr("image", "upload", str(image))
    version, sha, _ = slots()[1]
    smpmgr("image", "state-write", sha)
    smpmgr("os", "reset")
    on_trial = slots()
    smpmgr("os", "reset")
    reverted = slots()
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    refused = smpmgr("image", "upload", str(image), check=False).returncode
read |= {
    "uploaded": version,
    "on_trial": on_trial[0] == (version, sha, False),
    "kept": on_trial[1] == before[0],
    "reverted": reverted[0] == before[0],
    "refused": refused != 0,
}
report(**read)
