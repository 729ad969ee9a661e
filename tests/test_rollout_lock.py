"""The lock of a ring: every row of the table, and what it keeps of the attestation that opened it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rollout.vectors import Vector, attestation, load
from signing_made import ALICE, BOB, CANDIDATE, NOW, POLICY, attested, claim_data, made_trust, metric
from test_rollout_machine import plan as made_plan

from qdhil.errors import RefusedError
from qdhil.gate.attestation import Wanted
from qdhil.keys.trust import Trust
from qdhil.rollout.lock import Answer, Opening, ask_lock, open_ring
from qdhil.rollout.store_file import FileStore

WANTED = Wanted(CANDIDATE, "psc-2-rev-b", "canary", POLICY)
RING = {Answer.OPEN: "open", Answer.ROLL_BACK: "roll back", Answer.HOLD: "hold", Answer.REFUSE: "hold"}


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return made_trust(tmp_path)


@pytest.fixture
def claim(tmp_path: Path) -> Callable[[str], None]:
    store = FileStore(tmp_path / "state", "r1")
    return lambda nonce: store.claim_nonce(nonce, "this rollout")


@pytest.mark.parametrize("vector", load(), ids=lambda vector: vector.name)
def test_every_row_of_the_table(vector: Vector, trust: Trust, claim: Callable[[str], None]) -> None:
    data = attestation(vector)
    if vector.signature == "replayed":
        open_ring(data, trust, [WANTED], NOW, claim_nonce=claim)
    found = open_ring(data, trust, [WANTED], NOW, claim_nonce=claim)
    assert RING[found.answer] == vector.answer.ring
    believed = vector.transport == "ok" and vector.signature in ("good", "replayed")
    if believed:
        assert int(found.exit_code) == {"pass": 0, "block": 10, "inconclusive": 20, "infra": 30}[vector.verdict]
    else:
        assert found.answer in (Answer.HOLD, Answer.REFUSE)
        assert int(found.exit_code) == (20 if data is None else 40)


@pytest.mark.parametrize(
    "wanted",
    [
        replace(WANTED, firmware_sha256="9" * 64),
        replace(WANTED, hardware="psc-2-rev-c"),
        replace(WANTED, ring="fleet"),
        replace(WANTED, policy_sha256="9" * 64),
        replace(WANTED, policy_sha256=None),
    ],
    ids=["firmware", "hardware", "ring", "policy", "any policy"],
)
def test_it_opens_for_exactly_this(wanted: Wanted, trust: Trust, claim: Callable[[str], None]) -> None:
    assert open_ring(attested(), trust, [WANTED], NOW, claim_nonce=claim).answer is Answer.OPEN
    for several in ([wanted], [WANTED, wanted], [wanted, WANTED]):
        assert open_ring(attested(), trust, several, NOW, claim_nonce=claim).answer is Answer.REFUSE
    assert open_ring(attested(), trust, [], NOW, claim_nonce=claim).answer is Answer.REFUSE


def test_one_attestation_opens_rings_of_one_rollout_only(trust: Trust, tmp_path: Path) -> None:
    store = FileStore(tmp_path / "state", "r1")

    def ask(rollout: str, ring: str = "canary") -> Opening:
        wanted = [replace(WANTED, ring=ring)]
        return open_ring(attested(), trust, wanted, NOW, claim_nonce=lambda nonce: store.claim_nonce(nonce, rollout))

    assert [ask("one").answer, ask("one").answer, ask("one", "early").answer] == [Answer.OPEN] * 3
    again = ask("two")
    assert again.answer is Answer.REFUSE
    assert "another rollout" in again.reason


def test_a_nonce_is_kept_for_a_pass_only(trust: Trust) -> None:
    kept: list[str] = []
    for verdict in ("BLOCK", "INCONCLUSIVE", "INFRA"):
        open_ring(attested(verdict), trust, [WANTED], NOW, claim_nonce=kept.append)
    open_ring(
        attested(candidate={"version": "9.9.9", "sha256": "9" * 64}), trust, [WANTED], NOW, claim_nonce=kept.append
    )
    assert kept == []


def test_what_has_expired_opens_nothing(trust: Trust, claim: Callable[[str], None]) -> None:
    for hours, answer in ((11.9, Answer.OPEN), (12, Answer.REFUSE)):
        now = NOW + timedelta(hours=hours)
        assert open_ring(attested(), trust, [WANTED], now, claim_nonce=claim).answer is answer


def test_a_nonce_that_can_not_be_kept_opens_nothing(trust: Trust) -> None:
    def fail(nonce: str) -> None:
        raise RefusedError("no room for it")

    assert open_ring(attested(), trust, [WANTED], NOW, claim_nonce=fail).answer is Answer.REFUSE


def test_people_open_no_ring(trust: Trust, claim: Callable[[str], None]) -> None:
    """An attestation of INCONCLUSIVE that people signed as well stays what it is."""
    data = attested("INCONCLUSIVE", signers=(ALICE, BOB))
    assert open_ring(data, trust, [WANTED], NOW, claim_nonce=claim).answer is Answer.REFUSE


def test_a_pass_that_misses_a_required_metric(trust: Trust, claim: Callable[[str], None]) -> None:
    metrics = [metric(rig, "brightness.detected") for rig in claim_data()["rigs"]]
    assert open_ring(attested(metrics=metrics), trust, [WANTED], NOW, claim_nonce=claim).answer is Answer.REFUSE


def test_trust_and_attestation_are_read_anew_each_time(tmp_path: Path, trust: Trust) -> None:
    plan = made_plan().model_copy(update={"hardware": ("psc-2-rev-b",), "policy_sha256": POLICY})

    def ask() -> Opening:
        return ask_lock(plan, plan.rings[0], tmp_path, CANDIDATE, NOW, claim_nonce=lambda _: None)

    missing = ask()
    assert (missing.answer, int(missing.exit_code)) == (Answer.HOLD, 20)
    file = plan.attestation_file(plan.rings[0], tmp_path)
    file.write_bytes(attested())
    assert ask().answer is Answer.OPEN
    file.write_bytes(attested("BLOCK"))
    assert ask().answer is Answer.ROLL_BACK
    file.write_bytes(attested())
    text = (tmp_path / "trust.toml").read_text()
    (tmp_path / "trust.toml").write_text(text.replace("threshold = 2", "threshold = 3", 1))
    assert (ask().answer, int(ask().exit_code)) == (Answer.HOLD, 64)
    assert "threshold 3" in ask().reason
    file.unlink()
    file.mkdir()
    (tmp_path / "trust.toml").write_text(text)
    assert (ask().answer, int(ask().exit_code)) == (Answer.HOLD, 30)


def test_a_pipe_in_place_of_the_attestation_holds_the_ring_and_not_the_engine(tmp_path: Path, trust: Trust) -> None:
    plan = made_plan().model_copy(update={"hardware": ("psc-2-rev-b",), "policy_sha256": POLICY})
    os.mkfifo(plan.attestation_file(plan.rings[0], tmp_path))
    found = ask_lock(plan, plan.rings[0], tmp_path, CANDIDATE, NOW, claim_nonce=lambda _: None)
    assert (found.answer, int(found.exit_code)) == (Answer.HOLD, 30)
    assert "not a file" in found.reason
