"""``baselines.lock.toml``: the golden firmware of each hardware revision, and the policy that guards it.

The file lies in the firmware's repository and is reviewed like source: promoting writes it, people commit it, and
its history is git's. What it names is measured again in every campaign; no stored number ever decides.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.gate.verdict import Verdict
from qdhil.model_files import Digest, Strict, read_toml

LOCK_NAME = "baselines.lock.toml"
_HEADER = "# The accepted firmware of each hardware revision. Written by `qdhil baseline`, reviewed by people.\n"

Text = Annotated[str, Field(min_length=1)]


class Golden(Strict):
    """The accepted firmware of a hardware revision, and what accepted it."""

    version: Text
    sha256: Digest
    policy: Text
    policy_sha256: Digest
    """Policy that decided, and that the next candidate must pass."""
    run: Text
    """Run folder of the verdict."""
    verdict: Literal[Verdict.PASS]
    verdict_sha256: Digest
    """Digest of its ``verdict.json``."""
    attestation_sha256: Digest | None = None
    decided: AwareDatetime
    rigs: Annotated[dict[str, Literal["physical", "simulated"]], Field(min_length=1)]
    replaces: Digest | None = None
    """The firmware that was golden before."""
    promoted_by: Text
    promoted_at: AwareDatetime


class Retired(Strict):
    """A firmware that must not become golden again."""

    hardware: Text
    version: Text
    sha256: Digest
    reason: Text
    retired_by: Text
    retired_at: AwareDatetime


class BaselineLock(Strict):
    """``baselines.lock.toml``."""

    schema_version: Literal[1] = 1
    hardware: Annotated[dict[Text, Golden], Field(default_factory=dict)]
    """Golden firmware by hardware revision."""
    retired: tuple[Retired, ...] = ()

    @model_validator(mode="after")
    def _no_retired_golden(self) -> Self:
        for hardware, golden in self.hardware.items():
            if self.is_retired(hardware, golden.sha256):
                raise ValueError(f"{hardware}: the golden firmware {golden.version} is retired")
        return self

    def is_retired(self, hardware: str, sha256: str) -> bool:
        """Return whether a firmware was retired on a hardware revision."""
        return any((entry.hardware, entry.sha256) == (hardware, sha256) for entry in self.retired)

    def promoted(self, hardware: str, golden: Golden, *, baseline_sha256: str, new_policy: bool = False) -> Self:
        """Return the file with another golden firmware.

        Parameters
        ----------
        hardware
            Hardware revision.
        golden
            What is promoted.
        baseline_sha256
            Firmware that the verdict compared it with.
        new_policy
            Whether the policy may be another than the one that guards this hardware now.

        Raises
        ------
        RefusedError
            If the firmware is retired, was not compared with the golden one, or passed another policy.
        """
        if self.is_retired(hardware, golden.sha256):
            raise RefusedError(f"{golden.version} is retired on {hardware}")
        before = self.hardware.get(hardware)
        if before is not None and before.sha256 == golden.sha256:
            raise RefusedError(f"{golden.version} is golden on {hardware} already")
        if before is not None and before.sha256 != baseline_sha256:
            raise RefusedError(
                f"{golden.version} was compared with firmware {baseline_sha256[:12]}; "
                f"golden on {hardware} is {before.version} ({before.sha256[:12]})"
            )
        if before is not None and before.policy_sha256 != golden.policy_sha256 and not new_policy:
            raise RefusedError(
                f"{golden.version} passed policy {golden.policy} ({golden.policy_sha256[:12]}); {hardware} is guarded "
                f"by {before.policy} ({before.policy_sha256[:12]}): --new-policy puts another one up for review"
            )
        golden = golden.model_copy(update={"replaces": None if before is None else before.sha256})
        return self.model_copy(update={"hardware": {**self.hardware, hardware: golden}})

    def without(self, hardware: str, *, reason: str, by: str, at: datetime) -> Self:
        """Return the file with the golden firmware of a hardware revision retired.

        Raises
        ------
        ConfigurationError
            If the hardware has none.
        """
        golden = self.hardware.get(hardware)
        if golden is None:
            known = ", ".join(self.hardware) or "none"
            raise ConfigurationError(f"no firmware is golden on hardware {hardware!r}; known: {known}")
        gone = Retired(
            hardware=hardware,
            version=golden.version,
            sha256=golden.sha256,
            reason=reason,
            retired_by=by,
            retired_at=at,
        )
        left = {name: entry for name, entry in self.hardware.items() if name != hardware}
        return self.model_copy(update={"hardware": left, "retired": (*self.retired, gone)})


def load_lock(file: Path) -> BaselineLock:
    """Read the file; ConfigurationError if it can't be read."""
    return read_toml(file, BaselineLock, "baseline lock")


def lock_text(lock: BaselineLock) -> str:
    """Return the file's text, which reads back as the same, with hardware in order so that a diff is small."""
    data = lock.model_dump(mode="json", exclude_none=True)
    parts = [f"{_HEADER}schema_version = {data['schema_version']}\n"]
    parts += [_table(f"[hardware.{_quoted(name)}]", data["hardware"][name]) for name in sorted(data["hardware"])]
    parts += [_table("[[retired]]", entry) for entry in data["retired"]]
    return "\n".join(parts)


def _table(head: str, values: dict[str, str | dict[str, str]]) -> str:
    lines = [head]
    for key, value in values.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{_quoted(name)} = {_quoted(text)}" for name, text in sorted(value.items()))
            lines.append(f"{key} = {{ {inner} }}")
        else:
            lines.append(f"{key} = {_quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML basic string: JSON's, but for the one control character that JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
