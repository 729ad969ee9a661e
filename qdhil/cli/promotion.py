"""What a run folder, and an attestation of it, allow to be promoted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from qdhil.errors import RefusedError, UndecidedError
from qdhil.gate.baseline import Golden
from qdhil.gate.quarantine import QuarantineEntry
from qdhil.gate.verdict import Verdict
from qdhil.model_files import describe
from qdhil.rack.config import load_rack
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import RACK_NAME, VERDICT_NAME


@dataclass(frozen=True)
class Promotable:
    """What a run allows to be promoted.

    Parameters
    ----------
    goldens
        By hardware revision, with the digest of the firmware that it was compared with.
    quarantined
        Metrics of rigs that did not decide, for people to see.
    """

    goldens: dict[str, tuple[Golden, str]]
    quarantined: tuple[QuarantineEntry, ...]


def promotable(folder: Path, by: str) -> Promotable:
    """Return what a run allows to be promoted.

    Raises
    ------
    ConfigurationError
        If a file is missing or can't be read.
    RefusedError
        If the verdict is not a PASS that its own counts carry, or quarantine left a hardware revision without it.
    """
    before = (folder / VERDICT_NAME).read_bytes() if (folder / VERDICT_NAME).is_file() else b""
    try:
        verdict = recheck(folder)
    except UndecidedError as error:
        raise RefusedError(f"not a PASS: {error}") from error
    if verdict.verdict is not Verdict.PASS:
        raise RefusedError(f"{folder}: {verdict.candidate.version} is {verdict.verdict}; only a PASS is promoted")
    rigs = load_rack(folder / RACK_NAME).rigs
    by_hardware: dict[str, dict[str, str]] = {}
    for rig, kind in verdict.rigs.items():
        by_hardware.setdefault(rigs[rig].firmware.hardware, {})[rig] = kind
    for metric in {entry.metric for entry in verdict.quarantined}:
        silent = {entry.rig for entry in verdict.quarantined if entry.metric == metric}
        for hardware, kinds in by_hardware.items():
            if silent >= set(kinds):
                raise RefusedError(f"{folder}: {metric} is in quarantine on every rig with hardware {hardware}")
    common = {
        "version": verdict.candidate.version,
        "sha256": verdict.candidate.sha256,
        "policy": verdict.policy,
        "policy_sha256": verdict.policy_sha256,
        "run": folder.resolve().name,
        "verdict": verdict.verdict,
        "verdict_sha256": hashlib.sha256(before).hexdigest(),
        "decided": verdict.finished,
        "promoted_by": by,
        "promoted_at": datetime.now(UTC).replace(microsecond=0),
    }
    try:
        found = {
            hardware: (Golden.model_validate({**common, "rigs": kinds}), verdict.baseline.sha256)
            for hardware, kinds in by_hardware.items()
        }
        return Promotable(found, tuple(verdict.quarantined))
    except ValidationError as error:
        raise RefusedError(f"{folder}: this run can't be promoted:\n{describe(error)}") from error


def attested(attestation: Path, trust: Path, folder: Path, found: Mapping[str, tuple[Golden, str]]) -> str:
    """Return the digest of an attestation that holds for everything that is to be promoted.

    Raises
    ------
    ConfigurationError
        If a file can't be read.
    RefusedError
        If it does not attest a PASS of this very run folder, for this firmware, policy and hardware.
    """
    from qdhil.cli.signing import read_bytes
    from qdhil.gate.attestation import Wanted, authenticate, verify
    from qdhil.keys.trust import load_trust
    from qdhil.record.claim import folder_sha256

    trusted, data = load_trust(trust), read_bytes(attestation, "attestation")
    claim = authenticate(data, trusted).claim
    if folder_sha256(folder) not in {run.sha256 for run in claim.runs}:
        raise RefusedError(f"{attestation} attests another run than {folder}")
    for hardware, (golden, _) in found.items():
        wanted = Wanted(golden.sha256, hardware, claim.scope.rings[0], golden.policy_sha256)
        verified = verify(data, trusted, wanted, datetime.now(UTC))
        if verified.verdict is not Verdict.PASS:
            raise RefusedError(f"{attestation} attests {verified.verdict}; only a PASS is promoted")
    return hashlib.sha256(data).hexdigest()
