"""Tell what a rollout does: to the audit log, before it is done and before it is kept, and to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from qdhil.rollout.changes import in_phase
from qdhil.rollout.state import RolloutState

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.audit.entry import Detail
    from qdhil.rollout.lock import Opening

_DEVICE_NEWS = {
    "confirmed": "confirmed on {candidate}",
    "reverted": "back on {baseline}",
    "failed": "failed, back on {baseline}",
    "out": "left out",
    "trial": "on trial with {candidate}",
    "pending": "back on {baseline}, to be tried again",
    "reverting": "goes back to {baseline}",
}


class Narrator:
    """Writer of the audit log's entries and of progress lines.

    Parameters
    ----------
    authority
        The log and the actor.
    say
        Takes a line.
    """

    def __init__(self, authority: Authority, say: Callable[[str], None]) -> None:
        self._authority = authority
        self._say = say

    def begins(self, state: RolloutState, verb: str, device: str) -> None:
        """Tell the log what is about to be done to a device; RecordFault where it can't be written."""
        self._append(state, verb.replace(" ", "-"), device, "begun", {"ring": state.devices[device].ring})

    def asked(self, state: RolloutState, ring: str, opening: Opening) -> None:
        """Tell what the lock of a ring answered."""
        details: dict[str, Detail] = {"reason": opening.reason, "attestation_sha256": opening.attestation_sha256}
        self._append(state, "ring", ring, str(opening.answer), details)
        self._say(f"ring {ring}: {opening.answer} ({opening.reason})")

    def changes(self, before: RolloutState, after: RolloutState) -> None:
        """Tell what is new in a state, before it is kept: a kill between repeats it and loses nothing."""
        for name, device in after.devices.items():
            was = before.devices[name]
            if device.phase != was.phase and device.phase in _DEVICE_NEWS:
                self._device(after, name, was.phase)
            elif device.stuck and not was.stuck:
                self._append(after, "stuck", name, "failed", {"reason": device.detail})
                self._say(f"  {name}: could not be brought back: {device.detail}")
        if after.baking_until is not None and after.baking_until != before.baking_until:
            count = len(in_phase(after.of_ring(_ring(after)), "trial")) if after.devices else 0
            until = datetime.fromisoformat(after.baking_until)
            self._say(f"  {count} on trial, baking until {until:%Y-%m-%d %H:%M:%S} UTC")
        if after.held is not None and after.held != before.held:
            self._append(after, "hold", after.name, f"exit {int(after.held.exit_code)}", {"reason": after.held.reason})
            self._say(f"held: {after.held.reason}")
        if after.is_final and not before.is_final:
            self._append(after, "end", after.name, after.phase, {"reason": after.outcome})
        elif after.phase == "rolling back" != before.phase:
            self._append(after, "rolling-back", after.name, "begun", {"reason": after.outcome})
            self._say(f"rolling back: {after.outcome}")

    def _device(self, state: RolloutState, name: str, was: str) -> None:
        device = state.devices[name]
        versions = {"candidate": state.candidate.version, "baseline": state.baseline.version}
        news = _DEVICE_NEWS[device.phase].format(**versions)
        if device.phase == "pending" and was != "reverting":
            news = "to be tried"
        self._append(state, "device", name, device.phase, {"ring": device.ring, "detail": device.detail})
        self._say(f"  {name}: {news}" + (f": {device.detail}" if device.detail else ""))

    def _append(self, state: RolloutState, what: str, subject: str, outcome: str, details: dict[str, Detail]) -> None:
        about: dict[str, Detail] = {"rollout": state.name, "rollout_id": state.rollout}
        firmware: dict[str, Detail] = {"firmware_sha256": state.candidate.sha256}
        self._authority.append(f"rollout.{what}", subject, outcome, about | firmware | details)


def _ring(state: RolloutState) -> str:
    return next((it.ring for it in state.devices.values() if it.phase == "trial"), "")
