"""``roles.toml``: who may lease and run (operator), promote (releaser), and override (overrider)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.model_files import Strict, read_toml

if TYPE_CHECKING:
    from qdhil.audit.actor import Actor

Role = Literal["operator", "releaser", "overrider"]
ROLES: tuple[Role, ...] = get_args(Role)
ANYBODY = "*"
_USER = re.compile(r"user:(?P<name>\*|[^\s*]+)@(?P<host>\*|[^\s*@]+)")
_KEY = re.compile(r"key:[0-9a-f]{64}")


def _identity(text: str) -> str:
    if text != ANYBODY and not _USER.fullmatch(text) and not _KEY.fullmatch(text):
        raise ValueError(
            "give user:NAME@HOST (* as NAME or HOST for every one), key:KEYID with all 64 digits, or * for anybody"
        )
    return text


Identity = Annotated[str, AfterValidator(_identity)]


class Members(Strict):
    """Identities by role; a role that is not there is nobody's."""

    operator: tuple[Identity, ...] = ()
    """May lease a rig and run a campaign on it."""
    releaser: tuple[Identity, ...] = ()
    """May build and sign, promote a baseline, and open, resume or abort a rollout."""
    overrider: tuple[Identity, ...] = ()
    """May ask for, approve and revoke an override."""


class RolesFile(Strict):
    """The whole file."""

    schema_version: Literal[1]
    roles: Members


@dataclass(frozen=True)
class Roles:
    """Who may do what.

    Parameters
    ----------
    file, sha256
        Where it was read and its digest; ``None`` where nobody is kept from anything.
    members
        Identities by role.
    """

    file: Path | None
    sha256: str | None
    members: Mapping[Role, tuple[str, ...]]

    def allows(self, role: Role, actor: Actor) -> bool:
        """Whether an actor has a role."""
        return any(_matches(member, identity) for member in self.members[role] for identity in actor.identities)

    def require(self, role: Role, actor: Actor) -> None:
        """Refuse an actor without a role.

        Raises
        ------
        RefusedError
            If nothing that is known of the actor has the role, or there is no such role.
        """
        if role not in ROLES:
            raise RefusedError(f"there is no role {role!r}, only {', '.join(ROLES)}")
        if not self.allows(role, actor):
            hint = "" if actor.key_id else "; a key may be one: --key"
            raise RefusedError(f"{actor.identity} is no {role} in {self.file}; nothing was done{hint}")


EVERYBODY = Roles(None, None, dict.fromkeys(ROLES, (ANYBODY,)))
"""What holds without a roles file."""


def load_roles(file: Path | None) -> Roles:
    """Read and check a roles file; without one everybody may do everything.

    Raises
    ------
    ConfigurationError
        If it can't be read or says something unknown: nobody may do anything then.
    """
    if file is None:
        return EVERYBODY
    try:
        members = read_toml(file, RolesFile, "roles file").roles
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; nobody may do anything until it can be read") from error
    except OSError as error:
        raise ConfigurationError(f"roles file {file}: {error.strerror}; nobody may do anything") from error
    return Roles(file, sha256, {role: getattr(members, role) for role in ROLES})


def _matches(member: str, identity: str) -> bool:
    if member in (ANYBODY, identity):
        return True
    allowed, known = _USER.fullmatch(member), _USER.fullmatch(identity)
    return (
        allowed is not None
        and known is not None
        and allowed["name"] in ("*", known["name"])
        and allowed["host"] in ("*", known["host"])
    )
