"""Overrides: two people, an undecided verdict, a ceiling and an end; anything else opens nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from signing_made import (
    ALICE,
    BOB,
    BOB_TOO,
    CI,
    NOW,
    STRANGER,
    WANTED,
    attested,
    made_trust,
    opened,
    trust_text,
    write_trust,
)

from qdhil.errors import RefusedError
from qdhil.gate.attestation import authenticate, verify
from qdhil.gate.overrides import read_override, request_override, revoke, state_of
from qdhil.keys.envelope import seal
from qdhil.keys.strict_json import to_json
from qdhil.keys.trust import Trust, load_trust

REASON = "the cryostat warmed up twice; two other racks passed"


@pytest.fixture(scope="module")
def trust(tmp_path_factory) -> Trust:
    return made_trust(tmp_path_factory.mktemp("trust"))


def requested(trust, attestation, *, hours=4.0, rings=("canary",), person="Alice", now=NOW) -> bytes:
    return request_override(
        authenticate(attestation, trust),
        trust,
        person,
        rings=rings,
        reason=REASON,
        lifetime=timedelta(hours=hours),
        now=now,
    )


def changed(payload: bytes, **changes) -> bytes:
    statement = json.loads(payload)
    statement["predicate"] |= changes
    return to_json(statement)


def signed(payload: bytes, *signers) -> bytes:
    return seal(payload, signers or (ALICE, BOB)).encode()


@pytest.mark.parametrize("verdict", ["INCONCLUSIVE", "INFRA"])
def test_two_people_open_an_undecided_verdict(trust, verdict):
    data = attested(verdict)
    verified = verify(data, trust, WANTED, NOW, override=(signed(requested(trust, data)), None))
    assert verified.accepted
    assert str(verified.verdict) == verdict
    assert set(verified.override.people) == {"Alice", "Bob"}
    assert not verify(data, trust, WANTED, NOW).accepted


def test_proven_harm_is_never_overridden(trust):
    with pytest.raises(RefusedError, match="a BLOCK can't be overridden"):
        requested(trust, attested("BLOCK"))
    # nor by an override made by hand, or one of an earlier, undecided attestation
    undecided = requested(trust, attested("INCONCLUSIVE"))
    blocked = attested("BLOCK")
    digest = authenticate(blocked, trust).payload_sha256
    bent = json.loads(undecided)
    bent["subject"][0]["digest"]["sha256"] = bent["predicate"]["attestation_sha256"] = digest
    for payload in (undecided, to_json(bent), changed(to_json(bent), verdict="BLOCK")):
        with pytest.raises(RefusedError):
            verify(blocked, trust, WANTED, NOW, override=(signed(payload), None))


def test_a_pass_needs_no_override(trust):
    undecided = requested(trust, attested("INFRA"))
    verified = verify(attested(), trust, WANTED, NOW, override=(signed(undecided), None))
    assert verified.accepted
    assert verified.override is None


REFUSALS = {
    "one person": (lambda p: signed(p, ALICE), "takes 2 people"),
    "one person with a machine's key": (lambda p: signed(p, ALICE, CI), "takes 2 people"),
    "one person and a stranger": (lambda p: signed(p, ALICE, STRANGER), "takes 2 people"),
    "two keys of one person": (lambda p: signed(changed(p, requested_by="Bob"), BOB, BOB_TOO), "Bob alone"),
    "asked by nobody who signed": (lambda p: signed(changed(p, requested_by="Carol")), "who asked"),
    "no trusted key": (lambda p: signed(p, STRANGER), "who asked"),
    "edited after signing": (
        lambda p: replace(opened(signed(p)), payload=changed(p, rings=["canary", "early"])).encode(),
        "not its signature",
    ),
    "above the ceiling": (lambda p: signed(changed(p, rings=["canary", "early"])), "above the ceiling"),
    "outside the attestation": (lambda p: signed(changed(p, rings=["fleet"])), "above the ceiling"),
    "lasts too long": (lambda p: signed(changed(p, expires="2026-11-24T12:00:00Z")), "last longer"),
    "ends before it begins": (
        lambda p: signed(changed(p, issued="2026-11-23T12:00:30Z", expires="2026-11-23T12:00:20Z")),
        "lasts longer",
    ),
    "other verdict": (lambda p: signed(changed(p, verdict="INFRA")), "for the verdict INFRA"),
    "other firmware": (lambda p: signed(changed(p, firmware_sha256="e" * 64)), "another attestation"),
    "other attestation": (lambda p: signed(changed(p, attestation_sha256="e" * 64)), "contradicts"),
    "no reason": (lambda p: signed(changed(p, reason="")), "reason"),
    "a field too many": (lambda p: signed(changed(p, also=1)), "Extra inputs"),
    "not an override": (lambda p: attested("INCONCLUSIVE"), "predicateType"),
    "garbage": (lambda p: b"{", "not plain JSON"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_less_than_an_override_opens_nothing(trust, name):
    make, words = REFUSALS[name]
    data = attested("INCONCLUSIVE")
    with pytest.raises(RefusedError) as refused:
        verify(data, trust, WANTED, NOW, override=(make(requested(trust, data)), None))
    assert words in str(refused.value), str(refused.value)


def test_it_ends(trust):
    data = attested("INCONCLUSIVE")
    override = signed(requested(trust, data, hours=4))
    assert verify(data, trust, WANTED, NOW + timedelta(hours=3.9), override=(override, None)).accepted
    with pytest.raises(RefusedError, match="override: expired"):
        verify(data, trust, WANTED, NOW + timedelta(hours=4), override=(override, None))


def test_it_opens_its_rings_only(trust):
    data = attested("INCONCLUSIVE")
    override = signed(requested(trust, data))
    with pytest.raises(RefusedError, match="opens canary only"):
        verify(data, trust, replace(WANTED, ring="early"), NOW, override=(override, None))


@pytest.mark.parametrize(("hours", "rings"), [(9, ("canary",)), (4, ("early",)), (4, ("canary", "fleet"))])
def test_a_request_beyond_the_ceiling_is_not_made(trust, hours, rings):
    with pytest.raises(RefusedError):
        requested(trust, attested("INFRA"), hours=hours, rings=rings)


def test_a_revoked_one_opens_nothing_and_a_bent_revocation_neither(trust):
    data = attested("INCONCLUSIVE")
    override = signed(requested(trust, data))
    read = read_override(opened(override), trust)
    revoked = signed(revoke(read, "the harm was seen since", NOW), BOB)
    for revocation, words in (
        (revoked, "revoked: the harm"),
        (b"{", "revocation: "),
        (signed(b"{}", BOB), "revocation"),
    ):
        with pytest.raises(RefusedError, match=words):
            verify(data, trust, WANTED, NOW, override=(override, revocation))
    assert state_of(read, True, NOW) == "revoked"
    assert state_of(read, False, NOW) == "approved"
    assert state_of(read, False, NOW + timedelta(days=1)) == "expired"
    assert state_of(read_override(opened(signed(opened(override).payload, ALICE)), trust), False, NOW) == "requested"


def test_without_a_ceiling_in_the_trust_file_there_are_no_overrides(trust, tmp_path):
    text = trust_text()
    start, end = text.index("[override]"), text.index("[keys.ci]")
    none = load_trust(write_trust(tmp_path, text[:start] + text[end:]))
    data = attested("INCONCLUSIVE")
    with pytest.raises(RefusedError, match=r"no \[override\]"):
        verify(data, none, WANTED, NOW, override=(signed(requested(trust, data)), None))
