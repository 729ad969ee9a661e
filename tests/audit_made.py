"""Audit logs for tests: small ones of every kind of entry, and lines of a caller's choice."""

from __future__ import annotations

from pathlib import Path

from signing_made import ALICE

from qdhil.audit import AuditLog, current_actor


def write_log(file: Path, *, entries: int = 6, torn: bool = True, signed: bool = True) -> AuditLog:
    """A log with plain and signed entries and one that a crash tore."""
    log, alice = AuditLog(file), current_actor(ALICE) if signed else None
    for number in range(entries):
        if torn and number == entries // 2:
            tear(file)
        details = {"text": "ä\n\"'\x1b", "number": number, "part": 0.1, "true": True, "none": None}
        log.append("rig.lease", f"sim-a{number}", "begun", details, alice if number % 3 == 1 else None)
    return log


def tear(file: Path, left: bytes = b'{"action":"run","actor":{"acc') -> None:
    """Leave what a crash leaves of a line."""
    with file.open("ab") as stream:
        stream.write(left)
