"""What the tests of a session decided, put together into ``verdict.json``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison
from qdhil.gate.verdict import Verdict
from qdhil.plugin.settings import Settings
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
        if (verdict, reason) not in self._problems:
            self._problems.append((verdict, reason))

    def add(self, payload: dict[str, Any]) -> None:
        """Take what one report carried."""
        problem = payload.get("problem")
        outcome = self._rigs.get(str(payload.get("rig")))
        if problem is not None:
            entry = (Verdict(problem[0]), problem[1])
            if outcome is None:
                self.problem(*entry)
            elif entry not in outcome.problems:
                outcome.problems.append(entry)
        if outcome is None:
            return
        if "comparison" in payload:
            comparison = Comparison.from_record(payload["comparison"])
            outcome.comparisons[comparison.definition] = comparison
            self._dark_rate_hz[comparison.rig] = payload["dark_rate_hz"]
        if "faults" in payload:
            outcome.faults = FaultTally.from_record(payload["faults"])

    def conclude(self) -> Verdict:
        """Write ``verdict.json`` and return the verdict."""
        settings = self._settings
        conclusion = conclude(settings.policy, self._rigs, self._problems)
        baseline, candidate = settings.firmware
        self.record = verdict_record(
            settings.policy,
            (FirmwareRecord.of(baseline), FirmwareRecord.of(candidate)),
            {name: rig.kind for name, rig in settings.rigs.items()},
            self._rigs,
            conclusion,
            dark_rate_hz=self._dark_rate_hz,
            started=self._started,
        )
        write_json(settings.run_folder / VERDICT_NAME, self.record.model_dump(mode="json"))
        return conclusion.verdict
