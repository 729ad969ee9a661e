"""What the tests of a session decided, put together into ``verdict.json``."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from qdhil.errors import QdhilError, RecordFault
from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison
from qdhil.gate.verdict import Verdict
from qdhil.keys.secrets import withheld
from qdhil.plugin.settings import Settings
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import VERDICT_NAME, write_json
from qdhil.record.schemas import FirmwareRecord, VerdictRecord
from qdhil.record.verdict import verdict_record


class Outcomes:
    """Collect payloads of reports, rig by rig, and conclude once at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rigs = {name: RigOutcome() for name in settings.rigs}
        self._dark_rate_hz: dict[str, tuple[float, float] | None] = dict.fromkeys(settings.rigs)
        self._problems: list[tuple[Verdict, str]] = []
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self.record: VerdictRecord | None = None

    def problem(self, verdict: Verdict, reason: str) -> None:
        """Take note of something that went wrong outside any one rig."""
        entry = (verdict, withheld(reason))
        if entry not in self._problems:
            self._problems.append(entry)

    def add(self, payload: dict[str, Any]) -> None:
        """Take what one report carried."""
        problem = payload.get("problem")
        outcome = self._rigs.get(str(payload.get("rig")))
        if problem is not None:
            entry = (Verdict(problem[0]), withheld(problem[1]))
            if outcome is None:
                self.problem(*entry)
            elif entry[0] is Verdict.INCONCLUSIVE and payload.get("metric") is not None:
                outcome.undecided.setdefault(payload["metric"], []).append(entry[1])
            elif entry not in outcome.problems:
                outcome.problems.append(entry)
        if outcome is None:
            return
        if "comparison" in payload:
            comparison = Comparison.from_record(payload["comparison"])
            before = outcome.comparisons.setdefault(comparison.definition, comparison)
            if before != comparison:
                outcome.problems.append((Verdict.INFRA, f"{comparison.definition} on {comparison.rig}: decided twice"))
                if before.verdict is not Verdict.BLOCK:
                    outcome.comparisons[comparison.definition] = comparison
            self._dark_rate_hz[comparison.rig] = payload["dark_rate_hz"]
        if "faults" in payload:
            outcome.faults = FaultTally.from_record(payload["faults"])

    def conclude(self) -> Verdict:
        """Write ``verdict.json`` and return the verdict.

        A PASS is recomputed from what was written; where that fails the run is INFRA.
        """
        folder = self._settings.run_folder
        self.record = self._compose()
        try:
            write_json(folder / VERDICT_NAME, self.record.model_dump(mode="json"))
            if self.record.verdict is Verdict.PASS:
                recheck(folder)
        except QdhilError as error:
            self.problem(Verdict.INFRA, str(error))
            self.record = self._compose()
            with contextlib.suppress(RecordFault):
                write_json(folder / VERDICT_NAME, self.record.model_dump(mode="json"))
        return self.record.verdict

    def _compose(self) -> VerdictRecord:
        settings = self._settings
        baseline, candidate = settings.firmware
        finished = datetime.now(UTC)
        quarantine = settings.quarantine(finished.date())
        return verdict_record(
            settings.policy,
            (FirmwareRecord.of(baseline), FirmwareRecord.of(candidate)),
            {name: rig.kind for name, rig in settings.rigs.items()},
            self._rigs,
            conclude(settings.policy, self._rigs, self._problems, quarantine),
            dark_rate_hz=self._dark_rate_hz,
            started=self._started,
            finished=finished,
            quarantine=quarantine,
        )
