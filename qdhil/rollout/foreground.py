"""One run of a rollout in the foreground of a process: start or resume, until it must stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError
from qdhil.exit_codes import ExitCode
from qdhil.rollout.engine import Engine, Parts, wanted_else
from qdhil.rollout.fleet import open_fleet
from qdhil.rollout.preparation import Prepared, check_same, first_state, rings_of
from qdhil.rollout.state import JournalEntry, RolloutState
from qdhil.rollout.store import Store, open_store

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.rollout.fleet import Fleet


@dataclass(frozen=True)
class Foreground:
    """What a run in the foreground works with.

    Parameters
    ----------
    prepared
        Plan and bundles.
    authority
        Who releases, and the audit log.
    say
        Takes a line of progress.
    interrupted
        Whether the process was asked to end.
    """

    prepared: Prepared
    authority: Authority
    say: Callable[[str], None]
    interrupted: Callable[[], bool]

    def start(self, *, once: bool = False) -> RolloutState:
        """Start a rollout and run it; ConfigurationError if its name was used before."""
        with self._working() as (store, fleet):
            if store.load() is not None:
                name = self.prepared.plan.name
                raise ConfigurationError(f"rollout {name} was started already: resume it, or use another name")
            state = first_state(self.prepared, fleet)
            store.save(state, JournalEntry(revision=0, time=state.updated, what="started", subject=state.name))
            return self._engine(store, fleet, state).run(until_idle=once)

    def resume(self, *, once: bool = False) -> RolloutState:
        """Go on with a rollout that is held or whose process was killed; nothing to do for one that has ended."""
        with self._working() as (store, fleet):
            state = loaded(store, self.prepared.plan.name)
            if state.is_final:
                return state
            check_same(self.prepared, state)
            if {name: device.ring for name, device in state.devices.items()} != rings_of(self.prepared.plan, fleet):
                raise ConfigurationError(
                    f"rollout {state.name}: its rings have other devices now; abort it or undo that"
                )
            if store.wished() == "pause":
                store.wish(None)
            engine = self._engine(store, fleet, state)
            engine.resume()
            return engine.run(until_idle=once)

    @contextmanager
    def _working(self) -> Iterator[tuple[Store, Fleet]]:
        prepared = self.prepared
        with open_store(prepared.plan, prepared.folder) as store, store.held():
            bundles, asked = (prepared.candidate, prepared.baseline), partial(wanted_else, store, self.interrupted)
            with open_fleet(prepared.plan, prepared.folder, *bundles, asked) as fleet:
                yield store, fleet

    def _engine(self, store: Store, fleet: Fleet, state: RolloutState) -> Engine:
        plan, folder = self.prepared.plan, self.prepared.folder
        return Engine(Parts(plan, folder, store, fleet, self.authority, self.say, self.interrupted), state)


def loaded(store: Store, name: str) -> RolloutState:
    """Return a rollout's state; ConfigurationError if it was never started, or the state is another rollout's."""
    state = store.load()
    if state is None:
        raise ConfigurationError(f"rollout {name} was never started")
    if state.name != name:
        raise ConfigurationError(f"rollout {name}: its state is that of rollout {state.name}; put its own back")
    return state


def exit_code(state: RolloutState) -> int:
    """Return what a run ends with: the end's code, the hold's, or 20 where it goes on later."""
    if state.is_final:
        return int(state.exit_code)
    return int(ExitCode.INCONCLUSIVE if state.held is None else state.held.exit_code)
