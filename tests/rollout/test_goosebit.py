"""``qdhil rollout`` through a real goosebit server onto three devices with a real swupdate each."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles_made import made_bundle
from signing_made import POLICY, trust_text

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.firmware.bundle import Bundle
from qdhil.rollout.goosebit import GoosebitFleet
from rollout import vectors
from rollout.conftest import PASSWORD, Goosebit, Registered, free_port
from rollout.swupdate_made import HARDWARE, Signer, SwupdateDevice, make_swu
from rollout.vectors import Vector

BASELINE, CANDIDATE = "1.4.0", "1.5.0"
HELD = tuple(
    vector
    for vector in vectors.load()
    if vector.answer.ring == "hold" and (vector.verdict == "pass" or vector.signature == "good")
)
"""What would open the ring if it were believed; another verdict behind a broken signature opens it even less."""
OPENED, HARMFUL, UNDECIDED, FAULTY = vectors.load()[:4]
_names = itertools.count()

Fleet = dict[str, SwupdateDevice]


class Rollout:
    """A plan of a canary ring of one device and a second ring of two, in a folder of its own."""

    def __init__(self, folder: Path, goosebit: Goosebit, signer: Signer) -> None:
        self._folder, self._rollout = folder, f"r{next(_names)}"
        self.ring_names = (f"{self._rollout}-canary", f"{self._rollout}-ring1")
        self.bundles = {
            version: made_bundle(folder / "bundles" / version, make_swu(version, signer), sequence=number, signers=())
            for number, version in enumerate((BASELINE, CANDIDATE), 1)
        }
        folder.joinpath("trust.toml").write_text(trust_text())
        self.write_plan(goosebit.url, goosebit.credentials)

    def write_plan(self, url: str, credentials: Path, bake_time_s: float = 0.5) -> None:
        canary, ring1 = self.ring_names
        self.file.write_text(
            f'schema_version = 1\nname = "{self._rollout}"\ncandidate = "{CANDIDATE}"\nbaseline = "{BASELINE}"\n'
            f'bundles = "bundles"\nunsigned_bundles = true\nhardware = ["{HARDWARE}"]\npolicy_sha256 = "{POLICY}"\n'
            f'install_timeout_s = 30\npoll_s = 0.2\n[state]\nkind = "file"\nfolder = "state"\n'
            f'[fleet]\nkind = "goosebit"\nurl = "{url}"\ncredentials = "{credentials}"\n'
            f'[[rings]]\nname = "{canary}"\nselect = ["feed:{canary}"]\nbake_time_s = {bake_time_s}\n'
            f'[[rings]]\nname = "{ring1}"\nselect = ["feed:{ring1}"]\nbake_time_s = {bake_time_s}\nwave_size = 2\n'
        )

    @property
    def file(self) -> Path:
        return self._folder / "rollout.toml"

    @property
    def candidate(self) -> Bundle:
        return self.bundles[CANDIDATE]

    def attest(self, ring: int, vector: Vector) -> None:
        """Put an attestation where a ring looks for it."""
        scope = {"hardware": [HARDWARE], "rings": [self.ring_names[ring]]}
        firmware = {"version": CANDIDATE, "sha256": self.candidate.sha256}
        nonce = {"nonce": f"{next(_names):032x}"}
        data = vectors.attestation(vector, **{"candidate": firmware, "scope": scope, **nonce, **vectors.now_times()})
        self.attestation(ring).unlink(missing_ok=True)
        if data is not None:
            self.attestation(ring).write_bytes(data)

    def attestation(self, ring: int) -> Path:
        return self._folder / f"{self.ring_names[ring]}.attestation.json"

    def qdhil(self, verb: str, *more: str) -> tuple[int, str]:
        command = [Path(sys.executable).with_name("qdhil"), "rollout", verb, self.file, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        said = done.stdout + done.stderr
        assert PASSWORD not in said
        return done.returncode, said

    def feed(self, ring: int, version: str = CANDIDATE) -> str:
        return f"{self.ring_names[ring]}+qdhil-{self.bundles[version].sha256[:12]}"


@pytest.fixture
def rollout(tmp_path: Path, goosebit: Goosebit, signer: Signer) -> Rollout:
    (tmp_path / "plan").mkdir()
    return Rollout(tmp_path / "plan", goosebit, signer)


@pytest.fixture
def fleet(rollout: Rollout, registered: Registered) -> Callable[..., Fleet]:
    """Three devices: one in the canary ring, two in the next."""

    def make(**canary: Any) -> Fleet:
        first, second = rollout.ring_names
        rings = {f"{first}-a": first, f"{second}-a": second, f"{second}-b": second}
        return {name: registered(name, ring, **(canary if ring == first else {})) for name, ring in rings.items()}

    return make


def versions(fleet: Fleet) -> list[str]:
    return [device.runs for device in fleet.values()]


def known(goosebit: Goosebit, fleet: Fleet) -> list[tuple[str, str]]:
    return [(goosebit.device(name)["last_state"], goosebit.device(name)["sw_version"]) for name in fleet]


def test_a_pass_brings_the_candidate_to_the_canary_and_then_to_the_next_ring(goosebit, rollout, fleet):
    devices = fleet()
    rollout.attest(0, OPENED)
    rollout.attest(1, OPENED)
    assert rollout.qdhil("plan")[0] == 0
    assert goosebit.feeds().get(rollout.feed(0)) is None  # a plan changes nothing
    code, said = rollout.qdhil("start")
    assert (code, versions(devices)) == (0, [CANDIDATE] * 3), said
    assert known(goosebit, devices) == [("Finished", CANDIDATE)] * 3
    counts = {entry["feed"]: (entry["success_count"], entry["failure_count"]) for entry in goosebit.api.rollouts()}
    assert (counts[rollout.feed(0)], counts[rollout.feed(1)]) == ((1, 0), (2, 0))


def test_a_block_for_the_next_ring_leaves_it_untouched(goosebit, rollout, fleet):
    devices = fleet()
    rollout.attest(0, OPENED)
    rollout.attest(1, HARMFUL)
    code, said = rollout.qdhil("start")
    assert (code, versions(devices)) == (10, [CANDIDATE, BASELINE, BASELINE]), said
    assert rollout.feed(1) not in goosebit.feeds()


def test_a_block_while_the_canary_bakes_takes_the_candidate_back_from_it(goosebit, rollout, fleet):
    devices = fleet()
    rollout.attest(0, OPENED)
    rollout.attest(1, OPENED)
    rollout.write_plan(goosebit.url, goosebit.credentials, bake_time_s=2)
    assert rollout.qdhil("start", "--once")[0] == 20
    assert versions(devices)[0] == CANDIDATE
    rollout.attest(0, HARMFUL)
    code, said = rollout.qdhil("resume")
    assert (code, versions(devices)) == (10, [BASELINE] * 3), said
    assert goosebit.feeds()[rollout.feed(0)] is False  # paused
    assert rollout.feed(1) not in goosebit.feeds()


def test_a_device_that_fails_its_own_check_stops_the_rollout(goosebit, rollout, fleet):
    devices = fleet(fails=[CANDIDATE])
    rollout.attest(0, OPENED)
    rollout.attest(1, OPENED)
    code, said = rollout.qdhil("start")
    assert (code, versions(devices)) == (10, [BASELINE] * 3), said
    assert goosebit.feeds()[rollout.feed(0)] is False
    assert rollout.feed(1) not in goosebit.feeds()
    (canary,) = (entry for entry in goosebit.api.rollouts() if entry["feed"] == rollout.feed(0))
    assert (canary["success_count"], canary["failure_count"]) == (0, 1)


def test_what_proves_nothing_holds_the_next_ring(goosebit, rollout, fleet, tmp_path):
    """Every row of the table that holds, one after the other, against one fleet whose canary has passed."""
    devices = fleet()
    rollout.attest(0, OPENED)
    rollout.attest(1, UNDECIDED)
    code, said = rollout.qdhil("start")
    assert (code, versions(devices)) == (20, [CANDIDATE, BASELINE, BASELINE]), said
    wrong = []
    for vector in HELD:
        rollout.attest(1, vector)
        code, said = rollout.qdhil("resume")
        if code not in (20, 30, 40) or (vector.transport == "ok" and code != vector.answer.exit):
            wrong.append((vector.name, code, said))
    assert wrong == []
    assert versions(devices) == [CANDIDATE, BASELINE, BASELINE]
    assert rollout.feed(1) not in goosebit.feeds()
    rollout.attest(1, OPENED)  # and it is a hold: what proves something opens the ring
    code, said = rollout.qdhil("resume")
    assert (code, versions(devices)) == (0, [CANDIDATE] * 3), said


def test_a_server_that_is_gone_holds(goosebit, rollout, fleet):
    devices = fleet()
    rollout.attest(0, OPENED)
    rollout.write_plan(f"http://127.0.0.1:{free_port()}", goosebit.credentials)
    code, said = rollout.qdhil("start")
    assert (code, versions(devices)) == (30, [BASELINE] * 3), said


@pytest.mark.parametrize("shown", [OPENED, UNDECIDED, None], ids=["pass", "inconclusive", "nothing"])
def test_a_device_with_the_veto_installs_only_what_it_verified_itself(goosebit, rollout, fleet, tmp_path, shown):
    """The server's ring is open; the device goes by the attestation that it was shown."""
    (tmp_path / "agent.toml").write_text(
        f'schema_version = 1\nhardware = "{HARDWARE}"\nring = "{rollout.ring_names[0]}"\n'
        f'trust = "plan/trust.toml"\npolicy_sha256 = "{POLICY}"\n[attestations]\nfolder = "verdicts"\n'
    )
    devices = fleet(veto=tmp_path / "agent.toml")
    canary = next(iter(devices.values()))
    (tmp_path / "verdicts").mkdir()
    if shown is not None:
        rollout.attest(0, shown)
        shutil.copy(rollout.attestation(0), tmp_path / "verdicts" / f"{rollout.candidate.sha256}.attestation.json")
    rollout.attest(0, OPENED)
    code, said = rollout.qdhil("start")
    runs, vetoed = (CANDIDATE, 0) if shown is OPENED else (BASELINE, 1)
    asked = re.findall(
        r"^\[TRACE\].*\[run_system_cmd\] : qdhil agent verify .* returned (\d+)", canary.log, re.MULTILINE
    )
    exit_code = 64 if shown is None else shown.answer.exit
    # a progress report that comes late has goosebit offer it again: it asks again then
    assert (canary.runs, set(asked)) == (runs, {str(exit_code)})
    assert ("Image invalid or corrupted. Not installing" in canary.log) == bool(vetoed)
    assert (code, versions(devices)[1:]) == (10 if vetoed else 20, [BASELINE] * 2), said


@pytest.fixture
def adapter(goosebit: Goosebit, rollout: Rollout) -> GoosebitFleet:
    return GoosebitFleet(goosebit.api, rollout.candidate, rollout.bundles[BASELINE], install_timeout_s=1, poll_s=0.1)


def test_every_verb_may_be_repeated_and_a_pause_of_goosebit_is_respected(goosebit, rollout, registered, adapter):
    name = rollout.ring_names[0]
    registered(name, name).stop()
    assert adapter.observe(name).phase == "baseline"
    for _ in range(2):
        adapter.install(name)
    assert (adapter.observe(name).phase, goosebit.device(name)["feed"]) == ("installing", rollout.feed(0))
    (number,) = (entry["id"] for entry in goosebit.api.rollouts() if entry["feed"] == rollout.feed(0))
    goosebit.api.pause([number], paused=True)
    with pytest.raises(InfraFault, match="paused"):
        adapter.install(name)
    for _ in range(2):
        adapter.roll_back(name)
    assert (adapter.observe(name).phase, goosebit.device(name)["feed"]) == ("baseline", rollout.feed(0, BASELINE))
    adapter.install(name)
    assert goosebit.feeds()[rollout.feed(0)] is True  # it was empty: nobody's pause but the rollout's own
    goosebit.api.move(name, "elsewhere", force=False)
    assert adapter.observe(name).phase == "baseline"
    assert adapter.observe("nobody").phase == "unreachable"


def test_a_file_that_only_looks_like_the_candidate_is_not_rolled_out(goosebit, rollout, registered, signer):
    name = rollout.ring_names[0]
    registered(name, name).stop()
    version = f"7.0.{name.partition('-')[0][1:]}"
    goosebit.api.upload("other.swu", make_swu(version, signer, image=b"something else"))
    mine = made_bundle(rollout.file.parent / "7", make_swu(version, signer), sequence=7, signers=())
    fleet = GoosebitFleet(goosebit.api, mine, rollout.bundles[BASELINE], install_timeout_s=1, poll_s=0.1)
    with pytest.raises(ConfigurationError, match="another file of this version"):
        fleet.install(name)
    assert (goosebit.device(name)["feed"], fleet.observe(name).phase) == (name, "baseline")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.write_text("releaser\nwrong\n"), "may not log in"),
        (lambda file: file.write_text("releaser"), "a line each"),
        (lambda file: file.chmod(0o644), "chmod 600"),
        (lambda file: file.unlink(), "a line each"),
    ],
)
def test_credentials_that_are_none_are_said_without_repeating_them(goosebit, rollout, tmp_path, change, words):
    credentials = tmp_path / "credentials"
    credentials.write_text(f"releaser\n{PASSWORD}\n")
    credentials.chmod(0o600)
    change(credentials)
    rollout.write_plan(goosebit.url, credentials)
    code, said = rollout.qdhil("start")
    assert (code, words in said) == (64, True), said


def test_a_password_does_not_travel_in_clear(goosebit, rollout):
    rollout.write_plan("http://goosebit.example.org", goosebit.credentials)
    code, said = rollout.qdhil("start")
    assert (code, "must not travel in clear" in said) == (64, True)
