"""Real rollout controllers: the programs of ci/rollout, a goosebit server, and devices that poll it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from qdhil.rollout.goosebit_api import GoosebitApi
from rollout.swupdate_made import Signer, SwupdateDevice, make_signer

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-rollout" / "bin"
UNPACKED = ROOT / ".debian" / "bin"
USER, PASSWORD = "releaser", "PASSWORD-7f30c61be2"


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """The programs on the PATH; without them these tests are skipped, or fail where they were asked for."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(UNPACKED), str(Path(sys.executable).parent), before])
    wanted = [VENV / "uvicorn", "swupdate", "mender", "mender-artifact", "openssl", "unshare"]
    if missing := [str(name) for name in wanted if shutil.which(name) is None]:
        why = f"{', '.join(missing)}: not here; ci/rollout gets them"
        pytest.fail(why) if request.config.getoption("--rollout") else pytest.skip(why)
    yield
    os.environ["PATH"] = before


class Goosebit(NamedTuple):
    """A running server."""

    url: str
    credentials: Path
    api: GoosebitApi

    def device(self, name: str) -> dict[str, Any]:
        return next((entry for entry in self.api.devices() if entry["id"] == name), {})

    def feeds(self) -> dict[str, bool]:
        """Feeds that have a rollout, and whether one of them runs."""
        found: dict[str, bool] = {}
        for rollout in self.api.rollouts():
            found[rollout["feed"]] = found.get(rollout["feed"], False) or not rollout["paused"]
        return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def set_up(url: str) -> bool:
    """Make the first user, as its page for that does."""
    form = urlencode({"username": USER, "password": PASSWORD}).encode()
    try:
        with urlopen(f"{url}/setup", form, timeout=10) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def wait_until(what: Callable[[], Any], why: str, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"{why}: not within {timeout_s} s"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def goosebit(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goosebit]:
    """A goosebit server on loopback with a database of its own."""
    folder = tmp_path_factory.mktemp("goosebit")
    (folder / "goosebit.yaml").write_text(
        f'poll_time: "00:00:01"\ndb_uri: sqlite://{folder}/db.sqlite3\nartifacts_dir: {folder}/artifacts\n'
    )
    package = next((VENV.parent / "lib").glob("python3*/site-packages/goosebit"))
    (folder / "pyproject.toml").write_text(
        '[tool.aerich]\ntortoise_orm = "goosebit.db.config.TORTOISE_CONF"\nsrc_folder = "./."\n'
        f'location = "{package / "db" / "migrations"}"\n'
    )
    subprocess.run([VENV / "aerich", "upgrade"], cwd=folder, check=True, capture_output=True)
    url = f"http://127.0.0.1:{free_port()}"
    with (folder / "server.log").open("wb") as log:
        command = [VENV / "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        credentials = folder / "credentials"
        credentials.write_text(f"{USER}\n{PASSWORD}\n")
        credentials.chmod(0o600)
        wait_until(lambda: set_up(url), "goosebit is up")
        yield Goosebit(url, credentials, GoosebitApi(url, credentials, 10))
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def signer(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Whose files the devices install."""
    return make_signer(tmp_path_factory.mktemp("signer"), "releases")


Registered = Callable[..., SwupdateDevice]


@pytest.fixture
def registered(goosebit: Goosebit, signer: Signer, tmp_path: Path) -> Iterator[Registered]:
    """Start a device and put it into a feed; one after the other, or goosebit makes two rows of one hardware."""
    devices: list[SwupdateDevice] = []

    def register(name: str, feed: str, **how: Any) -> SwupdateDevice:
        device = SwupdateDevice(name, tmp_path / name, goosebit.url, signer, **how)
        devices.append(device)
        device.start()
        wait_until(lambda: goosebit.device(name).get("last_state") == "Registered", f"{name} is registered")
        goosebit.api.move(name, feed, force=False)
        device.restart()  # it was told to wait ten seconds for its next poll
        return device

    yield register
    for device in devices:
        device.stop()
