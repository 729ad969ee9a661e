"""What the tests share: the slow group, and simulated racks on loopback addresses of their own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from qdhil.rack.selection import default_rack_file

hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")  # the same examples in every run; --slow draws others

_networks = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the slow groups (ten seeds, high statistics)")
    parser.addoption("--clients", action="store_true", help="a missing .venv-clients is a failure, not a skip")
    parser.addoption("--rollout", action="store_true", help="missing rollout programs are a failure, not a skip")
    parser.addoption("--clients-table", metavar="FILE", help="write which third-party driver ran on what, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --slow only")
    if config.getoption("--slow"):
        hypothesis.settings.load_profile("default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


def write_rack(folder: Path, **changes: str) -> Path:
    """Write the packaged rack with addresses and locks of its own; ``changes`` replaces text."""
    network = next(_networks) % 120
    process = 64 + os.getpid() % 128  # two test runs on one machine keep apart
    text = default_rack_file().read_text()
    for rig, octet in (("127.0.10.", 2 * network), ("127.0.11.", 2 * network + 1)):
        text = text.replace(rig, f"127.{process}.{octet}.")
    text = text.replace("schema_version = 1", f'schema_version = 1\nlock_dir = "{folder}/locks"', 1)
    for old, new in changes.items():
        assert old in text, f"the packaged rack has no {old!r}"
        text = text.replace(old, new)
    file = folder / "rack.toml"
    file.write_text(text)
    return file


@pytest.fixture
def rack_file(tmp_path: Path) -> Path:
    """A rack file with two simulated rigs that nobody else uses."""
    return write_rack(tmp_path)


@dataclass
class ServedRack:
    """A simulated rack in a process of its own, with its fault switches."""

    file: Path
    process: subprocess.Popen[str]
    control: tuple[str, int]

    def inject(self, fault: str, *, rig: str = "sim-a1", **request: Any) -> None:
        """Let a fault strike once."""
        assert self.control_port(rig=rig, fault=fault, **request) == {"ok": True}

    def control_port(self, **request: Any) -> dict[str, Any]:
        with socket.create_connection(self.control, timeout=5) as connection, connection.makefile() as lines:
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(lines.readline())
        assert answer["ok"], answer
        return answer

    @contextlib.contextmanager
    def fault(self, instrument: str, kind: str, *, rig: str = "sim-a1", **fault: Any) -> Iterator[None]:
        """Let a fault last as long as the block."""
        answer = self.control_port(verb="set", rig=rig, instrument=instrument, kind=kind, **fault)
        try:
            yield
        finally:
            self.control_port(verb="clear", rig=rig, number=answer["numbers"][rig])


def serve(file: Path) -> ServedRack:
    """Start ``qdhil-sim up`` for a rack file and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qdhil_sim", "up", "--rack", str(file), "--control", "0", "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    words = dict(word.partition("=")[::2] for word in process.stdout.readline().split())
    assert "ready" in words, words
    host, _, port = words["control"].rpartition(":")
    return ServedRack(file, process, (host, int(port)))


def stop(rack: ServedRack) -> None:
    assert rack.process.stdin is not None
    assert rack.process.stdout is not None
    rack.process.stdin.close()
    rack.process.wait(timeout=10)
    rack.process.stdout.close()


@pytest.fixture(scope="module")
def served_rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    """Two simulated rigs, served; a test that breaks one for good uses sim-a2 or a rack of its own."""
    rack = serve(write_rack(tmp_path_factory.mktemp("rack")))
    yield rack
    stop(rack)
