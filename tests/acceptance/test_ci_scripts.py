"""What CI systems call: ``ci/canary`` hands on options and exit codes, ``ci/setup`` believes no failed installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.session import quick_policy

ROOT = Path(__file__).resolve().parents[2]
needs_environment = pytest.mark.skipif(
    not (ROOT / ".venv" / ".made-from").exists(), reason="ci/setup has not made this checkout's .venv"
)


def canary(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "ci" / "canary"), *options], capture_output=True, text=True, check=False, timeout=300
    )


@needs_environment
def test_canary_takes_short_options_and_ends_with_the_verdict(rack_file: Path) -> None:
    runs = rack_file.parent / "runs"
    done = canary(
        *("--rack", str(rack_file), "--policy", str(quick_policy(rack_file.parent))),
        *("--seed=3", "--runs", str(runs), "--candidate", "1.5.0-area80"),
    )
    (verdict,) = (json.loads(file.read_text()) for file in runs.glob("*/verdict.json"))
    assert done.returncode == verdict["exit_code"], done.stdout + done.stderr
    (run,) = (json.loads(file.read_text()) for file in runs.glob("*/sim-a1/run.json"))
    assert run["order_seed"] == run["simulator_seed"] == 3
    assert run["candidate"]["version"] == "1.5.0-area80"


@needs_environment
def test_canary_ends_a_mistake_with_64() -> None:
    done = canary("--bogus")
    assert done.returncode == 64, done.stdout
    assert "unrecognized arguments: --bogus" in done.stderr


def test_canary_help_is_short() -> None:
    done = canary("--help")
    assert done.returncode == 0
    assert "Exit codes: 0 PASS" in done.stdout
    assert len(done.stdout.splitlines()) < 12


def test_a_failed_installation_is_tried_again(tmp_path: Path) -> None:
    for name in ("ci", "pyproject.toml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([str(tmp_path / "ci" / "setup")], capture_output=True, text=True, check=False, env=offline)
    assert done.returncode == 70, done.stdout + done.stderr
    assert "the installation failed" in done.stderr
    assert not (tmp_path / ".venv" / ".made-from").exists()


def test_a_project_with_options_of_its_own_is_left_alone(tmp_path: Path) -> None:
    words = ("seed", "runs", "policy", "baseline", "window", "report")
    lines = [f"    parser.addoption('--{word}')" for word in words]
    (tmp_path / "conftest.py").write_text("\n".join(["def pytest_addoption(parser):", *lines, ""]))
    (tmp_path / "test_it.py").write_text(
        "def test_it(pytestconfig):\n    assert pytestconfig.getoption('seed') == '5'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
