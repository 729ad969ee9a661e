"""The two long-lived JSON files of a run: ``run.json`` of each rig and ``verdict.json`` of the whole.

Both are versioned; unknown keys are errors; ``qdhil schema run`` and ``qdhil schema verdict`` print
their JSON schemas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from qdhil.errors import ConfigurationError
from qdhil.gate.verdict import Verdict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FirmwareRecord(_Strict):
    """Which firmware an arm ran."""

    version: str
    sha256: str


class CalibrationRecord(_Strict):
    """What reading the counts needs of the rig."""

    delay_ps: int
    dead_time_ps: int
    exclude_lags: int
    sync_divider: int
    rep_rate_hz: float


class SoftwareRecord(_Strict):
    """What measured and counted."""

    qdhil: str
    python: str
    numpy: str
    git_commit: str | None
    git_dirty: bool | None


class RunRecord(_Strict):
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


class VerdictRecord(_Strict):
    """``verdict.json``: what was decided, from which numbers, at which error rates."""

    schema_version: Literal[1]
    verdict: Verdict
    exit_code: int
    reasons: list[str]
    baseline: FirmwareRecord
    candidate: FirmwareRecord
    policy: str
    policy_sha256: str
    miss_rate: float
    false_block_rate: float
    rigs: list[str]
    comparisons: list[dict[str, Any]]
    faults: dict[str, dict[str, Any]]
    dark_rate_hz: dict[str, tuple[float, float] | None]
    started: str
    finished: str


_Model = TypeVar("_Model", bound=BaseModel)


def read_record(file: Path, model: type[_Model]) -> _Model:
    """Read and check a record.

    Raises
    ------
    ConfigurationError
        If it is missing or not what the schema says; with every error and its path.
    """
    try:
        return model.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{file}:\n" + "\n".join(lines)) from error
