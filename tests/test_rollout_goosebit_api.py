"""What a goosebit server may answer that is not goosebit's, and files larger than any other answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bundles_made import made_bundle, payload

from qdhil.errors import InfraFault
from qdhil.rollout.fleet import PutAsideError
from qdhil.rollout.goosebit import GoosebitFleet
from qdhil.rollout.goosebit_api import GoosebitApi
from qdhil.rollout.state import Firmware

DEVICE = {
    "id": "d1",
    "feed": "canary",
    "force_update": False,
    "hardware": {"id": 1, "model": "m", "revision": "r"},
    "last_state": "Finished",
    "polling": True,
    "sw_version": "1.4.0",
    "update_mode": "Rollout",
}
SIZE_BYTES = (64 << 20) + 5


class Server(ThreadingHTTPServer):
    answers: dict[str, bytes]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        body = self.server.answers[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 -- the library's name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answering) as made:
        made.answers = {"/login": b'{"access_token": "t"}'}
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> GoosebitApi:
    file = tmp_path / "credentials"
    file.touch(0o600)
    file.write_text("me\npassword\n")
    return GoosebitApi(f"http://127.0.0.1:{server.server_address[1]}", file, 5)


@pytest.mark.parametrize("missing", [*DEVICE, "all"])
def test_a_device_without_a_fact_is_a_fault_of_the_fleet(api: GoosebitApi, server: Server, missing: str) -> None:
    said = {key: value for key, value in DEVICE.items() if missing not in (key, "all")}
    server.answers["/api/v1/devices"] = json.dumps({"devices": [DEVICE, said]}).encode()
    with pytest.raises(InfraFault, match="not goosebit's"):
        api.devices()
    server.answers["/api/v1/devices"] = json.dumps({"devices": [DEVICE]}).encode()
    assert api.devices() == [DEVICE]


def test_a_large_file_is_read_to_its_end_and_no_further(api: GoosebitApi, server: Server) -> None:
    server.answers["/api/v1/download/7"] = bytes(SIZE_BYTES)
    assert len(api.download(7, SIZE_BYTES)) == SIZE_BYTES
    assert len(api.download(7, 10)) == 11


def test_a_wait_for_a_device_that_installs_ends_when_something_else_is_wanted(
    api: GoosebitApi, server: Server, tmp_path: Path
) -> None:
    server.answers["/api/v1/devices"] = json.dumps({"devices": [DEVICE | {"last_state": "Running"}]}).encode()
    baseline = made_bundle(tmp_path / "b", payload(), version="1.4.0", signers=())
    candidate, started = Firmware(version="1.5.0", sha256="b" * 64), time.monotonic()
    fleet = GoosebitFleet(
        api,
        candidate,
        baseline,
        install_timeout_s=20,
        poll_s=20,
        interrupted=lambda: time.monotonic() - started > 0.5,
    )
    with pytest.raises(PutAsideError):
        fleet.roll_back("d1")
    assert 0.5 < time.monotonic() - started < 5
