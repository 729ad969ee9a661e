"""The two long-lived JSON files of a run: ``run.json`` of each rig and ``verdict.json`` of the whole.

Both are versioned; unknown keys are errors; ``qdhil schema run`` and ``qdhil schema verdict`` print
their JSON schemas.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal, Self

from pydantic import field_validator

from qdhil.firmware.bundle import Bundle
from qdhil.gate.quarantine import QuarantineEntry
from qdhil.gate.verdict import Verdict
from qdhil.metrics.coincidences import excluded_lags
from qdhil.model_files import Strict
from qdhil.rack.config import Rig


class FirmwareRecord(Strict):
    """Which firmware an arm ran."""

    version: str
    sha256: str

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return what a record says of a bundle."""
        return cls(version=bundle.version, sha256=bundle.sha256)


class CalibrationRecord(Strict):
    """What reading the counts needs of the rig."""

    delay_ps: int
    dead_time_ps: int
    exclude_lags: int
    sync_divider: int
    rep_rate_hz: float

    @classmethod
    def of(cls, rig: Rig) -> Self:
        """Return what the rack file says of a rig."""
        calibration = rig.calibration
        return cls(
            delay_ps=calibration.delay_ps,
            dead_time_ps=calibration.dead_time_ps,
            exclude_lags=excluded_lags(
                period_ps=1e12 / calibration.rep_rate_hz,
                interferometer_periods=calibration.interferometer_periods,
                dead_time_ps=calibration.dead_time_ps,
            ),
            sync_divider=rig.instruments.tagger.sync_divider,
            rep_rate_hz=calibration.rep_rate_hz,
        )


class SoftwareRecord(Strict):
    """What measured and counted."""

    qdhil: str
    python: str
    numpy: str
    git_commit: str | None
    git_dirty: bool | None


class RunRecord(Strict):
    """``run.json``: one rig's part of a run."""

    schema_version: Literal[1]
    rig: str
    kind: Literal["physical", "simulated"]
    tags: dict[str, str]
    started: str
    host: str
    baseline: FirmwareRecord
    candidate: FirmwareRecord
    policy_sha256: str
    order_seed: int
    simulator_seed: int | None
    calibration: CalibrationRecord
    software: SoftwareRecord


class EstimateRecord(Strict):
    """An estimate of one arm; see ``docs/statistics.md``."""

    definition: str
    value: float
    low: float
    high: float
    confidence: float
    counts: dict[str, int | float]
    window_ps: int | None
    delay_ps: int | None
    normalisation: str
    raw: float
    corrected: float | None
    correction: str | None
    corrected_low: float | None = None
    corrected_high: float | None = None
    systematic: float | None = None


class ChangeRecord(Strict):
    """The ratio candidate/baseline on the scale of harm, with the interval of a size fixed beforehand."""

    ratio: float | Literal["inf"] | None
    low: float
    high: float | Literal["inf"]
    test: str


class LookRecord(Strict):
    """The e-values after so many quads, as decimal logarithms."""

    quads: int
    no_harm: float
    harm: float
    within_limit: float | None
    beyond_limit: float | None
    form: Literal["counts", "quads"]
    """Which evidence counts: the counts' own, or the spread between quads."""
    phi: float | None
    """Variance over mean of same-arm blocks."""


class EvidenceRecord(Strict):
    """The evidence at every look, and what speaks against a PASS."""

    looks: list[LookRecord]
    diagnostics: list[str]


class ComparisonRecord(Strict):
    """One metric on one rig."""

    rig: str
    definition: str
    verdict: Verdict
    reason: str
    baseline: EstimateRecord
    candidate: EstimateRecord
    change: ChangeRecord
    evidence: EvidenceRecord
    margin_ratio: float
    tolerated_ratio: float
    limit: float | None
    miss_rate: float
    share: float
    """Part of the family over which ``false_block_rate`` holds."""
    block_level: float
    harm_log10: float
    """What it brings to the family's mean: 0 (-300) for a part that passed."""
    blocks: int


class ArmCounts(Strict):
    """A count for each firmware arm."""

    baseline: int
    candidate: int


class FaultRecord(Strict):
    """Visits and faults of one rig by firmware arm."""

    visits: ArmCounts
    faults: ArmCounts
    p_association: float


class FamilyRecord(Strict):
    """Harm over all metrics and rigs: the weighted mean of the e-values, and who is named."""

    harm_log10: float
    needed_log10: float
    offenders: list[str]


class VerdictRecord(Strict):
    """``verdict.json``: what was decided, from which numbers, at which error rates."""

    schema_version: Literal[2]
    verdict: Verdict
    exit_code: int
    reasons: list[str]
    baseline: FirmwareRecord
    candidate: FirmwareRecord
    policy: str
    policy_sha256: str
    miss_rate: float
    false_block_rate: float
    rigs: dict[str, Literal["physical", "simulated"]]
    """Kind of every rig of the run."""
    comparisons: list[ComparisonRecord]
    family: FamilyRecord
    faults: dict[str, FaultRecord]
    quarantined: list[QuarantineEntry]
    """Metrics of rigs that decided nothing, by the run folder's ``quarantine.toml`` on the day of ``finished``."""
    dark_rate_hz: dict[str, tuple[float, float] | None]
    started: str
    finished: str

    @field_validator("schema_version", mode="before")
    @classmethod
    def _version_1_is_told(cls, version: object) -> object:
        if version == 1:
            raise ValueError("version 1 was decided by fixed-size tests: recompute it with the qdhil that wrote it")
        return version

    @property
    def finished_on(self) -> date:
        """The day, UTC, by which quarantine was counted; ValueError where ``finished`` is no time."""
        time = datetime.fromisoformat(self.finished)
        return (time.astimezone(UTC) if time.tzinfo else time).date()
