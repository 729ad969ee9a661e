"""The whole journey on simulated rigs: every firmware build ends with its verdict's exit code.

Chances of a false alarm: a harmless build passes its tightest metric (V_co/cross) with 4.7 standard errors to spare,
1.3e-6 a run; a comparison with a closed form at 4 standard errors fails with 6e-5. The seeds are fixed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from acceptance.session import Session, command, newest_run, run
from qdhil_sim.light.clicks import predict_clicks
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.setup import load_setup

BLOCKED_BY = {
    "1.5.0-pulse20": {"g2.pulsed.area"},
    "1.5.0-jitter20": {"hom.v_unc", "hom.v_co_cross"},
    "1.5.0-area80": {"brightness.detected"},
    "1.5.0-spurious": {"g2.pulsed.area"},
}
BLIND = {
    "1.5.0-pulse20": {"brightness.detected"},
    "1.5.0-jitter20": {"g2.pulsed.area", "brightness.detected"},
    "1.5.0-area80": {"g2.pulsed.area", "hom.v_unc"},
    "1.5.0-spurious": {"brightness.detected"},
}


def canary(rack_file: Path, candidate: str, seed: int) -> Session:
    return run(rack_file, "--rig", "sim-a1", "--candidate", candidate, "--rig-seed", str(seed))


def check_harmless(session: Session) -> None:
    assert session.code == 0, session.output
    assert session.verdict["verdict"] == "PASS"
    assert {entry["verdict"] for entry in session.verdict["comparisons"]} == {"PASS"}
    assert len(session.verdict["comparisons"]) == 4


def check_blocked(session: Session, candidate: str) -> None:
    assert session.code == 10, session.output
    assert session.verdict["verdict"] == "BLOCK"
    for definition in BLOCKED_BY[candidate]:
        assert session.metric(definition)["verdict"] == "BLOCK", definition
    for definition in BLIND[candidate]:  # proven harm ends the campaign, decided or not
        assert session.metric(definition)["verdict"] != "BLOCK", definition


def check_mute(session: Session) -> None:
    assert session.code in (10, 30), session.output
    assert session.verdict["faults"]["sim-a1"]["faults"]["candidate"] > 0


def test_good_firmware_passes_with_the_light_of_the_closed_forms(rack_file: Path) -> None:
    session = run(
        rack_file,
        *("--rig", "sim-a1", "--rig-seed", "11"),
        *("--junitxml", str(rack_file.parent / "junit.xml"), "--alluredir", str(rack_file.parent / "allure")),
    )
    check_harmless(session)
    expected = predict_clicks(load_setup("pillar-930"), PulseControls(), window_ps=6000)
    for definition, value in (
        ("g2.pulsed.area", expected.g2),
        ("hom.v_unc", expected.visibility_unc),
        ("hom.v_co_cross", expected.visibility_cross),
    ):
        for arm in ("baseline", "candidate"):
            estimate = session.metric(definition)[arm]
            sigma = (estimate["high"] - estimate["low"]) / 3.92
            assert abs(estimate["value"] - value) < 4 * sigma, (definition, arm)
    check_reports(session, rack_file.parent)
    again = subprocess.run(
        ["qdhil", "gate", str(session.folder)], capture_output=True, text=True, check=False, env=path()
    )
    assert (again.returncode, again.stderr) == (0, "")


def check_reports(session: Session, folder: Path) -> None:
    """The table, JUnit, Allure and the histograms all show the run."""
    for word in ("g2(0)", "V_unc", "V_co/cross", "brightness", "verdict: PASS (exit 0)", str(session.folder)):
        assert word in session.output
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")
    names = {case.get("name") for case in cases}
    assert "test_purity[sim-a1]" in names
    attachments = {file.suffix for file in (folder / "allure").glob("*-attachment*")}
    assert {".png", ".json"} <= attachments
    for configuration in ("hbt", "hom_parallel", "hom_orthogonal"):
        assert (session.folder / "sim-a1" / f"{configuration}.png").stat().st_size > 5_000
        assert (session.folder / "sim-a1" / f"{configuration}.json").is_file()


def path() -> dict[str, str]:
    """The environment with this interpreter's programs first."""
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("candidate", sorted(BLOCKED_BY))
def test_harmful_firmware_is_blocked_by_the_metrics_it_harms(rack_file: Path, candidate: str) -> None:
    check_blocked(canary(rack_file, candidate, 12), candidate)


def test_mute_firmware_never_passes(rack_file: Path) -> None:
    check_mute(canary(rack_file, "1.5.0-mute", 13))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_same_answers_for_every_seed(rack_file: Path, seed: int) -> None:
    check_harmless(canary(rack_file, "1.5.0-good", seed))
    for candidate in BLOCKED_BY:
        check_blocked(canary(rack_file, candidate, seed), candidate)
    check_mute(canary(rack_file, "1.5.0-mute", seed))


def test_two_rigs_on_two_workers(rack_file: Path) -> None:
    session = run(rack_file, "--rig", "tag:ring=canary", "-n", "2", "--rig-seed", "14")
    assert session.code == 0, session.output
    assert len(session.verdict["comparisons"]) == 8
    # a line now and then: which of the two rigs it is about is a matter of when
    assert "sim-a1 visit" in session.output or "sim-a2 visit" in session.output
    for rig in ("sim-a1", "sim-a2"):
        assert session.metric("g2.pulsed.area", rig)["verdict"] == "PASS"
        assert (session.folder / rig / "blocks.jsonl").is_file()


def test_killing_the_rack_is_the_rigs_fault(rack_file: Path) -> None:
    process = subprocess.Popen(
        command(rack_file, "--rig", "sim-a1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_blocks(rack_file, 6)
    subprocess.run(["pkill", "-9", "-f", f"qdhil_sim up .*--rack {rack_file}"], check=True)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 30, output
    verdict = Session(30, output, newest_run(rack_file)).verdict
    assert verdict["verdict"] == "INFRA"
    assert "rig sim-a1" in " ".join(verdict["reasons"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session_hands_the_rig_back(rack_file: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command(rack_file, "--rig", "sim-a1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_blocks(rack_file, 6)
    os.killpg(process.pid, number)  # as a terminal's Ctrl-C or a CI system's cancel does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 20, output
    verdict = Session(20, output, newest_run(rack_file)).verdict
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "interrupted" in " ".join(verdict["reasons"])
    assert "take the rig out of service" not in output


def wait_for_blocks(rack_file: Path, count: int) -> None:
    """Wait until a campaign has measured so many blocks."""
    journal = "*/sim-a1/blocks.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for file in (rack_file.parent / "runs").glob(journal):
            if file.read_text().count('"kind":"block"') >= count:
                return
        time.sleep(0.05)
    pytest.fail("the campaign did not start")
