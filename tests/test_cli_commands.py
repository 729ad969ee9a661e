"""The ``qdhil`` command: what it prints, and the exit code it ends with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from campaigns_made import Light, write_run
from command import Command, command

from conftest import write_rack
from qdhil.cli.schema import SchemaName
from qdhil.gate.policy import default_policy_file
from qdhil.rack.lease import lease
from qdhil.rack.selection import default_rack_file

SCHEMAS = tuple(SchemaName)


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    """Run the command in this process, as its entry point does."""
    return command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    central = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
    return {
        "PASS": write_run(root / "pass", {"sim-a1": Light(36, central=central)}),
        "BLOCK": write_run(root / "block", {"sim-a1": Light(32, central=central, worse={"hbt": 3.0})}),
        "INCONCLUSIVE": write_run(root / "few", {"sim-a1": Light(33, central={**central, "hbt": 0.0})}),
    }


@pytest.mark.parametrize(("name", "code"), [("PASS", 0), ("BLOCK", 10), ("INCONCLUSIVE", 20)])
def test_gate_ends_with_the_verdict(qdhil, runs, name, code):
    ended = qdhil("gate", runs[name])
    assert (ended.code, ended.err) == (code, "")
    lines = ended.out.splitlines()
    assert f"verdict: {name} (exit {code})" in lines
    assert lines[0] == "1.5.0 against 1.4.0, policy made, sim-a1 (simulated)"
    assert lines[2].split()[:2] == ["rig", "metric"]
    assert sum(line.startswith("sim-a1  ") for line in lines) == 4
    assert "P(PASS | worse by the margin) <= 0.05" in lines[-1]


def test_gate_as_json_is_the_record(qdhil, runs):
    ended = qdhil("gate", runs["BLOCK"], "--json")
    assert ended.code == 10
    assert json.loads(ended.out) == json.loads((runs["BLOCK"] / "verdict.json").read_text())


def test_gate_refuses_what_was_touched(qdhil, runs, tmp_path):
    folder = shutil.copytree(runs["BLOCK"], tmp_path / "run")
    file = folder / "verdict.json"
    text = file.read_text().replace('"verdict": "BLOCK"', '"verdict": "PASS"')
    file.write_text(text.replace('"exit_code": 10', '"exit_code": 0'))
    ended = qdhil("gate", folder)
    assert (ended.code, ended.out) == (40, "")
    assert ended.err.startswith("qdhil: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b'{"verdict": "PASS", "exit_code": 0}'])
def test_gate_without_a_readable_verdict_is_64(qdhil, tmp_path, content):
    if content is not None:
        (tmp_path / "verdict.json").write_bytes(content)
    ended = qdhil("gate", tmp_path)
    assert (ended.code, ended.out) == (64, "")
    assert "verdict.json" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("gate",),
        ("gate", "a", "b"),
        ("gate", "/no/such/folder"),
        ("gate", "."),
        ("gate", ".", "--jsn"),
        ("judge",),
        ("--rig", "sim-a1"),
        ("schema",),
        ("schema", "light"),
        ("rigs", "--rack", "/no/such/rack.toml"),
        ("rigs", "sim-a1"),
        (),
    ],
)
def test_misuse_ends_with_64_and_says_so(qdhil, arguments, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ended = qdhil(*arguments)
    assert ended.code == 64
    assert (ended.err + ended.out).strip()
    assert "Traceback" not in ended.err


def test_an_error_of_our_own_is_70_never_1(qdhil, monkeypatch, tmp_path):
    def broken(_: Path) -> None:
        raise ZeroDivisionError("by the tests")

    monkeypatch.setattr("qdhil.record.recheck.recheck", broken)
    ended = qdhil("gate", tmp_path)
    assert (ended.code, ended.err) == (70, "qdhil: internal error: ZeroDivisionError: by the tests\n")


@pytest.mark.parametrize("arguments", [("--help",), ("gate", "--help"), ("rigs", "--help"), ("schema", "--help")])
def test_help_is_no_error(qdhil, arguments):
    ended = qdhil(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert "Usage: qdhil" in ended.out


def test_help_tells_the_exit_codes(qdhil):
    said = " ".join(qdhil("--help").out.split())
    for word in ("0 PASS", "10 BLOCK", "20 INCONCLUSIVE", "30 INFRA", "40 REFUSED", "64 usage", "70 internal"):
        assert word in said


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_whole_and_closed(qdhil, name):
    ended = qdhil("schema", name)
    assert ended.code == 0
    schema = json.loads(ended.out)
    assert schema["type"] == "object"
    for node in nodes(schema):
        if "$ref" in node:
            kind, defs, target = node["$ref"].split("/")
            assert (kind, defs) == ("#", "$defs")
            assert target in schema["$defs"]
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            assert node["additionalProperties"] is False, "unknown keys are errors"
            assert set(node.get("required", ())) <= set(node["properties"])


def test_the_files_that_ship_have_what_their_schemas_ask_for(qdhil, runs):
    rack = tomllib.loads(default_rack_file().read_text())
    policy = tomllib.loads(default_policy_file().read_text())
    run_file = json.loads((runs["PASS"] / "sim-a1" / "run.json").read_text())
    verdict = json.loads((runs["PASS"] / "verdict.json").read_text())
    for name, data in {"rack": rack, "policy": policy, "run": run_file, "verdict": verdict}.items():
        schema = json.loads(qdhil("schema", name).out)
        assert set(schema["required"]) <= set(data) <= set(schema["properties"])


def test_rigs_lists_the_rack(qdhil, tmp_path):
    file = write_rack(tmp_path)
    ended = qdhil("rigs", "--rack", file, "--json")
    assert ended.code == 0
    first, second = json.loads(ended.out)
    assert first == {
        "rig": "sim-a1",
        "kind": "simulated",
        "baseline": "1.4.0",
        "tags": {"dot": "inas-930", "source": "micropillar", "ring": "canary"},
        "held_by": None,
        "state": "free",
        "visit": None,
        "out_of_service": None,
    }
    assert second["rig"] == "sim-a2"


def test_rigs_tells_who_holds_one(qdhil, tmp_path):
    file = write_rack(tmp_path)
    with lease("sim-a2", tmp_path / "locks", wait_s=0):
        held = {row["rig"]: row["held_by"] for row in json.loads(qdhil("rigs", "--rack", file, "--json").out)}
        told = qdhil("rigs", "--rack", file).out.splitlines()
    assert held["sim-a1"] is None
    assert f"process {os.getpid()}" in held["sim-a2"]
    assert "free" in told[0]
    assert "held by" in told[1]
    assert "ring=canary" in told[1]


def test_rigs_of_a_broken_rack_tells_every_mistake(qdhil, tmp_path):
    file = write_rack(tmp_path)
    file.write_text(file.read_text().replace("rep_rate_hz = 80e6", "rep_rate_hz = 0"))
    ended = qdhil("rigs", "--rack", file)
    assert (ended.code, ended.out) == (64, "")
    assert ended.err.count("calibration.rep_rate_hz") == 2


def test_installed_command_ends_with_the_code_too(runs):
    command = Path(sys.executable).with_name("qdhil")
    ended = subprocess.run([command, "gate", runs["BLOCK"]], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 10
    assert "verdict: BLOCK (exit 10)" in ended.stdout
