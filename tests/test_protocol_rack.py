"""The simulated rack as a process: addresses, readiness, faults, and its end."""

from __future__ import annotations

import contextlib
import gc
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
import pyvisa
from pyvisa.resources import MessageBasedResource

from qdhil.errors import ConfigurationError, TagFault
from qdhil.rack.config import load_rack
from qdhil.tags.wire import decode_block
from qdhil_sim.catalogue import MODELS
from qdhil_sim.rack import SimulatedRack, address_of

NET = 7
FIRST, SECOND = f"127.78.{2 * NET}", f"127.78.{2 * NET + 1}"
COMMAND = [sys.executable, "-m", "qdhil_sim"]


@pytest.fixture(scope="module")
def rack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (resources.files("qdhil.rack") / "default_rack.toml").read_text(encoding="utf-8")
    file = tmp_path_factory.mktemp("rack") / "rack.toml"
    file.write_text(text.replace("127.0.10.", f"{FIRST}.").replace("127.0.11.", f"{SECOND}."))
    return file


@contextlib.contextmanager
def running(rack_file: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``qdhil-sim up`` and give the process with its first line; it is dead afterwards."""
    process = subprocess.Popen(
        [*COMMAND, "up", "--rack", str(rack_file), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process, process.stdout.readline() if process.stdout else ""
    finally:
        process.kill()
        process.communicate()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def served(rack_file: Path) -> Iterator[str]:
    """Return the ready line of a rack with two rigs."""
    with running(rack_file, "--control", "0") as (process, ready):
        yield ready
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def visa(served: str) -> Iterator[Callable[..., MessageBasedResource]]:
    manager = pyvisa.ResourceManager("@py")
    opened: list[MessageBasedResource] = []

    def open_resource(resource: str, read: str = "\n") -> MessageBasedResource:
        opened.append(manager.open_resource(resource, read_termination=read, write_termination="\n"))
        opened[-1].timeout = 20_000
        return opened[-1]

    yield open_resource
    for resource in opened:
        resource.close()
    manager.close()
    gc.collect()


def inject(ready: str, **request: object) -> dict[str, object]:
    match = re.search(r"control=(\S+):(\d+)", ready)
    assert match is not None
    with (
        socket.create_connection((match[1], int(match[2])), timeout=5) as control,
        control.makefile("rwb") as lines,
    ):
        lines.write(json.dumps(request).encode() + b"\n")
        lines.flush()
        answer: dict[str, object] = json.loads(lines.readline())
    return answer


def test_ready_line(served: str) -> None:
    assert re.fullmatch(r"ready pid=\d+ rigs=sim-a1,sim-a2 control=127\.0\.0\.1:\d+\n", served)


@pytest.mark.parametrize("net", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("host", "port", "read", "identity"),
    [
        (30, 5025, "\n", "QDHIL,PSC-2,SIM2026010"),
        (20, 5025, "\n", "QDHIL,TAGGER-8,SIM2026010"),
        (11, 7777, "\r\n", "LSCI,MODEL336,"),
        (18, 10001, "\n", "DiCon Fiberoptics Inc,GP600,"),
    ],
)
def test_every_instrument_on_both_transports(
    visa: Callable[..., MessageBasedResource], net: str, host: int, port: int, read: str, identity: str
) -> None:
    for resource in (f"TCPIP0::{net}.{host}::{port}::SOCKET", f"TCPIP0::{net}.{host}::hislip0::INSTR"):
        assert visa(resource, read).query("*IDN?").startswith(identity)


def test_rigs_are_apart(visa: Callable[..., MessageBasedResource]) -> None:
    first, second = (visa(f"TCPIP0::{net}.18::10001::SOCKET") for net in (FIRST, SECOND))
    first.write("X1 CH 1 3")
    assert first.query("X1 CH 1?") == "1,3"
    assert second.query("X1 CH 1?") == "1,0"


def test_acquisition_over_hislip(visa: Callable[..., MessageBasedResource]) -> None:
    tagger = visa(f"TCPIP0::{SECOND}.20::hislip0::INSTR")
    tagger.write("ACQ:DUR 0.3;STAR")
    sequence = 0
    while True:
        data = tagger.query_binary_values("TAGS:DATA? 500", datatype="B", container=bytes)
        block = decode_block(data)
        assert block.sequence == sequence
        sequence += 1
        if block.packed.size == 0 and tagger.query("ACQ:STAT?") == "DONE":
            break
    assert sequence > 5


def test_reboot_ends_connections_and_a_new_one_finds_it_booted(
    visa: Callable[..., MessageBasedResource],
) -> None:
    resource = f"TCPIP0::{SECOND}.30::hislip0::INSTR"
    old = visa(resource)
    with socket.create_connection((f"{SECOND}.30", 5025), timeout=5) as bystander:
        bystander.sendall(b"*TST?\n")
        assert bystander.recv(10) == b"0\n"
        old.write("SYST:REB")
        assert bystander.recv(10) == b""
    new = visa(resource)
    assert 0 <= float(new.query("SYST:UPT?")) < 1
    assert new.query("SOUR:LOCK?") == "1"


def test_faults_reach_the_instruments(served: str, visa: Callable[..., MessageBasedResource]) -> None:
    tagger = visa(f"TCPIP0::{FIRST}.20::hislip0::INSTR")
    assert inject(served, rig="sim-a1", fault="crc") == {"ok": True}
    tagger.write("ACQ:DUR 0.01;STAR")
    with pytest.raises(TagFault):
        decode_block(tagger.query_binary_values("TAGS:DATA? 100000", datatype="B", container=bytes))
    cryostat = visa(f"TCPIP0::{FIRST}.11::7777::SOCKET", "\r\n")
    assert inject(served, rig="sim-a1", fault="warm", value=2.0)["ok"]
    assert float(cryostat.query("KRDG? A")) > 4.3
    assert inject(served, rig="sim-a1", fault="warm", value=0)["ok"]
    assert float(cryostat.query("KRDG? A")) < 4.3
    assert inject(served, rig="sim-a1", fault="silent", instrument="switch")["ok"]
    switch = visa(f"TCPIP0::{FIRST}.18::10001::SOCKET")
    switch.timeout = 300
    with pytest.raises(pyvisa.VisaIOError):
        switch.query("*IDN?")
    assert inject(served, rig="sim-a1", fault="silent", instrument="switch", value=False)["ok"]
    assert switch.query("*IDN?").startswith("DiCon")


@pytest.mark.parametrize(
    "request_",
    [
        {"rig": "sim-a9", "fault": "crc"},
        {"rig": "sim-a1", "fault": "gremlin", "instrument": "tagger"},
        {"rig": "sim-a1", "fault": "crc", "instrument": "switch"},
        {"rig": "sim-a1", "fault": "warm", "value": "a lot"},
        {"fault": "crc"},
    ],
)
def test_unknown_faults_are_refused(served: str, request_: dict[str, object]) -> None:
    answer = inject(served, **request_)
    assert answer["ok"] is False
    assert answer["error"]


def test_status_and_second_server_in_the_way(served: str, rack_file: Path) -> None:
    status = run("status", "--rack", str(rack_file))
    assert status.returncode == 0
    assert status.stdout.count("\n") == 2 * len(MODELS)
    assert "no answer" not in status.stdout
    second = run("up", "--rack", str(rack_file))
    assert second.returncode == 64
    assert re.fullmatch(
        rf"qdhil-sim: rig sim-a1, controller: can't listen on {FIRST}.30 port 4880: .*in use\n", second.stderr
    )
    assert second.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_at_once(rack_file: Path, number: signal.Signals, tmp_path: Path) -> None:
    other = tmp_path / "rack.toml"
    other.write_text(rack_file.read_text().replace("127.78.", "127.79."))
    with running(other, "--rig", "sim-a2") as (process, ready):
        assert ready.startswith("ready ")
        begin_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - begin_s < 5


def test_ends_with_its_standard_input(rack_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "rack.toml"
    other.write_text(rack_file.read_text().replace("127.78.", "127.80."))
    with running(other, "--until-stdin-closes") as (process, ready):
        assert ready.startswith("ready ")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
        process.stdin = None
    gone = run("status", "--rack", str(other))
    assert gone.returncode == 30
    assert gone.stdout.count("no answer") == 2 * len(MODELS)


def test_real_time_light_is_taken_in_while_nobody_asks(rack_file: Path, tmp_path: Path) -> None:
    """Sync tags come every 102.4 us; darks are 100 a second on each detector, so 150 never come in 0.3 s."""
    other = tmp_path / "rack.toml"
    text = rack_file.read_text().replace("127.78.", "127.81.")
    other.write_text(text.replace("profile =", 'clock = "realtime"\nprofile ='))
    host = f"{FIRST}.20".replace("127.78.", "127.81.")
    with running(other, "--rig", "sim-a1") as (_, ready):
        assert ready.startswith("ready ")
        with socket.create_connection((host, 5025), timeout=20) as tagger, tagger.makefile("rb") as answers:
            tagger.sendall(b"ACQ:DUR 0.3;STAR;STAT?\n")
            assert answers.readline() == b"RUN\n"
            time.sleep(0.35)
            tagger.sendall(b"ACQ:STAT?;:TAGS:DATA? 100000\n")
            assert answers.read(6) == b"DONE;#"
            length = int(answers.read(int(answers.read(1))))
            block = decode_block(answers.read(length))
    sync = int((block.packed & 31 == 1).sum())
    assert abs(sync - 0.3 / 102.4e-6) < 3
    assert block.packed.size - sync < 150


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--rig", "nobody"], "no simulated rig nobody"), (["--rack", "/nowhere.toml"], "/nowhere.toml")],
)
def test_wrong_options_are_one_clear_line(options: list[str], says: str) -> None:
    result = run("up", *options)
    assert result.returncode == 64
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_usage_errors_exit_64() -> None:
    assert run("up", "--nonsense").returncode == 64


def test_builds_are_listed() -> None:
    result = run("builds")
    assert [line.split()[0] for line in result.stdout.splitlines()][:2] == ["1.4.0", "1.5.0-area200"]


def test_help_is_quick_because_it_imports_no_kernels() -> None:
    code = (
        "import sys, qdhil_sim.cli, qdhil_sim.rack;"
        "print(sorted({'numba', 'scipy', 'matplotlib', 'pyvisa', 'pytest'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_only_loopback_is_served(rack_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "rack.toml"
    other.write_text(rack_file.read_text().replace(f"{FIRST}.30", "192.0.2.30"))
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.30 is not a loopback address"):
        SimulatedRack(load_rack(other), other)


@pytest.mark.parametrize(
    ("resource", "ports"),
    [
        ("TCPIP0::127.1.1.1::hislip0::INSTR", [("hislip", 4880), ("stream", 5025)]),
        ("TCPIP0::127.1.1.1::hislip0,5000::INSTR", [("hislip", 5000), ("stream", 5025)]),
        ("TCPIP0::127.1.1.1,9009::inst0::INSTR", [("vxi11", 9009), ("stream", 5025), ("hislip", 4880)]),
        ("TCPIP0::127.1.1.1::9999::SOCKET", [("stream", 9999), ("hislip", 4880)]),
    ],
)
def test_addresses(resource: str, ports: list[tuple[str, int]]) -> None:
    assert address_of("tagger", resource, MODELS["qdhil-tagger"]).ports == ports


@pytest.mark.parametrize(
    "resource", ["TCPIP0::127.1.1.1::inst0::INSTR", "GPIB0::9::INSTR", "ASRL1::INSTR", "tcp://127.1.1.1:5555"]
)
def test_other_transports_are_refused(resource: str) -> None:
    with pytest.raises(ConfigurationError, match="can't be simulated"):
        address_of("tagger", resource, MODELS["qdhil-tagger"])


def test_instruments_may_share_an_address_on_ports_of_their_own(rack_file: Path, tmp_path: Path) -> None:
    network = FIRST.replace("127.78.", "127.82.")
    host = f"{network}.99"
    text = rack_file.read_text().replace(f"{FIRST}.", f"{network}.")
    for old, new in [
        (f"{network}.30::hislip0", f"{host}::hislip0,6001"),
        (f"{network}.20::hislip0", f"{host}::hislip0,6002"),
        (f"{network}.11::7777", f"{host}::6003"),
        (f"{network}.18::10001", f"{host}::6004"),
    ]:
        text = text.replace(old, new)
    other = tmp_path / "rack.toml"
    other.write_text(text)
    with contextlib.closing(SimulatedRack(load_rack(other), other, ["sim-a1"])) as rack:
        rack.listen()
        for port in (6003, 6004):
            with socket.create_connection((host, port), timeout=5) as client:
                client.sendall(b"*TST?\n")
                assert client.recv(10)[:1] == b"0"
    other.write_text(text.replace("6004", "6003"))
    with pytest.raises(ConfigurationError, match="port 6003 belongs to another instrument too"):
        SimulatedRack(load_rack(other), other, ["sim-a1"])
