"""Where a rollout is written down: one process writes at a time, everybody may read at any time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qdhil.rollout.plan import FileState
from qdhil.rollout.state import JournalEntry, RolloutState, Wish

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from qdhil.rollout.plan import Plan


class Store(Protocol):
    """State, journal, wishes and nonces of a rollout.

    Everything is on the disk before a method returns. RecordFault is raised where something can't be written, and
    ConfigurationError where nothing can be read.
    """

    def held(self) -> AbstractContextManager[None]:
        """Hold the rollout for this process until the block ends; ConfigurationError where another has it."""

    def is_held(self) -> bool:
        """Whether some process runs the rollout now."""

    def load(self) -> RolloutState | None:
        """Return the state, or ``None`` for a rollout that was never started."""

    def save(self, state: RolloutState, entry: JournalEntry) -> None:
        """Keep a state and the journal's line about it; the line is never lost where the state is kept."""

    def note(self, entry: JournalEntry) -> None:
        """Keep a line of the journal."""

    def journal(self) -> list[JournalEntry]:
        """Return the journal."""

    def wish(self, wish: Wish | None) -> None:
        """Keep what a person asks of whoever runs the rollout; ``None`` takes it back."""

    def wished(self) -> Wish | None:
        """Return what is asked."""

    def claim_nonce(self, nonce: str, rollout: str) -> None:
        """Keep an attestation for a rollout; RefusedError where another rollout used it."""

    def check_unused(self, nonce: str) -> None:
        """Raise RefusedError where a rollout used an attestation; nothing is kept."""


@contextmanager
def open_store(plan: Plan, folder: Path) -> Iterator[Store]:
    """Give the store of a plan; relative paths start from the plan's folder.

    Raises
    ------
    ConfigurationError
        If the database can't be reached, or its driver isn't installed.
    """
    if isinstance(plan.state, FileState):
        from qdhil.rollout.store_file import FileStore

        yield FileStore(folder / plan.state.folder, plan.name)
        return
    from qdhil.rollout.store_postgres import connected

    with connected(plan.state.conninfo, plan.state.table_schema, plan.name) as store:
        yield store
