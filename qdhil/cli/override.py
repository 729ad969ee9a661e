"""``qdhil override``: two people let an undecided build through, for some rings and some time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import AuditOption, RolesOption, authority
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.cli.signing import (
    TrustOption,
    lifetime,
    names,
    now,
    read_bytes,
    signers,
    write_signed,
)
from qdhil.errors import ConfigurationError, QdhilError, RefusedError

if TYPE_CHECKING:
    from qdhil.gate.overrides import Override
    from qdhil.keys.extra import Signer
    from qdhil.keys.trust import Trust

SUFFIX = ".override.json"
REVOCATION_SUFFIX = ".revocation.json"

override = typer.Typer(no_args_is_help=True, help="Let an INCONCLUSIVE or INFRA build through: two people, some time.")

PersonKeyOption = Annotated[
    str, typer.Option("--key", help="Your private key in PEM, or pkcs11:...", metavar="FILE|env:NAME|pkcs11:")
]
OverrideArgument = Annotated[Path, typer.Argument(help="The override.", metavar="OVERRIDE")]


@override.command()
def request(
    attestation: Annotated[Path, typer.Argument(help="Attestation of the verdict.", metavar="ATTESTATION")],
    trust: TrustOption,
    key: PersonKeyOption,
    ring: Annotated[list[str], typer.Option(help="Ring to open; repeatable.")],
    reason: Annotated[str, typer.Option(help="Why, in a sentence.")],
    output: Annotated[Path, typer.Option("--output", "-o", help=f"Override to write, *{SUFFIX}.", metavar="FILE")],
    expires: Annotated[str, typer.Option(help="How long it holds: 30m, 4h, 1d.")] = "4h",
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Ask for an override and sign the request; another person must approve it."""
    from pydantic import ValidationError

    from qdhil.gate.attestation import authenticate
    from qdhil.gate.overrides import request_override
    from qdhil.keys.envelope import seal
    from qdhil.keys.trust import load_trust
    from qdhil.model_files import describe

    trusted = load_trust(trust)
    _checked_name(output)
    signed = authenticate(read_bytes(attestation, "attestation"), trusted)
    signer, person = _person(key, trusted)
    said = {"person": person, "rings": ", ".join(ring), "reason": reason, "attestation_sha256": signed.payload_sha256}
    with authority(roles, audit, signer).action("overrider", "override.request", output.name, said):
        try:
            payload = request_override(
                signed,
                trusted,
                person,
                rings=names("--ring", ring),
                reason=reason,
                lifetime=lifetime(expires),
                now=now(),
            )
        except ValidationError as error:
            raise ConfigurationError(f"override: {describe(error).strip()}") from error
        write_signed(output, seal(payload, [signer]))
    typer.echo(f"{output}: requested by {person}; another person must approve it")


@override.command()
def approve(
    file: OverrideArgument,
    trust: TrustOption,
    key: PersonKeyOption,
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Approve somebody else's request; from then on it opens its rings."""
    from qdhil.gate.overrides import read_override, state_of
    from qdhil.keys.envelope import read_envelope, seal
    from qdhil.keys.trust import load_trust

    trusted = load_trust(trust)
    envelope = read_envelope(read_bytes(file, "override"), "override")
    asked = read_override(envelope, trusted)
    signer, person = _person(key, trusted)
    with authority(roles, audit, signer).action("overrider", "override.approve", file.name, _about(asked, person)):
        state = state_of(asked, revocation_file(file).exists(), now())
        if state != "requested":
            raise RefusedError(f"override: it is {state}")
        if person in asked.people:
            raise RefusedError(f"override: {person} asked for it; it takes another person to approve it")
        write_signed(file, seal(envelope.payload, [signer], onto=envelope))
    typer.echo(f"{file}: approved by {person}; opens {', '.join(asked.claim.rings)} until {asked.claim.expires}")


@override.command()
def revoke(
    file: OverrideArgument,
    trust: TrustOption,
    key: PersonKeyOption,
    reason: Annotated[str, typer.Option(help="Why.")],
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Revoke an override; the revocation lies beside it and must travel with it."""
    from qdhil.gate.overrides import read_override
    from qdhil.gate.overrides import revoke as revocation_of
    from qdhil.keys.envelope import read_envelope, seal
    from qdhil.keys.trust import load_trust

    trusted = load_trust(trust)
    _checked_name(file)
    asked = read_override(read_envelope(read_bytes(file, "override"), "override"), trusted)
    signer, person = _person(key, trusted)
    if not reason.strip():
        raise ConfigurationError("--reason is empty")
    said = {**_about(asked, person), "reason": reason}
    with authority(roles, audit, signer).action("overrider", "override.revoke", file.name, said):
        write_signed(revocation_file(file), seal(revocation_of(asked, reason, now()), [signer]))
    typer.echo(f"{revocation_file(file)}: revoked by {person}")


@override.command("list")
def list_overrides(
    folder: Annotated[Path, typer.Argument(help=f"Folder with *{SUFFIX}.", metavar="FOLDER")],
    trust: TrustOption,
    json: JsonOption = False,
) -> None:
    """List the overrides of a folder; what can't be verified is listed as REFUSED."""
    from qdhil.keys.trust import load_trust

    trusted = load_trust(trust)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder")
    rows = [_row(file, trusted) for file in sorted(folder.glob(f"*{SUFFIX}"))]
    if json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['file']:32} {row['state']:10} {row['says']}")


def revocation_file(file: Path) -> Path:
    """Return where the revocation of an override lies."""
    return file.with_name(file.name.removesuffix(SUFFIX) + REVOCATION_SUFFIX)


def _checked_name(file: Path) -> None:
    if not file.name.endswith(SUFFIX) or file.name == SUFFIX:
        raise ConfigurationError(f"an override's file is named *{SUFFIX}, so that its revocation is found beside it")


def _person(key: str, trust: Trust) -> tuple[Signer, str]:
    """Return a person's signer and name."""
    (signer,) = signers([key])
    for name, trusted in trust.override_keys.items():
        if trusted.keyid == signer.public_key.keyid:
            return signer, trust.people((name,))[0]
    raise RefusedError("override: the trust file has no person with this key")


def _about(asked: Override, person: str) -> dict[str, str]:
    """Return what the audit log says of an override."""
    return {"person": person, "override_sha256": asked.payload_sha256, "rings": ", ".join(asked.claim.rings)}


def _row(file: Path, trust: Trust) -> dict[str, Any]:
    from qdhil.gate.overrides import read_override, state_of
    from qdhil.keys.envelope import read_envelope

    try:
        found = read_override(read_envelope(read_bytes(file, "override"), "override"), trust)
    except QdhilError as error:
        return {"file": file.name, "state": "REFUSED", "says": str(error)}
    state = state_of(found, revocation_file(file).exists(), now())
    return {"file": file.name, "state": state, "says": _said(found), "override": found.claim.model_dump(mode="json")}


def _said(found: Override) -> str:
    claim = found.claim
    return (
        f"{claim.verdict}, {', '.join(claim.rings)} until {claim.expires}, {' and '.join(found.people)}: {claim.reason}"
    )
