"""Keys, trust files, claims and tokens: what the tests of attestations are made of."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from securesystemslib.signer import CryptoSigner

from qdhil.gate.attestation import Wanted
from qdhil.gate.statement import Claim, encode_statement, statement_of
from qdhil.keys.envelope import Envelope, seal
from qdhil.keys.signers import public_pem
from qdhil.keys.strict_json import to_json
from qdhil.keys.trust import Trust, load_trust
from qdhil.keys.validity import timestamp

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BASELINE, CANDIDATE, POLICY, RUN = "a" * 64, "b" * 64, "c" * 64, "d" * 64
WANTED = Wanted(CANDIDATE, "psc-2-rev-b", "canary", POLICY)
METRICS = ("g2.pulsed.area", "hom.v_unc", "brightness.detected")
SOFTHSM = Path(os.environ.get("QDHIL_TEST_SOFTHSM", "/usr/lib/softhsm/libsofthsm2.so"))

# made once: a key is as good as another, and which one signs is what the tests vary
CI, RACK, STRANGER, ALICE, BOB, BOB_TOO = (CryptoSigner.generate_ed25519() for _ in range(6))


def metric(rig: str, definition: str, verdict: str = "PASS") -> dict[str, Any]:
    arm = {"value": 0.02, "low": 0.019, "high": 0.021}
    return {
        "rig": rig,
        "definition": definition,
        "verdict": verdict,
        "reason": "as measured",
        "baseline": arm,
        "candidate": arm,
        "ratio": 1.0,
        "low": 0.95,
        "high": 1.05,
        "margin_ratio": 1.5,
        "tolerated_ratio": 1.0,
        "evidence": {"no_harm": 3.2, "harm": -4.1, "looks": 6, "form": "counts"},
        "diagnostics": [],
    }


def claim_data(verdict: str = "PASS", **changes: Any) -> dict[str, Any]:
    """A claim as plain data; BLOCK, INCONCLUSIVE and INFRA have one metric that says so."""
    rigs = ("sim-a1", "sim-a2")
    metrics = [metric(rig, name) for rig in rigs for name in METRICS]
    if verdict != "PASS":
        metrics[0]["verdict"] = verdict
    return {
        "schema_version": 1,
        "verdict": verdict,
        "reasons": ["as measured"],
        "nonce": "0123456789abcdef" * 2,
        "measured": timestamp(NOW - timedelta(minutes=5)),
        "issued": timestamp(NOW),
        "expires": timestamp(NOW + timedelta(hours=12)),
        "scope": {"hardware": ["psc-2-rev-b"], "rings": ["canary", "early"]},
        "candidate": {"version": "1.5.0", "sha256": CANDIDATE},
        "baseline": {"version": "1.4.0", "sha256": BASELINE},
        "policy": {"name": "canary", "sha256": POLICY},
        "design": {"miss_rate": 0.05, "false_block_rate": 0.05},
        "rigs": {name: {"kind": "simulated", "hardware": "psc-2-rev-b"} for name in rigs},
        "metrics": metrics,
        "family": {"harm_log10": -1.2, "needed_log10": 1.3, "offenders": []},
        "infra": {},
        "quarantined": [],
        "runs": [{"name": "20261123T115500Z-1.5.0", "sha256": RUN}],
        **changes,
    }


def claim(verdict: str = "PASS", **changes: Any) -> Claim:
    return Claim.model_validate_json(json.dumps(claim_data(verdict, **changes)))


def attested(verdict: str = "PASS", *, signers: Iterable[Any] = (CI, RACK), **changes: Any) -> bytes:
    """An attestation of a claim."""
    return seal(encode_statement(claim(verdict, **changes)), tuple(signers)).encode()


def signed_data(statement: Any, *, signers: Iterable[Any] = (CI, RACK)) -> bytes:
    """An attestation of anything, signed by trusted keys."""
    payload = statement if isinstance(statement, bytes) else to_json(statement)
    return seal(payload, tuple(signers)).encode()


def statement(verdict: str = "PASS", **changes: Any) -> dict[str, Any]:
    return statement_of(claim(verdict, **changes))


def edited(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Edit the statement inside an envelope without signing it again."""
    envelope = json.loads(data)
    inner = json.loads(base64.b64decode(envelope["payload"]))
    change(inner)
    envelope["payload"] = base64.b64encode(to_json(inner)).decode()
    return json.dumps(envelope).encode()


def trust_text(*, threshold: int = 2, more: str = "") -> str:
    keys = {"ci": (CI, None), "rack": (RACK, None), "alice": (ALICE, "Alice"), "bob": (BOB, "Bob")}
    keys["bob-token"] = (BOB_TOO, "Bob")
    lines = [
        "schema_version = 1",
        f"threshold = {threshold}",
        "clock_skew_s = 60",
        "lifetime_max_h = 24",
        more,
        "[require]",
        f"metrics = {json.dumps(METRICS)}",
        "rigs = 2",
        "[override]",
        'rings = ["canary"]',
        "lifetime_max_h = 8",
    ]
    for name, (signer, person) in keys.items():
        lines += [f"[keys.{name}]", f'signs = "{"override" if person else "verdict"}"']
        lines += [f'person = "{person}"'] * bool(person)
        lines += [f'public = """\n{public_pem(signer)}"""']
    return "\n".join(lines) + "\n"


def write_trust(folder: Path, text: str | None = None) -> Path:
    file = folder / "trust.toml"
    file.write_text(trust_text() if text is None else text)
    return file


def made_trust(folder: Path) -> Trust:
    return load_trust(write_trust(folder))


def write_key(folder: Path, name: str, signer: CryptoSigner) -> Path:
    file = folder / f"{name}.pem"
    file.write_bytes(signer.private_bytes)
    return file


def opened(data: bytes) -> Envelope:
    from qdhil.keys.envelope import read_envelope

    return read_envelope(data, "test")


class Token(NamedTuple):
    """A SoftHSM token with a P-256 key of id 1 and an Ed25519 key of id 2."""

    pin: str
    environment: dict[str, str]

    def uri(self, key_id: int) -> str:
        return f"pkcs11:token=qdhil-test;id=%{key_id:02x}?module-path={SOFTHSM}"


_MAKE_KEYS = """
import sys, pkcs11
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="qdhil-test")
edwards = bytes.fromhex("130c656477617264733235353139")  # PrintableString "edwards25519"
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    for kind, params, how, number in (
        (KeyType.EC, encode_named_curve_parameters("secp256r1"), Mechanism.EC_KEY_PAIR_GEN, 1),
        (KeyType.EC_EDWARDS, edwards, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, 2),
    ):
        domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: params}, local=True)
        domain.generate_keypair(mechanism=how, store=True, label="test", id=bytes([number]))
"""


def make_token(folder: Path, pin: str) -> Token:
    """Make a SoftHSM token below a folder; a process that uses it needs its environment."""
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(configuration), "QDHIL_PIN": pin}
    initialise = ["softhsm2-util", "--module", str(SOFTHSM), "--init-token", "--free", "--label", "qdhil-test"]
    initialise += ["--pin", pin, "--so-pin", "0000"]
    for command in (initialise, [sys.executable, "-c", _MAKE_KEYS, str(SOFTHSM), pin]):
        subprocess.run(command, env=environment, check=True, capture_output=True)
    return Token(pin, environment)
