"""Fold the references of single runs into the ledger, in one compare-and-swap push.

The push moves the ledger and deletes the folded references, each only from the commit that was read, and all
or nothing. Of two compactors that race, one wins and the other reads again. A reference whose record is
damaged is named and stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from qdhil.record.ledger import Ledger, persevere, run_refs
from qdhil.record.ledger_entry import parse_entry
from qdhil.record.ledger_repository import LEDGER_REF, RUNS_PREFIX, GitFailure, LedgerRepository

_BATCH = 250
"""References folded by one push: an argument list has an end."""


@dataclass
class Folded:
    """What compaction did.

    Parameters
    ----------
    runs
        How many references were folded and deleted.
    problems
        One line for each reference that was left because its record is damaged.
    retries
        How often another compactor or writer was faster.
    """

    runs: int = 0
    problems: list[str] = field(default_factory=list)
    retries: int = 0


def compact(ledger: Ledger) -> Folded:
    """Fold every run that the remote has, in batches, until none is left but damaged ones.

    Raises
    ------
    RecordFault
        If the remote does not take the push; nothing is lost then.
    """
    total = Folded()
    ledger.send()
    started = 0

    def fold() -> int:
        nonlocal started
        started += 1
        return _fold_batch(ledger.repository, total)

    with ledger.alone():
        while True:
            started = 0
            folded = persevere(fold)
            total.retries += started - 1
            total.runs += folded
            if folded < _BATCH:
                return total


def _fold_batch(repository: LedgerRepository, total: Folded) -> int:
    there = repository.remote_refs()
    layout = repository.layout(there)
    if layout is None:
        return 0
    repository.fetch(layout)
    local = repository.local_refs()
    parent, seen = local.get(LEDGER_REF), there.get(layout.ledger)
    if seen is not None and parent != seen:
        raise GitFailure("compact", "the ledger moved: stale info")
    total.problems = []
    runs = {layout.runs + name.removeprefix(RUNS_PREFIX): oid for name, oid in run_refs(local).items()}
    records, delete = _foldable(repository, runs, there, total)
    if not delete:
        return 0
    # where the remote has lost its ledger (seen is None), this checkout's copy is the parent and restores it
    commit = repository.write_commit(
        repository.write_tree(records, onto=parent), f"fold {len(delete)} runs", datetime.now(UTC), parent
    )
    left_by_probes = {name: oid for name, oid in there.items() if name.startswith(layout.probe)}
    repository.swap((layout.ledger, seen, commit), delete | left_by_probes)
    repository.git("update-ref", LEDGER_REF, commit)
    return len(delete)


def _foldable(
    repository: LedgerRepository, runs: dict[str, str], there: dict[str, str], total: Folded
) -> tuple[dict[str, str], dict[str, str]]:
    """Return records by path, and the references to delete for them; damaged ones are named in ``total``."""
    records: dict[str, str] = {}
    delete: dict[str, str] = {}
    for name, oid in runs.items():
        if there.get(name) != oid or len(delete) >= _BATCH:
            continue
        try:
            records |= _checked(repository, oid)
        except (ValueError, GitFailure) as error:
            total.problems.append(f"{name}: {error}")
            continue
        delete[name] = oid
    return records, delete


def _checked(repository: LedgerRepository, commit: str) -> dict[str, str]:
    """Return the records of one run's commit by path; ValueError where one is damaged."""
    files = repository.files(commit)
    if not files:
        raise ValueError("holds no record")
    for path, blob in files.items():
        parse_entry(path, repository.read_blob(blob))
    return files
