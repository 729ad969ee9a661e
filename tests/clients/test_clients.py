"""Unmodified third-party drivers on the simulated rack, each in a process of the environment that holds them."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from clients.rack import Instruments

FOLDER = Path(__file__).parent
LIMIT_S = 120
CASES = [
    pytest.param(case, transport, id=f"{case['instrument']}-{case['package']}-{case['driver']}-{transport}")
    for case in tomllib.loads((FOLDER / "cases.toml").read_text())["case"]
    for transport in case["transports"]
]


def meets(value: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return bool(expected[0] <= value <= expected[1])
    if isinstance(expected, str):
        return fnmatch.fnmatchcase(str(value), expected)
    if isinstance(expected, float):
        return bool(value == pytest.approx(expected, rel=1e-6))
    return bool(value == expected)


def run_script(client_python: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client_python, FOLDER / "scripts" / script, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYVISA_LIBRARY": "@py", "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize(("case", "transport"), CASES)
def test_driver(
    case: dict[str, Any],
    transport: str,
    client_python: Path,
    instruments: Instruments,
    record_property: Any,
) -> None:
    model = case["instrument"]
    for fact in ("instrument", "package", "driver"):
        record_property(fact, case[fact])
    record_property("transport", transport)
    before = instruments.undefined_headers(model)
    host, port = instruments.address(model)
    done = run_script(client_python, case["script"], instruments.resource(model, transport), host, str(port))
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    wrong = {name: facts.get(name) for name, expected in case["expect"].items() if not meets(facts[name], expected)}
    assert not wrong, facts
    assert instruments.undefined_headers(model) == before
