"""The wheel built from this checkout runs its own suites in an empty environment elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("qdhil-*.whl")
    return file


def test_the_wheel_holds_the_four_packages_and_their_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "qdhil",
        "qdhil_fixtures",
        "qdhil_sim",
        "qdhil_suites",
    }
    for file in (
        "qdhil/rack/default_rack.toml",
        "qdhil/gate/default_policy.toml",
        "qdhil/py.typed",
        "qdhil_sim/builds/1.4.0/image.toml",
        "qdhil_sim/profiles/pillar-930.toml",
        "qdhil_suites/test_purity.py",
    ):
        assert file in names


def test_the_suites_run_from_the_wheel(wheel: Path, tmp_path: Path, rack_file: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "ci" / "constraints.txt"
    install = [str(python), "-m", "pip", "install", "-q", "--constraint", str(constraints), str(wheel)]
    subprocess.run(install, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [str(python), "-m", "pytest", "--pyargs", "qdhil_suites", "--rig", "sim-a1", "--rack", str(rack_file)],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: PASS (exit 0)" in done.stdout
    assert len(list((elsewhere / "runs").iterdir())) == 1
