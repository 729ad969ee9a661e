"""SWUpdate files, and devices: a real swupdate each, that boots what it installed and reports how that went."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CONFIGURATION = Path(__file__).parents[2] / "ci" / "workflows" / "swupdate" / "swupdate.cfg"
KEPT = "/run/qdhil/incoming.swu"
BOARD, HARDWARE = "psc2", "psc-2-rev-b"
SLOT = "slot/image.bin"
"""Where an image is installed; relative, so that each device has its own."""


class Signer(NamedTuple):
    """A key and its certificate, as SWUpdate wants them."""

    key: Path
    certificate: Path


def make_signer(folder: Path, name: str) -> Signer:
    made = Signer(folder / f"{name}.key", folder / f"{name}.crt")
    usage = ["-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=emailProtection"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", made.key, "-out", made.certificate, *usage),
        ],
        check=True,
        capture_output=True,
    )
    return made


def image_of(version: str) -> bytes:
    """What a device runs: it says its version, and is larger than a pipe holds."""
    return f"{version}\n".encode() + hashlib.sha256(version.encode()).digest() * 8192


@functools.cache
def make_swu(version: str, signer: Signer, *, image: bytes | None = None, hardware: str = HARDWARE) -> bytes:
    """A signed file with one image; made once, as the time stands in its signature."""
    image = image_of(version) if image is None else image
    digest = hashlib.sha256(image).hexdigest()
    description = (
        f'software = {{\n  version = "{version}";\n  {BOARD} = {{\n'
        f'    hardware-compatibility = [ "{hardware}" ];\n'
        f'    files: ( {{ filename = "image.bin"; path = "{SLOT}"; sha256 = "{digest}"; }} );\n'
        "  };\n};\n"
    ).encode()
    sign = ["openssl", "cms", "-sign", "-outform", "DER", "-nosmimecap", "-binary"]
    signature = subprocess.run(
        [*sign, "-signer", signer.certificate, "-inkey", signer.key],
        input=description,
        check=True,
        capture_output=True,
    ).stdout
    members = [("sw-description", description), ("sw-description.sig", signature), ("image.bin", image)]
    return b"".join(_member(*member, number) for number, member in enumerate([*members, ("TRAILER!!!", b"")], 1))


def _member(name: str, data: bytes, number: int) -> bytes:
    if name == "TRAILER!!!":
        number = 0
    encoded = name.encode() + b"\0"
    fields = (number, 0o100644 if number else 0, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


class SwupdateDevice:
    """A device that polls a goosebit server: swupdate, restarted after every installation as a reboot would.

    Parameters
    ----------
    name, folder
        Its id, and where it keeps everything.
    url
        The server.
    signer
        Whose files it installs.
    fails
        Versions that don't pass its own check after the boot: it goes back to what it ran and reports that.
    veto
        Its device file, where it asks the gate itself before it installs.
    """

    def __init__(
        self, name: str, folder: Path, url: str, signer: Signer, *, fails: Sequence[str] = (), veto: Path | None = None
    ) -> None:
        self.name, self._folder, self._url, self._signer = name, folder, url, signer
        self._fails, self._veto = tuple(fails), veto
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        (folder / "slot").mkdir(parents=True)
        (folder / "tmp").mkdir()
        self.flash("1.4.0")

    def flash(self, version: str) -> None:
        (self._folder / SLOT).write_bytes(image_of(version))
        (self._folder / "runs").write_bytes(image_of(version))

    @property
    def runs(self) -> str:
        """Version of what it booted."""
        return (self._folder / "runs").read_bytes().partition(b"\n")[0].decode()

    @property
    def log(self) -> str:
        return (self._folder / "swupdate.log").read_text(errors="replace")

    def start(self) -> None:
        self._boot()
        self._supervisor.start()

    def restart(self) -> None:
        """As somebody who switches it off and on."""
        self._halt()
        self._boot()

    def stop(self) -> None:
        self._ended.set()
        self._supervisor.join(timeout=20)
        self._halt()

    def _supervise(self) -> None:
        """Reboot after an installation: check what was installed, keep it or go back, and say which."""
        installed = self._folder / "installed"
        while not self._ended.wait(0.1):
            if not installed.exists():
                continue
            time.sleep(0.3)  # swupdate tells the server that it has installed
            self._halt()
            installed.unlink()
            booted = (self._folder / SLOT).read_bytes()
            well = booted.partition(b"\n")[0].decode() not in self._fails
            (self._folder / ("runs" if well else SLOT)).write_bytes(
                booted if well else (self._folder / "runs").read_bytes()
            )
            self._boot("-c", "2" if well else "3")

    def _boot(self, *report: str) -> None:
        identity = {"hw_boardname": BOARD, "hw_revision": HARDWARE, "sw_version": self.runs}
        entries = ",\n".join(f'  {{ name = "{name}"; value = "{value}"; }}' for name, value in identity.items())
        (self._folder / "swupdate.cfg").write_text(f"{self._globals()}identify : (\n{entries}\n);\n")
        client = ["-t", "DEFAULT", "-u", self._url, "-i", self.name, "-p", "1", *report]
        keep = ["-o", "incoming.swu"] if self._veto is not None else []
        with (self._folder / "swupdate.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("swupdate", "-f", "swupdate.cfg", "-l", "5", "-k", self._signer.certificate, *keep),
                    *("-H", f"{BOARD}:{HARDWARE}", "-p", "touch installed", "-u", shlex.join(client)),
                ],
                cwd=self._folder,
                env={**os.environ, "TMPDIR": str(self._folder / "tmp")},  # its sockets are there
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _globals(self) -> str:
        """What a device with the veto is configured with, as ci/workflows has it, but for where its files are."""
        if self._veto is None:
            return "globals : {};\n"
        places = {"/etc/qdhil/agent.toml": self._veto, "/etc/qdhil/swupdate.crt": self._signer.certificate}
        text = CONFIGURATION.read_text()
        for shipped, here in {**places, KEPT: "incoming.swu", '"reboot"': '"touch installed"'}.items():
            assert shipped in text
            text = text.replace(shipped, str(here))
        return text

    def _halt(self) -> None:
        """Kill it and what it started, as a power cut does."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait(timeout=10)
