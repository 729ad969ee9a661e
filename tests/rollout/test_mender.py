"""A real standalone Mender client with the gate's state script, over the vector table.

Its directories below /etc and /usr/share are laid over the machine's, for the client alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from signing_made import trust_text

from rollout import vectors
from rollout.vectors import Vector

SCRIPT = Path(__file__).parents[2] / "ci" / "workflows" / "mender" / "ArtifactInstall_Enter_10_qdhil"
HARDWARE, TYPE = "psc-2-rev-b", "psc2"
IMAGE = b"firmware 1.5.0\n" * 1000
SHA256 = hashlib.sha256(IMAGE).hexdigest()
RETRY_INTERVAL_S, RETRY_TIMEOUT_S = 1, 2
VECTORS = tuple(
    vector
    for vector in vectors.load()
    if (vector.verdict == "pass" or vector.signature == "good") and vector.transport not in ("503", "pending")
)
"""What would install if it were believed; tests/test_agent.py has every row."""
MODULE = """#!/bin/sh
case $1 in
    SupportsRollback) echo Yes ;;
    NeedsArtifactReboot) echo No ;;
    ArtifactInstall) cp "$2"/files/image.bin {folder}/slot ;;
esac
"""
OVERLAYS = """
mount -t overlay overlay -o lowerdir={folder}/share:/usr/share /usr/share &&
mount -t overlay overlay -o lowerdir={folder}/etc:/etc /etc && exec "$@"
"""


class Ran(NamedTuple):
    code: int
    log: str


class MenderDevice:
    """A device with a Mender client that installs artifacts by hand.

    Parameters
    ----------
    folder
        Where it keeps everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("data", "etc/mender", "etc/qdhil", "share/mender/modules/v3"):
            (folder / name).mkdir(parents=True)
        (folder / "data/device_type").write_text(f"device_type={TYPE}\n")
        (folder / "etc/mender/artifact_info").write_text("artifact_name=1.4.0\n")
        (folder / "etc/mender/mender.conf").write_text(
            f'{{"ArtifactVerifyKey": "{folder}/release.pub", "DeviceTypeFile": "{folder}/data/device_type",\n'
            f' "StateScriptRetryIntervalSeconds": {RETRY_INTERVAL_S},\n'
            f' "StateScriptRetryTimeoutSeconds": {RETRY_TIMEOUT_S}, "StateScriptTimeoutSeconds": 60}}\n'
        )
        module = folder / "share/mender/modules/v3/psc2-image"
        module.write_text(MODULE.format(folder=folder))
        module.chmod(0o755)
        (folder / "etc/qdhil/trust.toml").write_text(trust_text())
        self.be()

    def be(self, more: str = "") -> None:
        (self.folder / "etc/qdhil/agent.toml").write_text(
            f'schema_version = 1\nhardware = "{HARDWARE}"\nring = "canary"\nnonces = "{self.folder}/nonces"\n{more}'
        )

    @property
    def installed(self) -> bool:
        return (self.folder / "slot").exists()

    def install(self, artifact: Path, *, retry_timeout_s: int = RETRY_TIMEOUT_S) -> Ran:
        (self.folder / "slot").unlink(missing_ok=True)
        configuration = self.folder / "etc/mender/mender.conf"
        text = re.sub(r'(RetryTimeoutSeconds": )\d+', rf"\g<1>{retry_timeout_s}", configuration.read_text())
        configuration.write_text(text)
        own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
        client = ["mender", "--no-syslog", "--data", self.folder / "data", "install", artifact]
        done = subprocess.run(
            [*own, "sh", "-c", OVERLAYS.format(folder=self.folder), "sh", *client],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr)


class Keys(NamedTuple):
    release: Path
    stranger: Path


@pytest.fixture(scope="module")
def keys(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("mender_keys")
    for name in Keys._fields:
        make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.pem"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        public = ["openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"]
        subprocess.run(public, cwd=folder, check=True, capture_output=True)
    return Keys(folder / "release.pem", folder / "stranger.pem")


@pytest.fixture
def device(keys: Keys, tmp_path: Path) -> MenderDevice:
    (tmp_path / "release.pub").write_bytes(keys.release.with_suffix(".pub").read_bytes())
    return MenderDevice(tmp_path)


def artifact(
    folder: Path, key: Path, attestation: bytes | None = None, *, name: str = "1.5.0", device_type: str = TYPE
) -> Path:
    """An artifact with an image, the gate's script and, where there is one, the attestation."""
    (folder / "image.bin").write_bytes(IMAGE)
    files = ["--file", folder / "image.bin"]
    if attestation is not None:
        (folder / "image.bin.attestation.json").write_bytes(attestation)
        files += ["--file", folder / "image.bin.attestation.json"]
    made = folder / f"{name}.mender"
    write = ["mender-artifact", "write", "module-image", "--artifact-name", name, "--device-type", device_type]
    subprocess.run(
        [*write, "--type", "psc2-image", *files, "--key", key, "--script", SCRIPT, "--output-path", made],
        check=True,
        capture_output=True,
    )
    return made


def of_vector(vector: Vector) -> bytes | None:
    candidate = {"version": "1.5.0", "sha256": SHA256}
    return vectors.attestation(vector, candidate=candidate, **vectors.now_times())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_mender_obeys_the_attestation_inside_the_artifact(device, keys, vector):
    if vector.transport == "unreachable":
        device.be('[attestations]\nurl = "http://127.0.0.1:9"\n')
    made = artifact(device.folder, keys.release, of_vector(vector))
    if vector.signature == "replayed":
        assert device.install(made).code == 0
        (device.folder / "data/mender-store").unlink()  # as another device's, with this one's nonces
    ran = device.install(made)
    assert (ran.code == 0, device.installed) == ((vector.answer.mender == 0,) * 2), ran.log
    aborted, given_up = quoted()
    assert (aborted in ran.log, given_up in ran.log) == (vector.answer.mender == 1, vector.answer.mender == 21), ran.log


def quoted() -> list[str]:
    """What docs/devices.md says that Mender logs: of an abort, and of retries that came to nothing."""
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()
    return page.partition("<!-- printed by: tests/rollout/test_mender.py -->")[2].split("```")[1].strip().splitlines()


@pytest.fixture
def gate(device: MenderDevice) -> Iterator[str]:
    """A verdict endpoint over a folder that is empty yet."""
    (device.folder / "verdicts").mkdir()
    options = ["--trust", device.folder / "etc/qdhil/trust.toml", "--port", "0"]
    command = [Path(sys.executable).with_name("qdhil"), "serve", device.folder / "verdicts", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.communicate(timeout=10)


def test_mender_waits_for_a_verdict_that_comes_later(device, keys, gate):
    device.be(f'[attestations]\nurl = "{gate}"\n')
    made = artifact(device.folder, keys.release)

    def decide() -> None:
        time.sleep(4)
        data = of_vector(vectors.load()[0])
        assert data is not None
        beside = device.folder / "verdicts" / "written"
        beside.write_bytes(data)
        beside.rename(device.folder / "verdicts" / "1.5.0.attestation.json")

    decided = threading.Thread(target=decide)
    decided.start()
    began = time.monotonic()
    ran = device.install(made, retry_timeout_s=60)
    decided.join()
    assert (ran.code, device.installed) == (0, True), ran.log
    assert time.monotonic() - began > 4


def test_artifacts_that_are_not_menders_own_are_refused_before_the_script_runs(device, keys):
    good = of_vector(vectors.load()[0])
    stranger = device.install(artifact(device.folder, keys.stranger, good, name="stranger"))
    other = device.install(artifact(device.folder, keys.release, good, name="other", device_type="psc9"))
    made = artifact(device.folder, keys.release, good, name="changed")
    data = bytearray(made.read_bytes())
    data[data.rindex(b"data/0000.tar") + 512 + 60] ^= 1  # in the payload, behind its header in the archive
    made.write_bytes(data)
    changed = device.install(made)
    assert [ran.code for ran in (stranger, other, changed)] == [1, 1, 1]
    assert not device.installed
    for ran in (stranger, other, changed):
        assert "state script" not in ran.log.lower()
        assert "ArtifactInstall_Enter" not in ran.log
    assert "signature" in stranger.log
    assert not (device.folder / "nonces").exists()


def test_an_artifact_without_an_image_is_aborted(device, keys):
    empty = device.folder / "image.bin.attestation.json"
    empty.write_bytes(of_vector(vectors.load()[0]) or b"")
    made = device.folder / "empty.mender"
    write = ["mender-artifact", "write", "module-image", "--artifact-name", "empty", "--device-type", TYPE]
    subprocess.run(
        [
            *(*write, "--type", "psc2-image", "--file", empty),
            *("--key", keys.release, "--script", SCRIPT, "--output-path", made),
        ],
        check=True,
        capture_output=True,
    )
    assert (device.install(made).code, device.installed) == (1, False)
