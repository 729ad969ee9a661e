"""Attestations: the one that holds is accepted, every way to bend one is refused with its reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from signing_made import (
    ALICE,
    BASELINE,
    CI,
    METRICS,
    NOW,
    POLICY,
    RACK,
    STRANGER,
    WANTED,
    attested,
    claim,
    claim_data,
    edited,
    made_trust,
    metric,
    opened,
    signed_data,
    statement,
    trust_text,
    write_trust,
)

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.gate.attestation import Wanted, verify
from qdhil.gate.nonces import NonceStore
from qdhil.gate.statement import PREDICATE_TYPE, STATEMENT_TYPE, encode_statement, read_statement
from qdhil.gate.verdict import Verdict
from qdhil.keys.envelope import Envelope, seal
from qdhil.keys.trust import Trust, load_trust
from qdhil.keys.validity import timestamp


@pytest.fixture(scope="module")
def trust(tmp_path_factory) -> Trust:
    return made_trust(tmp_path_factory.mktemp("trust"))


def test_a_pass_of_exactly_this_is_accepted(trust):
    verified = verify(attested(), trust, WANTED, NOW)
    assert verified.accepted
    assert (verified.verdict, verified.signed.signers) == (Verdict.PASS, tuple(sorted(("ci", "rack"), key=keyid)))


def keyid(name: str) -> str:
    return {"ci": CI, "rack": RACK}[name].public_key.keyid


def test_the_statement_is_an_in_toto_test_result(trust):
    inner = json.loads(opened(attested()).payload)
    assert (inner["_type"], inner["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    assert inner["predicate"]["result"] == "PASSED"
    assert inner["predicate"]["passedTests"] == [f"{rig}/{name}" for rig in ("sim-a1", "sim-a2") for name in METRICS]
    assert inner["predicate"]["configuration"] == [
        {"name": "policy/canary", "digest": {"sha256": POLICY}},
        {"name": "baseline/1.4.0", "digest": {"sha256": BASELINE}},
    ]


@pytest.mark.parametrize(
    ("verdict", "result", "tests"),
    [("BLOCK", "FAILED", "failedTests"), ("INCONCLUSIVE", "WARNED", "warnedTests"), ("INFRA", "WARNED", "warnedTests")],
)
def test_other_verdicts_verify_and_open_nothing(trust, verdict, result, tests):
    data = attested(verdict)
    inner = json.loads(opened(data).payload)["predicate"]
    assert (inner["result"], inner[tests]) == (result, ["sim-a1/g2.pulsed.area"])
    verified = verify(data, trust, WANTED, NOW)
    assert (str(verified.verdict), verified.accepted) == (verdict, False)


def flip(data: bytes) -> bytes:
    envelope = json.loads(data)
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[len(payload) // 2] ^= 1
    envelope["payload"] = base64.b64encode(payload).decode()
    return json.dumps(envelope).encode()


def in_envelope(change: Callable[[dict[str, Any]], Any]) -> bytes:
    envelope = json.loads(attested())
    change(envelope)
    return json.dumps(envelope).encode()


def forge_keyid() -> bytes:
    """A stranger's signature under the name of a trusted key."""
    payload = opened(attested()).payload
    ours, theirs = seal(payload, [CI]), seal(payload, [STRANGER])
    (signature,) = theirs.signatures.values()
    return Envelope(payload, {**ours.signatures, RACK.public_key.keyid: signature}).encode()


def failed_inside(verdict: str, outer: dict[str, Any]) -> dict[str, Any]:
    inner = statement(verdict)
    inner["predicate"] |= outer
    return inner


def without(definition: str) -> list[dict[str, Any]]:
    return [metric(rig, name) for rig in ("sim-a1", "sim-a2") for name in METRICS if name != definition]


def later(**duration: float) -> str:
    return timestamp(NOW + timedelta(**duration))


def raw(**changes: Any) -> dict[str, Any]:
    """A statement whose claim breaks its own rules, rightly wrapped."""
    inner = statement()
    inner["predicate"]["qdhil"] |= changes
    return inner


def drop_keyid(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["keyid"] = ""


# name: (attestation, what is wanted, words of the reason)
ATTACKS: dict[str, tuple[Callable[[], bytes], Wanted, str]] = {
    "verdict flipped": (
        lambda: edited(attested("BLOCK"), lambda s: s["predicate"]["qdhil"].update(verdict="PASS")),
        WANTED,
        "not its signature",
    ),
    "metric edited": (
        lambda: edited(attested(), lambda s: s["predicate"]["qdhil"]["metrics"][0].update(ratio=0.5)),
        WANTED,
        "not its signature",
    ),
    "bit flipped": (lambda: flip(attested()), WANTED, "not its signature"),
    "signature stripped": (lambda: in_envelope(lambda e: e["signatures"].pop()), WANTED, "signed by 1"),
    "signature doubled": (
        lambda: in_envelope(lambda e: e.update(signatures=[e["signatures"][0]] * 2)),
        WANTED,
        "same key twice",
    ),
    "rogue key": (lambda: attested(signers=(CI, STRANGER)), WANTED, "signed by 1"),
    "rogue key under a trusted id": (forge_keyid, WANTED, "not its signature"),
    "payload type": (lambda: in_envelope(lambda e: e.update(payloadType="text/plain")), WANTED, "payloadType"),
    "other firmware": (attested, replace(WANTED, firmware_sha256="e" * 64), "for firmware"),
    "other policy": (attested, replace(WANTED, policy_sha256="e" * 64), "policy"),
    "other hardware": (attested, replace(WANTED, hardware="psc-3"), "for hardware"),
    "other ring": (attested, replace(WANTED, ring="fleet"), "for rings"),
    "expired": (
        lambda: attested(issued=later(hours=-13), expires=later(seconds=0)),
        WANTED,
        "expired",
    ),
    "from the future": (
        lambda: attested(issued=later(minutes=2), expires=later(hours=1)),
        WANTED,
        "future",
    ),
    "made to last": (lambda: attested(expires=later(days=30)), WANTED, "last longer"),
    "result is not the verdict": (
        lambda: signed_data(failed_inside("BLOCK", {"result": "PASSED"})),
        WANTED,
        "contradict",
    ),
    "pass with failed tests": (
        lambda: signed_data(raw(metrics=[*claim_data()["metrics"][1:], metric("sim-a1", METRICS[0], "BLOCK")])),
        WANTED,
        "one of its metrics says BLOCK",
    ),
    "undecided with failed tests": (
        lambda: signed_data(raw(verdict="INFRA", metrics=[metric("sim-a1", METRICS[0], "BLOCK")])),
        WANTED,
        "one of its metrics says BLOCK",
    ),
    "pass with undecided tests": (
        lambda: signed_data(raw(metrics=[*claim_data()["metrics"][1:], metric("sim-a1", METRICS[0], "INFRA")])),
        WANTED,
        "not every metric passed",
    ),
    "required metric missing": (lambda: attested(metrics=without("hom.v_unc")), WANTED, "hom.v_unc did not pass"),
    "garbage": (lambda: b"\x00garbage", WANTED, "not plain JSON"),
    "empty": (lambda: b"", WANTED, "not plain JSON"),
    "signed by people": (lambda: attested(signers=(CI, ALICE)), WANTED, "signed by 1"),
    "metric missing on one rig": (
        lambda: signed_data(raw(metrics=claim_data()["metrics"][:-1])),
        WANTED,
        "not every metric passed",
    ),
    "no metric at all": (lambda: signed_data(raw(metrics=[])), WANTED, "nothing proves"),
    "one rig too few": (
        lambda: attested(
            rigs={"sim-a1": {"kind": "simulated", "hardware": "psc-2-rev-b"}}, metrics=claim_data()["metrics"][:3]
        ),
        WANTED,
        "measured on 1 rigs",
    ),
    "passes by quarantine alone": (
        lambda: signed_data(raw(quarantined=quarantined("sim-a1", "sim-a2"))),
        WANTED,
        "nothing proves",
    ),
    "hardware not measured": (
        lambda: signed_data(raw(scope={"hardware": ["psc-2-rev-b", "psc-3"], "rings": ["canary"]})),
        WANTED,
        "hardware that was not measured",
    ),
    "unknown field in the claim": (lambda: signed_data(raw(approved=True)), WANTED, "Extra inputs"),
    "unknown field in the statement": (
        lambda: signed_data({**statement(), "also": 1}),
        WANTED,
        "contradict",
    ),
    "other predicate type": (
        lambda: signed_data({**statement(), "predicateType": "https://slsa.dev/provenance/v1"}),
        WANTED,
        "predicateType",
    ),
    "other statement type": (
        lambda: signed_data({**statement(), "_type": "https://in-toto.io/Statement/v0.1"}),
        WANTED,
        "_type",
    ),
    "two subjects": (
        lambda: signed_data({**statement(), "subject": [*statement()["subject"], {"name": "x", "digest": {}}]}),
        WANTED,
        "contradict",
    ),
    "subject is other firmware": (
        lambda: signed_data({**statement(), "subject": [{"name": "firmware/1.5.0", "digest": {"sha256": "e" * 64}}]}),
        WANTED,
        "contradict",
    ),
    "verdict twice": (
        lambda: signed_data(opened(attested()).payload.replace(b'"verdict":', b'"verdict":"PASS","verdict":', 1)),
        WANTED,
        "not plain JSON",
    ),
    "trailing data in the payload": (lambda: signed_data(opened(attested()).payload + b"{}"), WANTED, "not plain JSON"),
    "trailing data in the envelope": (lambda: attested() + b"{}", WANTED, "not plain JSON"),
    "field of the envelope twice": (
        lambda: attested().replace(b'"payloadType"', b'"payloadType": "x", "payloadType"', 1),
        WANTED,
        "not plain JSON",
    ),
    "unknown field in the envelope": (lambda: in_envelope(lambda e: e.update(also=1)), WANTED, "nothing else"),
    "base64 with a line break": (
        lambda: in_envelope(lambda e: e.update(payload=e["payload"][:4] + "\n" + e["payload"][4:])),
        WANTED,
        "canonical base64",
    ),
    "url-safe base64": (
        lambda: in_envelope(
            lambda e: [s.update(sig=s["sig"].replace("+", "-").replace("/", "_")[:-2] + "_=") for s in e["signatures"]]
        ),
        WANTED,
        "canonical base64",
    ),
    "no signatures": (lambda: in_envelope(lambda e: e.update(signatures=[])), WANTED, "1 to 16"),
    "no key id": (lambda: in_envelope(drop_keyid), WANTED, "signed by 1"),
    "not a number": (
        lambda: signed_data(opened(attested()).payload.replace(b'"ratio":1.0', b'"ratio":NaN', 1)),
        WANTED,
        "not plain JSON",
    ),
    "a number as text": (
        lambda: signed_data(opened(attested()).payload.replace(b'"schema_version":1', b'"schema_version":"1"', 1)),
        WANTED,
        "schema_version",
    ),
    "a newer schema": (
        lambda: signed_data(opened(attested()).payload.replace(b'"schema_version":1', b'"schema_version":2', 1)),
        WANTED,
        "schema_version",
    ),
    "refused as a verdict": (lambda: signed_data(raw(verdict="REFUSED")), WANTED, "verdict"),
    "nested without end": (lambda: b"[" * 100_000, WANTED, "not plain JSON"),
    "half a surrogate": (
        lambda: signed_data(opened(attested()).payload.replace(b'"as measured"', b'"\\ud800"', 1)),
        WANTED,
        "Invalid JSON",
    ),
    "larger than any attestation": (lambda: attested() + b" " * (1 << 20), WANTED, "larger than"),
}


def quarantined(*rigs: str) -> list[dict[str, str]]:
    return [{"rig": rig, "metric": "hom.v_unc", "link": "https://example.org/1", "until": "2026-12-01"} for rig in rigs]


@pytest.mark.parametrize("name", ATTACKS)
def test_tampering_is_refused_and_said(trust, name):
    make, wanted, words = ATTACKS[name]
    with pytest.raises(RefusedError) as refused:
        verify(make(), trust, wanted, NOW)
    assert words in str(refused.value), str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_replay_is_refused_and_a_refused_one_is_not_used_up(trust, tmp_path):
    nonces = NonceStore(tmp_path / "nonces")
    with pytest.raises(RefusedError, match="for rings"):
        verify(attested(), trust, replace(WANTED, ring="fleet"), NOW, nonces=nonces)
    verify(attested("INCONCLUSIVE"), trust, WANTED, NOW, nonces=nonces)
    assert verify(attested(), trust, WANTED, NOW, nonces=nonces).accepted
    for again in (attested(), attested(reasons=["others"])):
        with pytest.raises(RefusedError, match="used before"):
            verify(again, trust, WANTED, NOW, nonces=nonces)
    assert verify(attested(nonce="f" * 32), trust, WANTED, NOW, nonces=nonces).accepted


def test_of_many_at_once_one_gets_through(tmp_path):
    def use(_: int) -> bool:
        try:
            NonceStore(tmp_path / "nonces").use("f" * 32, "test")
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(use, range(64))) == 1


def test_a_line_cut_off_in_the_nonce_store_swallows_no_other(tmp_path):
    (tmp_path / "nonces").write_text("0123")
    NonceStore(tmp_path / "nonces").use("f" * 32, "test")
    assert (tmp_path / "nonces").read_text() == "0123\n" + "f" * 32 + "\n"


@pytest.mark.parametrize("broken", ["folder", "damaged", "below a file"])
def test_without_a_nonce_store_nothing_is_accepted(trust, tmp_path, broken):
    file = tmp_path / "nonces"
    if broken == "folder":
        file.mkdir()
    elif broken == "damaged":
        file.write_bytes(b"\xff\xfe")
    else:
        file.touch()
        file = file / "nonces"
    with pytest.raises(ConfigurationError, match="nonce store"):
        verify(attested(), trust, WANTED, NOW, nonces=NonceStore(file))


def test_a_stranger_beside_enough_trusted_keys_changes_nothing(trust):
    assert verify(attested(signers=(CI, RACK, STRANGER)), trust, WANTED, NOW).accepted


def test_quarantine_on_one_rig_leaves_the_other_to_prove_it(trust):
    data = attested(quarantined=quarantined("sim-a1"))
    assert json.loads(opened(data).payload)["predicate"]["warnedTests"] == ["sim-a1/hom.v_unc"]
    with pytest.raises(RefusedError, match=r"hom\.v_unc did not pass on 2 rigs"):
        verify(data, trust, WANTED, NOW)
    one = trust.model_copy(update={"require": trust.require.model_copy(update={"rigs": 1})})
    assert verify(data, one, WANTED, NOW).accepted


def test_simulated_rigs_prove_nothing_where_physical_ones_are_required(trust):
    physical = trust.model_copy(update={"require": trust.require.model_copy(update={"physical": True})})
    with pytest.raises(RefusedError, match="0 physical rigs"):
        verify(attested(), physical, WANTED, NOW)


def test_a_claim_survives_its_statement():
    assert read_statement(encode_statement(claim()), "test") == claim()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("threshold = 2", "threshold = 3", "threshold 3"),
        ("threshold = 2", "threshold = 0", "threshold"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ("clock_skew_s = 60", "clock_skew = 60", "clock_skew"),
        ('person = "Alice"', "", "needs a person"),
        ("-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KE", "not a public key"),
        ("rigs = 2", "rigs = 0", "require.rigs"),
    ],
)
def test_a_trust_file_is_checked_as_a_whole(tmp_path, old, new, words):
    text = trust_text()
    assert old in text
    with pytest.raises(ConfigurationError, match=words):
        load_trust(write_trust(tmp_path, text.replace(old, new, 1)))


def test_one_key_under_two_names_is_refused(tmp_path):
    text = trust_text()
    start, end = text.index("[keys.ci]"), text.index("[keys.rack]")
    with pytest.raises(ConfigurationError, match="one key"):
        load_trust(write_trust(tmp_path, text + text[start:end].replace("[keys.ci]", "[keys.again]")))


def test_the_example_verifies(tmp_path):
    folder = Path(__file__).parent.parent / "docs" / "example-attestation"
    said = read_statement(opened((folder / "1.5.0-good.attestation.json").read_bytes()).payload, "example")
    wanted = Wanted(said.candidate.sha256, "psc-2-rev-b", "canary", said.policy.sha256)
    during = NOW.strptime(said.issued, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=NOW.tzinfo) + timedelta(hours=1)
    trust = load_trust(folder / "trust.toml")
    assert trust.threshold == 2
    assert verify((folder / "1.5.0-good.attestation.json").read_bytes(), trust, wanted, during).accepted
