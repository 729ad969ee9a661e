"""Whatever is missing, skipped, misspelt or broken, a gate session never ends in 0."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.session import Session, command, quick_policy, run
from conftest import serve, stop, write_rack
from qdhil.rack.config import load_rack
from qdhil.rack.rig import opened
from qdhil.rack.selection import bundle_folder

GATE = """
import pytest

@pytest.mark.metric("{metric}")
def test_metric(comparison):
    assert comparison.verdict in ("PASS", "INCONCLUSIVE", "BLOCK")
"""


def quick(rack_file: Path, *options: str, **suites: tuple[str, ...]) -> Session:
    policy = quick_policy(rack_file.parent)
    return run(rack_file, "--rig", "sim-a1", "--rig-policy", str(policy), "--rig-seed", "7", *options, **suites)


def suite(rack_file: Path, text: str) -> tuple[str, ...]:
    file = rack_file.parent / "test_suite.py"
    file.write_text(text)
    return (str(file),)


def reasons(session: Session) -> str:
    return " ".join(session.verdict["reasons"])


def test_a_suite_that_does_not_import(rack_file: Path) -> None:
    session = quick(rack_file, suites=suite(rack_file, "import nowhere\n"))
    assert session.code in (20, 30), session.output
    assert session.verdict["verdict"] != "PASS"


def test_a_test_that_fails_on_its_own_account(rack_file: Path) -> None:
    text = GATE.format(metric="g2.pulsed.area") + "\n\ndef test_of_the_lab(rig):\n    assert rig.name == 'elsewhere'\n"
    session = quick(rack_file, suites=suite(rack_file, text))
    assert session.code in (10, 20), session.output
    assert "test_of_the_lab" in reasons(session)


def test_a_test_that_crashes(rack_file: Path) -> None:
    text = "def test_of_the_lab(rig):\n    raise RuntimeError('boom')\n"
    session = quick(rack_file, suites=suite(rack_file, text))
    assert session.code == 30, session.output
    assert "RuntimeError: boom" in reasons(session)


def test_an_expected_failure_can_not_hide_a_metric(rack_file: Path) -> None:
    text = GATE.format(metric="g2.pulsed.area").replace("@pytest", "@pytest.mark.xfail\n@pytest", 1)
    session = quick(rack_file, suites=suite(rack_file, text))
    assert session.code != 0, session.output


def test_a_metric_that_the_policy_has_not(rack_file: Path) -> None:
    session = quick(rack_file, suites=suite(rack_file, GATE.format(metric="g2.cw")))
    assert session.code == 20, session.output
    assert "g2.cw" in reasons(session)


def test_a_worker_that_dies(rack_file: Path) -> None:
    text = "import os\n\ndef test_of_the_lab(rig):\n    os._exit(3)\n"
    session = quick(rack_file, "-n", "1", suites=suite(rack_file, text))
    assert session.code == 30, session.output
    assert "died" in reasons(session) or "crashed" in reasons(session)


@pytest.mark.parametrize("distribution", ["each", "loadgroup"])
def test_distributions_that_would_share_a_rig_are_refused(rack_file: Path, distribution: str) -> None:
    session = quick(rack_file, "-n", "2", "--dist", distribution)
    assert session.code == 64, session.output
    assert f"--dist {distribution}" in session.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--rig", "sim-b7"), "no such rig; the rack file has sim-a1, sim-a2"),
        (("--rig", "tag:ring"), "reads tag:KEY=VALUE"),
        (("--rig", "sim-a1", "--candidate", "9.9.9"), "firmware 9.9.9: no such bundle"),
        (("--rig", "sim-a1", "--rig-policy", "nowhere.toml"), "policy file nowhere.toml"),
        (("--rig", "sim-a1", "nowhere.py"), "not found"),
    ],
)
def test_mistakes_on_the_command_line_end_in_64(rack_file: Path, options: tuple[str, ...], says: str) -> None:
    session = run(rack_file, *options, suites=())
    assert session.code == 64, session.output
    assert says in session.output


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--setup-plan"])
def test_a_session_that_runs_no_test_decides_nothing(rack_file: Path, option: str) -> None:
    session = quick(rack_file, option)
    assert session.code == 20, session.output
    assert "INCONCLUSIVE" in session.output


def test_a_changed_image_is_refused(rack_file: Path) -> None:
    from qdhil_sim.builds import read_image, read_manifest

    bundle = rack_file.parent / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(read_manifest("1.5.0-good").decode())
    (bundle / "image.toml").write_bytes(read_image("1.5.0-good") + b"\n")
    session = run(rack_file, "--rig", "sim-a1", "--candidate", str(bundle))
    assert session.code == 40, session.output
    assert "its manifest says" in session.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--candidate", ""), "--candidate was given without a value"),
        (("--candidate", "1.4.0"), "candidate and baseline are both 1.4.0"),
        (("--rig-seed", "-5"), "give a whole number from 0"),
        (("--rig-wait", "-1"), "give a time in seconds"),
    ],
)
def test_values_that_a_ci_job_gets_wrong_end_in_64(rack_file: Path, options: tuple[str, ...], says: str) -> None:
    session = quick(rack_file, *options)
    assert session.code == 64, session.output
    assert says in session.output


def test_evidence_that_can_not_be_written_is_no_pass_and_the_rig_is_handed_back(tmp_path: Path) -> None:
    rack = serve(write_rack(tmp_path))
    try:
        limited = f"ulimit -f 12; exec {shlex.join(command(rack.file, '--rig', 'sim-a1'))}"
        done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 30, done.stdout + done.stderr
        assert "blocks.jsonl can't be written" in done.stdout
        with opened("sim-a1", load_rack(rack.file).rigs["sim-a1"]) as rig:
            assert (rig.controller.version, rig.controller.confirmed) == ("1.4.0", True)
    finally:
        stop(rack)


def test_a_rig_has_one_campaign_whatever_order_other_plugins_like(rack_file: Path) -> None:
    shuffle = "import pytest\n\n@pytest.hookimpl(trylast=True)\ndef pytest_collection_modifyitems(items):\n"
    (rack_file.parent / "conftest.py").write_text(shuffle + "    items.sort(key=lambda item: item.name)\n")
    text = GATE.format(metric="g2.pulsed.area") + GATE.format(metric="hom.v_unc").replace("test_metric", "test_other")
    session = quick(rack_file, "--rig", "sim-a2", suites=suite(rack_file, text))
    assert session.code in (10, 20), session.output
    for rig in ("sim-a1", "sim-a2"):
        journal = (session.folder / rig / "blocks.jsonl").read_text()
        assert journal.count('"kind":"complete"') == 2


def test_a_busy_rig_is_refused_by_name(rack_file: Path) -> None:
    first = subprocess.Popen(command(rack_file, "--rig", "sim-a1"), stdout=subprocess.DEVNULL)
    try:
        lock = rack_file.parent / "locks" / "sim-a1.holder.json"
        while not lock.exists():
            assert first.poll() is None
        session = quick(rack_file, "--rig-wait", "0")
    finally:
        first.terminate()
        first.wait(timeout=60)
    assert session.code == 30, session.output
    assert f"process {first.pid}" in reasons(session)
    assert "--rig-wait" in reasons(session)


def test_without_a_rig_the_suites_say_what_they_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "qdhil_suites"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "give --rig NAME" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_bundle_exchanged_while_workers_start_is_not_measured(rack_file: Path) -> None:
    """Else one image would be named in the verdict and another one measured."""
    builds = bundle_folder(load_rack(rack_file).rigs["sim-a1"], rack_file)
    candidate, other = rack_file.parent / "candidate", builds / "1.5.0-area80"
    shutil.copytree(builds / "1.5.0-good", candidate)
    plugin = f"import shutil\n\ndef pytest_configure_node():\n    shutil.rmtree({str(candidate)!r})\n"
    plugin += f"    shutil.copytree({str(other)!r}, {str(candidate)!r})\n"
    (rack_file.parent / "exchange.py").write_text(plugin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(rack_file.parent))
        session = quick(rack_file, "-n", "1", "--candidate", str(candidate), "-p", "exchange")
    assert session.code == 30, session.output
    assert "exchanged while the session started" in session.output
    assert session.verdict["comparisons"] == []
    assert not (session.folder / "sim-a1" / "blocks.jsonl").exists()
