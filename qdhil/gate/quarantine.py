"""Quarantine: a metric of a rig that may not decide for a while, with the reason and a link.

A metric in quarantine neither supports PASS nor proves harm; it is measured and shown, and every verdict
says so. It must still be decided on another rig: quarantine never removes a requirement, only a witness.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qdhil.errors import ConfigurationError, RecordFault
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.verdict import Verdict
from qdhil.model_files import Strict, read_toml


class QuarantineEntry(Strict):
    """One metric on one rig."""

    rig: Annotated[str, Field(min_length=1)]
    metric: Annotated[str, Field(min_length=1)]
    """Definition id, as in the policy."""
    reason: Annotated[str, Field(min_length=1)]
    link: Annotated[str, Field(pattern=r"^https?://\S+$")]
    """Where the fault is worked on."""
    until: date
    """Last day, UTC."""

    def active(self, today: date) -> bool:
        """Whether it still holds."""
        return today <= self.until

    def __str__(self) -> str:
        return f"{self.metric} on {self.rig} is in quarantine until {self.until}: {self.reason} ({self.link})"


class QuarantineFile(Strict):
    """The whole of ``quarantine.toml``."""

    schema_version: Literal[1]
    quarantined: tuple[QuarantineEntry, ...] = ()


@dataclass(frozen=True)
class QuarantineEffect:
    """What quarantine does to one run.

    Parameters
    ----------
    excused
        Entries that concern the run and hold today; every one belongs in its verdict.
    findings
        What they force, as :func:`qdhil.gate.conclusion.conclude` takes it.
    notes
        Lines for people: what is excused, and what no longer is.
    """

    excused: tuple[QuarantineEntry, ...]
    findings: tuple[tuple[Verdict, str], ...]
    notes: tuple[str, ...]

    def entry(self, rig: str, metric: str) -> QuarantineEntry | None:
        """Return what keeps a metric of a rig from deciding, ``None`` where it decides."""
        return next((entry for entry in self.excused if (entry.rig, entry.metric) == (rig, metric)), None)

    def excuses(self, rig: str, metric: str) -> bool:
        """Whether a metric of a rig may not decide."""
        return self.entry(rig, metric) is not None


NO_QUARANTINE = QuarantineEffect((), (), ())


def load_quarantine(file: Path) -> tuple[QuarantineEntry, ...]:
    """Read a quarantine file; a missing file is an error, not an empty quarantine.

    Raises
    ------
    ConfigurationError
        If it can't be read, names a (rig, metric) twice, or a metric that there is not.
    """
    entries = read_toml(file, QuarantineFile, "quarantine file").quarantined
    for entry in entries:
        if entry.metric not in DEFINITIONS:
            raise ConfigurationError(
                f"quarantine file {file}: {entry.metric}: no such definition; there are {', '.join(DEFINITIONS)}"
            )
    pairs = [(entry.rig, entry.metric) for entry in entries]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise ConfigurationError(f"quarantine file {file}: {pair[1]} on {pair[0]} is there twice")
    return entries


def quarantine_effect(
    entries: Sequence[QuarantineEntry],
    metrics: Iterable[str],
    rigs: Collection[str],
    today: date,
    *,
    required_rigs: int = 1,
) -> QuarantineEffect:
    """Return what a quarantine file does to a run.

    Parameters
    ----------
    entries
        The file.
    metrics
        Metrics that the policy requires.
    rigs
        Rigs of the run.
    today
        The day, UTC.
    required_rigs
        Rigs on which every metric must be decided at least.
    """
    metrics = tuple(metrics)
    concerned = [entry for entry in entries if entry.rig in rigs and entry.metric in metrics]
    excused = tuple(entry for entry in concerned if entry.active(today))
    expired = [entry for entry in concerned if not entry.active(today)]
    findings: list[tuple[Verdict, str]] = []
    for metric in dict.fromkeys(entry.metric for entry in excused):
        witnesses = len(rigs) - sum(entry.metric == metric for entry in excused)
        if not witnesses:
            reason = f"{metric} is in quarantine on every rig of the run; another rig must decide it"
            findings.append((Verdict.INCONCLUSIVE, reason))
        elif witnesses < required_rigs:
            reason = f"{metric}: quarantine leaves {witnesses} of the {required_rigs} rigs that must decide it"
            findings.append((Verdict.INCONCLUSIVE, reason))
    notes = (
        *map(str, excused),
        *(f"{e.metric} on {e.rig} was in quarantine until {e.until}, and decides" for e in expired),
    )
    return QuarantineEffect(excused, tuple(findings), notes)


def add_entry(file: Path, entry: QuarantineEntry) -> None:
    """Add an entry to a quarantine file, which is made where there is none; what is there stays as it is.

    Raises
    ------
    ConfigurationError
        If the file can't be read, or has the (rig, metric) already.
    RecordFault
        If it can't be written.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else "schema_version = 1\n"
    lines = [f"{name} = {_toml(str(value))}" for name, value in entry if name != "until"]
    text = "\n".join([text.rstrip("\n"), "", "[[quarantined]]", *lines, f"until = {entry.until}", ""])
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        load_quarantine(beside)
        beside.replace(file)
    except OSError as error:
        raise RecordFault(f"{file} can't be written: {error.strerror}") from error
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace(str(beside), str(file))) from error
    finally:
        beside.unlink(missing_ok=True)


def utc_today() -> date:
    """Return the day by which quarantine is counted."""
    return datetime.now(UTC).date()


def _toml(text: str) -> str:
    """Return a TOML basic string."""
    return re.sub("\x7f", r"\\u007f", json.dumps(text, ensure_ascii=False))
