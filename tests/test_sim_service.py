"""``qdhil-sim`` as a user runs it: generated racks, sixteen rigs, status and down, scenarios, power."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rack, load_rack
from qdhil_sim.catalogue import MODELS, find_model
from qdhil_sim.clock import Clock
from qdhil_sim.environment import Environment
from qdhil_sim.fault_board import FaultBoard
from qdhil_sim.rack_text import rack_text
from qdhil_sim.running import running_racks
from qdhil_sim.scenario import Fault, Scenario, kinds, load_scenario
from qdhil_sim.world import RigWorld

COMMAND = [sys.executable, "-m", "qdhil_sim"]
PACKAGED = resources.files("qdhil.rack") / "default_rack.toml"


@pytest.fixture
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=40)


def on_network(text: str, number: int) -> str:
    """Move the rigs to 127.``number``.x.x, where nobody else is."""
    return re.sub(r"127\.0\.(\d+)\.", rf"127.{number}.\1.", text)


def make_world(**changes: object) -> RigWorld:
    with resources.as_file(PACKAGED) as file:
        rig = load_rack(file).rigs["sim-a1"].model_copy(update=changes)
        return RigWorld("sim-a1", rig, file)


def ask(world: RigWorld, role: str, message: str) -> str:
    return b"".join(world.instruments[role].respond(message.encode())).decode().strip()


# Racks.


def test_the_packaged_rack_is_the_generated_one() -> None:
    assert PACKAGED.read_text(encoding="utf-8") == rack_text(2)
    assert run("rack", "--rigs", "2").stdout == rack_text(2)


def test_generated_rigs_differ_by_name_address_and_seed_alone() -> None:
    import tomllib

    rack = Rack.model_validate(tomllib.loads(rack_text(16)))
    assert list(rack.rigs) == [f"sim-a{number}" for number in range(1, 17)]
    for number, rig in enumerate(rack.rigs.values()):
        assert rig.simulation is not None
        assert rig.simulation.seed == 20260101 + number
        assert {each.model for each in rig.instruments.by_role().values()} == MODELS.keys()
        assert all(f"127.0.{10 + number}." in each.resource for each in rig.instruments.by_role().values())


@pytest.mark.parametrize("rigs", [0, -1, 129])
def test_a_number_of_rigs_that_there_can_not_be(rigs: int) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 128"):
        rack_text(rigs)


def test_an_unknown_model_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="rig x, y: no simulated model 'acme-7'; there are: dicon-gp600,"):
        find_model("acme-7", "rig x, y")


def test_devices_of_the_catalogue_are_what_it_says() -> None:
    world = make_world()
    for role, described in world._rig.instruments.by_role().items():  # noqa: SLF001
        model, device = MODELS[described.model], world.instruments[role]
        assert type(device) is model.load()
        assert getattr(device, "model", described.model) == described.model
        assert getattr(device, "port", model.port) == model.port


def test_instruments_leave_the_bench_as_it_is_until_they_are_told() -> None:
    world = make_world()
    light = world.bench_light()
    assert world.environment == Environment()
    assert light.setup == world.setup
    assert light.lit


# The process.


@pytest.fixture
def sixteen(own_runtime_folder: Path) -> Iterator[str]:
    """Serve sixteen rigs, detached; give the ready line."""
    file = own_runtime_folder / "sixteen.toml"
    file.write_text(on_network(rack_text(16), 75))
    up = run("up", "--detach", "--rack", str(file), "--control", "0")
    assert up.returncode == 0, up.stderr
    yield up.stdout
    run("down")


def test_sixteen_rigs_in_one_process(sixteen: str) -> None:
    assert re.fullmatch(r"ready pid=\d+ rigs=sim-a1,.*,sim-a16 control=\S+\n", sixteen)
    (running,) = running_racks()
    assert len(running.rigs) == 16
    status = run("status", "--json")
    assert status.returncode == 0
    rows = json.loads(status.stdout)
    assert len(rows) == 16 * len(MODELS)
    assert {row["rig"] for row in rows} == set(running.rigs)
    assert run("down", "--rig", "sim-b9").stdout == "no simulated rack runs\n"
    assert run("down").stdout.startswith(f"ended process {running.process}: sim-a1, ")
    assert running_racks() == []
    assert run("status", "--rack", running.rack_file or "").returncode == 30
    assert run("down").stdout == "no simulated rack runs\n"


def test_a_rack_that_ends_with_its_parent_is_not_ended_by_others(own_runtime_folder: Path) -> None:
    file = own_runtime_folder / "rack.toml"
    file.write_text(on_network(rack_text(1), 74))
    process = subprocess.Popen(
        [*COMMAND, "up", "--rack", str(file), "--until-stdin-closes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    assert run("down").stdout == "no simulated rack runs\n"
    assert process.poll() is None
    process.communicate()


def test_a_file_and_a_number_are_too_much() -> None:
    both = run("up", "--rack", "x.toml", "--rigs", "2")
    assert (both.returncode, both.stderr.count("\n")) == (64, 1)
    assert "give one of them" in both.stderr


def test_a_detached_rack_that_can_not_start_says_why() -> None:
    failed = run("up", "--detach", "--rack", "/nowhere.toml")
    assert failed.returncode == 64
    assert "/nowhere.toml" in failed.stderr


# Scenarios.


def test_a_fault_grows_and_ends() -> None:
    fault = Fault(rig="sim-a1", kind="laser_leak", onset_s=10, ramp_s=4, severity=0.8, recovery_s=20)
    at = {time_s: fault.severity_at(time_s) for time_s in (0, 9.9, 10, 12, 14, 29.9, 30, 99)}
    assert at == {0: 0, 9.9: 0, 10: 0, 12: pytest.approx(0.4), 14: 0.8, 29.9: 0.8, 30: 0, 99: 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "gremlin"},
        {"kind": "silent"},
        {"kind": "crc", "instrument": "switch"},
        {"kind": "laser_leak", "severity": 0},
        {"kind": "laser_leak", "severity": 1.1},
        {"kind": "laser_leak", "onset_s": -1},
        {"kind": "laser_leak", "colour": "red"},
    ],
)
def test_faults_that_there_can_not_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate({"rig": "sim-a1", **wrong})


@pytest.mark.parametrize(("rig", "instrument"), [("sim-a9", "tagger"), ("sim-a1", "toaster")])
def test_a_scenario_names_what_there_is(tmp_path: Path, rig: str, instrument: str) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(f'schema_version = 1\n[[fault]]\nrig = "{rig}"\ninstrument = "{instrument}"\nkind = "silent"\n')
    with pytest.raises(ConfigurationError, match=r"fault\.0\.(rig|instrument)"):
        list(load_scenario(file).for_rigs({"sim-a1": ["tagger"]}))


def test_every_rig_may_be_meant() -> None:
    scenario = Scenario(schema_version=1, fault=(Fault(rig="*", kind="blinking"),))
    assert [rig for rig, _ in scenario.for_rigs({"a": [], "b": []})] == ["a", "b"]


def test_the_board_takes_the_worst_and_clears_what_matches() -> None:
    board = FaultBoard(Clock("turbo"))
    board.add(Fault(rig="a", kind="blinking", severity=0.2))
    number = board.add(Fault(rig="a", kind="blinking", severity=0.6))
    board.add(Fault(rig="a", instrument="tagger", kind="slow"))
    assert (board.light_level("blinking"), board.level("tagger", "slow")) == (0.6, 1.0)
    assert board.level("switch", "slow") == 0
    assert board.clear(number=number) == 1
    assert board.light_level("blinking") == 0.2
    assert board.clear(instrument="switch") == 0
    assert board.clear() == 2
    assert board.entries() == []


def test_a_scenario_file_is_played(own_runtime_folder: Path) -> None:
    rack, scenario = own_runtime_folder / "rack.toml", own_runtime_folder / "scenario.toml"
    rack.write_text(on_network(rack_text(1), 73))
    scenario.write_text('schema_version = 1\n[[fault]]\nrig = "*"\ninstrument = "switch"\nkind = "wrong_identity"\n')
    run("up", "--detach", "--rack", str(rack), "--scenario", str(scenario))
    try:
        with socket.create_connection(("127.73.10.18", 10001), timeout=5) as switch:
            switch.sendall(b"*IDN?\n")
            assert switch.recv(100) == b"ACME,UNKNOWN,0,0\n"
    finally:
        run("down")


def test_the_scenario_of_the_manual_is_valid(tmp_path: Path) -> None:
    manual = Path(__file__).parent.parent / "docs" / "simulator.md"
    (example,) = re.findall(r"```toml\n(.*?)```", manual.read_text(), re.DOTALL)
    file = tmp_path / "scenario.toml"
    file.write_text(example)
    assert [fault.kind for fault in load_scenario(file).fault] == ["laser_leak", "drop"]


def test_the_manual_names_every_kind_of_fault() -> None:
    text = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text()
    for instrument in ("light", "tagger"):
        for kind in kinds(instrument):
            assert f"`{kind}`" in text


def test_vxi11_is_served_where_a_resource_names_it(own_runtime_folder: Path) -> None:
    from qdhil.instruments import Session

    file = own_runtime_folder / "rack.toml"
    text = on_network(rack_text(1), 72).replace("127.72.10.12::hislip0", "127.72.10.12,9009::inst0")
    file.write_text(text)
    assert run("up", "--detach", "--rack", str(file)).returncode == 0
    try:
        bias = Session("sim-a1", "bias", load_rack(file).rigs["sim-a1"].instruments.others["bias"], "@py")
        bias.open()
        assert "MODEL 2450" in (bias.identity or "")
        bias.close()
    finally:
        run("down")


def test_a_rig_checks_the_identity_of_every_instrument_that_names_one(own_runtime_folder: Path) -> None:
    from qdhil.errors import InfraFault
    from qdhil.rack.rig import opened

    file = own_runtime_folder / "rack.toml"
    file.write_text(on_network(rack_text(1), 71))
    assert run("up", "--detach", "--rack", str(file)).returncode == 0
    try:
        with opened("sim-a1", load_rack(file).rigs["sim-a1"]) as rig:
            expected = {each.role for each in MODELS.values() if each.expect_idn is not None}
            assert rig.identities.keys() == expected
            assert rig.others["bias"].query("*LANG?") == "SCPI"
        file.write_text(file.read_text().replace("MODEL 2450", "MODEL 2400"))
        with (
            pytest.raises(InfraFault, match="rig sim-a1, bias: identity"),
            opened("sim-a1", load_rack(file).rigs["sim-a1"]),
        ):
            pass
    finally:
        run("down")


# Firmware in service.


def rack_of_bundles(folder: Path, baseline: str, image: bytes) -> Path:
    """A rack whose first rig is in service with a bundle beside the file."""
    (folder / "bundles" / "2.0.0").mkdir(parents=True)
    (folder / "bundles" / "2.0.0" / "manifest.json").write_text('{"image": "app.bin"}')
    (folder / "bundles" / "2.0.0" / "app.bin").write_bytes(image)
    text = rack_text(1).replace("pkg:qdhil_sim/builds", "bundles").replace('"1.4.0"', f'"{baseline}"')
    (folder / "rack.toml").write_text(text)
    return folder / "rack.toml"


def test_a_controller_holds_the_baseline_that_the_rack_file_names(tmp_path: Path) -> None:
    image = b'[image]\nversion = "2.0.0"\nhardware = ["psc-2-rev-b"]\nfpga_build = "f200"\n'
    for folder, baseline, wanted in (
        ("beside", "2.0.0", "2.0.0"),
        ("by-path", str(tmp_path / "by-path" / "bundles" / "2.0.0"), "2.0.0"),
        ("packaged", "1.4.0", "1.4.0"),
    ):
        file = rack_of_bundles(tmp_path / folder, baseline, image)
        world = RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], file)
        assert ask(world, "controller", "SYST:FIRM:VERS?;CONF?") == f"{wanted};1"


def test_a_baseline_that_the_simulated_controller_can_not_run(tmp_path: Path) -> None:
    file = rack_of_bundles(tmp_path, "2.0.0", b"\x7fELF")
    with pytest.raises(ConfigurationError, match="the simulated controller can't run it: malformed image"):
        RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], file)
    (tmp_path / "bundles" / "2.0.0" / "app.bin").unlink()
    with pytest.raises(ConfigurationError, match="its image can't be read"):
        RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], file)


# Power.


def test_a_power_cycle_returns_the_controller_to_the_confirmed_firmware() -> None:
    from qdhil_sim.builds import read_image

    world = make_world()
    image = read_image("1.5.0-good")
    world.controller.respond(f"SYST:FIRM:UPL #{len(str(len(image)))}{len(image)}".encode() + image)
    ask(world, "controller", "SYST:FIRM:STAT?;TEST;:SYST:REB")
    assert world.controller.accepts_connections()
    assert ask(world, "controller", "SYST:FIRM:VERS?") == "1.5.0-good"
    ended: list[bool] = []
    world.controller.disconnect = lambda: ended.append(True)
    ask(world, "supply", "INST:NSEL 1;:OUTP:SEL 0")
    assert ended == [True]
    assert not world.controller.accepts_connections()
    assert not world.controller.lit
    ask(world, "supply", "OUTP:SEL 1")
    assert not world.controller.lit
    assert world.controller.accepts_connections()
    assert ask(world, "controller", "SYST:FIRM:VERS?;CONF?") == "1.4.0;1"
    assert ask(world, "controller", "SOUR:LOCK?") == "1"
    assert world.controller.lit
