"""``qdhil rollout`` over real simulated controllers: what it does, says, and ends with."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bundles_made import BUILD
from rollout_made import BASELINE, CANDIDATE, FILE_STATE, Made, served
from signing_made import STRANGER, trust_text, write_trust
from test_rollout_machine import first, plan

from qdhil.audit import verify_log
from qdhil.firmware import find_bundle
from qdhil.firmware.build import co_sign
from qdhil.firmware.slots import confirm_running, run_candidate, stage
from qdhil.keys.signers import public_pem
from qdhil.keys.validity import timestamp
from qdhil.rack.config import load_rack
from qdhil.rack.lease import lease
from qdhil.rack.rig import Rig
from qdhil.rack.selection import bundle_folder, named_folder
from qdhil.rack.service_state import return_to_service, take_out_of_service
from qdhil.rollout.engine import Engine, Parts
from qdhil.rollout.fleet import open_fleet
from qdhil.rollout.plan import load_plan
from qdhil.rollout.preparation import prepare
from qdhil.rollout.store import open_store

RINGS = {"canary": ["sim-a1"], "fleet": ["sim-a2", "sim-a3"]}
DOCS = Path(__file__).resolve().parents[1] / "docs"
OLD, NEW = (BASELINE, True), (CANDIDATE, True)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    with served(tmp_path, 3, FILE_STATE) as rack:
        yield rack


def runs(made: Made) -> list[tuple[str, bool]]:
    return [made.running(rig) for rigs in RINGS.values() for rig in rigs]


def status(made: Made) -> dict[str, Any]:
    found = made.status()
    assert found is not None
    return found


def until(true: Callable[[], bool], what: str, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def device(made: Made, rig: str) -> str:
    found = made.status()
    return "" if found is None else str(found["devices"][rig]["phase"])


def on_rig(made: Made, rig: str, version: str, *, confirm: bool) -> float:
    """Put a build on a controller behind the rollout's back, and return the time of its boot."""
    description = load_rack(made.rack_file).rigs[rig]
    bundle = find_bundle(version, bundle_folder(description, made.rack_file), hardware="psc-2-rev-b")
    there = Rig(rig, description)
    stage(there.firmware, bundle)
    run_candidate(there.firmware, bundle, rig)
    if confirm:
        confirm_running(there.firmware, bundle, rig)
    there.settle()
    uptime_s = there.controller.check()["uptime_s"]
    there.close()
    return uptime_s


def uptime_s(made: Made, rig: str) -> float:
    there = Rig(rig, load_rack(made.rack_file).rigs[rig])
    found = there.controller.check()["uptime_s"]
    there.close()
    return found


def signed(made: Made) -> Path:
    """Sign both bundles with a key of the trust file, and return their folder."""
    bundles = made.folder / "bundles"
    for version in (BASELINE, CANDIDATE):
        shutil.copytree(named_folder("pkg:qdhil_sim/builds", made.folder, "bundles") / version, bundles / version)
        co_sign(bundles / version, [BUILD])
    firmware = f'[firmware]\nthreshold = 1\n[keys.build]\nsigns = "firmware"\npublic = """\n{public_pem(BUILD)}"""\n'
    write_trust(made.folder, trust_text() + firmware)
    return bundles


def as_printed(made: Made, verb: str, done: subprocess.CompletedProcess[str]) -> str:
    return f"$ qdhil rollout {verb} rollout.toml\n" + done.stdout.replace(f"{made.folder}/", "")


def without_times(text: str) -> list[str]:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text).split("\n")


def test_the_example_plan() -> None:
    assert [ring.name for ring in load_plan(DOCS / "example-rollout" / "rollout.toml").rings] == ["canary", "fleet"]


def test_from_plan_to_done(made: Made) -> None:
    made.write_plan(RINGS, wave_size=2, bake_time_s=0.2)
    planned = made.run("plan")
    assert planned.returncode == 20
    assert "there is no attestation" in planned.stdout
    assert runs(made) == [OLD, OLD, OLD]
    made.attest("canary")
    record = json.loads(made.run("plan", "--json").stdout)
    assert (record["exit_code"], record["rings"][0]["lock"]["answer"]) == (0, "open")
    assert record["rings"][1]["devices"]["sim-a3"]["phase"] == "baseline"
    ready = made.run("plan")
    held = made.run("start")
    assert held.returncode == 20, held.stdout + held.stderr
    assert runs(made) == [NEW, OLD, OLD]
    made.attest("fleet")
    done = made.run("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs(made) == [NEW, NEW, NEW]
    assert "rollout r1: done: 3 of 3 devices run the candidate" in done.stdout
    assert not verify_log(made.folder / "audit.jsonl").problem
    said = [as_printed(made, *it) for it in (("plan", ready), ("start", held), ("resume", done))]
    page = (DOCS / "rollout.md").read_text()
    quoted = page.partition("<!-- printed by: tests/test_rollout_engine.py -->\n```\n")[2].partition("```")[0]
    assert without_times("\n".join(said)) == without_times(quoted), "\n".join(said)
    again = made.run("start")
    assert again.returncode == 64
    assert "started already" in again.stderr
    assert made.run("resume").returncode == 0


@pytest.mark.parametrize(
    ("verdict", "code", "phase"),
    [
        ("BLOCK", 10, "rolled back"),
        ("INCONCLUSIVE", 20, "running"),
        ("INFRA", 30, "running"),
        ("unverified", 40, "running"),
    ],
)
def test_what_is_no_pass_goes_no_further(made: Made, verdict: str, code: int, phase: str) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    if verdict == "unverified":
        made.attest("fleet", signers=(STRANGER,))
    else:
        made.attest("fleet", verdict)
    ended = made.run("start")
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert status(made)["phase"] == phase
    assert runs(made) == [NEW, OLD, OLD]


def test_a_block_that_comes_later_rolls_the_ring_back(made: Made) -> None:
    made.write_plan(RINGS, wave_size=1, bake_time_s=2.0)
    made.attest("canary")
    made.attest("fleet")
    process = made.begin("start")
    until(lambda: device(made, "sim-a3") == "trial", "no second wave")
    made.attest("fleet", "BLOCK")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 10, output
    assert runs(made) == [NEW, OLD, OLD], "the confirmed device of the ring too, and no other ring"


def test_an_attestation_that_expires_while_a_wave_bakes(made: Made) -> None:
    made.write_plan(RINGS, bake_time_s=4.0)
    now = datetime.now(UTC)
    made.attest("canary", issued=timestamp(now), expires=timestamp(now + timedelta(seconds=5)))
    ended = made.run("start")
    assert ended.returncode == 40, ended.stdout
    assert "expired" in ended.stdout
    assert runs(made) == [OLD, OLD, OLD]
    made.attest("canary")
    made.attest("fleet")
    assert made.run("resume").returncode == 0


def test_firmware_that_does_not_answer_is_rolled_back(made: Made) -> None:
    """Each query goes unanswered with 15 %, and an installation takes more than 20: 0.85^40 pass both tries."""
    made.write_plan(RINGS, candidate="1.5.0-mute", attempts_max=2, bake_time_s=0.2)
    made.attest("canary", version="1.5.0-mute")
    ended = made.run("start")
    assert ended.returncode == 10, ended.stdout
    assert status(made)["devices"]["sim-a1"]["phase"] == "failed"
    assert runs(made) == [OLD, OLD, OLD]


def test_a_pause_is_honoured_while_baking_and_resume_bakes_on(made: Made) -> None:
    made.write_plan(RINGS, bake_time_s=20.0)
    made.attest("canary")
    made.attest("fleet")
    process = made.begin("start")
    until(lambda: device(made, "sim-a1") == "trial", "nothing on trial")
    baking_until = status(made)["baking_until"]
    with open_store(load_plan(made.file), made.folder) as store:
        store.wish("pause")
    until(lambda: status(made)["held"] is not None, "not paused before the end of baking", timeout_s=10.0)
    process.communicate(timeout=20)
    assert process.returncode == 20
    assert status(made)["held"]["paused"]
    assert made.running("sim-a1") == (CANDIDATE, False)
    resumed = made.begin("resume")
    until(lambda: status(made)["held"] is None, "it is not resumed")
    assert made.run("pause").returncode == 0
    resumed.communicate(timeout=20)
    resumed = made.begin("resume")
    until(lambda: status(made)["held"] is None, "it is not resumed again")
    assert status(made)["baking_until"] == baking_until
    until(lambda: device(made, "sim-a1") == "confirmed", "never confirmed")
    assert made.run("abort").returncode == 0
    output, _ = resumed.communicate(timeout=30)
    assert resumed.returncode == 10, output
    assert status(made)["phase"] == "aborted"
    assert runs(made) == [NEW, OLD, OLD]


@pytest.mark.parametrize(
    ("options", "left"),
    [((), [NEW, OLD, OLD]), (("--all",), [OLD, OLD, OLD]), (("--keep",), [NEW, (CANDIDATE, False), OLD])],
)
def test_abort_of_a_rollout_that_nobody_runs(made: Made, options: tuple[str, ...], left: list[Any]) -> None:
    made.write_plan(RINGS, bake_time_s=1.0)
    made.attest("canary")
    made.attest("fleet")
    process = made.begin("start")
    until(lambda: device(made, "sim-a2") == "trial", "nothing on trial")
    process.kill()
    process.communicate()
    aborted = made.run("abort", *options)
    assert aborted.returncode == 0, aborted.stdout + aborted.stderr
    assert runs(made) == left
    assert made.run("resume").returncode == 10


def test_step_by_step_for_cron(made: Made) -> None:
    made.write_plan({"canary": ["sim-a1"]}, bake_time_s=3.0)
    made.attest("canary")
    first = made.run("start", "--once")
    assert first.returncode == 20
    assert "baking until" in first.stdout
    assert device(made, "sim-a1") == "trial"
    left = datetime.fromisoformat(status(made)["baking_until"]) - datetime.now(UTC)
    time.sleep(max(0.0, left.total_seconds()))
    assert made.run("resume", "--until-idle").returncode == 0
    assert made.running("sim-a1") == NEW


def test_sigterm_ends_it_between_two_actions(made: Made) -> None:
    made.write_plan(RINGS, bake_time_s=30.0)
    made.attest("canary")
    process = made.begin("start")
    until(lambda: status(made)["baking_until"] is not None if made.status() else False, "it does not bake")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 20
    assert "interrupted; resume goes on" in output
    assert not status(made)["running"]
    outcomes = [entry["outcome"] for entry in made.audit() if entry["action"] == "rollout.start"]
    assert outcomes == ["begun", "running"]


def test_unknown_firmware_holds_the_ring_and_stays(made: Made) -> None:
    on_rig(made, "sim-a2", "1.5.0-jitter20", confirm=True)
    made.write_plan(RINGS, wave_size=2)
    made.attest("canary")
    made.attest("fleet")
    ended = made.run("start")
    assert ended.returncode == 30
    assert "sim-a2 runs neither baseline nor candidate" in ended.stdout
    assert runs(made) == [NEW, ("1.5.0-jitter20", True), OLD]


def test_a_device_on_the_candidate_is_not_touched(made: Made) -> None:
    on_rig(made, "sim-a1", CANDIDATE, confirm=True)
    before_s = uptime_s(made, "sim-a1")
    made.write_plan({"canary": ["sim-a1"]})
    made.attest("canary")
    assert made.run("start").returncode == 0
    assert uptime_s(made, "sim-a1") >= before_s, "it was booted"


def test_a_rig_that_somebody_else_holds(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    with lease("sim-a1", made.folder / "locks", wait_s=0):
        ended = made.run("start")
        assert ended.returncode == 30
        assert "out of reach" in ended.stdout
        assert "process" in ended.stdout, "it says who has it"
    made.attest("fleet")
    assert made.run("resume").returncode == 0


def test_one_attestation_for_one_rollout(made: Made) -> None:
    made.write_plan({"canary": ["sim-a1"]})
    made.attest("canary")
    assert made.run("start").returncode == 0
    made.write_plan({"canary": ["sim-a2"]}, name="r2")
    ended = made.run("start")
    assert ended.returncode == 40
    assert "another rollout used it" in ended.stdout
    assert made.running("sim-a2") == OLD


def test_a_plan_that_was_changed_meanwhile(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    made.run("start")
    made.write_plan({"canary": ["sim-a1"], "fleet": ["sim-a2"]})
    changed = made.run("resume")
    assert changed.returncode == 40
    assert "plan was changed" in changed.stderr


def test_only_a_releaser(made: Made) -> None:
    made.write_plan(RINGS, roles="roles.toml")
    made.attest("canary")
    roles = '[roles]\noperator = ["*"]\nreleaser = []\noverrider = []\n'
    (made.folder / "roles.toml").write_text(f"schema_version = 1\n{roles}")
    for verb in ("start", "resume", "abort", "pause"):
        ended = made.run(verb)
        assert ended.returncode == (40 if verb in ("start", "resume", "abort") else 64), (verb, ended.stderr)
    assert made.status() is None
    assert runs(made) == [OLD, OLD, OLD]


def test_everything_that_is_wrong_at_once(made: Made) -> None:
    made.write_plan(
        {"canary": ["sim-a1", "sim-a9"]}, bundles="pkg:qdhil_sim/builds", roles="none.toml", trust="none.toml"
    )
    planned = made.run("plan")
    assert planned.returncode == 64
    problems = [line for line in planned.stdout.splitlines() if line.startswith("PROBLEM")]
    assert len(problems) == 3
    for word in ("none.toml", "sim-a9", "roles"):
        assert any(word in problem for problem in problems), problems


def test_a_dead_rack_holds_and_rolls_nothing_back(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    made.attest("fleet")
    assert made.served is not None
    made.served.process.kill()
    made.served.process.wait()
    ended = made.run("start")
    assert ended.returncode == 30
    assert "out of reach" in ended.stdout
    made.restart_rack()
    assert made.run("resume").returncode == 0
    assert runs(made) == [NEW, NEW, NEW]


def test_whoever_watches_goes_away_and_the_rollout_goes_on(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    made.attest("fleet")
    with open("/dev/full", "w") as nowhere:  # noqa: PTH123 -- no file
        ended = subprocess.run(made.command("start"), stdout=nowhere, stderr=subprocess.PIPE, timeout=120, check=False)
    assert (ended.returncode, b"internal" in ended.stderr) == (0, False)
    assert runs(made) == [NEW, NEW, NEW]


def test_a_plan_that_was_changed_can_be_aborted(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    made.run("start")
    assert runs(made) == [NEW, OLD, OLD]
    made.write_plan({"other": ["sim-a2"]})
    assert made.run("resume").returncode == 40
    assert made.run("abort", "--all").returncode == 0
    assert runs(made) == [OLD, OLD, OLD]


def test_what_is_done_can_not_be_aborted(made: Made) -> None:
    made.write_plan({"canary": ["sim-a1"]})
    made.attest("canary")
    assert made.run("start").returncode == 0
    ended = made.run("abort", "--all")
    assert (ended.returncode, "is done" in ended.stderr) == (64, True)


def test_a_state_that_is_not_this_rollout_s(made: Made) -> None:
    made.write_plan(RINGS)
    made.attest("canary")
    made.run("start")
    file = made.folder / "state" / "r1.state.json"
    own = file.read_text()
    file.write_text(own.replace('"name": "r1"', '"name": "r2"'))
    for verb in ("resume", "abort", "pause"):
        ended = made.run(verb)
        assert (ended.returncode, "rollout r2" in ended.stderr) == (64, True)
    file.write_text(own.replace('"ring": 1', '"ring": 7'))
    damaged = made.run("resume")
    assert (damaged.returncode, "damaged" in damaged.stderr) == (64, True)


def test_an_abort_that_nobody_hears_is_done_by_whoever_asked(made: Made) -> None:
    """The engine was holding the rollout when it was asked, and ended in that moment without looking."""
    made.write_plan(RINGS, bake_time_s=30.0)
    made.attest("canary")
    assert made.run("start", "--once").returncode == 20
    with open_store(load_plan(made.file), made.folder) as store:
        with store.held():
            process = made.begin("abort")
            until(lambda: store.wished() == "abort", "it does not ask")
            pause = made.run("pause")
            assert (pause.returncode, "asked to abort" in pause.stderr) == (64, True)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert status(made)["phase"] == "aborted"
    assert runs(made) == [OLD, OLD, OLD]


def test_a_clock_that_is_set_makes_baking_neither_shorter_nor_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    passed_s = 100.0
    monkeypatch.setattr("qdhil.rollout.engine._now", lambda: now)
    monkeypatch.setattr("qdhil.rollout.engine.time.monotonic", lambda: passed_s)
    made_up = plan()
    engine = Engine(Parts(made_up, Path(), *[None] * 4), first(made_up))  # type: ignore[arg-type]
    until_then = (now + timedelta(seconds=60)).isoformat()
    assert not engine._baked(until_then)  # noqa: SLF001
    now += timedelta(hours=1)
    assert not engine._baked(until_then)  # noqa: SLF001
    now -= timedelta(days=400)
    passed_s += 60
    assert engine._baked(until_then)  # noqa: SLF001
    later = Engine(Parts(made_up, Path(), *[None] * 4), first(made_up))  # type: ignore[arg-type]
    assert not later._baked(until_then)  # noqa: SLF001
    passed_s += 60
    assert later._baked(until_then)  # noqa: SLF001


def test_a_rig_that_goes_out_of_service_on_trial_is_not_confirmed(made: Made) -> None:
    made.write_plan({"canary": ["sim-a1"]}, bake_time_s=4.0)
    made.attest("canary")
    process = made.begin("start")
    until(lambda: device(made, "sim-a1") == "trial", "nothing on trial")
    take_out_of_service("sim-a1", made.folder / "locks", "smoke")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, "smoke" in output) == (30, True), output
    assert made.running("sim-a1") == OLD
    return_to_service("sim-a1", made.folder / "locks")
    assert made.run("resume").returncode == 0
    assert made.running("sim-a1") == NEW


def test_unknown_firmware_that_came_after_the_look_is_not_installed_over(made: Made) -> None:
    made.write_plan({"canary": ["sim-a1"]})
    booted_s = on_rig(made, "sim-a1", "1.5.0-jitter20", confirm=True)
    prepared = prepare(made.file)
    with open_fleet(prepared.plan, made.folder, prepared.candidate, prepared.baseline) as fleet:
        fleet.install("sim-a1")
        assert fleet.observe("sim-a1").phase == "unknown"
    assert made.running("sim-a1") == ("1.5.0-jitter20", True)
    assert uptime_s(made, "sim-a1") >= booted_s, "it was booted"


def test_abort_needs_neither_the_firmware_s_key_nor_its_candidate(made: Made) -> None:
    bundles = signed(made)
    made.write_plan(RINGS, bundles="bundles", unsigned_bundles=False)
    made.attest("canary")
    started = made.run("start")
    assert (started.returncode, runs(made)) == (20, [NEW, OLD, OLD]), started.stdout + started.stderr
    write_trust(made.folder, trust_text())
    refused = made.run("resume")
    assert refused.returncode in (40, 64)
    shutil.rmtree(bundles / CANDIDATE)
    aborted = made.run("abort", "--all")
    assert aborted.returncode == 0, aborted.stdout + aborted.stderr
    assert (status(made)["phase"], runs(made)) == ("aborted", [OLD, OLD, OLD])


def test_abort_takes_the_baseline_by_its_digest_alone(made: Made) -> None:
    bundles = signed(made)
    made.write_plan(RINGS, bundles="bundles", unsigned_bundles=False, bake_time_s=60.0)
    made.attest("canary")
    assert made.run("start", "--once").returncode == 20
    assert made.running("sim-a1") == (CANDIDATE, False)
    write_trust(made.folder, "")
    assert made.run("resume").returncode == 64
    baseline, kept = bundles / BASELINE, made.folder / "kept"
    shutil.move(baseline, kept)
    for folder, code in ((None, 64), (bundles / CANDIDATE, 40)):
        if folder is not None:
            shutil.copytree(folder, baseline)
        refused = made.run("abort")
        assert refused.returncode == code, refused.stdout + refused.stderr
        for words in ("nothing to roll back to", status(made)["baseline"]["sha256"], "abort --keep"):
            assert words in refused.stderr, refused.stderr
    assert made.running("sim-a1") == (CANDIDATE, False)
    shutil.rmtree(baseline)
    shutil.move(kept, baseline)
    (baseline / "manifest.dsse.json").write_text("no signature")
    aborted = made.run("abort")
    assert aborted.returncode == 0, aborted.stdout + aborted.stderr
    assert runs(made) == [OLD, OLD, OLD]


def test_abort_that_keeps_needs_no_bundle_no_fleet_and_no_trust(made: Made) -> None:
    bundles = signed(made)
    made.write_plan(RINGS, bundles="bundles", unsigned_bundles=False, bake_time_s=60.0)
    made.attest("canary")
    assert made.run("start", "--once").returncode == 20
    shutil.rmtree(bundles)
    (made.folder / "trust.toml").unlink()
    rack = made.rack_file.rename(made.folder / "gone.toml")
    assert made.run("abort").returncode == 64
    aborted = made.run("abort", "--keep")
    assert aborted.returncode == 0, aborted.stdout + aborted.stderr
    rack.rename(made.rack_file)
    assert made.running("sim-a1") == (CANDIDATE, False)
    ended = status(made)
    assert (ended["phase"], ended["asked"]) == ("aborted", None)
    assert (ended["journal"][-1]["what"], ended["journal"][-1]["outcome"]) == ("asked", "abort-keep")
    said = [(entry["action"], entry["outcome"]) for entry in made.audit()][-3:]
    assert said == [("rollout.abort", "begun"), ("rollout.end", "aborted"), ("rollout.abort", "aborted")]
    assert not verify_log(made.folder / "audit.jsonl").problem


def test_a_wait_for_a_rig_hears_sigterm_and_pause(made: Made) -> None:
    made.write_plan(RINGS)
    made.file.write_text(made.file.read_text().replace('kind = "rigs"', 'kind = "rigs"\nlease_wait_s = 60'))
    made.attest("canary")
    assert made.run("start").returncode == 20
    locks = made.folder / "locks"
    with lease("sim-a1", locks, wait_s=0):
        process = made.begin("resume")
        until(lambda: status(made)["held"] is None, "it is not resumed")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert (process.returncode, "interrupted" in output) == (20, True), output
        assert device(made, "sim-a1") == "confirmed"
    made.attest("fleet")
    with lease("sim-a2", locks, wait_s=0):
        process = made.begin("resume")
        until(lambda: device(made, "sim-a2") == "installing", "it does not come to the second ring")
        with open_store(load_plan(made.file), made.folder) as store:
            store.wish("pause")
        until(lambda: status(made)["held"] is not None, "not paused while it waits", timeout_s=15.0)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 20, output
        assert (status(made)["held"]["paused"], device(made, "sim-a2")) == (True, "installing")
    assert made.run("resume").returncode == 0
    assert runs(made) == [NEW, NEW, NEW]
