"""Who may run a session on a rack, and where that is written down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.audit import Authority, Begun, open_authority
from qdhil.errors import QdhilError, RefusedError

if TYPE_CHECKING:
    from qdhil.plugin.settings import Settings
    from qdhil.rack.config import Rack


def rack_authority(settings: Settings) -> Authority:
    """Return roles and audit log of a session's rack, and who runs the session.

    Raises
    ------
    ConfigurationError
        If the roles file can't be read: nobody may run.
    """
    return open_authority(settings.rack.roles, settings.rack.audit, beside=settings.rack_file.parent)


def note_refused(rack: Rack, rack_file: Path, rigs: Iterable[str], candidate: str, reason: RefusedError) -> None:
    """Write down that a run was refused before it began; that nothing can be written changes nothing."""
    with contextlib.suppress(QdhilError):
        authority = open_authority(rack.roles, rack.audit, beside=rack_file.parent)
        authority.append("run", Path(candidate).name, "refused", {"rigs": ", ".join(rigs), "reason": str(reason)})


def begin_run(authority: Authority, settings: Settings) -> Begun:
    """Let an operator begin a run.

    Raises
    ------
    RefusedError
        If who runs the session is no operator.
    RecordFault
        If it can't be written down.
    """
    baseline, candidate = settings.firmware
    return authority.begin(
        "operator",
        "run",
        settings.run_folder.name,
        {
            "rigs": ", ".join(settings.rigs),
            "candidate": candidate.version,
            "candidate_sha256": candidate.sha256,
            "baseline": baseline.version,
            "baseline_sha256": baseline.sha256,
            "policy_sha256": settings.policy.sha256,
        },
    )
