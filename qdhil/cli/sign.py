"""``qdhil sign``, ``qdhil verify`` and ``qdhil key``: attestations of verdicts."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import AuditOption, RolesOption, authority
from qdhil.cli.exit_maps import OPTION, ExitMap
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.cli.signing import (
    KeyOption,
    TrustOption,
    digest,
    lifetime,
    names,
    now,
    read_bytes,
    refused,
    signers,
    write_signed,
)
from qdhil.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from qdhil.gate.attestation import Verified
    from qdhil.gate.statement import Claim
    from qdhil.keys.envelope import Envelope


class KeyPurpose(StrEnum):
    """What a key's signature may be used for."""

    VERDICT = "verdict"
    OVERRIDE = "override"
    FIRMWARE = "firmware"
    IMAGE = "image"
    DOWNGRADE = "downgrade"
    AUDIT = "audit"


_OWN_FIELDS = {"nonce", "issued", "expires", "scope"}
"""What a co-signer takes over from the first signer; all else must come out of the run again."""


def sign(
    folder: Annotated[Path, typer.Argument(help="Run folder that holds verdict.json.", metavar="RUN")],
    key: KeyOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Attestation to write.", metavar="FILE")],
    ring: Annotated[list[str] | None, typer.Option(help="Ring it is for (default: the rigs' tag ring).")] = None,
    expires: Annotated[str, typer.Option(help="How long it holds: 30m, 12h, 7d.")] = "12h",
    onto: Annotated[
        Path | None, typer.Option(help="Co-sign this attestation of the same run.", metavar="ATTESTATION")
    ] = None,
    roles: RolesOption = None,
    audit: AuditOption = None,
    json: JsonOption = False,
) -> None:
    """Recompute a run's verdict, sign it, and end with its exit code: 0 is a PASS here as well."""
    from qdhil.gate.statement import encode_statement
    from qdhil.keys.envelope import seal
    from qdhil.record.claim import run_claim

    _check_output(output, folder, onto)
    rings = names("--ring", ring or [])
    keys = signers(key)
    about = {"rings": ", ".join(rings), "keys": ", ".join(str(signer.public_key.keyid) for signer in keys)}
    with authority(roles, audit, keys[0]).action(None, "sign", folder.resolve().name, about) as progress:
        claim = run_claim(folder, rings=rings, lifetime=lifetime(expires), now=now())
        if onto is None:
            envelope = seal(encode_statement(claim), keys)
        else:
            claim, first = _same_run(claim, read_bytes(onto, "attestation"), rings)
            envelope = seal(first.payload, keys, onto=first)
        progress.details = {"verdict": str(claim.verdict), "firmware_sha256": claim.candidate.sha256}
        write_signed(output, envelope)
    _say_signed(claim, envelope, output, json)
    raise typer.Exit(claim.verdict.exit_code)


def verify(
    attestation: Annotated[Path, typer.Argument(help="The attestation.", metavar="ATTESTATION")],
    trust: TrustOption,
    firmware: Annotated[str, typer.Option(help="SHA-256 of the image to install.", metavar="DIGEST")],
    hardware: Annotated[str, typer.Option(help="Hardware revision of the device.")],
    ring: Annotated[str, typer.Option(help="Rollout ring of the device.")],
    policy: Annotated[str | None, typer.Option(help="SHA-256 of the policy.", metavar="DIGEST")] = None,
    override: Annotated[Path | None, typer.Option(help="An override of two people.", metavar="FILE")] = None,
    nonces: Annotated[Path | None, typer.Option(help="Refuse what was accepted before.", metavar="FILE")] = None,
    exit_map: Annotated[ExitMap | None, typer.Option(OPTION, help="Exit codes of another program.")] = None,
    json: JsonOption = False,
) -> None:
    """End with 0 only for a verified PASS of exactly this firmware, hardware and ring; 40 says why not."""
    from qdhil.gate.attestation import Wanted
    from qdhil.gate.attestation import verify as verify_attestation
    from qdhil.gate.nonces import NonceStore
    from qdhil.keys.trust import load_trust

    del exit_map  # the entry point maps, so that errors are mapped too
    wanted = Wanted(digest(firmware, "--firmware"), hardware, ring, digest(policy, "--policy") if policy else None)
    trusted = load_trust(trust)
    try:
        verified = verify_attestation(
            read_bytes(attestation, "attestation"),
            trusted,
            wanted,
            now(),
            nonces=NonceStore(nonces) if nonces else None,
            override=None if override is None else override_files(override),
        )
    except RefusedError as error:
        raise refused(error, json) from error
    say_verified(verified, json)
    raise typer.Exit(0 if verified.accepted else verified.verdict.exit_code)


def key(
    where: Annotated[
        str, typer.Argument(help="Private key in PEM, or a PKCS#11 URI.", metavar="FILE|env:NAME|pkcs11:")
    ],
    name: Annotated[str, typer.Option(help="Name of the key in trust.toml.")] = "ci",
    person: Annotated[str | None, typer.Option(help="Whose key it is: it signs overrides, not verdicts.")] = None,
    signs: Annotated[KeyPurpose | None, typer.Option(help="What it may sign (default: verdict, or override).")] = None,
) -> None:
    """Print the public half of a key, as trust.toml wants it."""
    import json

    from qdhil.keys.signers import public_pem

    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigurationError("--name takes letters, digits, - and _")
    if signs is not None and signs != "downgrade" and (signs == "override") != (person is not None):
        raise ConfigurationError("--person goes with a key that signs overrides or downgrades")
    (signer,) = signers([where])
    typer.echo(f"[keys.{name}]  # key id {signer.public_key.keyid[:12]}")
    typer.echo(f'signs = "{signs or ("verdict" if person is None else "override")}"')
    if person is not None:
        typer.echo(f"person = {json.dumps(person, ensure_ascii=False)}")
    typer.echo(f'public = """\n{public_pem(signer).strip()}\n"""')


def _check_output(output: Path, folder: Path, onto: Path | None) -> None:
    """Refuse to change the content that is signed by the file that signs it, and to drop others' signatures."""
    from qdhil.record.claim import SIGNED_SUFFIXES

    if onto is None and output.exists():
        raise ConfigurationError(f"--output {output}: there is one already; co-sign it with --onto, or take it away")
    if folder.resolve() in output.resolve().parents and not output.name.endswith(SIGNED_SUFFIXES):
        raise ConfigurationError("--output inside the run folder must be named *.attestation.json")


def _same_run(claim: Claim, data: bytes, rings: tuple[str, ...]) -> tuple[Claim, Envelope]:
    """Return what a first signer said, if this run says the same."""
    from qdhil.gate.statement import read_statement
    from qdhil.keys.envelope import read_envelope

    first = read_envelope(data, "attestation")
    said = read_statement(first.payload, "attestation")
    if said.model_dump(exclude=_OWN_FIELDS) != claim.model_dump(exclude=_OWN_FIELDS):
        raise RefusedError("the attestation to co-sign says something else than the run")
    if said.scope.hardware != claim.scope.hardware or said.scope.rings != claim.scope.rings:
        asked = "--ring" if rings else "the run's rigs"
        raise RefusedError(f"the attestation to co-sign is for rings {', '.join(said.scope.rings)}; {asked} says other")
    return said, first


def override_files(file: Path) -> tuple[bytes, bytes | None]:
    """Return an override and, where there is one beside it, its revocation."""
    from qdhil.cli.override import revocation_file

    revocation = revocation_file(file)
    return read_bytes(file, "override"), read_bytes(revocation, "revocation") if revocation.exists() else None


def _say_signed(claim: Claim, envelope: Envelope, output: Path, json: bool) -> None:
    said: dict[str, Any] = {
        "verdict": str(claim.verdict),
        "attestation": str(output),
        "firmware_sha256": claim.candidate.sha256,
        "policy_sha256": claim.policy.sha256,
        "hardware": list(claim.scope.hardware),
        "rings": list(claim.scope.rings),
        "expires": claim.expires,
        "keys": sorted(envelope.signatures),
    }
    if json:
        print_json(said)
        return
    typer.echo(f"{output}: {claim.verdict} of {claim.candidate.version}, signed by {len(said['keys'])} key(s)")
    typer.echo(f"  for hardware {', '.join(said['hardware'])}, rings {', '.join(said['rings'])}, until {claim.expires}")
    typer.echo(f"  firmware sha256 {claim.candidate.sha256}")
    typer.echo(f"  policy   sha256 {claim.policy.sha256} ({claim.policy.name})")


def say_verified(verified: Verified, json: bool) -> None:
    """Print what was verified."""
    claim, override = verified.signed.claim, verified.override
    if json:
        opened = override and {
            "people": list(override.people),
            "reason": override.claim.reason,
            "rings": list(override.claim.rings),
            "expires": override.claim.expires,
        }
        said = {
            "verdict": str(verified.verdict),
            "accepted": verified.accepted,
            "reason": "; ".join(claim.reasons),
            "keys": list(verified.signed.signers),
            "expires": claim.expires,
            "override": opened,
            "quarantined": [entry.model_dump() for entry in claim.quarantined],
        }
        print_json(said)
        return
    typer.echo(f"{verified.verdict}: {claim.candidate.version}, signed by {', '.join(verified.signed.signers)}")
    for reason in claim.reasons:
        typer.echo(f"  {reason}")
    for entry in claim.quarantined:
        typer.echo(f"  {entry.metric} on {entry.rig} was in quarantine until {entry.until}: {entry.link}")
    if override is not None:
        typer.echo(f"  OVERRIDDEN by {' and '.join(override.people)} until {override.claim.expires}:")
        typer.echo(f"  {override.claim.reason}")
