"""What a ledger keeps of a run: one record a rig, with the numbers, and digests of the evidence.

Evidence itself stays in the run folder. A record is canonical JSON; the SHA-256 of its bytes is its name, so
that a record written twice is one record, and one that was changed is found out.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from qdhil.errors import RefusedError
from qdhil.gate.verdict import Verdict
from qdhil.model_files import Digest, Strict, describe, read_json
from qdhil.rack.config import load_rack
from qdhil.record.run_folder import BLOCKS_NAME, POLICY_NAME, RACK_NAME, RUN_NAME, VERDICT_NAME
from qdhil.record.schemas import ComparisonRecord, EstimateRecord, FirmwareRecord, RunRecord, VerdictRecord

_PATH = re.compile(r"records/([0-9a-f]{2})/(\1[0-9a-f]{62})\.json")


class NumberRecord(Strict):
    """An estimate of one arm, as short as a chart needs it."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, estimate: EstimateRecord) -> Self:
        """Return the value and interval of an estimate."""
        return cls(value=estimate.value, low=estimate.low, high=estimate.high)


class MetricRecord(Strict):
    """One metric: what it is, what both arms gave, and what was decided."""

    definition: str
    verdict: Verdict
    confidence: float
    window_ps: int | None
    normalisation: str
    baseline: NumberRecord
    candidate: NumberRecord

    @classmethod
    def of(cls, comparison: ComparisonRecord) -> Self:
        """Return what is kept of a comparison."""
        baseline = comparison.baseline
        return cls(
            definition=comparison.definition,
            verdict=comparison.verdict,
            confidence=baseline.confidence,
            window_ps=baseline.window_ps,
            normalisation=baseline.normalisation,
            baseline=NumberRecord.of(baseline),
            candidate=NumberRecord.of(comparison.candidate),
        )


class LedgerEntry(Strict):
    """One rig's part of a run, as the ledger keeps it."""

    schema_version: Literal[1]
    run: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]*$", max_length=120)]
    """Name of the run folder."""
    rig: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    kind: Literal["physical", "simulated"]
    host: str
    hardware: str
    started: AwareDatetime
    finished: AwareDatetime
    verdict: Verdict
    """Verdict of the whole run, all rigs together."""
    policy: str
    policy_sha256: Digest
    baseline: FirmwareRecord
    candidate: FirmwareRecord
    metrics: list[MetricRecord]
    faults: int
    """Visits of this rig that a fault ended."""
    evidence: dict[str, Digest]
    """SHA-256 of the files that the verdict rests on, by their path in the run folder."""

    @property
    def content(self) -> bytes:
        """Canonical bytes: sorted keys, no spaces, one line."""
        data = self.model_dump(mode="json")
        return (json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Digest of the content, which names the record."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Where the record lies in the ledger's tree."""
        return f"records/{self.sha256[:2]}/{self.sha256}.json"

    @property
    def id(self) -> str:
        """Name of the run's reference below its rig."""
        return f"{self.run}-{self.sha256[:12]}"


def entries_of(folder: Path) -> list[LedgerEntry]:
    """Return the records of a finished run, one for each rig that has a ``run.json``.

    The numbers are taken as they stand; :func:`qdhil.record.recheck.recheck` says whether they may be.

    Raises
    ------
    ConfigurationError
        If a file is missing or can't be read.
    RefusedError
        If the files are of different runs.
    """
    verdict = read_json(folder / VERDICT_NAME, VerdictRecord, "verdict")
    rack = load_rack(folder / RACK_NAME)
    unknown = [rig for rig in verdict.rigs if rig not in rack.rigs]
    if unknown:
        raise RefusedError(f"{folder / VERDICT_NAME} has a rig {unknown[0]}, which {RACK_NAME} has not")
    try:
        return [_entry(folder, rig, verdict, rack.rigs[rig].firmware.hardware) for rig in verdict.rigs]
    except ValidationError as error:
        raise RefusedError(f"{folder}: a ledger can't keep this run:\n{describe(error)}") from error
    except ValueError as error:
        raise RefusedError(f"{folder}: a ledger can't keep this run: {error}") from error


def _entry(folder: Path, rig: str, verdict: VerdictRecord, hardware: str) -> LedgerEntry:
    run = read_json(folder / rig / RUN_NAME, RunRecord, "run record")
    faults = verdict.faults.get(rig)
    return LedgerEntry(
        schema_version=1,
        run=re.sub(r"[^0-9A-Za-z._-]", "-", folder.resolve().name),
        rig=rig,
        kind=verdict.rigs[rig],
        host=run.host,
        hardware=hardware,
        started=datetime.fromisoformat(run.started),
        finished=datetime.fromisoformat(verdict.finished),
        verdict=verdict.verdict,
        policy=verdict.policy,
        policy_sha256=verdict.policy_sha256,
        baseline=verdict.baseline,
        candidate=verdict.candidate,
        metrics=[MetricRecord.of(entry) for entry in verdict.comparisons if entry.rig == rig],
        faults=0 if faults is None else faults.faults.baseline + faults.faults.candidate,
        evidence=evidence_digests(folder, rig),
    )


def evidence_digests(folder: Path, rig: str) -> dict[str, str]:
    """Return the SHA-256 of each file that one rig's part of a verdict rests on."""
    names = (VERDICT_NAME, POLICY_NAME, RACK_NAME, f"{rig}/{RUN_NAME}", f"{rig}/{BLOCKS_NAME}")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if (folder / name).is_file()
    }


def parse_entry(path: str, content: bytes) -> LedgerEntry:
    """Return the record in a file of the ledger.

    Raises
    ------
    ValueError
        With the reason in one line, if the path is no record's, or the content is not what the path names.
    """
    named = _PATH.fullmatch(path)
    if named is None:
        raise ValueError(f"{path}: not the path of a record")
    if (digest := hashlib.sha256(content).hexdigest()) != named[2]:
        raise ValueError(f"{path}: its content has sha256 {digest}")
    try:
        return LedgerEntry.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(line.strip() for line in describe(error).splitlines())) from error
