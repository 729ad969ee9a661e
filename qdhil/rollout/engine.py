"""Run a rollout: do what its state asks for, and write down what came of it, until it ends, is held, or must wait.

The state says what is to be done before it is begun; the process may be killed between any two lines of this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import InfraFault
from qdhil.rollout import machine
from qdhil.rollout.changes import in_phase
from qdhil.rollout.fleet import WISH_POLL_S, PutAsideError, wait
from qdhil.rollout.lock import ask_lock
from qdhil.rollout.narration import Narrator
from qdhil.rollout.state import JournalEntry, RolloutState, Wish

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.rollout.fleet import DeviceState, Fleet
    from qdhil.rollout.plan import Plan
    from qdhil.rollout.store import Store


@dataclass(frozen=True)
class Parts:
    """What an engine works with.

    Parameters
    ----------
    plan, folder
        The plan, and the folder that its relative paths start from.
    store, fleet
        Where the rollout is written down, by this process alone, and its devices.
    authority
        Who releases, and the audit log.
    say
        Takes a line of progress.
    interrupted
        Whether the process was asked to end; it does so between two actions.
    """

    plan: Plan
    folder: Path
    store: Store
    fleet: Fleet
    authority: Authority
    say: Callable[[str], None]
    interrupted: Callable[[], bool] = lambda: False


class Engine:
    """One process's run of a rollout that it holds.

    Parameters
    ----------
    parts
        What it works with.
    state
        The state to go on from, which is in the store already.
    """

    def __init__(self, parts: Parts, state: RolloutState) -> None:
        self._parts = parts
        self.state = state
        self._narrator = Narrator(parts.authority, parts.say)
        self._baking: tuple[str, float] = "", 0.0

    def resume(self) -> None:
        """Go on after a hold or a kill: look at the confirmed devices again, and have the lock asked anew."""
        self._keep(machine.resumed(self.state), "resumed", self.state.name)
        with suppress(PutAsideError):  # what it is put aside for comes before any device
            self._look_again()

    def _look_again(self) -> None:
        confirmed = in_phase(self.state.devices, "confirmed")
        seen = {device: self._parts.fleet.observe(device) for device in confirmed}
        after = machine.after_drift(self.state, self._parts.plan, seen)
        if after != self.state:
            self._keep(
                after, "drift", ", ".join(name for name in seen if after.devices[name] != self.state.devices[name])
            )

    def wish(self, wish: Wish) -> None:
        """Do what a person asks."""
        self._keep(machine.after_wish(self.state, wish), "asked", self.state.name, wish)
        if self._parts.store.wished() == wish:  # not one that came meanwhile
            self._parts.store.wish(None)

    def run(self, *, until_idle: bool = False) -> RolloutState:
        """Act until the rollout ends, is held or is interrupted, and return its state.

        Parameters
        ----------
        until_idle
            End as well where a wave has to bake, instead of waiting.
        """
        while not self._parts.interrupted():
            if not self.state.is_final and (wish := self._parts.store.wished()) is not None:
                self.wish(wish)
            action = machine.next_action(self.state, self._parts.plan)
            if action is None:
                break
            if action.verb == "bake" and not self._baked(action.until):
                if until_idle:
                    break
                time.sleep(WISH_POLL_S)
                continue
            with suppress(PutAsideError):
                self._act(action)
        return self.state

    def _act(self, action: machine.Action) -> None:
        device, plan = action.subject, self._parts.plan
        if action.verb in ("install", "confirm", "roll back"):
            self._narrator.begins(self.state, action.verb, device)
            self._parts.store.note(_entry(self.state.revision, f"intent: {action.verb}", device))
        match action.verb:
            case "ask":
                self._ask(device)
            case "survey":
                self._survey(device)
            case "install":
                seen = self._acted(self._parts.fleet.install, device, until=("trial", "confirmed", "failed"))
                self._seen(machine.after_install(self.state, plan, device, seen, _now()), "installed", device, seen)
            case "bake":
                self._keep(machine.after_baking(self.state), "baked", device)
            case "check":
                seen = self._parts.fleet.observe(device)
                self._seen(machine.after_check(self.state, plan, device, seen, _now()), "checked", device, seen)
            case "confirm":
                seen = self._acted(self._parts.fleet.confirm, device, until=("confirmed",))
                self._seen(machine.after_confirm(self.state, plan, device, seen, _now()), "confirmed", device, seen)
            case "roll back":
                seen = self._acted(self._parts.fleet.roll_back, device, until=("baseline",))
                self._seen(machine.after_roll_back(self.state, plan, device, seen, _now()), "rolled back", device, seen)

    def _ask(self, name: str) -> None:
        """Ask the lock of the ring at work; nothing else opens it."""
        plan, rollout = self._parts.plan, self.state.rollout
        opening = ask_lock(
            plan,
            plan.rings[self.state.ring],
            self._parts.folder,
            self.state.candidate.sha256,
            _now(),
            claim_nonce=lambda nonce: self._parts.store.claim_nonce(nonce, rollout),
        )
        self._narrator.asked(self.state, name, opening)
        self._keep(machine.after_lock(self.state, plan, opening), f"lock: {opening.answer}", name, opening.reason)

    def _survey(self, device: str) -> None:
        seen = self._parts.fleet.observe(device)
        self._seen(machine.after_survey(self.state, self._parts.plan, device, seen, _now()), "surveyed", device, seen)

    def _acted(self, verb: Callable[[str], None], device: str, until: tuple[str, ...]) -> DeviceState:
        """Do something to a device, and return what it says of itself once it is done, or can't be any more."""
        deadline = time.monotonic() + self._parts.plan.install_timeout_s
        fault = None
        try:
            verb(device)
        except InfraFault as raised:
            fault = raised
        while True:
            seen = self._parts.fleet.observe(device)
            done = seen.phase in until or seen.phase in ("unreachable", "unknown") or fault is not None
            if done or time.monotonic() > deadline:
                return seen if fault is None or seen.phase in until else _explained(seen, fault)
            wait(self._parts.plan.poll_s, lambda: wanted_else(self._parts.store, self._parts.interrupted))

    def _seen(self, after: RolloutState, what: str, device: str, seen: DeviceState) -> None:
        self._keep(after, what, device, f"{seen.phase}: {seen.detail}")

    def _keep(self, after: RolloutState, what: str, subject: str, outcome: str = "") -> None:
        self.state = keep(self._parts.store, self._narrator, self.state, after, (what, subject, outcome))

    def _baked(self, until: str) -> bool:
        """Return whether a wave has baked; a clock that is set meanwhile makes it neither shorter nor endless."""
        if self._baking[0] != until:
            bake_time_s = self._parts.plan.rings[self.state.ring].bake_time_s
            left_s = min((datetime.fromisoformat(until) - _now()).total_seconds(), bake_time_s)
            self._baking = until, time.monotonic() + left_s
        return time.monotonic() >= self._baking[1]


def keep(
    store: Store, narrator: Narrator, before: RolloutState, after: RolloutState, why: tuple[str, str, str]
) -> RolloutState:
    """Write a state down before anything is done about it, and return it as it was written.

    Parameters
    ----------
    store, narrator
        Where to, and who tells the audit log.
    before, after
        The state that is in the store, and the one to come.
    why
        What the journal says: what happened, to what, and what came of it.
    """
    update = {"revision": before.revision + 1, "updated": _now().isoformat(timespec="seconds")}
    after = after.model_copy(update=update)
    narrator.changes(before, after)
    store.save(after, _entry(after.revision, *why))
    return after


def wanted_else(store: Store, interrupted: Callable[[], bool]) -> bool:
    """Whether the process was asked to end, or a person asks for something."""
    return interrupted() or store.wished() is not None


def _entry(revision: int, what: str, subject: str, outcome: str = "") -> JournalEntry:
    now = _now().isoformat(timespec="milliseconds")
    return JournalEntry(revision=revision, time=now, what=what, subject=subject, outcome=outcome)


def _now() -> datetime:
    return datetime.now(UTC)


def _explained(seen: DeviceState, fault: InfraFault) -> DeviceState:
    return replace(seen, detail=f"{fault.quantity}: {fault.last_value} (allowed: {fault.band})")
