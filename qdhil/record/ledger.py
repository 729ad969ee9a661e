"""The ledger of runs over a git remote: hand in a record, mirror what all rigs handed in, read it.

A record goes first into an outbox inside ``.git`` (a file, renamed into place), then to the remote as a
reference of its own, and only then out of the outbox: a pusher that is killed anywhere leaves either the file
or the reference, and whoever comes next with the same checkout sends what is left.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from qdhil.errors import RecordFault
from qdhil.record.ledger_entry import LedgerEntry, parse_entry
from qdhil.record.ledger_repository import LEDGER_REF, RUNS_PREFIX, GitFailure, LedgerRepository
from qdhil.record.run_folder import write_bytes

ATTEMPTS = 20
"""A contended push or fetch is tried this often."""
_FEWER_ATTEMPTS = 3
"""Any other failure is tried this often."""
_LONGEST_PAUSE_S = 2.0
_LOCK_WAIT_S = 600.0
_BATCH = 100
"""References in one push."""

_T = TypeVar("_T")


@dataclass
class Contents:
    """What a checkout knows of the ledger.

    Parameters
    ----------
    entries
        Every readable record, by the time it was finished.
    problems
        One line for each record that could not be read, with its name and the reason.
    """

    entries: list[LedgerEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Ledger:
    """The ledger as one checkout sees it; a context manager, which ends git's reading processes.

    Parameters
    ----------
    folder
        Anywhere in the checkout.
    remote
        Name of the git remote.
    """

    def __init__(self, folder: Path, remote: str = "origin") -> None:
        self.repository = LedgerRepository(folder, remote)
        self._outbox = self.repository.private_folder / "outbox" / remote

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.repository.close()

    def put(self, entry: LedgerEntry) -> Path:
        """Keep a record in the outbox, on the disk, and return its file; putting it twice is putting it once."""
        file = self._outbox / entry.rig / f"{entry.id}.json"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordFault(f"ledger: {file.parent} can't be made: {error.strerror}") from error
        write_bytes(file, entry.content)
        return file

    def unsent(self) -> list[Path]:
        """Return the files of the outbox."""
        return sorted(self._outbox.glob("*/*.json"))

    def send(self) -> int:
        """Push every record of the outbox as a reference of its own; return how many there were.

        Raises
        ------
        RecordFault
            If the remote does not take them, or, after the others were sent, if one is damaged; they stay in the
            outbox.
        """
        if not self.unsent():
            return 0
        with self.alone():
            files, damaged = self._checked(self.unsent())
            if files:
                layout = self.repository.layout() or self.repository.layout(self.repository.remote_refs())
                layout = layout or persevere(self.repository.probe_layout)
                for first in range(0, len(files), _BATCH):
                    batch = files[first : first + _BATCH]
                    self._send_batch(batch, layout.runs)
        if damaged:
            raise RecordFault(f"ledger: damaged records were not sent: {'; '.join(damaged)}")
        return len(files)

    def sync(self) -> Contents:
        """Send what is unsent, mirror the remote's records into the checkout, and read them.

        Raises
        ------
        RecordFault
            If the remote can't be reached, or its ledger no longer contains what this checkout has seen of it.
        """
        self.send()
        with self.alone():
            persevere(self._mirror)
        return self.read()

    def _mirror(self) -> None:
        """Fetch ledger and runs, and forget those runs whose records the fetched ledger has."""
        layout = self.repository.layout() or self.repository.layout(self.repository.remote_refs())
        if layout is None:
            return
        self.repository.fetch(layout)
        local = self.repository.local_refs()
        runs = run_refs(local)
        if runs and LEDGER_REF in local:
            folded = self.repository.files(local[LEDGER_REF]).keys()
            trees = {name: self.repository.files(oid).keys() for name, oid in runs.items()}
            self.repository.forget({name: runs[name] for name, paths in trees.items() if paths and paths <= folded})

    def read(self) -> Contents:
        """Read the mirrored records, folded or not, without the remote; those that are damaged are named."""
        records: dict[str, LedgerEntry] = {}
        contents = Contents()
        for ref, oid in self.repository.local_refs().items():
            try:
                files = self.repository.files(oid)
            except GitFailure as error:
                contents.problems.append(f"{ref}: {error}")
                continue
            if ref != LEDGER_REF and not files:
                contents.problems.append(f"{ref}: holds no record")
            for path, blob in files.items():
                if path in records:
                    continue
                try:
                    records[path] = parse_entry(path, self.repository.read_blob(blob))
                except ValueError as error:
                    contents.problems.append(f"{ref}: {error}")
        contents.entries = sorted(records.values(), key=lambda entry: (entry.finished, entry.rig, entry.sha256))
        return contents

    @staticmethod
    def _checked(files: list[Path]) -> tuple[list[Path], list[str]]:
        """Return the files that are whole records, and a line about each that is not."""
        whole, damaged = [], []
        for file in files:
            try:
                entry = LedgerEntry.model_validate_json(file.read_bytes())
                if (file.parent.name, file.stem) != (entry.rig, entry.id):
                    raise ValueError("its content is not what its name says")
                whole.append(file)
            except (OSError, ValueError) as error:
                damaged.append(f"{file}: {str(error).splitlines()[0]}")
        return whole, damaged

    def _send_batch(self, files: list[Path], prefix: str) -> None:
        commits = {}
        for file in files:
            content = file.read_bytes()
            entry = LedgerEntry.model_validate_json(content)
            tree = self.repository.write_tree({entry.path: self.repository.write_blob(content)})
            commits[file] = self.repository.write_commit(tree, f"{entry.rig} {entry.run}", entry.finished)
        attempts = 0

        def push() -> None:
            # a name of its own at a later attempt: the first one may be left locked at the remote
            nonlocal attempts
            suffix = f"-{secrets.token_hex(4)}" if attempts else ""
            attempts += 1
            self.repository.push(
                *(f"{oid}:{prefix}{file.parent.name}/{file.stem}{suffix}" for file, oid in commits.items())
            )

        persevere(push)
        for file in files:
            file.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the checkout's ledger: pushes of one machine in turn, and one process at the outbox."""
        from filelock import FileLock, Timeout

        file = self.repository.private_folder / "ledger.lock"
        lock = FileLock(file)
        try:
            file.parent.mkdir(exist_ok=True)
            lock.acquire(timeout=_LOCK_WAIT_S)
        except Timeout as error:
            raise RecordFault(f"ledger: another process holds {file}") from error
        except OSError as error:
            raise RecordFault(f"ledger: {file} can't be held: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()


def run_refs(refs: dict[str, str]) -> dict[str, str]:
    """Return those mirrored references that are runs."""
    return {name: oid for name, oid in refs.items() if name.startswith(RUNS_PREFIX)}


def persevere(work: Callable[[], _T], attempts: int = ATTEMPTS) -> _T:
    """Do what other writers may disturb, again after a random pause that grows; the last failure is raised."""
    failed = 0
    while True:
        try:
            return work()
        except GitFailure as error:
            failed += 1
            if failed >= (attempts if error.contended else min(attempts, _FEWER_ATTEMPTS)):
                raise
        # decorrelates machines that failed together; no secret
        time.sleep(random.uniform(0.2, 1.0) * min(_LONGEST_PAUSE_S, 0.05 * 2**failed))
