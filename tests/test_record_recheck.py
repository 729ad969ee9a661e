"""``recheck``: an untouched run folder gives its verdict again; one that was touched is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaigns_made import Light, fault, write_run

from qdhil.errors import ConfigurationError, RefusedError, UndecidedError
from qdhil.gate.faults import FaultTally
from qdhil.gate.verdict import Verdict
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import BLOCKS_NAME, RUN_NAME, VERDICT_NAME
from qdhil.report.table import verdict_lines

# bright enough that three quads decide; the two rigs differ in their light only
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """One finished run of each kind, never changed."""
    root = tmp_path_factory.mktemp("runs")
    light = {"sim-a1": Light(21, central=CENTRAL), "sim-a2": Light(22, central=CENTRAL)}
    worse = {"sim-a1": Light(24, central=CENTRAL, worse={"hbt": 3.0})}
    pure = {"sim-a1": Light(25, central={**CENTRAL, "hbt": 0.0})}
    return {
        "PASS": write_run(root / "pass", light),
        "BLOCK": write_run(root / "block", worse),
        "FAULTS": write_run(root / "faults", {"sim-a1": Light(23, central=CENTRAL)}, boot={5: fault(), 8: fault()}),
        "INCONCLUSIVE": write_run(root / "pure", pure),
    }


@pytest.fixture
def copied(runs, tmp_path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(runs[name], tmp_path / name))


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    data = json.loads(file.read_text())
    changed = change(data)
    file.write_text(json.dumps(data if changed is None else changed))


def edit_line(file: Path, number: int, change: Callable[[Any], None]) -> None:
    lines = file.read_text().splitlines()
    data = json.loads(lines[number])
    change(data)
    lines[number] = json.dumps(data)
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["PASS", "BLOCK", "FAULTS", "INCONCLUSIVE"])
def test_an_untouched_run_gives_its_verdict_again(runs, name):
    record = recheck(runs[name])
    assert record.verdict == {"FAULTS": "PASS"}.get(name, name)
    assert any(line.startswith(f"verdict: {record.verdict} ") for line, _ in verdict_lines(record))


def test_a_pure_source_leaves_a_readable_record(runs):
    """Without any central count the ratio is undefined and its interval open."""
    record = recheck(runs["INCONCLUSIVE"])
    purity = next(entry for entry in record.comparisons if entry.definition == "g2.pulsed.area")
    assert purity.change.ratio is None
    assert purity.change.high == "inf"
    assert any("undefined" in line for line, _ in verdict_lines(record))


def typed_over(verdict: Verdict) -> Callable[[Any], None]:
    return lambda data: data.update(verdict=str(verdict), exit_code=verdict.exit_code)


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        ("BLOCK", Verdict.PASS),
        ("BLOCK", Verdict.INCONCLUSIVE),
        ("BLOCK", Verdict.INFRA),
        ("INCONCLUSIVE", Verdict.PASS),
        ("INCONCLUSIVE", Verdict.BLOCK),
        ("PASS", Verdict.BLOCK),
    ],
)
def test_a_verdict_that_its_numbers_do_not_carry_is_refused(copied, run, verdict):
    folder = copied(run)
    edit(folder / VERDICT_NAME, typed_over(verdict))
    with pytest.raises(RefusedError, match=f"says {verdict}") as caught:
        recheck(folder)
    assert caught.value.exit_code == 40


@pytest.mark.parametrize("verdict", [Verdict.INFRA, Verdict.INCONCLUSIVE, Verdict.REFUSED])
def test_a_session_may_be_worse_than_its_numbers(copied, verdict):
    """A test that failed beside its comparison, or a dead worker, is in no block; it can't make a PASS."""
    folder = copied("PASS")
    edit(folder / VERDICT_NAME, typed_over(verdict))
    assert recheck(folder).exit_code == verdict.exit_code != 0


def more_centrals(data: Any) -> None:
    data["counts"]["peaks"][3] += 1


BLOCK_EDITS: dict[str, Callable[[Any], None]] = {
    "one coincidence more": more_centrals,
    "another arm": lambda data: data.update(arm={"baseline": "candidate", "candidate": "baseline"}[data["arm"]]),
    "excluded by hand": lambda data: data.update(excluded="did not please"),
    "another configuration": lambda data: data.update(configuration="hom_parallel"),
    "more pulses": lambda data: data["counts"].update(triggers=data["counts"]["triggers"] + 1),
}


@pytest.mark.parametrize("change", BLOCK_EDITS.values(), ids=BLOCK_EDITS.keys())
@pytest.mark.parametrize("run", ["PASS", "BLOCK"])
def test_an_edited_block_is_refused(copied, run, change):
    folder = copied(run)
    edit_line(folder / "sim-a1" / BLOCKS_NAME, 0, change)
    with pytest.raises(RefusedError) as caught:
        recheck(folder)
    assert "sim-a1" in str(caught.value)


def test_a_deleted_or_repeated_line_is_refused(copied):
    folder = copied("PASS")
    file = folder / "sim-a2" / BLOCKS_NAME
    lines = file.read_text().splitlines(keepends=True)
    for changed in (lines[1:], [lines[0], *lines], lines[:-2]):
        file.write_text("".join(changed))
        with pytest.raises(RefusedError):
            recheck(folder)
    file.write_text("".join(lines))
    assert recheck(folder).verdict is Verdict.PASS


VERDICT_EDITS: dict[str, Callable[[Any], None]] = {
    "e-value": lambda data: data["comparisons"][0]["evidence"]["looks"][-1].update(no_harm=99.0),
    "a look lost": lambda data: data["comparisons"][0]["evidence"]["looks"].__delitem__(0),
    "share of the family": lambda data: data["comparisons"][0].update(share=0.9),
    "harm in the family": lambda data: data["comparisons"][0].update(harm_log10=1.0),
    "harm of the family": lambda data: data["family"].update(harm_log10=0.5),
    "an offender made up": lambda data: data["family"].update(offenders=["g2(0) on sim-a1"]),
    "margin": lambda data: data["comparisons"][0].update(margin_ratio=9.0),
    "miss rate of a comparison": lambda data: data["comparisons"][0].update(miss_rate=0.4),
    "estimate": lambda data: data["comparisons"][0]["candidate"].update(value=0.001),
    "counts": lambda data: data["comparisons"][0]["candidate"]["counts"].update(central=1),
    "reason": lambda data: data["comparisons"][0].update(reason="fine"),
    "verdict of a comparison": lambda data: data["comparisons"][0].update(verdict="BLOCK"),
    "level": lambda data: data["comparisons"][0].update(block_level=0.05),
    "a comparison lost": lambda data: data.update(comparisons=data["comparisons"][:-1]),
    "all comparisons lost": lambda data: data["comparisons"].clear(),
    "a rig lost": lambda data: data.update(rigs={"sim-a1": "simulated"}),
    "all rigs lost": lambda data: data.update(rigs={}, comparisons=[], faults={}),
    "another rig": lambda data: data["comparisons"][0].update(rig="sim-a2"),
    "unknown rig": lambda data: data["comparisons"][0].update(rig="sim-b7"),
    "unknown metric": lambda data: data["comparisons"][0].update(definition="g2.cw"),
    "miss rate": lambda data: data.update(miss_rate=0.01),
    "false block rate": lambda data: data.update(false_block_rate=0.01),
    "policy name": lambda data: data.update(policy="strict"),
    "policy digest": lambda data: data.update(policy_sha256="0" * 64),
    "candidate": lambda data: data["candidate"].update(sha256="c" * 64),
    "baseline": lambda data: data["baseline"].update(version="1.3.0"),
    "exit code": lambda data: data.update(exit_code=10),
    "dark rate": lambda data: data["dark_rate_hz"].update({"sim-a1": [0.0, 0.0]}),
    "faults lost": lambda data: data["faults"].clear(),
    "visits": lambda data: data["faults"]["sim-a1"]["visits"].update(candidate=600),
    "faults made up": lambda data: data["faults"]["sim-a1"]["faults"].update(baseline=3),
}


@pytest.mark.parametrize("change", VERDICT_EDITS.values(), ids=VERDICT_EDITS.keys())
def test_an_edited_verdict_file_is_refused(copied, change):
    folder = copied("PASS")
    edit(folder / VERDICT_NAME, change)
    with pytest.raises(RefusedError):
        recheck(folder)


SCHEMA_EDITS: dict[str, Callable[[Any], Any]] = {
    "unknown key": lambda data: {**data, "note": "trust me"},
    "missing key": lambda data: {key: value for key, value in data.items() if key != "exit_code"},
    "unknown verdict": lambda data: {**data, "verdict": "FINE"},
    "another version": lambda data: {**data, "schema_version": 3},
    "comparison of nothing": lambda data: {**data, "comparisons": [{}]},
    "faults of nothing": lambda data: {**data, "faults": {"sim-a1": {}, "sim-a2": {}}},
    "a list": lambda data: [data],
}


@pytest.mark.parametrize("change", SCHEMA_EDITS.values(), ids=SCHEMA_EDITS.keys())
def test_what_is_no_verdict_file_is_a_configuration_error(copied, change):
    folder = copied("PASS")
    edit(folder / VERDICT_NAME, change)
    with pytest.raises(ConfigurationError):
        recheck(folder)


def test_a_verdict_of_version_1_is_told_who_can_read_it(copied):
    folder = copied("PASS")
    edit(folder / VERDICT_NAME, lambda data: data.update(schema_version=1))
    with pytest.raises(ConfigurationError, match="recompute it with the qdhil that wrote it"):
        recheck(folder)


@pytest.mark.parametrize(
    "change", [("margin_ratio = 1.5", "margin_ratio = 2.5"), ("miss_rate = 0.05", "miss_rate = 0.2")]
)
def test_an_edited_policy_is_refused(copied, change):
    folder = copied("PASS")
    file = folder / "policy.toml"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change, 1))
    with pytest.raises(RefusedError, match="not the policy that decided"):
        recheck(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(rig="sim-a2"),
        lambda data: data["candidate"].update(sha256="c" * 64),
        lambda data: data["baseline"].update(version="9.9.9"),
        lambda data: data.update(policy_sha256="0" * 64),
        lambda data: data["calibration"].update(exclude_lags=3),
        lambda data: data["calibration"].update(exclude_lags=50),
        lambda data: data["calibration"].update(dead_time_ps=0),
    ],
)
def test_an_edited_run_file_is_refused(copied, change):
    folder = copied("PASS")
    edit(folder / "sim-a1" / RUN_NAME, change)
    with pytest.raises(RefusedError):
        recheck(folder)


@pytest.mark.parametrize("name", [RUN_NAME, BLOCKS_NAME])
def test_files_swapped_between_rigs_are_refused(copied, name):
    folder = copied("PASS")
    a, b = (folder / rig / name for rig in ("sim-a1", "sim-a2"))
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    with pytest.raises(RefusedError):
        recheck(folder)


@pytest.mark.parametrize("name", [VERDICT_NAME, "policy.toml", f"sim-a1/{RUN_NAME}", f"sim-a2/{BLOCKS_NAME}"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "folder"])
def test_a_missing_or_damaged_file_is_no_verdict(copied, name, damage):
    folder = copied("PASS")
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with pytest.raises((ConfigurationError, RefusedError, UndecidedError)) as caught:
        recheck(folder)
    cut_off = (name, damage) == ("verdict.json", "missing")
    assert caught.value.exit_code in ({20} if cut_off else {40, 64})


def test_faults_that_the_journal_has_can_not_be_left_out(copied):
    folder = copied("FAULTS")
    record = json.loads((folder / VERDICT_NAME).read_text())
    tally = FaultTally.from_record(record["faults"]["sim-a1"])
    assert tally.total_faults == 2
    arm = next(arm for arm, faults in tally.faults.items() if faults)
    edit(
        folder / VERDICT_NAME,
        lambda data: data["faults"]["sim-a1"]["faults"].update({arm: tally.faults[arm] - 1}),
    )
    with pytest.raises(RefusedError, match="disagree"):
        recheck(folder)
