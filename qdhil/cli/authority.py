"""What the verbs that change something share: who may, and where it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.keys.extra import Signer

AuditOption = Annotated[
    Path | None, typer.Option("--audit", help="Audit log to write to.", envvar="QDHIL_AUDIT", metavar="FILE")
]
RolesOption = Annotated[
    Path | None, typer.Option("--roles", help="Who may do it.", envvar="QDHIL_ROLES", metavar="roles.toml")
]
ActorKeyOption = Annotated[
    str | None, typer.Option("--key", help="Key that roles.toml knows you by.", metavar="FILE|env:NAME|pkcs11:")
]


def authority(
    roles: str | Path | None, audit: str | Path | None, signer: Signer | None = None, *, beside: Path | None = None
) -> Authority:
    """Return who may act and where it is written; say once where there are no roles.

    Parameters
    ----------
    roles, audit
        Files, relative to ``beside``.
    signer
        Key that stands for the actor.
    beside
        Folder that relative files lie in.

    Raises
    ------
    ConfigurationError
        If the roles file can't be read: nobody may act.
    """
    from qdhil.audit import open_authority

    found = open_authority(roles, audit, beside=beside, signer=signer)
    if found.note:
        typer.echo(f"qdhil: {found.note}", err=True)
    return found


def actor_key(where: str | None) -> Signer | None:
    """Return the signer that stands for the actor, where a key was given."""
    from qdhil.cli.signing import signers

    return None if where is None else signers([where])[0]
