"""The rules of a rollout, pure: what a state asks for next, and what it becomes when that has happened.

:func:`next_action` follows from the state alone, so a rollout whose process was killed goes on with the action that it
was about. A device's phase says what is to be done before it is begun, and every action may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from qdhil.exit_codes import ExitCode
from qdhil.rollout.changes import (
    budgeted,
    changed,
    held,
    in_phase,
    out,
    pending_again,
    put_back,
    ring_over,
    rolling_back,
    wave_over,
)
from qdhil.rollout.state import RolloutState, Then, Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qdhil.rollout.fleet import DeviceState
    from qdhil.rollout.lock import Opening
    from qdhil.rollout.plan import Plan

Verb = Literal["ask", "survey", "install", "bake", "check", "confirm", "roll back"]


@dataclass(frozen=True)
class Action:
    """What is to be done next.

    Parameters
    ----------
    verb
        ``ask`` the lock of the ring; ``survey`` a device before it is touched; ``install``, and see it on trial;
        ``bake`` until a time; ``check`` a device after baking; ``confirm`` or ``roll back`` a device, and see it there.
    subject
        The ring or the device.
    until
        When baking ends, ISO 8601.
    """

    verb: Verb
    subject: str
    until: str = ""


def next_action(state: RolloutState, plan: Plan) -> Action | None:
    """Return what is to be done next; ``None`` where the rollout is held or has ended.

    What has to go back to the baseline goes first, even where the rollout is held already.
    """
    if state.is_final or (state.held is not None and state.held.paused):
        return None
    for name in in_phase(state.devices, "reverting"):
        if not state.devices[name].stuck:
            return Action("roll back", name)
    if state.held is not None:
        return None
    ring = plan.rings[state.ring]
    devices = state.of_ring(ring.name)
    if not state.opened:
        return Action("ask", ring.name)
    if confirming := in_phase(devices, "confirming"):
        return Action("confirm", confirming[0])
    if installing := in_phase(devices, "installing"):
        return Action("install" if devices[installing[0]].begun else "survey", installing[0])
    if state.baking_until is not None and not state.baked:
        return Action("bake", ring.name, state.baking_until)
    for name in in_phase(devices, "trial"):
        if not devices[name].well:
            return Action("check", name)
    return Action("ask", ring.name)


def after_lock(state: RolloutState, plan: Plan, opening: Opening) -> RolloutState:
    """Return the state after the lock's answer: a wave begins, is confirmed, or everything stops."""
    from qdhil.rollout.lock import Answer

    ring = plan.rings[state.ring]
    if opening.answer is Answer.ROLL_BACK:
        return after_block(state, ring.name, opening.reason)
    if opening.answer is not Answer.OPEN:
        return held(put_back(state, opening.reason), f"ring {ring.name}: {opening.reason}", opening.exit_code)
    if state.opened:
        for name in in_phase(state.of_ring(ring.name), "trial"):
            state = changed(state, name, phase="confirming")
        return state
    working = in_phase(state.of_ring(ring.name), "installing", "trial")
    free = 0 if state.baking_until is not None else max(0, ring.wave_size - len(working))
    for name in in_phase(state.of_ring(ring.name), "pending")[:free]:
        attempts = state.devices[name].attempts + 1
        state = changed(state, name, phase="installing", attempts=attempts, begun=False, well=False, detail="")
        working.append(name)
    return state.model_copy(update={"opened": True}) if working else ring_over(state, plan)


def after_block(state: RolloutState, ring: str, reason: str) -> RolloutState:
    """Return the state with a ring on its way back to the baseline."""
    touched = in_phase(state.of_ring(ring), "installing", "trial", "confirming", "confirmed", "reverting")
    return rolling_back(state, touched, "rolled back", f"ring {ring}: {reason}")


def after_survey(state: RolloutState, plan: Plan, device: str, seen: DeviceState, now: datetime) -> RolloutState:
    """Return the state after a look at a device before it is touched: fit to be installed on, or out."""
    if seen.phase == "unknown":
        return _unknown(state, device, seen)
    if seen.phase == "unreachable" or (seen.phase == "baseline" and seen.healthy is False):
        return _settled(out(state, device, seen.detail or "its self-test fails on the baseline"), plan, now)
    return changed(state, device, begun=True)


def after_install(state: RolloutState, plan: Plan, device: str, seen: DeviceState, now: datetime) -> RolloutState:
    """Return the state after a device was to be installed and what was seen of it then."""
    if seen.phase == "unknown":
        return _unknown(state, device, seen)
    if _well(seen):
        state = changed(state, device, phase="trial", detail="")
    else:
        state = _reverting(state, device, seen, "after installing")
    return _settled(state, plan, now)


def after_baking(state: RolloutState) -> RolloutState:
    """Return the state when the wave has baked: its devices are looked at."""
    return state.model_copy(update={"baked": True})


def after_check(state: RolloutState, plan: Plan, device: str, seen: DeviceState, now: datetime) -> RolloutState:
    """Return the state after a look at a device that has baked."""
    if seen.phase == "unknown":
        return _unknown(state, device, seen)
    if _well(seen):
        return changed(state, device, well=True)
    return _settled(_reverting(state, device, seen, "after baking"), plan, now)


def after_confirm(state: RolloutState, plan: Plan, device: str, seen: DeviceState, now: datetime) -> RolloutState:
    """Return the state after a device was confirmed, as it says itself."""
    if seen.phase == "unknown":
        return _unknown(state, device, seen)
    if seen.phase == "confirmed" and seen.healthy is not False:
        state = changed(state, device, phase="confirmed", detail="")
    else:
        state = _reverting(state, device, seen, "after it was confirmed")
    return _settled(state, plan, now)


def after_roll_back(state: RolloutState, plan: Plan, device: str, seen: DeviceState, now: datetime) -> RolloutState:
    """Return the state after a device was rolled back, as it says itself."""
    entry = state.devices[device]
    if seen.phase != "baseline":
        # that it can't be brought back speaks against the rig, not against the firmware
        attempts = max(0, entry.attempts - 1) if entry.then == "again" else entry.attempts
        state = changed(state, device, stuck=True, attempts=attempts, detail=seen.detail or seen.phase)
        reason = f"device {device} could not be brought back to the baseline: {seen.detail or seen.phase}"
        return held(put_back(state, "another device could not be brought back"), reason, ExitCode.INFRA)
    then = entry.then
    if then == "again":
        ring = next(ring for ring in plan.rings if ring.name == entry.ring)
        then = "failed" if entry.attempts >= ring.health.attempts_max else "pending"
    elif then == "pending":
        state = changed(state, device, attempts=max(0, entry.attempts - 1))
    state = changed(state, device, phase=then, stuck=False)
    if state.phase == "rolling back":
        return rolling_back(state, [], state.ending, state.outcome)
    return _settled(state, plan, now)


def after_drift(state: RolloutState, plan: Plan, seen: Mapping[str, DeviceState]) -> RolloutState:
    """Return the state after confirmed devices were looked at again: what is not confirmed any more is done anew."""
    if state.phase != "running":
        return state
    for name, it in seen.items():
        if it.phase == "unknown":
            return _unknown(state, name, it)
    lost = [name for name, it in seen.items() if it.phase not in ("confirmed", "unreachable")]
    for name in lost:
        found = "on the baseline" if seen[name].phase == "baseline" else seen[name].phase
        state = pending_again(state, name, f"found {found} after it had been confirmed")
    rings = [ring.name for ring in plan.rings]
    first = min((rings.index(state.devices[name].ring) for name in lost), default=state.ring)
    if first >= state.ring:
        return state
    return put_back(state, "a device of an earlier ring is on the baseline").model_copy(update={"ring": first})


def resumed(state: RolloutState) -> RolloutState:
    """Return the state going on: the lock is asked again before anything else, and who was out is tried again."""
    for name, device in state.devices.items():
        if device.phase == "out":
            state = pending_again(state, name, device.detail)
        elif device.phase == "confirming":
            state = changed(state, name, phase="trial", well=False)
        else:
            state = changed(state, name, well=False, stuck=False)
    return state.model_copy(update={"held": None, "opened": False})


def after_wish(state: RolloutState, wish: Wish) -> RolloutState:
    """Return the state after a person's wish."""
    if state.is_final:
        return state
    if wish == "pause":
        return held(state, "paused by a person", ExitCode.INCONCLUSIVE, paused=True)
    if wish == "abort-keep":
        ended = {"phase": "aborted", "held": None, "outcome": "aborted by a person; devices were left as they are"}
        return state.model_copy(update=ended | {"exit_code": ExitCode.BLOCK})
    phases = ("installing", "trial", "confirming", "reverting")
    touched = in_phase(state.devices, *phases, *(("confirmed",) if wish == "abort-all" else ()))
    return rolling_back(state.model_copy(update={"held": None}), touched, "aborted", "aborted by a person")


def _settled(state: RolloutState, plan: Plan, now: datetime) -> RolloutState:
    """Return the state after news of a device: over budget, baking, with the wave over, or as it was."""
    ring = plan.rings[state.ring]
    if state.held is not None or in_phase(state.devices, "reverting"):
        return state
    state = budgeted(state, ring)
    devices = state.of_ring(ring.name)
    if state.held is not None or state.phase != "running" or in_phase(devices, "installing", "confirming"):
        return state
    if in_phase(devices, "trial"):
        if state.baking_until is not None:
            return state
        until = now + timedelta(seconds=ring.bake_time_s)
        return state.model_copy(update={"baking_until": until.isoformat()})
    state = wave_over(state)
    return state if in_phase(devices, "pending") else ring_over(state, plan)


def _well(seen: DeviceState) -> bool:
    return seen.phase in ("trial", "confirmed") and seen.healthy is not False


def _reverting(state: RolloutState, device: str, seen: DeviceState, when: str) -> RolloutState:
    """Return the state with a device on its way back: lost on the candidate, or failed."""
    # out of reach or fallen back can be the rig's fault: it counts only where the baseline then runs well
    lost = seen.phase in ("baseline", "unreachable", "installing") or (seen.phase == "trial" and bool(seen.healthy))
    then: Then = "again" if lost else "failed"
    sick = "its self-test failed" if seen.healthy is False else seen.phase
    return changed(state, device, phase="reverting", then=then, detail=f"{when}: {seen.detail or sick}")


def _unknown(state: RolloutState, device: str, seen: DeviceState) -> RolloutState:
    """Return the state held because a device runs what nobody installed."""
    reason = f"device {device} runs neither baseline nor candidate: {seen.detail or seen.digest}"
    state = out(state, device, "runs neither baseline nor candidate")
    return held(put_back(state, "the ring is held"), reason, ExitCode.INFRA)
