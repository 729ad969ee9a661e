"""Rollouts over real simulated controllers, killed at random points: nothing is confirmed without a verified PASS."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rollout_made import BASELINE, CANDIDATE, FILE_STATE, Made, postgres, postgres_state, served
from signing_made import STRANGER

from qdhil.audit import verify_log
from qdhil.rack.lease import is_held
from qdhil.rack.service_state import state_of

RINGS = {"canary": ["sim-a1"], "early": ["sim-a2", "sim-a3"], "fleet": ["sim-a4"]}
ORDER = list(RINGS)
CODES = {"PASS": 0, "BLOCK": 10, "INCONCLUSIVE": 20, "INFRA": 30, "unverified": 40, "missing": 20}
SEED = 20261123
KILLS = 100
_LONGEST_S = 4.0
_RESUMES_MAX = 12


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="qdhil-pg-") as folder, postgres(Path(folder)) as conninfo:
        yield conninfo


class Scenario:
    """One rollout, what its verdicts are, and what was done to it."""

    def __init__(self, made: Made, seed: int) -> None:
        self.made = made
        self.random = random.Random(seed)
        self.verdicts = dict.fromkeys(ORDER, "PASS")
        if self.random.random() < 0.5:
            shut = self.random.choice(ORDER)
            self.verdicts[shut] = self.random.choice(["BLOCK", "INCONCLUSIVE", "INFRA", "unverified", "missing"])
        self.struck: Counter[str] = Counter()
        self.codes: list[int] = []
        self.forgot = False

    def lay_out(self) -> None:
        self.made.write_plan(RINGS, wave_size=2, bake_time_s=0.3, attempts_max=10)
        for ring, verdict in self.verdicts.items():
            if verdict == "unverified":
                self.made.attest(ring, signers=(STRANGER,))
            elif verdict != "missing":
                self.made.attest(ring, verdict)

    def run(self) -> None:
        """Run it, strike it one to three times, and resume it until it stands still by itself."""
        verb = "start"
        for _ in range(self.random.randint(1, 3)):
            process = self.made.begin(verb)
            struck = self._strike(process)
            self.codes.append(self._ended(process))
            verb = "start" if self.made.status() is None else "resume"
            if not struck:
                break
        for _ in range(_RESUMES_MAX):
            done = self.made.run(verb)
            self.codes.append(done.returncode)
            assert done.returncode in CODES.values(), done.stdout + done.stderr
            verb = "resume"
            state = self.made.status()
            assert state is not None
            stands = state["phase"] in ("done", "rolled back", "aborted")
            if stands or done.returncode == CODES[self.shut or "PASS"]:
                return
        pytest.fail(f"it does not end: {self.codes} {state}")

    def _strike(self, process: subprocess.Popen[str]) -> bool:
        kind = self.random.choice(["engine"] * 5 + ["rack", "power"])
        try:
            process.wait(self.random.uniform(0.3, _LONGEST_S))
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        self.struck[kind] += 1
        if kind == "engine":
            process.kill()
        elif kind == "power":
            rig = self.random.choice([rig for rigs in RINGS.values() for rig in rigs])
            self.made.power(rig, on=False)
            time.sleep(self.random.uniform(0, 0.5))
            self.made.power(rig, on=True)
        else:
            self.forgot = True
            if self.random.random() < 0.5:
                process.kill()
            self.made.restart_rack()
        return True

    def _ended(self, process: subprocess.Popen[str]) -> int:
        output, _ = process.communicate(timeout=120)
        assert process.returncode in {-9, *CODES.values()}, output
        assert "Traceback" not in output
        return process.returncode

    def _before(self, ring: str) -> str:
        """The verdict that shuts a ring or one before it, or PASS."""
        said = [self.verdicts[name] for name in ORDER[: ORDER.index(ring) + 1]]
        return next((verdict for verdict in said if verdict != "PASS"), "PASS")

    @property
    def shut(self) -> str | None:
        return next((verdict for verdict in self.verdicts.values() if verdict != "PASS"), None)

    def check(self) -> None:
        """Ask the controllers themselves, and every record, what was done."""
        open_rings = [ring for ring in ORDER if self._before(ring) == "PASS"]
        state, entries = self.made.status(), self.made.audit()
        assert state is not None
        for ring, rigs in RINGS.items():
            for rig in rigs:
                runs = self.made.running(rig)
                allowed = {(CANDIDATE, True)} if ring in open_rings else {(BASELINE, True)}
                if self.forgot and state["phase"] in ("done", "rolled back"):
                    allowed.add((BASELINE, True))  # the rack may have died after the last word
                assert runs in allowed, f"{rig} of {ring}: {runs}, {self.verdicts} {self.codes} {self.struck}"
                notes = state_of(rig, self.made.folder / "locks")
                assert notes.visit is None, notes
                assert notes.out_of_service is None, notes
                assert not is_held(rig, self.made.folder / "locks")
        shut = self.shut
        assert self.codes[-1] == CODES[shut or "PASS"]
        assert state["phase"] == {None: "done", "BLOCK": "rolled back"}.get(shut, "running")
        self._check_records(state, entries, open_rings)

    def _check_records(self, state: dict[str, Any], entries: list[dict[str, Any]], open_rings: list[str]) -> None:
        examined = verify_log(self.made.folder / "audit.jsonl")
        assert not examined.problem
        ring_of = {rig: ring for ring, rigs in RINGS.items() for rig in rigs}
        opened: set[str] = set()
        said: Counter[tuple[str, str, str]] = Counter()
        for entry in entries:
            what = (entry["action"], entry["subject"], entry["outcome"])
            said[what] += 1
            if entry["action"] == "rollout.ring":
                opened.discard(entry["subject"])
                opened |= {entry["subject"]} if entry["outcome"] == "open" else set()
                assert entry["outcome"] != "open" or entry["subject"] in open_rings, "opened without a verified PASS"
            if entry["action"] in ("rollout.install", "rollout.confirm"):
                assert ring_of[entry["subject"]] in opened, f"{what} while the ring was shut"
        revisions = [entry["revision"] for entry in state["journal"]]
        assert revisions == sorted(revisions)
        assert set(revisions) == set(range(state["revision"] + 1)), "a line of the journal is missing"
        for entry in state["journal"]:
            if entry["what"].startswith("intent: "):
                verb = entry["what"].removeprefix("intent: ").replace(" ", "-")
                assert said["rollout." + verb, entry["subject"], "begun"], "an intent that the audit log does not know"
        for rig, device in state["devices"].items():
            if device["phase"] == "confirmed":
                assert said["rollout.device", rig, "confirmed"], "confirmed, and the audit log does not say so"


def kill_one(folder: Path, seed: int, state: str) -> Scenario:
    with served(folder, 4, state) as made:
        scenario = Scenario(made, seed)
        scenario.lay_out()
        scenario.run()
        scenario.check()
    return scenario


def state_for(number: int, database: str) -> str:
    return postgres_state(database, f"kill_{number}") if number % 2 else FILE_STATE


@pytest.mark.parametrize("number", range(5))
def test_a_killed_rollout(tmp_path: Path, database: str, number: int) -> None:
    kill_one(tmp_path, SEED + number, state_for(number, database))


@pytest.mark.slow
def test_a_hundred_killed_rollouts(tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    struck: Counter[str] = Counter()
    shut: Counter[str] = Counter()
    strikes = 0
    for number in range(KILLS):
        seed = SEED + 1000 + 50 * number
        while True:  # every one of the hundred was struck at least once
            scenario = kill_one(tmp_path / str(seed), seed, state_for(number, database))
            if scenario.struck:
                break
            seed += 1
        struck += scenario.struck
        strikes += sum(scenario.struck.values())
        shut[scenario.shut or "PASS"] += 1
        with capsys.disabled():
            print(number, seed, dict(scenario.verdicts), dict(scenario.struck), scenario.codes, flush=True)  # noqa: T201
    with capsys.disabled():
        print(f"{KILLS} rollouts, {strikes} strikes: {dict(struck)}; first shut ring: {dict(shut)}")  # noqa: T201
