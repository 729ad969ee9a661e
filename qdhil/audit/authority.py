"""Who may act, and where it is written down: the one thing that a command asks before it does something."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.audit.actor import Actor, current_actor
from qdhil.audit.entry import Detail
from qdhil.audit.log import Audit, open_audit
from qdhil.audit.roles import Role, Roles, load_roles
from qdhil.errors import ConfigurationError, QdhilError, RecordFault, RefusedError

if TYPE_CHECKING:
    from qdhil.keys.extra import Signer

AUDIT_VARIABLE = "QDHIL_AUDIT"
ROLES_VARIABLE = "QDHIL_ROLES"
_NOTHING: Mapping[str, Detail] = {}


@dataclass
class Progress:
    """What the end of an action says; the caller may change both.

    Parameters
    ----------
    outcome
        Word of the outcome.
    details
        Further facts.
    """

    outcome: str = "done"
    details: dict[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """An action whose begin is on record.

    Parameters
    ----------
    authority, action, subject
        Whose, which, and on what.
    number
        Of the entry that says so; ``None`` without a log.
    """

    authority: Authority
    action: str
    subject: str
    number: int | None

    def end(self, outcome: str, details: Mapping[str, Detail] = _NOTHING) -> None:
        """Write down how it ended.

        Raises
        ------
        RecordFault
            If it can't be written.
        """
        reference: dict[str, Detail] = {} if self.number is None else {"begun": self.number}
        try:
            self.authority.append(self.action, self.subject, outcome, {**reference, **details})
        except RecordFault as error:
            raise RecordFault(f"{error}; {self.action} of {self.subject} ended as {outcome}") from error


@dataclass(frozen=True)
class Authority:
    """Roles, log and actor together.

    Parameters
    ----------
    roles, audit, actor
        Who may do what, where it is written, and who asks.
    """

    roles: Roles
    audit: Audit
    actor: Actor

    @property
    def note(self) -> str:
        """What a user should be told once, or nothing."""
        if self.roles.file is None and self.audit.file is not None:
            return "no roles file: everybody may do everything"
        return ""

    def append(self, action: str, subject: str, outcome: str, details: Mapping[str, Detail] = _NOTHING) -> None:
        """Write down something that needs no role, such as a verdict.

        Raises
        ------
        RecordFault
            If it can't be written.
        """
        self.audit.append(action, subject, outcome, details, self.actor)

    def begin(self, role: Role | None, action: str, subject: str, details: Mapping[str, Detail] = _NOTHING) -> Begun:
        """Let an actor with a role begin something, and write that down first; a refusal is on record too.

        Parameters
        ----------
        role
            The role that it takes; ``None`` where anybody may.
        action, subject, details
            What, to what, and flat facts.

        Raises
        ------
        RefusedError
            If the actor has not the role.
        RecordFault
            If it can't be written. In both cases it must not be done.
        """
        said: dict[str, Detail] = {"role": role, "roles_sha256": self.roles.sha256, **details}
        if role is not None:
            try:
                self.roles.require(role, self.actor)
            except RefusedError as error:
                with suppress(QdhilError):  # refused in any case
                    self.append(action, subject, "refused", {**said, **_reason(error)})
                raise
        try:
            entry = self.audit.append(action, subject, "begun", said, self.actor)
        except RecordFault as error:
            raise RecordFault(f"{error}; nothing was done") from error
        return Begun(self, action, subject, None if entry is None else entry.number)

    @contextmanager
    def action(
        self, role: Role | None, action: str, subject: str, details: Mapping[str, Detail] = _NOTHING
    ) -> Iterator[Progress]:
        """Let an actor with a role do something inside the block, with its begin and its end on record.

        The end is ``done``, or ``refused``, ``interrupted`` or ``failed`` with the reason of the exception. A begin
        without an end is an action that was killed. Parameters and errors are those of :meth:`begin`.
        """
        begun, progress = self.begin(role, action, subject, details), Progress()
        try:
            yield progress
        except BaseException as error:
            with suppress(QdhilError):  # what went wrong matters more than that it can't be written
                begun.end(_outcome(error), _reason(error))
            raise
        begun.end(progress.outcome, progress.details)


def open_authority(
    roles: str | Path | None = None,
    audit: str | Path | None = None,
    *,
    beside: Path | None = None,
    signer: Signer | None = None,
) -> Authority:
    """Return who may act and where it is written.

    Parameters
    ----------
    roles, audit
        Files, relative to ``beside``. Only where one is not given, the environment variables ``QDHIL_ROLES`` and
        ``QDHIL_AUDIT`` name it: they never lead away from what a rack file says.
    beside
        Folder that relative files lie in.
    signer
        Key that stands for the actor.

    Raises
    ------
    ConfigurationError
        If the roles file can't be read: nobody may act.
    """
    folder = beside or Path()
    members = load_roles(_file(roles, folder, ROLES_VARIABLE))
    log = open_audit(_file(audit, folder, AUDIT_VARIABLE))
    asked = members.file is not None or log.file is not None
    return Authority(members, log, current_actor(signer if asked else None))


def _file(given: str | Path | None, folder: Path, variable: str) -> Path | None:
    if given is not None:
        if not str(given).strip():
            raise ConfigurationError("the name of the roles file or the audit log is empty")
        return folder / given
    named = os.environ.get(variable, "")
    return Path(named) if named.strip() else None


def _outcome(error: BaseException) -> str:
    if isinstance(error, RefusedError):
        return "refused"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _reason(error: BaseException) -> dict[str, Detail]:
    # other messages than our own may repeat what they were given
    reason = str(error) if isinstance(error, QdhilError) else type(error).__name__
    return {"reason": reason}
