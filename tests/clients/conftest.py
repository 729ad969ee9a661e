"""The environment of the third-party drivers, the rack they are run on, and the table of what ran."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients.rack import Instruments, write_other_lab

from conftest import serve, stop, write_rack
from qdhil_sim.catalogue import FURTHER_MODELS

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
RIG = "sim-a1"


@pytest.fixture(scope="session")
def client_python(request: pytest.FixtureRequest) -> Path:
    """The Python of .venv-clients; without it these tests are skipped, or fail where they were asked for."""
    if not PYTHON.exists():
        missing = "there is no .venv-clients; ci/clients makes it"
        pytest.fail(missing) if request.config.getoption("--clients") else pytest.skip(missing)
    return PYTHON


def served(file: Path) -> Iterator[Instruments]:
    rack = serve(file)
    yield Instruments.of(rack, RIG)
    stop(rack)


@pytest.fixture(scope="session")
def packaged_lab(client_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instruments]:
    """Every instrument of a packaged rig, served."""
    yield from served(write_rack(tmp_path_factory.mktemp("clients")))


@pytest.fixture(scope="session")
def other_lab(client_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instruments]:
    """Those of a lab that has others for the same roles."""
    yield from served(write_other_lab(tmp_path_factory.mktemp("other_lab")))


@pytest.fixture
def instruments(case: dict[str, Any], request: pytest.FixtureRequest) -> Instruments:
    """The lab that has the instrument of the case."""
    lab: Instruments = request.getfixturevalue("other_lab" if case["instrument"] in FURTHER_MODELS else "packaged_lab")
    return lab


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    file = config.getoption("--clients-table")
    if file is None:
        return
    rows = []
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            facts = dict(getattr(report, "user_properties", []))
            if facts.keys() >= {"instrument", "transport"}:
                rows.append({**facts, "result": outcome})
    Path(file).write_text(json.dumps(sorted(rows, key=lambda row: tuple(row.values())), indent=1) + "\n")
