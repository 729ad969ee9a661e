"""The policy file: which metrics decide, against which margins, at which error rates.

``policy.toml`` is checked as a whole, with every error and its path at once; unknown keys are errors.
See ``docs/policy.md`` for an annotated example.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from qdhil.gate.definitions import DEFINITIONS
from qdhil.model_files import Strict, read_toml


class MetricPolicy(Strict):
    """What is asked of one metric: two ratios candidate/baseline on its scale of harm.

    The scale is g2(0) for purity, 1 - V for indistinguishability and the brightness itself, so that a
    ratio above 1 is worse for the first two, and one below 1 for brightness.
    """

    margin_ratio: Annotated[float, Field(gt=0)]
    """PASS must rule out a change this large."""
    tolerated_ratio: Annotated[float, Field(gt=0)]
    """BLOCK must prove a change beyond this."""
    limit: Annotated[float, Field(gt=0)] | None = None
    """The candidate's own value on the scale of harm must be proven below this for PASS, above it for BLOCK."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Share of ``false_block_rate``, relative to the other metrics; a rig's faults have the weight 1."""


class Dwell(Strict):
    """Device time of one block, in s, by configuration."""

    hbt: Annotated[float, Field(gt=0, le=3600)]
    hom_parallel: Annotated[float, Field(gt=0, le=3600)]
    hom_orthogonal: Annotated[float, Field(gt=0, le=3600)]
    blanked: Annotated[float, Field(gt=0, le=3600)]


class CampaignPolicy(Strict):
    """How much is measured."""

    quads_min: Annotated[int, Field(ge=2, le=1000)]
    """ABBA or BAAB groups of four visits before anything is decided; two at least, to see the spread between them."""
    quads_max: Annotated[int, Field(ge=2, le=1000)]
    """The budget: what is undecided after so many is INCONCLUSIVE."""
    required_rigs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Rigs that a PASS needs at least."""
    fault_budget: Annotated[int, Field(ge=0, le=100)]
    """Faults of the rig that are survived; the next one ends the campaign."""
    dwell_s: Dwell

    @field_validator("quads_max")
    @classmethod
    def _budget_holds_the_minimum(cls, quads_max: int, info: ValidationInfo) -> int:
        if quads_max < info.data.get("quads_min", 0):
            raise ValueError(f"must be at least quads_min = {info.data['quads_min']}")
        return quads_max


class Window(Strict):
    """What counts as a coincidence; fixed before the run, because it moves g2(0) and V."""

    window_ps: Annotated[int, Field(gt=0)]
    """Full width of the window of every peak."""
    max_lag: Annotated[int, Field(ge=3, le=1000)]
    """Side peaks are counted up to this lag in pulses, on both sides."""


def _mistake(name: str, wanted: MetricPolicy) -> str | None:
    definition = DEFINITIONS.get(name)
    if definition is None:
        return f"no such definition; there are {', '.join(DEFINITIONS)}"
    if definition.harm == "higher" and not wanted.tolerated_ratio < wanted.margin_ratio:
        return "higher is worse, so tolerated_ratio must be below margin_ratio"
    if definition.harm == "lower" and not wanted.tolerated_ratio > wanted.margin_ratio:
        return "lower is worse, so tolerated_ratio must be above margin_ratio"
    if wanted.limit is not None and not definition.has_limit:
        return "an absolute value drifts with the rig: give ratios, no limit"
    return None


class Policy(Strict):
    """The whole file."""

    schema_version: Literal[2]
    name: str
    miss_rate: Annotated[float, Field(gt=0, lt=0.5)]
    """P(PASS | a metric is worse by its margin), for every metric on every rig."""
    false_block_rate: Annotated[float, Field(gt=0, lt=0.5)]
    """P(BLOCK | no metric is worse than tolerated), over all metrics and rigs together."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals shown; decisions use the two rates above."""
    campaign: CampaignPolicy
    window: Window
    metrics: Annotated[dict[str, MetricPolicy], Field(min_length=1)]

    @field_validator("schema_version", mode="before")
    @classmethod
    def _version_1_is_told(cls, version: object) -> object:
        if version == 1:
            raise ValueError("version 1 is no longer read: campaign.quads became quads_min/quads_max; write 2")
        return version

    @field_validator("metrics")
    @classmethod
    def _metrics_known_and_ordered(cls, metrics: dict[str, MetricPolicy]) -> dict[str, MetricPolicy]:
        errors: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("metric", "{reason}", {"reason": reason}),
                "loc": (name,),
                "input": wanted,
            }
            for name, wanted in metrics.items()
            if (reason := _mistake(name, wanted)) is not None
        ]
        if errors:
            raise ValidationError.from_exception_data("metrics", errors)
        return metrics

    def share(self, metric: str | None, rigs: int) -> float:
        """Return the part of the family that one metric, or (``None``) the faults, of one of ``rigs`` rigs has."""
        weight = 1.0 if metric is None else self.metrics[metric].weight
        return weight / (rigs * (1.0 + sum(wanted.weight for wanted in self.metrics.values())))

    @property
    def sha256(self) -> str:
        """Digest of the policy's content, whatever its layout in the file."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def default_policy_file() -> Path:
    """Return the packaged policy file."""
    return Path(str(importlib.resources.files("qdhil.gate") / "default_policy.toml"))


def load_policy(file: Path) -> Policy:
    """Read and check a policy file.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line.
    """
    return read_toml(file, Policy, "policy file")
