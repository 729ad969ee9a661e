"""The verdict endpoint in a process of its own, and clients that say exactly what a test wants said."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from rollout.vectors import now_times
from signing_made import CANDIDATE, attested, write_trust

HARDWARE, RING = "psc-2-rev-b", "canary"
QUERY = f"hardware={HARDWARE}&ring={RING}"
VERDICT = f"/v1/verdict/{CANDIDATE}?{QUERY}"


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


class Served(NamedTuple):
    """A running ``qdhil serve``."""

    url: str
    process: subprocess.Popen[str]
    log: Path
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def ask(
        self,
        target: str = VERDICT,
        *,
        method: str = "GET",
        body: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Answered:
        host, port = self.address
        connection: http.client.HTTPConnection = http.client.HTTPConnection(host, port, timeout=15)
        if tls is not None:
            connection = http.client.HTTPSConnection(host, port, timeout=15, context=tls)
        with contextlib.closing(connection):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, body, names)
            answer = connection.getresponse()
            return Answered(answer.status, dict(answer.headers), answer.read())

    def say(self, data: bytes, *, then_wait_s: float = 15.0) -> bytes:
        """Send bytes as they are and return all that comes back."""
        with socket.create_connection(self.address, timeout=then_wait_s) as connection:
            connection.sendall(data)
            came = b""
            with contextlib.suppress(ConnectionError):
                while more := connection.recv(65536):
                    came += more
            return came

    def put(self, data: bytes, name: str = "1.5.0.attestation.json") -> Path:
        """Let a file appear in the folder as a whole."""
        beside = self.folder / f".{name}.part"
        beside.write_bytes(data)
        return beside.rename(self.folder / name)

    def clear(self) -> None:
        for file in self.folder.iterdir():
            shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


@contextlib.contextmanager
def serving(tmp_path: Path, *options: object, environment: dict[str, str] | None = None) -> Iterator[Served]:
    """Run the command until the block ends; it must end with 0 then."""
    folder = tmp_path / "attestations"
    folder.mkdir(exist_ok=True)
    trust = write_trust(tmp_path)
    log = tmp_path / "serve.log"
    arguments = [Path(sys.executable).with_name("qdhil"), "serve", folder, "--trust", trust, "--port", 0, *options]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("serving "), log.read_text()
        yield Served(line.split()[1], process, log, folder)
        process.terminate()
        assert process.wait(timeout=20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An endpoint for the tests of a module; a fixture of module scope, named server."""
    with serving(tmp_path_factory.mktemp("serve")) as served:
        yield served


def emptied(server: Served) -> Served:
    """The module's endpoint, with nothing in its folder."""
    server.clear()
    return server


def now_attested(verdict: str = "PASS", **changes: Any) -> bytes:
    """An attestation that holds now."""
    return attested(verdict, **(now_times() | changes))
