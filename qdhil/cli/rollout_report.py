"""A rollout's plan and state, as people and programs read them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qdhil.rollout.plan import Plan, Ring
    from qdhil.rollout.preparation import Survey
    from qdhil.rollout.state import JournalEntry, RolloutState, Wish


def plan_record(plan: Plan, found: Survey) -> dict[str, Any]:
    """Return a plan and what was found as plain data."""
    return {
        "name": plan.name,
        "candidate": plan.candidate,
        "baseline": plan.baseline,
        "plan_sha256": plan.sha256,
        "problems": [{"problem": problem, "exit_code": code} for problem, code in found.problems],
        "rings": [
            {
                "ring": ring.name,
                "wave_size": ring.wave_size,
                "bake_time_s": ring.bake_time_s,
                "lock": _lock(found, ring),
                "devices": {name: asdict(seen) for name, seen in found.devices.get(ring.name, {}).items()},
            }
            for ring in plan.rings
        ],
        "exit_code": found.exit_code(plan),
    }


def plan_lines(plan: Plan, found: Survey) -> list[str]:
    """Return a plan and what was found as lines."""
    lines = [f"rollout {plan.name}: {plan.candidate} over {plan.baseline}"]
    for ring in plan.rings:
        devices = found.devices.get(ring.name, {})
        waves = -(-len(devices) // ring.wave_size)
        lines.append(
            f"ring {ring.name}: devices {len(devices)}, waves {waves}, bake time {ring.bake_time_s:g} s, "
            f"may fail {ring.health.max_failed}, may be out of reach {ring.health.max_unreachable}"
        )
        opening = found.locks.get(ring.name)
        if opening is not None:
            lines.append(f"  lock: {opening.answer}: {opening.reason}")
        lines += [f"  {name}: {seen.phase}: {seen.detail}" for name, seen in devices.items()]
    return lines + [f"PROBLEM: {problem}" for problem, _ in found.problems]


def status_record(
    state: RolloutState, runs: bool, wish: Wish | None, journal: Sequence[JournalEntry]
) -> dict[str, Any]:
    """Return a state as plain data."""
    said = state.model_dump(mode="json") | {"running": runs, "asked": wish}
    return said | ({"journal": [entry.model_dump(mode="json") for entry in journal]} if journal else {})


def status_lines(
    plan: Plan, state: RolloutState, runs: bool, wish: Wish | None, journal: Sequence[JournalEntry]
) -> list[str]:
    """Return a state as lines."""
    who = "a process runs it" if runs else "no process runs it"
    stands = "held" if state.held is not None and not state.is_final else state.phase
    lines = [f"rollout {state.name}: {stands} ({who})"]
    lines += [f"  {state.candidate.version} over {state.baseline.version}, last change {state.updated}"]
    if state.held is not None and not state.is_final:
        lines.append(f"  held: {state.held.reason}")
    if state.outcome:
        lines.append(f"  {state.outcome}")
    if wish is not None:
        lines.append(f"  asked: {wish}")
    for number, ring in enumerate(plan.rings):
        mark = ">" if number == state.ring and not state.is_final else " "
        lines.append(f"{mark} ring {ring.name}")
        for name, device in state.of_ring(ring.name).items():
            lines.append(f"    {name}: {device.phase}" + (f": {device.detail}" if device.detail else ""))
    if state.baking_until is not None:
        lines.append(f"  baking until {state.baking_until}")
    return lines + [_line(entry) for entry in journal]


def _line(entry: JournalEntry) -> str:
    return " ".join(part for part in (entry.time, entry.what, entry.subject, entry.outcome) if part)


def _lock(found: Survey, ring: Ring) -> dict[str, Any] | None:
    opening = found.locks.get(ring.name)
    return None if opening is None else asdict(opening) | {"exit_code": int(opening.exit_code)}
