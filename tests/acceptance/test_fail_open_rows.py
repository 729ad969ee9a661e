"""What other gates let through (a row each, named by who did): here none of it ends in 0.

Every row starts from a run that ends in 0, shown by the controls, and breaks one thing. Rows of a session run the real
plugin on a simulated rig under a lenient policy: g2(0) and 1 - V that are eight times as large lie ten standard errors
away. Two quads rule them out; where counting alone scatters so much that the spread between quads is asked (one metric
in ten), the campaign goes on, and its budget of twelve is far more than that takes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from campaigns_made import CONTEXT, Light, decide, made_policy, row, write_run
from command import Command, command

from acceptance.session import quick_policy, run
from conftest import ServedRack, serve, stop, write_rack
from qdhil.errors import QdhilError
from qdhil.exit_codes import ExitCode
from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.evidence import Evidence, Look
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import compare
from qdhil.gate.verdict import Verdict
from qdhil.record.run_folder import BLOCKS_NAME, POLICY_NAME, VERDICT_NAME, BlockJournal

PATHS = ("hbt", "hom_parallel", "hom_orthogonal")
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}


def light(**changes: Any) -> Light:
    return Light(21, **{"central": CENTRAL, **changes})


class Told(NamedTuple):
    code: int
    said: str


# --- a verdict from counts -------------------------------------------------------------------------------------------


def concluded(blocks: list[Any], *, undecided: bool = False, **policy: Any) -> Told:
    """Conclude a run of one rig from its blocks, as a session does."""
    demanded = made_policy(**policy)
    outcome = RigOutcome(faults=FaultTally())
    for name in demanded.metrics:
        try:
            outcome.comparisons[name] = compare(name, blocks, demanded, rig="a", rigs=1, context=CONTEXT)
        except ValueError as error:
            outcome.undecided[name] = [str(error)]
    assert bool(outcome.undecided) is undecided
    return told(conclude(demanded, {"a": outcome}))


def told(conclusion: Any) -> Told:
    return Told(int(conclusion.verdict.exit_code), " ".join(conclusion.reasons))


def passed() -> RigOutcome:
    found = {each.definition: each for each in decide(made_policy(), row(light(), PATHS, 3))}
    return RigOutcome(comparisons=found, faults=FaultTally())


def short_history() -> Told:
    return concluded(row(light(), PATHS, 3), quads=4)


def no_quad_whole() -> Told:
    return concluded(row(light(), PATHS, 1)[:-1], undecided=True)


def zero_side_counts() -> Told:
    return concluded(row(light(far_per_peak=0.0), PATHS, 3), undecided=True)


def seventy_times_worse() -> Told:
    return concluded(row(light(worse={"hbt": 70.0}), PATHS, 3))


def one_block_far_out() -> Told:
    blocks = row(light(), PATHS, 3)
    index = next(n for n, each in enumerate(blocks) if (each.arm, each.configuration) == ("candidate", "hbt"))
    counts, middle = blocks[index].counts, len(blocks[index].counts.peaks) // 2
    peaks = tuple(70 * count if lag == middle else count for lag, count in enumerate(counts.peaks))
    blocks[index] = replace(blocks[index], counts=replace(counts, peaks=peaks))
    return concluded(blocks)


def empty_group() -> Told:
    return told(conclude(made_policy(), {}))


def group_of_nothing() -> Told:
    return told(conclude(made_policy(), {"a": RigOutcome(faults=FaultTally())}))


def missing_rig() -> Told:
    return told(conclude(made_policy(required_rigs=2), {"a": passed()}))


def silent_rig() -> Told:
    return told(conclude(made_policy(), {"a": passed(), "b": RigOutcome(faults=FaultTally())}))


def terminated_early() -> Told:
    return told(conclude(made_policy(), {"a": passed()}, [(Verdict.INCONCLUSIVE, "the session was interrupted")]))


def nan_evidence() -> Told:
    nan = float("nan")
    looks = tuple(Look(n, nan, nan, None, None, "counts", nan) for n in (1, 2, 3))
    return Told(0 if Evidence(looks).passed(1.3, 3) else int(ExitCode.INCONCLUSIVE), "")


# --- a record on the disk, read by the command -----------------------------------------------------------------------


def edited(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        change(data)
        (folder / name).write_text(json.dumps(data))

    return edit


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


def one_central_less(folder: Path) -> None:
    file = folder / "sim-a1" / BLOCKS_NAME
    first, rest = file.read_text().split("\n", 1)
    data = json.loads(first)
    data["counts"]["peaks"][3] -= 1
    file.write_text(json.dumps(data) + "\n" + rest)


def quarantine(*metrics: str) -> str:
    entry = (
        '[[quarantined]]\nrig = "sim-a1"\nmetric = "{}"\nreason = "r"\nlink = "https://x.org/1"\nuntil = 2099-01-01\n'
    )
    return "schema_version = 1\n" + "\n".join(entry.format(metric) for metric in metrics)


RECORDS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "GitLab: no status yet is 'passed'": (lambda folder: (folder / VERDICT_NAME).unlink(), 20, "cut off"),
    "hawkBit: result NONE is success": (edited(VERDICT_NAME, lambda data: data.update(verdict="NONE")), 64, "verdict"),
    "hawkBit: a malformed threshold is never exceeded": (
        replaced(POLICY_NAME, "margin_ratio = 1.5", 'margin_ratio = "fifty"'), 64, "margin_ratio",
    ),
    "Kayenta: a tolerance that nothing reads": (
        replaced(POLICY_NAME, "margin_ratio = 1.5", "margin_ratio = 1.5\ntolerance = 0.1"), 64, "Extra inputs",
    ),
    "unreadable policy": (lambda folder: (folder / POLICY_NAME).write_bytes(b"\xff\x00"), 64, "not valid TOML"),
    "policy of an older version": (
        replaced(POLICY_NAME, "schema_version = 2", "schema_version = 1"), 64, "quads became quads_min/quads_max",
    ),
    "tampered counts": (one_central_less, 40, "the blocks give"),
    "NaN in the counts": (replaced(f"sim-a1/{BLOCKS_NAME}", '"peaks":[', '"peaks":[NaN,'), 64, "journal"),
    "NaN in the verdict": (
        edited(VERDICT_NAME, lambda data: data["comparisons"][0].update(harm_log10=float("nan"))), 64, "finite",
    ),
    "pytest-benchmark: a metric deleted from the record": (
        edited(VERDICT_NAME, lambda data: data["comparisons"].pop()), 40, "INCONCLUSIVE",
    ),
    "a metric let off by a quarantine that the run had not": (
        lambda folder: (folder / "quarantine.toml").write_text(quarantine("hom.v_unc")), 40, "quarantine",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("recorded") / "run", {"sim-a1": light()})


@pytest.fixture
def qdhil(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command(monkeypatch, capsys)


COUNTS: dict[str, tuple[Callable[[], Told], int, str]] = {
    "git-perf, Bencher: a short history passes": (short_history, 20, "asks for 4 quads"),
    "git-perf, Bencher: not one whole quad": (no_quad_whole, 20, "quad"),
    "zero side counts": (zero_side_counts, 20, "side"),
    "Kayenta: 70 times the baseline passes": (seventy_times_worse, 10, "g2(0)"),
    "Kayenta: outliers are dropped": (one_block_far_out, 20, "g2(0)"),
    "Kayenta, hawkBit: an empty group is a success": (empty_group, 20, "rigs that the policy requires"),
    "Kayenta: a group without data scores 100": (group_of_nothing, 20, "was not measured"),
    "a rig that the policy requires is missing": (missing_rig, 20, "1 of the 2 rigs"),
    "a selected rig that delivers nothing": (silent_rig, 20, "on b was not measured"),
    "Argo: terminated before it was measured is Successful": (terminated_early, 20, "interrupted"),
    "NaN evidence": (nan_evidence, 20, ""),
}


def test_the_controls_end_in_0(recorded: Path, qdhil: Command) -> None:
    assert concluded(row(light(), PATHS, 3)).code == 0
    assert told(conclude(made_policy(), {"a": passed(), "b": passed()})).code == 0
    assert qdhil("gate", recorded).code == 0


@pytest.mark.parametrize("name", COUNTS)
def test_counts_that_others_let_through(name: str) -> None:
    check, code, says = COUNTS[name]
    found = check()
    assert found.code == code, found
    assert says in found.said


@pytest.mark.parametrize("name", RECORDS)
def test_records_that_others_let_through(recorded: Path, tmp_path: Path, qdhil: Command, name: str) -> None:
    breaks, code, says = RECORDS[name]
    folder = Path(shutil.copytree(recorded, tmp_path / "run"))
    breaks(folder)
    found = qdhil("gate", folder)
    assert found.code == code, found
    assert says in found.err


def test_argo_an_inconclusive_run_is_not_promoted(tmp_path: Path, qdhil: Command) -> None:
    folder = write_run(tmp_path / "run", {"sim-a1": light(central={**CENTRAL, "hbt": 0.0})})
    assert qdhil("gate", folder).code == 20
    found = qdhil("baseline", "promote", folder, "--by", "Ada", "--lock", tmp_path / "lock.toml")
    assert (found.code, (tmp_path / "lock.toml").exists()) == (40, False)


def test_conforma_no_attestation_is_no_policy_fulfilled(tmp_path: Path, qdhil: Command) -> None:
    (tmp_path / "trust.toml").write_text("schema_version = 1\nthreshold = 1\nlifetime_max_h = 24\n")
    (tmp_path / "empty.json").write_text("")
    scope = ("--firmware", "b" * 64, "--hardware", "h", "--ring", "canary")
    for name in ("none.json", "empty.json"):
        assert qdhil("verify", tmp_path / name, "--trust", tmp_path / "trust.toml", *scope).code in (40, 64)


def test_goosebit_two_campaigns_at_once_are_not_one_rigs_evidence(tmp_path: Path) -> None:
    first = BlockJournal(tmp_path)
    with pytest.raises(QdhilError) as caught:
        BlockJournal(tmp_path)
    first.close()
    assert caught.value.exit_code == 30


# --- a session on a simulated rig ------------------------------------------------------------------------------------

TEST = """
@pytest.mark.metric("{metric}")
def test_{name}(comparison):
    assert comparison.verdict == "PASS", comparison.summary
"""
PURITY = TEST.format(metric="g2.pulsed.area", name="purity")
VISIBILITY = TEST.format(metric="hom.v_unc", name="visibility")
SUITE = f"import pytest\n{PURITY}{VISIBILITY}"
WITHOUT_PURITY = f"import pytest\n{VISIBILITY}"
BOOM = """
import pytest

@pytest.fixture(autouse=True)
def broken(monkeypatch):
    def judge(*_, **__):
        raise {error}
    monkeypatch.setattr("qdhil.gate.judge.{judge}", judge)
"""
JUDGE = BOOM.format(error="RuntimeError('boom')", judge="compare")
TOOL = BOOM.format(error="ModuleNotFoundError('scipy')", judge="metric_evidence")
G2 = '"g2.pulsed.area"'


class Row(NamedTuple):
    """A suite and options that break one thing."""

    code: int
    says: str
    suite: str = SUITE
    options: tuple[str, ...] = ()
    conftest: str = ""


ROWS = {
    "pytest-benchmark: the metric's test is deleted": Row(20, "was not measured", WITHOUT_PURITY),
    "pytest-benchmark: the metric is renamed": Row(20, "g2.pulsed", SUITE.replace(G2, '"g2.pulsed"')),
    "pytest-benchmark, GitHub: the metric's test is skipped": Row(
        20, "was skipped", SUITE.replace("@pytest", "@pytest.mark.skip\n@pytest", 1)
    ),
    "the metric's test is deselected": Row(20, "was not measured", options=("-k", "visibility")),
    "pytest-benchmark: xdist is on": Row(20, "was not measured", WITHOUT_PURITY, ("-n", "2")),
    "pytest-benchmark: disabled": Row(20, "INCONCLUSIVE", options=("--setup-plan",)),
    "no test at all": Row(20, "no test was collected", "X = 1\n"),
    "Kayenta: the judge raises": Row(30, "RuntimeError: boom", conftest=JUDGE),
    "the judge's tools are broken": Row(30, "scipy", conftest=TOOL),
    "the rig is missing": Row(64, "no such rig", options=("--rig", "sim-b7")),
    "the policy can't be read": Row(64, "policy file", options=("--rig-policy", "none.toml")),
    "the quarantine can't be read": Row(64, "quarantine file", options=("--rig-quarantine", "none.toml")),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    """A rack that is up, so that each row starts at once."""
    folder = tmp_path_factory.mktemp("served")
    rack = serve(write_rack(folder))
    head = quick_policy(folder).read_text().partition("[metrics.")[0]
    assert "quads_max = 2 " in head
    head = head.replace("quads_max = 2 ", "quads_max = 12")
    asked = {"g2.pulsed.area": (8.0, 1.0), "hom.v_unc": (8.0, 1.0)}
    metrics = [f'[metrics."{m}"]\nmargin_ratio = {a}\ntolerated_ratio = {b}\n' for m, (a, b) in asked.items()]
    (folder / "lenient.toml").write_text(head + "\n".join(metrics))
    yield rack
    stop(rack)


def session(served: ServedRack, folder: Path, row: Row) -> Any:
    (folder / "test_suite.py").write_text(row.suite)
    (folder / "conftest.py").write_text(row.conftest)
    usual = ("--rig", "sim-a1", "--rig-policy", str(served.file.parent / "lenient.toml"))
    return run(served.file, *usual, *row.options, suites=(str(folder / "test_suite.py"),))


def test_the_session_that_the_rows_break_ends_in_0(served: ServedRack, tmp_path: Path) -> None:
    found = session(served, tmp_path, Row(0, ""))
    assert found.code == 0, found.output


@pytest.mark.parametrize("name", ROWS)
def test_sessions_that_others_let_through(served: ServedRack, tmp_path: Path, name: str) -> None:
    found = session(served, tmp_path, ROWS[name])
    assert found.code == ROWS[name].code, found.output
    assert ROWS[name].says in found.output


def test_a_quarantine_is_seen_and_lets_no_other_metric_off(served: ServedRack, tmp_path: Path) -> None:
    file = tmp_path / "quarantine.toml"
    options = ("--rig-quarantine", str(file))
    file.write_text(quarantine("hom.v_unc"))
    alone = session(served, tmp_path, Row(0, "", options=options))
    assert alone.code == 20, alone.output
    assert "in quarantine on every rig" in alone.output
    assert "V_unc on sim-a1 did not decide, in quarantine until 2099-01-01" in alone.output
    two = session(served, tmp_path, Row(0, "", options=(*options, "--rig", "sim-a2")))
    assert two.code == 0, two.output
    assert [(entry["rig"], entry["metric"]) for entry in two.verdict["quarantined"]] == [("sim-a1", "hom.v_unc")]
