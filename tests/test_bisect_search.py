"""``qdhil bisect``: the search as a file, the user's command, and what is never taken for "bad"."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Command, command
from ledger_made import git

from conftest import write_rack
from qdhil.errors import ConfigurationError
from qdhil.firmware.bisect import BisectState, answer, history, load_state
from qdhil.firmware.bisect_measurement import judge
from qdhil.statistics.culprit import CulpritPosterior

METER = """
import json, os, random, sys, time
name, culprit, noise = os.environ["QDHIL_BISECT_COMMIT"], sys.argv[1], float(sys.argv[2])
calls = os.path.join(os.path.dirname(__file__), "calls")
with open(calls, "a") as file:
    file.write(name + "\\n")
number = len(open(calls).readlines())
rng = random.Random(number)
for word in sys.argv[3:]:
    commit, _, code = word.partition("=")
    if name == commit:
        sys.exit(int(code))
time.sleep(float(os.environ.get("METER_SLEEP", "0")))
effect = -0.03 if culprit != "none" and name >= culprit else 0.0
print("a line that is no measurement")
for _ in range(int(sys.argv[0] and os.environ["QDHIL_BISECT_QUADS"])):
    print(json.dumps({"effect": rng.gauss(effect, noise), "error": noise}))
"""
COMMITS = [f"c{number:02}" for number in range(17)]


@pytest.fixture
def qdhil(monkeypatch, capsys, tmp_path) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meter.py").write_text(METER)
    (tmp_path / "commits").write_text("\n".join(COMMITS) + "\n")
    return command(monkeypatch, capsys)


def begin(qdhil: Command, *arguments: object, options: tuple[object, ...] = ()) -> None:
    asked = ("--commits", "commits", "--effect", "-0.03", *options)
    ended = qdhil("bisect", "start", *asked, "--", sys.executable, "meter.py", *arguments)
    assert (ended.code, ended.err) == (0, "")


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().split()


def test_a_culprit_is_found_and_reported(qdhil, tmp_path):
    begin(qdhil, "c11", 0.02)
    assert load_state(tmp_path / "bisect.json").commits == COMMITS
    undecided = qdhil("bisect", "report")
    assert undecided.code == 20
    ended = qdhil("bisect", "run")
    assert ended.code == 0
    assert ended.out.startswith("culprit: c11 (probability 0.9")
    report = qdhil("bisect", "report", "--json")
    found = json.loads(report.out)
    assert (report.code, found["kind"], found["commits"], found["exit_code"]) == (0, "culprit", ["c11"], 0)
    assert found["quads"] == 4 * len(calls(tmp_path))
    assert qdhil("bisect", "run").code == 0
    assert found["quads"] == 4 * len(calls(tmp_path)), "a finished search measures nothing"


@pytest.mark.parametrize(("culprit", "kind"), [("none", "no-culprit"), ("c00", "already-bad")])
def test_no_culprit_is_an_answer(qdhil, culprit, kind):
    begin(qdhil, culprit, 0.01)
    ended = qdhil("bisect", "run", "--json")
    assert (ended.code, json.loads(ended.out)["kind"]) == (0, kind)
    assert qdhil("bisect", "report").out.startswith("no culprit: the ")


def test_infra_is_a_skip_and_never_bad(qdhil, tmp_path):
    first = COMMITS[CulpritPosterior(len(COMMITS), -0.03).next_commit()]
    begin(qdhil, "c15", 0.01, f"{first}=30")
    ended = qdhil("bisect", "run", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["commits"], found["skips"], found["set_aside"]) == (0, ["c15"], 3, [first])


def test_a_culprit_among_commits_that_can_not_be_measured_is_a_range(qdhil):
    begin(qdhil, "c09", 0.01, "c08=125", "c09=40", "c10=125")
    ended = qdhil("bisect", "run")
    assert ended.code == 0
    assert ended.out.startswith("culprit: one of c08, c09, c10, c11 (")
    assert "can't be measured: c08, c09, c10" in ended.out


@pytest.mark.parametrize(("commit", "said"), [("c16", "bad end"), ("c00", "good end")])
def test_without_an_end_an_answer_there_is_not_given(qdhil, commit, said):
    begin(qdhil, "none" if commit == "c16" else "c00", 0.01, f"{commit}=125")
    ended = qdhil("bisect", "run")
    assert ended.code == 20
    assert f"undecided: the {said} can't be measured" in ended.out


def test_a_rig_that_fails_again_and_again_stops_the_search(qdhil, tmp_path):
    begin(qdhil, "c12", 0.01, *(f"{name}=30" for name in COMMITS))
    ended = qdhil("bisect", "run")
    assert (ended.code, len(calls(tmp_path))) == (30, 6)
    assert "says nothing about the firmware" in ended.err


@pytest.mark.parametrize("code", [2, 64, 70, 126, 127])
def test_a_command_that_always_fails_is_no_measurement(qdhil, tmp_path, code):
    begin(qdhil, "c12", 0.01, *(f"{name}={code}" for name in COMMITS))
    ended = qdhil("bisect", "run")
    assert (ended.code, len(calls(tmp_path))) == (64, 1)
    assert load_state(tmp_path / "bisect.json").measurements == ()


def test_the_budget_ends_undecided(qdhil):
    begin(qdhil, "c12", 3.0, options=("--quads-max", 12))
    ended = qdhil("bisect", "run", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["kind"], found["quads"]) == (20, "undecided", 12)


def test_a_killed_search_goes_on_where_its_file_ends(qdhil, tmp_path):
    begin(qdhil, "c12", 0.02)
    process = subprocess.Popen(
        [sys.executable, "-c", "from qdhil.cli.main import run; run()", "bisect", "run"],
        cwd=tmp_path, env={**os.environ, "METER_SLEEP": "0.3"}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(load_state(tmp_path / "bisect.json").measurements) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    busy = qdhil("bisect", "run")
    assert (busy.code, "another process is running this search" in busy.err) == (64, True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = load_state(tmp_path / "bisect.json").measurements
    ended = qdhil("bisect", "run", "--json")
    assert json.loads(ended.out)["commits"] == ["c12"]
    assert load_state(tmp_path / "bisect.json").measurements[: len(kept)] == kept


def test_tests_by_exit_code(qdhil, tmp_path):
    script = tmp_path / "check.sh"
    script.write_text('#!/bin/sh\n[ "$1" \\< c05 ] || exit 10\n')
    script.chmod(0o755)
    ended = qdhil("bisect", "start", "--commits", "commits", "--effect", "1", "--", "./check.sh", "{commit}")
    assert ended.code == 0
    assert qdhil("bisect", "run").out.startswith("culprit: c05 ")


@pytest.mark.parametrize(
    ("output", "code", "kind"),
    [
        ('{"effect": 1, "error": 2}', 0, "quads"),
        ('{"effect": 1, "error": 2}', 10, "quads"),
        ('{"effect": 1, "error": 2}', 20, "quads"),
        ('{"effect": 1, "error": 2}', 30, "skip"),
        ('{"effect": 1, "error": 2}', 1, "skip"),
        ('{"effect": 1, "error": 2}', -9, "skip"),
        ("", 0, "good"),
        ("", 10, "bad"),
        ("", 20, "skip"),
        ("", 1, "skip"),
        ("", 40, "untestable"),
        ("", 125, "untestable"),
        ('{"effect": NaN, "error": 2}', 0, "skip"),
        ('{"effect": 1, "error": 0}', 10, "skip"),
        ('{"effect": 1, "error": -1}', 0, "skip"),
        ('{"effect": "1", "error": 1}', 0, "skip"),
        ('{"effect": true, "error": 1}', 0, "skip"),
        ('{"effect": 1}', 10, "skip"),
        ('{"error": 1}', 0, "skip"),
        ('{"effect": 1, "error": 2}\n{"effect": Infinity, "error": 2}', 0, "skip"),
        ('{"level": "info"}\n{"effect": 1, "error": 2}', 0, "quads"),
        ("{not json", 0, "good"),
    ],
)
def test_what_output_and_exit_code_mean(output, code, kind):
    found, effects, errors, note = judge(output, code)
    assert found == kind
    assert bool(effects) == bool(errors) == (kind == "quads")
    assert bool(note) == (kind in ("skip", "untestable"))


def test_a_history_is_the_first_parent_line(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")

    def commit(text: str, *parents: str) -> str:
        tree = git(tmp_path, "write-tree")
        return git(tmp_path, "commit-tree", tree, "-m", text, *(w for parent in parents for w in ("-p", parent)))

    first = commit("1")
    second = commit("2", first)
    side = commit("side", first)
    merge = commit("merge", second, side)
    last = commit("last", merge)
    git(tmp_path, "update-ref", "refs/heads/main", last)
    git(tmp_path, "tag", "v1", first)
    assert history(tmp_path, "v1", "main") == [first, second, merge, last]
    for good, bad in ((side, "main"), ("main", "v1"), ("v1", "v1"), ("v9", "main"), ("--help", "main")):
        with pytest.raises(ConfigurationError, match=r"first-parent line|no such commits"):
            history(tmp_path, good, bad)
    with pytest.raises(ConfigurationError, match="no git repository"):
        history(Path("/"), "a", "b")


def test_misuse_is_told(qdhil, tmp_path):
    for arguments in (
        (),
        ("--", "true"),
        ("--commits", "commits"),
        ("--commits", "commits", "--", "true"),
        ("--commits", "commits", "--effect", "0", "--", "true"),
        ("--commits", "commits", "--effect", "1", "--batch", "1", "--", "true"),
        ("--commits", "commits", "--effect", "1", "--rig", "sim-a1", "--", "true"),
        ("--commits", "nothing", "--effect", "1", "--", "true"),
        ("--commits", "commits", "--rig", "sim-a1", "--metric", "g3"),
        ("--good", "a", "--bad", "b", "--effect", "1", "--", "true"),
    ):
        ended = qdhil("bisect", "start", *arguments)
        assert (ended.code, (tmp_path / "bisect.json").exists()) == (64, False), arguments
        assert "Traceback" not in ended.err
    begin(qdhil, "c01", 0.01)
    again = qdhil("bisect", "start", "--commits", "commits", "--effect", "1", "--", "true")
    assert (again.code, "holds a search already" in again.err) == (64, True)
    (tmp_path / "bisect.json").write_text("{}")
    assert qdhil("bisect", "run").code == 64
    assert qdhil("bisect", "report").code == 64


def test_campaigns_are_the_built_in_command(qdhil, tmp_path):
    ended = qdhil("bisect", "start", "--commits", "commits", "--rig", "sim-a1", "--bundle", "builds/{commit}")
    assert ended.code == 0
    state = load_state(tmp_path / "bisect.json")
    assert state.command[:5] == ["qdhil", "bisect", "campaign", "--candidate", "builds/{commit}"]
    assert state.effect == pytest.approx(-0.0305, abs=1e-3), "the policy's margin: x0.97"


def test_a_state_that_does_not_hang_together_is_refused(qdhil, tmp_path):
    begin(qdhil, "c01", 0.01)
    file = tmp_path / "bisect.json"
    good = json.loads(file.read_text())
    quad = {"commit": 1, "started": "t", "kind": "quads", "effects": [1.0], "errors": [1.0], "exit_code": 0}
    file.write_text(json.dumps({**good, "measurements": [quad]}))
    assert answer(load_state(file)).quads == 1
    for change in ({"commit": 99}, {"errors": []}, {"kind": "good"}, {"errors": [0.0]}, {"effects": ["x"]}):
        file.write_text(json.dumps({**good, "measurements": [{**quad, **change}]}))
        with pytest.raises(ConfigurationError, match="bisect state"):
            load_state(file)
    with pytest.raises(ValueError, match="twice"):
        BisectState.model_validate({**good, "commits": ["a", "a"]})


QUICK = {"quads_min": 2, "quads_max": 3, "fault_budget": 2}


def quick_policy(folder: Path) -> Path:
    """A policy that measures little."""
    import re

    from qdhil.gate.policy import default_policy_file

    text = default_policy_file().read_text()
    for key, value in QUICK.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    text = text.replace("= 0.1\n", "= 0.02\n").replace("blanked = 1.0", "blanked = 0.05")
    file = folder / "quick.toml"
    file.write_text(text)
    return file


@pytest.mark.slow
def test_campaigns_of_a_simulated_rig_find_the_build(qdhil, tmp_path):
    """Three builds of one brightness after one another; the third has lost light."""
    versions = ("1.4.0", "1.5.0-good", "1.5.0-area80")
    (tmp_path / "commits").write_text("\n".join(versions) + "\n")
    options = ("--rig", "sim-a1", "--rack", write_rack(tmp_path), "--policy", quick_policy(tmp_path))
    assert qdhil("bisect", "start", "--commits", "commits", *options).code == 0
    ended = qdhil("bisect", "run", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["kind"], found["commits"]) == (0, "culprit", ["1.5.0-area80"]), ended.err
