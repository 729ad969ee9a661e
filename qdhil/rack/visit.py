"""The time in which a rig may run a candidate: noted before it begins, guarded, and ended on the baseline."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import InfraFault, RecordFault
from qdhil.rack.guardian import Charge, Guardian
from qdhil.rack.restoration import restore_baseline
from qdhil.rack.service_state import begin_visit, end_visit, state_of, take_out_of_service
from qdhil.rack.simulated import Served

if TYPE_CHECKING:
    from qdhil.audit import Audit
    from qdhil.firmware import Bundle
    from qdhil.rack.rig import Rig

_ACTION = "rig.visit"


class GuardedVisit:
    """A visit of a candidate to a leased rig.

    Parameters
    ----------
    rig
        The rig, whose lease this process holds.
    baseline, candidate
        The firmware in service, and the one that comes for a visit.
    lock_dir
        Folder of locks and notes.
    log
        Where the guardian would write what it did.
    served
        How the rig is there.
    audit
        Where begin and end are written down.
    """

    def __init__(
        self,
        rig: Rig,
        baseline: Bundle,
        candidate: Bundle,
        *,
        lock_dir: Path,
        log: Path,
        served: Served,
        audit: Audit,
    ) -> None:
        self._rig = rig
        self._baseline = baseline
        self._candidate = candidate
        self._lock_dir = lock_dir.resolve()
        self._log = log.resolve()
        self._served = served
        self._audit = audit
        self._guardian: Guardian | None = None
        self._has_begun = self._is_lost = False
        self._id = ""

    def begin(self) -> None:
        """Write the note and start the guardian, while the confirmed baseline runs; once is enough.

        Raises
        ------
        InfraFault, RecordFault
            If one of them can't be: then the candidate must not be booted.
        """
        if self._has_begun:
            return
        self._has_begun = True
        name, ends = self._rig.name, self._served.ends_with_holder
        self._audit.append(_ACTION, name, "begun", {"candidate": self._candidate.sha256})
        note = begin_visit(name, self._lock_dir, self._baseline, self._candidate, ends_with_holder=ends)
        self._id, audit = note.id, self._audit.file
        charge = Charge(
            name,
            self._rig.description,
            self._baseline,
            self._lock_dir,
            note.id,
            ends,
            self._log,
            None if audit is None else audit.resolve(),
        )
        try:
            self._guardian = Guardian(charge)
        except InfraFault:
            end_visit(name, self._lock_dir)
            raise

    def check_alone(self) -> None:
        """Raise InfraFault if the visit's note is gone: with it went the lock, and others may use the rig too."""
        visit = state_of(self._rig.name, self._lock_dir).visit
        if self._has_begun and (visit is None or visit.id != self._id):
            raise InfraFault(
                self._rig.name,
                "lease",
                "note of this visit",
                "missing" if visit is None else f"of {visit.holder}",
                f"as it was written to {self._lock_dir}",
                "nobody may remove that folder while a rig is in use; then try again",
            )

    def restore(self) -> None:
        """Boot the confirmed baseline and verify it, in the middle of the visit.

        Raises
        ------
        InfraFault
            If it can't be; :meth:`end` then tries just once more.
        """
        patience_s = 0.0 if self._is_lost else None
        try:
            restore_baseline(self._rig, self._baseline, patience_s=patience_s, gone=lambda: self._served.has_ended)
        except InfraFault:
            self._is_lost = True
            raise

    def end(self) -> None:
        """Leave the rig on its confirmed baseline, or out of service.

        A simulated rig that ends with this process is not taken out of service: the next one is another.

        Raises
        ------
        InfraFault
            If it could not be brought back.
        RecordFault
            If it was, and that can't be written down.
        """
        if not self._has_begun:
            return
        try:
            self.restore()
            end_visit(self._rig.name, self._lock_dir)
        except InfraFault as fault:
            self._give_up(fault)
            self._send_guardian_away()
            raise self._given_up(fault) from fault
        except BaseException:
            if self._guardian is not None:
                self._guardian.leave_to_it()  # a second Ctrl-C
            raise
        self._send_guardian_away()
        self._audit.append(_ACTION, self._rig.name, "done", {"baseline": self._baseline.sha256})

    def _send_guardian_away(self) -> None:
        if self._guardian is not None:
            self._guardian.send_away()

    def _give_up(self, fault: InfraFault) -> None:
        name, outcome = self._rig.name, "failed"
        if not self._served.ends_with_holder:
            reason = f"baseline {self._baseline.version} could not be restored after a campaign: {fault}"
            take_out_of_service(name, self._lock_dir, reason)
            outcome = "out-of-service"
        with suppress(RecordFault):  # what went wrong with the rig matters more
            self._audit.append(_ACTION, name, outcome, {"reason": str(fault)})

    def _given_up(self, fault: InfraFault) -> InfraFault:
        advice = f"it is out of service: put it right, then: qdhil rigs restore {self._rig.name}"
        if self._served.ends_with_holder:
            advice = "its simulator ends with this run, and with it what the controller held"
        return InfraFault(
            self._rig.name,
            "controller",
            "firmware after the campaign",
            f"unknown ({fault.quantity}: {fault.last_value})",
            f"{self._baseline.version}, confirmed",
            advice,
        )
