"""End a rollout that no process runs, with what its state says: neither signatures nor the candidate are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.rollout import machine
from qdhil.rollout.engine import Engine, Parts, keep, wanted_else
from qdhil.rollout.fleet import open_fleet
from qdhil.rollout.foreground import loaded
from qdhil.rollout.narration import Narrator
from qdhil.rollout.state import RolloutState, Wish
from qdhil.rollout.store import Store, open_store

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.firmware import Bundle
    from qdhil.rollout.plan import Plan


@dataclass(frozen=True)
class Ending:
    """What it takes to end a rollout.

    Parameters
    ----------
    plan, folder
        The plan, and the folder that its relative paths start from.
    authority
        Who releases, and the audit log.
    say
        Takes a line of progress.
    interrupted
        Whether the process was asked to end.
    """

    plan: Plan
    folder: Path
    authority: Authority
    say: Callable[[str], None]
    interrupted: Callable[[], bool]

    def abort(self, wish: Wish) -> RolloutState:
        """Abort a rollout, also where the plan's rings were changed since it was started.

        Where no device has to be brought back, none is spoken to, and no bundle is read.

        Raises
        ------
        ConfigurationError
            If it was never started, is done, or the baseline's bundle is gone.
        RefusedError
            If the baseline's bundle is not the one that the rollout was started with.
        """
        with open_store(self.plan, self.folder) as store, store.held():
            state = loaded(store, self.plan.name)
            if state.phase == "done":
                raise ConfigurationError(f"rollout {state.name} is done, and stays so; roll another firmware out")
            if state.is_final:
                return state
            ended = machine.after_wish(state, wish)
            if not ended.is_final:
                return self._roll_back(store, state, wish)
            narrator = Narrator(self.authority, self.say)
            state = keep(store, narrator, state, ended, ("asked", state.name, wish))
            store.wish(None)
            return state

    def _roll_back(self, store: Store, state: RolloutState, wish: Wish) -> RolloutState:
        baseline, asked = self._baseline(state), partial(wanted_else, store, self.interrupted)
        with open_fleet(self.plan, self.folder, state.candidate, baseline, asked) as fleet:
            store.wish(wish)
            parts = Parts(self.plan, self.folder, store, fleet, self.authority, self.say, self.interrupted)
            return Engine(parts, state).run()

    def _baseline(self, state: RolloutState) -> Bundle:
        """Return the bundle to roll back to: verified when the rollout was started, and told by its digest since."""
        from qdhil.firmware.bundle import find_known_bundle
        from qdhil.rack.selection import named_folder

        try:
            folder = named_folder(self.plan.bundles, self.folder, "bundles")
            baseline = find_known_bundle(self.plan.baseline, folder, state.baseline.sha256)
            if baseline.version != state.baseline.version:
                raise RefusedError(f"firmware {state.baseline.version}: its manifest says {baseline.version} now")
        except (ConfigurationError, RefusedError) as error:
            raise type(error)(
                f"rollout {state.name}: nothing to roll back to: {error}; put the bundle of "
                f"{state.baseline.version} with image sha256 {state.baseline.sha256} back where the plan's baseline "
                "says, signed or not; or end the rollout with every device as it is: qdhil rollout abort --keep"
            ) from error
        return baseline
