"""A metric in quarantine decides nothing on its rig, is seen in every verdict, and is never a requirement gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from campaigns_made import ALL_METRICS, CONTEXT, Light, decide, made_policy, row, write_run
from command import Command, command

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.gate.conclusion import RigOutcome, conclude, family_of
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison, is_decided
from qdhil.gate.policy import Policy
from qdhil.gate.quarantine import NO_QUARANTINE, QuarantineEffect, QuarantineEntry, add_entry, quarantine_effect
from qdhil.gate.verdict import Verdict
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import QUARANTINE_NAME, VERDICT_NAME
from qdhil.report.table import verdict_lines

POLICY = made_policy()
METRIC, TITLE = "hom.v_unc", "V_unc"
TODAY = datetime.now(UTC).date()
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
PATHS = ("hbt", "hom_parallel", "hom_orthogonal")


def entry(rig: str = "a", metric: str = METRIC, until: date = date(2099, 1, 1)) -> QuarantineEntry:
    return QuarantineEntry(rig=rig, metric=metric, reason="slips", link="https://example.org/17", until=until)


def effect(*entries: QuarantineEntry, policy: Policy = POLICY, rigs: tuple[str, ...] = ("a", "b")) -> QuarantineEffect:
    return quarantine_effect(entries, policy.metrics, rigs, TODAY, required_rigs=policy.campaign.required_rigs)


@pytest.fixture(scope="module")
def passed() -> dict[str, Comparison]:
    found = {each.definition: each for each in decide(POLICY, row(Light(11), PATHS, 6), rigs=2)}
    assert {each.verdict for each in found.values()} == {Verdict.PASS}
    return found


def outcomes(passed: dict[str, Comparison], **broken: object) -> dict[str, RigOutcome]:
    """Two rigs that passed; ``broken`` changes the comparison of METRIC on a."""
    first = {**passed, METRIC: replace(passed[METRIC], **broken)}
    return {name: RigOutcome(comparisons=found, faults=FaultTally()) for name, found in (("a", first), ("b", passed))}


BROKEN = [
    {"verdict": Verdict.INCONCLUSIVE},
    {"verdict": Verdict.BLOCK, "harm_log10": 9.0},
]


@pytest.mark.parametrize("broken", BROKEN, ids=["inconclusive", "block"])
def test_what_is_excused_neither_blocks_nor_holds_up(passed, broken):
    run = outcomes(passed, **broken)
    without = conclude(POLICY, run)
    assert without.verdict is broken["verdict"]
    conclusion = conclude(POLICY, run, quarantine=effect(entry()))
    assert conclusion.verdict is Verdict.PASS
    assert "quarantine" in conclusion.reasons[0]
    assert not conclusion.family.is_harmed
    assert conclude(POLICY, run, quarantine=effect(entry("b"))).verdict is broken["verdict"]


def test_an_excused_metric_may_be_missing_or_its_test_object(passed):
    run = outcomes(passed)
    del run["a"].comparisons[METRIC]
    run["a"].undecided[METRIC] = ["its test was skipped"]
    assert conclude(POLICY, run).verdict is Verdict.INCONCLUSIVE
    assert conclude(POLICY, run, quarantine=effect(entry())).verdict is Verdict.PASS
    run["a"].undecided["g2.pulsed.area"] = ["its test was skipped"]
    assert conclude(POLICY, run, quarantine=effect(entry())).verdict is Verdict.INCONCLUSIVE


def test_a_failed_rig_is_not_excused_by_a_metric(passed):
    run = outcomes(passed)
    run["a"].problems.append((Verdict.INFRA, "warm"))
    assert conclude(POLICY, run, quarantine=effect(entry())).verdict is Verdict.INFRA


def test_harm_of_other_metrics_is_proven_at_the_same_level(passed):
    """What is excused leaves no share to the others: quarantine can't make a BLOCK easier."""
    run = outcomes(passed, verdict=Verdict.BLOCK, harm_log10=9.0)
    silent = family_of(POLICY, run, effect(entry()))
    fine = family_of(POLICY, outcomes(passed, harm_log10=-300.0))
    assert silent == fine


def test_quarantine_everywhere_is_never_pass(passed):
    run = outcomes(passed)
    everywhere = effect(*(entry(rig, metric) for rig in run for metric in ALL_METRICS))
    assert conclude(POLICY, run, quarantine=everywhere).verdict is Verdict.INCONCLUSIVE
    one = effect(entry("a"), entry("b"))
    assert conclude(POLICY, run, quarantine=one).verdict is Verdict.INCONCLUSIVE


def test_the_required_number_of_rigs_must_decide_each_metric(passed):
    two = made_policy(required_rigs=2)
    conclusion = conclude(two, outcomes(passed), quarantine=effect(entry(), policy=two))
    assert conclusion.verdict is Verdict.INCONCLUSIVE
    assert "leaves 1 of the 2 rigs" in conclusion.reasons[0]


def test_the_campaign_does_not_wait_for_what_is_excused():
    blocks = row(Light(11, central=CENTRAL, worse={"hom_parallel": 1.12}), PATHS, 3)
    assert not is_decided(blocks, POLICY, ALL_METRICS, rigs=2, context=CONTEXT)
    left = [metric for metric in ALL_METRICS if not metric.startswith("hom.")]
    assert is_decided(blocks, POLICY, left, rigs=2, context=CONTEXT)
    assert is_decided(blocks, POLICY, [], rigs=2, context=CONTEXT)


# --- on the disk -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A PASS of two rigs, of which sim-a1 has worse light in one metric, in quarantine there."""
    lights = {
        "sim-a1": Light(21, central=CENTRAL, worse={"hom_parallel": 3.0}),
        "sim-a2": Light(22, central=CENTRAL),
    }
    excused = [entry("sim-a1", "hom.v_unc"), entry("sim-a1", "hom.v_co_cross")]
    return write_run(tmp_path_factory.mktemp("run") / "run", lights, quarantined=excused)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_the_verdict_names_what_was_excused_and_recomputes(run):
    record = recheck(run)
    assert record.verdict is Verdict.PASS
    assert [(it.rig, it.metric, it.link) for it in record.quarantined] == [
        ("sim-a1", "hom.v_unc", "https://example.org/17"),
        ("sim-a1", "hom.v_co_cross", "https://example.org/17"),
    ]
    text = "\n".join(line for line, _ in verdict_lines(record))
    assert "V_unc on sim-a1 did not decide, in quarantine until 2099-01-01: slips (https://example.org/17)" in text
    assert "(BLOCK)" in text


def rewrite(folder: Path, **changes: object) -> None:
    data = json.loads((folder / VERDICT_NAME).read_text())
    (folder / VERDICT_NAME).write_text(json.dumps({**data, **changes}))


@pytest.mark.parametrize(
    "touch",
    [
        lambda folder: (folder / QUARANTINE_NAME).unlink(),
        lambda folder: add_entry(folder / QUARANTINE_NAME, entry("sim-a2", "g2.pulsed.area")),
        lambda folder: rewrite(folder, quarantined=[]),
        lambda folder: rewrite(folder, finished="2199-01-01T00:00:00+00:00"),
        lambda folder: rewrite(folder, finished="2026-01-01T00:00:00+00:00"),
        lambda folder: rewrite(folder, finished="yesterday"),
    ],
    ids=["file lost", "an entry more", "none in the verdict", "after it expired", "before it was measured", "no time"],
)
def test_a_quarantine_that_was_touched_is_refused(copied, touch):
    touch(copied)
    with pytest.raises(RefusedError):
        recheck(copied)


@pytest.mark.parametrize(("old", "new"), [("hom.v_unc", "hom.v_inc"), ("https", "ftp"), ("until =", "till =")])
def test_a_quarantine_that_cant_be_read_is_no_verdict(copied, old, new):
    file = copied / QUARANTINE_NAME
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ConfigurationError, match="quarantine file"):
        recheck(copied)


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    return command(monkeypatch, capsys)


def test_promotion_shows_what_did_not_decide(run, tmp_path, qdhil):
    done = qdhil("baseline", "promote", run, "--by", "Ada", "--lock", tmp_path / "lock.toml")
    assert done.code == 0, done.err
    assert "did not decide: hom.v_unc on sim-a1 is in quarantine until 2099-01-01: slips" in done.out


def test_hardware_without_a_witness_is_not_promoted(copied, tmp_path, qdhil):
    rack = copied / "rack.toml"
    head, tail = rack.read_text().split("[rigs.sim-a2]", 1)
    assert 'hardware = "psc-2-rev-b"' in tail
    tail = tail.replace('hardware = "psc-2-rev-b"', 'hardware = "psc-2-rev-c"', 1)
    rack.write_text(f"{head}[rigs.sim-a2]{tail}")
    done = qdhil("baseline", "promote", copied, "--by", "Ada", "--lock", tmp_path / "lock.toml")
    assert done.code == 40, done.out
    assert "on every rig with hardware psc-2-rev-b" in done.err


def test_nothing_in_quarantine_changes_nothing(passed):
    run = outcomes(passed)
    assert conclude(POLICY, run, quarantine=NO_QUARANTINE) == conclude(POLICY, run)
