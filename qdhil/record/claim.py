"""What a run folder claims, ready to be signed: recomputed from its counts, bound to its content."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.gate.attestation import FILE_SUFFIX
from qdhil.gate.statement import Claim
from qdhil.keys.validity import expiry, timestamp
from qdhil.model_files import describe, read_json
from qdhil.rack.config import load_rack
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import RACK_NAME, RUN_NAME
from qdhil.record.schemas import RunRecord, VerdictRecord

SIGNED_SUFFIXES = (FILE_SUFFIX, ".override.json", ".revocation.json")
"""Files beside a run's evidence that are about it and not part of it."""
RING_TAG = "ring"
_NOT_EVIDENCE = frozenset({"ratio", "low", "high"})
_DECISIVE = ("limit", "share", "block_level", "harm_log10")


def run_claim(folder: Path, *, rings: Sequence[str], lifetime: timedelta, now: datetime) -> Claim:
    """Return the claim of a run folder after recomputing its verdict.

    Parameters
    ----------
    folder
        The run folder.
    rings
        Rollout rings that the verdict is for; none takes the ``ring`` tags of the run's rigs.
    lifetime
        From now to expiry.
    now
        The time.

    Raises
    ------
    ConfigurationError
        If a file can't be read, or no ring is known.
    UndecidedError
        If the run was cut off before its verdict.
    RefusedError
        If the record is contradicted by its own counts, or says what no run can say.
    """
    verdict = recheck(folder)
    rack = load_rack(folder / RACK_NAME)
    unknown = [name for name in verdict.rigs if name not in rack.rigs]
    if unknown:
        raise RefusedError(f"{folder}: {RACK_NAME} has no rig {unknown[0]}")
    rigs = {name: {"kind": kind, "hardware": rack.rigs[name].firmware.hardware} for name, kind in verdict.rigs.items()}
    wanted_rings = sorted(set(rings)) or _rings(folder, verdict)
    if not wanted_rings:
        raise ConfigurationError(f"{folder}: the run's rigs have no tag {RING_TAG}; say --ring")
    data: dict[str, Any] = {
        **_decided(verdict.model_dump(mode="json")),
        "schema_version": 1,
        "nonce": secrets.token_hex(16),
        "measured": _utc(verdict.finished),
        "issued": timestamp(now),
        "expires": expiry(now, lifetime),
        "scope": {"hardware": sorted({rig["hardware"] for rig in rigs.values()}), "rings": wanted_rings},
        "rigs": rigs,
        "runs": [{"name": folder.resolve().name, "sha256": folder_sha256(folder)}],
    }
    try:
        return Claim.model_validate(data)
    except ValidationError as error:
        raise RefusedError(f"{folder} can't be attested: {describe(error).strip()}") from error


def folder_sha256(folder: Path) -> str:
    """Return the digest of a run folder: of the list of its files with the digest of each, by path.

    ``sha256sum`` of the sorted lines ``DIGEST  PATH`` gives the same; attestations and overrides that
    lie in the folder, and files whose name begins with a dot, are left out.

    Raises
    ------
    RefusedError
        If something in the folder is neither a file nor a folder: its content could change unseen.
    ConfigurationError
        If a file can't be read.
    """
    try:
        lines = [f"{_file_sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    except OSError as error:
        raise ConfigurationError(f"run folder {folder}: {error.strerror}: {error.filename}") from error
    return hashlib.sha256("".join(sorted(lines, key=_path_of)).encode()).hexdigest()


def _path_of(line: str) -> str:
    return line.partition("  ")[2]


def _decided(verdict: dict[str, Any]) -> dict[str, Any]:
    """Return what decided, in the words of a claim."""
    firmware = {arm: {key: verdict[arm][key] for key in ("version", "sha256")} for arm in ("baseline", "candidate")}
    return {
        "verdict": verdict["verdict"],
        "reasons": verdict["reasons"],
        **firmware,
        "policy": {"name": verdict["policy"], "sha256": verdict["policy_sha256"]},
        "design": {key: verdict[key] for key in ("miss_rate", "false_block_rate")},
        "metrics": [_metric(entry) for entry in verdict["comparisons"]],
        "family": verdict.get("family"),
        "infra": verdict["faults"],
        "quarantined": [
            {"rig": entry["rig"], "metric": entry["metric"], "link": entry["link"], "until": str(entry["until"])}
            for entry in verdict.get("quarantined") or []
        ],
    }


def _metric(entry: dict[str, Any]) -> dict[str, Any]:
    change = entry["change"]
    arms = {arm: {key: entry[arm][key] for key in ("value", "low", "high")} for arm in ("baseline", "candidate")}
    evidence = entry.get("evidence") or {}
    looks = evidence.get("looks") or []
    last = {**looks[-1], "looks": len(looks)} if looks else {}
    decisive = {key: value for key, value in change.items() if key not in _NOT_EVIDENCE} | last
    decisive |= {key: entry[key] for key in _DECISIVE if entry.get(key) is not None}
    return {
        **{key: entry[key] for key in ("rig", "definition", "verdict", "reason")},
        **arms,
        **{key: change.get(key) for key in _NOT_EVIDENCE},
        **{key: entry.get(key) for key in ("margin_ratio", "tolerated_ratio")},
        "evidence": decisive,
        "diagnostics": evidence.get("diagnostics") or [],
    }


def _rings(folder: Path, verdict: VerdictRecord) -> list[str]:
    runs = [read_json(folder / rig / RUN_NAME, RunRecord, "run record") for rig in verdict.rigs]
    return sorted({run.tags[RING_TAG] for run in runs if RING_TAG in run.tags})


def _utc(text: str) -> str:
    """Return a record's time as statements write it; one without a zone is UTC."""
    time = datetime.fromisoformat(text)
    return timestamp(time if time.tzinfo else time.replace(tzinfo=UTC))


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name.endswith(SIGNED_SUFFIXES):
            continue
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise RefusedError(f"{entry} is neither a file nor a folder; what it holds can't be attested")
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
