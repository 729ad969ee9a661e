"""Changes of a rollout's state that several events share; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from qdhil.exit_codes import ExitCode
from qdhil.rollout.state import Device, Hold, RolloutState

if TYPE_CHECKING:
    from qdhil.rollout.plan import Plan, Ring


def in_phase(devices: Mapping[str, Device], *phases: str) -> list[str]:
    """Return the devices in some phases, in the order of the plan."""
    return [name for name, device in devices.items() if device.phase in phases]


def changed(state: RolloutState, device: str, **fields: Any) -> RolloutState:
    """Return the state with fields of a device changed."""
    entry = state.devices[device].model_copy(update=fields)
    return state.model_copy(update={"devices": {**state.devices, device: entry}})


def out(state: RolloutState, device: str, detail: str) -> RolloutState:
    """Return the state without a device, which does not count as tried."""
    attempts = max(0, state.devices[device].attempts - 1)
    return changed(state, device, phase="out", attempts=attempts, detail=detail)


def pending_again(state: RolloutState, device: str, detail: str) -> RolloutState:
    """Return the state with a device as if it had not been touched."""
    return changed(state, device, phase="pending", attempts=0, well=False, stuck=False, detail=detail)


def put_back(state: RolloutState, reason: str) -> RolloutState:
    """Return the state with the wave at work on its way back to the baseline: nothing stays on trial unwatched."""
    for name in in_phase(state.devices, "installing", "trial", "confirming"):
        if _untouched(state.devices[name]):
            state = _left_alone(state, name, reason)
        else:
            state = changed(state, name, phase="reverting", then="pending", detail=reason)
    return wave_over(state)


def held(state: RolloutState, reason: str, exit_code: ExitCode, *, paused: bool = False) -> RolloutState:
    """Return the state standing still, for a reason."""
    return state.model_copy(update={"held": Hold(reason=reason, exit_code=exit_code, paused=paused)})


def wave_over(state: RolloutState) -> RolloutState:
    """Return the state between two waves: the lock is asked before the next."""
    return state.model_copy(update={"opened": False, "baking_until": None, "baked": False})


def budgeted(state: RolloutState, ring: Ring) -> RolloutState:
    """Return the state rolling back or held where a ring has more losses than it may have."""
    devices = state.of_ring(ring.name)
    failed, missing = in_phase(devices, "failed"), in_phase(devices, "out")
    if len(failed) > ring.health.max_failed:
        reason = f"ring {ring.name}: {_losses(devices, failed)} failed, {ring.health.max_failed} may"
        touched = in_phase(devices, "installing", "trial", "confirming", "confirmed", "reverting")
        return rolling_back(state, touched, "rolled back", reason)
    if len(missing) > ring.health.max_unreachable:
        reason = f"ring {ring.name}: {_losses(devices, missing)} out of reach, {ring.health.max_unreachable} may be"
        return held(put_back(state, "too many devices are out of reach"), reason, ExitCode.INFRA)
    return state


def ring_over(state: RolloutState, plan: Plan) -> RolloutState:
    """Return the state when no device of a ring is left to be done: the next ring, the end, or held."""
    ring = plan.rings[state.ring]
    state = wave_over(state)
    devices = state.of_ring(ring.name)
    confirmed, failed = in_phase(devices, "confirmed"), in_phase(devices, "failed")
    if len(confirmed) < ring.health.min_healthy:
        reason = f"ring {ring.name}: {len(confirmed)} devices confirmed, it takes {ring.health.min_healthy}"
        if len(devices) - len(failed) < ring.health.min_healthy:
            return rolling_back(state, confirmed, "rolled back", f"{reason}: {_losses(devices, failed)} failed")
        return held(state, reason, ExitCode.INFRA)
    if state.ring + 1 < len(plan.rings):
        return state.model_copy(update={"ring": state.ring + 1})
    outcome = f"{len(in_phase(state.devices, 'confirmed'))} of {len(state.devices)} devices run the candidate"
    return state.model_copy(update={"phase": "done", "outcome": outcome, "exit_code": ExitCode.PASS})


def rolling_back(
    state: RolloutState, devices: Iterable[str], ending: Literal["rolled back", "aborted"], outcome: str
) -> RolloutState:
    """Return the state with devices on their way back to the baseline for good; ended where none is left."""
    for name in devices:
        if _untouched(state.devices[name]):
            state = _left_alone(state, name, outcome)
            continue
        then = "failed" if state.devices[name].phase == "reverting" and state.devices[name].then == "failed" else None
        state = changed(state, name, phase="reverting", then=then or "reverted", stuck=False)
    state = wave_over(state).model_copy(
        update={"phase": "rolling back", "ending": ending, "outcome": outcome, "exit_code": ExitCode.BLOCK}
    )
    if in_phase(state.devices, "reverting"):
        return state
    return state.model_copy(update={"phase": ending, "held": None})


def _untouched(device: Device) -> bool:
    """Whether a device is not to be booted either: nobody has looked yet at what it runs, or who has it."""
    return device.phase == "installing" and not device.begun


def _left_alone(state: RolloutState, device: str, detail: str) -> RolloutState:
    attempts = max(0, state.devices[device].attempts - 1)
    return changed(state, device, phase="pending", attempts=attempts, detail=detail)


def _losses(devices: Mapping[str, Device], names: list[str]) -> str:
    return ", ".join(f"{name} ({devices[name].detail})" for name in names)
