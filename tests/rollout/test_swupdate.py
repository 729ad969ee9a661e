"""A real swupdate that asks ``qdhil agent verify`` before it installs, over the vector table."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from signing_made import trust_text

from rollout import vectors
from rollout.swupdate_made import BOARD, HARDWARE, SLOT, Signer, make_signer, make_swu

VECTORS = tuple(
    vector
    for vector in vectors.load()
    if (vector.verdict == "pass" or vector.signature == "good") and vector.transport not in ("503", "pending")
)
"""What would install if it were believed; tests/test_agent.py has every row."""


class Device(NamedTuple):
    """A folder that a device lives in."""

    folder: Path
    signer: Signer

    def install(self, file: Path, *more: object) -> bool:
        """Return whether the image was written; the exit code of swupdate -i is 0 or 1 at random where it was."""
        command = ["swupdate", "-i", file, "-k", self.signer.certificate, "-H", f"{BOARD}:{HARDWARE}", *more]
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp")}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.folder.joinpath("log").write_text(done.stdout + done.stderr)
        written = (self.folder / SLOT).exists()
        assert written == ("SWUPDATE successful" in done.stdout + done.stderr), done.stdout
        return written


@pytest.fixture
def device(programs: None, signer: Signer, tmp_path: Path) -> Device:
    for name in ("slot", "tmp", "verdicts"):
        (tmp_path / name).mkdir()
    (tmp_path / "trust.toml").write_text(trust_text())
    (tmp_path / "agent.toml").write_text(
        f'schema_version = 1\nhardware = "{HARDWARE}"\nring = "canary"\nnonces = "nonces"\n'
    )
    (tmp_path / "1.5.0.swu").write_bytes(make_swu("1.5.0", signer))
    return Device(tmp_path, signer)


def veto(file: Path) -> tuple[str, str]:
    return "-P", f"qdhil agent verify {file} --device {file.parent}/agent.toml"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_swupdate_installs_what_the_gate_let_through_and_nothing_else(device, vector):
    file = device.folder / "1.5.0.swu"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    data = vectors.attestation(vector, candidate={"version": "1.5.0", "sha256": digest}, **vectors.now_times())
    if vector.transport == "unreachable":
        agent = device.folder / "agent.toml"
        agent.write_text(agent.read_text() + '[attestations]\nurl = "http://127.0.0.1:9"\n')
    if data is not None:
        file.with_name(f"{file.name}.attestation.json").write_bytes(data)
    if vector.signature == "replayed":
        assert device.install(file, *veto(file))
        (device.folder / SLOT).unlink()
    assert device.install(file, *veto(file)) == (vector.answer.action == "install")


def test_an_update_that_is_not_swupdates_own_is_refused_before_anybody_is_asked(device, tmp_path):
    """Another signer, a changed byte, other hardware, an older version: swupdate's own checks stand."""
    stranger = make_signer(tmp_path, "stranger")
    good = make_swu("1.5.0", device.signer)
    changed = bytearray(good)
    changed[good.rindex(b"1.5.0\n") + 40] ^= 1
    files = {
        "stranger": make_swu("1.5.0", stranger),
        "changed": bytes(changed),
        "hardware": make_swu("1.5.0", device.signer, hardware="psc-9"),
        "older": make_swu("1.3.0", device.signer),
        "good": good,
    }
    installed = {}
    for name, data in files.items():
        file = tmp_path / f"{name}.swu"
        file.write_bytes(data)
        installed[name] = device.install(file, "-N", "1.4.0", "-P", f"touch asked-{name}")
        (device.folder / SLOT).unlink(missing_ok=True)
    assert installed == {"stranger": False, "changed": False, "hardware": False, "older": False, "good": True}
    asked = sorted(file.name for file in device.folder.glob("asked-*"))
    assert asked == ["asked-changed", "asked-good"]  # an image's digest is checked as it is written, after the veto
