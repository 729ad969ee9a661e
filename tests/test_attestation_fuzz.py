"""Mutated attestations: none is accepted with a changed payload, none ends in anything but a refusal."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from signing_made import ALICE, BOB, NOW, WANTED, attested, made_trust, opened

from qdhil.errors import RefusedError
from qdhil.gate.attestation import authenticate, verify
from qdhil.gate.overrides import request_override
from qdhil.keys.envelope import seal

ORIGINALS = (attested(), attested("BLOCK"), attested(expires="2026-11-23T12:00:01Z"))
INTERESTING = [0, 1, -1, 1e308, True, None, "", "PASS", "BLOCK", [], {}, "0" * 64, "2999-01-01T00:00:00Z", "\ud800"]
_ALPHABET = b'ABCxyz0189+/=-_"{}[]:,\\ \n\x00\xff\xc3'


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Flip, drop, add, double or cut bytes."""
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(mutant)) if mutant else 0
        match rng.randrange(6):
            case 0 if mutant:
                mutant[at] ^= 1 << rng.randrange(8)
            case 1:
                del mutant[at : at + rng.choice((1, 2, 16))]
            case 2:
                mutant[at:at] = bytes([rng.choice(_ALPHABET)])
            case 3 if mutant:
                mutant[at] = rng.choice(_ALPHABET)
            case 4:
                mutant[at:at] = mutant[at : at + rng.randrange(64)]
            case 5 if rng.random() < 0.2:
                del mutant[at:]
    return bytes(mutant)


def payload_changed(data: bytes, rng: random.Random) -> bytes:
    """Change bytes inside the payload, keep the envelope well-formed."""
    envelope = json.loads(data)
    payload = bytes_changed(base64.b64decode(envelope["payload"]), rng)
    envelope["payload"] = base64.b64encode(payload).decode()
    return json.dumps(envelope).encode()


def values_changed(data: bytes, rng: random.Random) -> bytes:
    """Change values and keys of the statement, keep it JSON."""
    envelope = json.loads(data)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    _change_somewhere(statement, rng)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(envelope).encode()


def envelope_changed(data: bytes, rng: random.Random) -> bytes:
    """Change values and keys of the envelope, or only its layout."""
    envelope = json.loads(data)
    if rng.random() < 0.8:
        _change_somewhere(envelope, rng)
    if isinstance(envelope.get("signatures"), list):
        rng.shuffle(envelope["signatures"])
    return json.dumps(envelope, indent=rng.choice((None, 0, 3)), sort_keys=rng.random() < 0.5).encode()


def signatures_exchanged(data: bytes, rng: random.Random) -> bytes:
    """Put the signatures of another attestation under this payload."""
    envelope, other = json.loads(data), json.loads(rng.choice(ORIGINALS))
    envelope["signatures"] = rng.sample(other["signatures"] + envelope["signatures"], rng.randrange(1, 4))
    return json.dumps(envelope).encode()


def _change_somewhere(value: Any, rng: random.Random) -> None:
    """Go down to a random place and exchange, drop, rename or double what is there."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.8:
            value = value[key]
            continue
        match rng.randrange(4):
            case 0:
                value[key] = rng.choice(INTERESTING)
            case 1:
                del value[key]
            case 2 if isinstance(value, list):
                value.append(value[key])
            case 3 if isinstance(value, dict):
                value[str(key) + rng.choice(("", "_", " "))] = value.pop(key)
            case _:
                value[key] = rng.choice(INTERESTING)
        return


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    bytes_changed,
    payload_changed,
    values_changed,
    envelope_changed,
    signatures_exchanged,
)


def fuzz(folder, count: int, seed: int) -> tuple[int, int]:
    """Return how many mutants were accepted, and how many of these had other bytes than an original."""
    trust, rng = made_trust(folder), random.Random(seed)
    wanted = replace(WANTED, policy_sha256=None)
    passing = {opened(data).payload for data in ORIGINALS if b"PASSED" in opened(data).payload}
    accepted = different = 0
    for number in range(count):
        original = rng.choice(ORIGINALS)
        mutant = MUTATIONS[number % len(MUTATIONS)](original, rng)
        try:
            verified = verify(mutant, trust, wanted, NOW)
        except RefusedError:
            continue
        if verified.accepted:
            accepted += 1
            assert opened(mutant).payload in passing, f"mutant {number} of seed {seed} was accepted: {mutant!r}"
            different += mutant not in ORIGINALS
        else:
            assert opened(mutant).payload == opened(ORIGINALS[1]).payload
    return accepted, different


def test_mutants_are_refused(tmp_path):
    accepted, different = fuzz(tmp_path, 2_000, seed=20261123)
    assert 0 < different <= accepted < 1_000, "the mutants never kept the payload, or hardly changed anything"


@pytest.mark.slow
def test_thirty_thousand_mutants_are_refused(tmp_path):
    accepted, different = fuzz(tmp_path, 30_000, seed=5)
    assert 0 < different <= accepted < 15_000


def test_mutated_overrides_open_nothing(tmp_path):
    trust, rng = made_trust(tmp_path), random.Random(20261123)
    undecided = attested("INCONCLUSIVE")
    signed = authenticate(undecided, trust)
    lifetime = timedelta(hours=4)
    reason = "two other racks passed"
    payload = request_override(signed, trust, "Alice", rings=("canary",), reason=reason, lifetime=lifetime, now=NOW)
    override = seal(payload, (ALICE, BOB)).encode()
    accepted = 0
    for number in range(1_000):
        mutant = MUTATIONS[number % 4](override, rng)
        try:
            verified = verify(undecided, trust, WANTED, NOW, override=(mutant, None))
        except RefusedError:
            continue
        accepted += verified.accepted
        assert opened(mutant).payload == payload, f"mutant {number} was accepted: {mutant!r}"
    assert 0 < accepted < 500
