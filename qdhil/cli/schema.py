"""``qdhil schema``: the JSON schemas of the long-lived files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class SchemaName(StrEnum):
    """The files that have a schema."""

    RACK = "rack"
    POLICY = "policy"
    MANIFEST = "manifest"
    RUN = "run"
    VERDICT = "verdict"
    BASELINES = "baselines"
    BISECT = "bisect"
    LEDGER = "ledger"
    ATTESTATION = "attestation"
    OVERRIDE = "override"
    QUARANTINE = "quarantine"
    TRUST = "trust"
    DOWNGRADE = "downgrade"
    FIRMWARE_HISTORY = "firmware-history"
    AUDIT = "audit"
    AUDIT_HEAD = "audit-head"
    AGENT = "agent"
    ROLES = "roles"
    ROLLOUT = "rollout"
    ROLLOUT_STATE = "rollout-state"
    GITHUB = "github"


def schema(name: Annotated[SchemaName, typer.Argument(help="Which file.")]) -> None:
    """Print the JSON schema of a long-lived file; of an attestation or override, of what qdhil says in it."""
    import json

    from pydantic import BaseModel

    from qdhil.agent.device_file import DeviceFile
    from qdhil.audit.entry import Entry
    from qdhil.audit.roles import RolesFile
    from qdhil.audit.seal import SealedHead
    from qdhil.firmware.bisect import BisectState
    from qdhil.firmware.downgrade import DowngradePermission
    from qdhil.firmware.history import FirmwareHistory
    from qdhil.firmware.manifest import Manifest
    from qdhil.gate.baseline import BaselineLock
    from qdhil.gate.overrides import OverrideClaim
    from qdhil.gate.policy import Policy
    from qdhil.gate.quarantine import QuarantineFile
    from qdhil.gate.statement import Claim
    from qdhil.keys.trust import Trust
    from qdhil.rack.config import Rack
    from qdhil.record.ledger_entry import LedgerEntry
    from qdhil.record.schemas import RunRecord, VerdictRecord
    from qdhil.rollout.plan import Plan
    from qdhil.rollout.state import RolloutState
    from qdhil.serve.github_settings import GithubSettings

    models: dict[SchemaName, type[BaseModel]] = {
        SchemaName.RACK: Rack,
        SchemaName.POLICY: Policy,
        SchemaName.MANIFEST: Manifest,
        SchemaName.RUN: RunRecord,
        SchemaName.VERDICT: VerdictRecord,
        SchemaName.BASELINES: BaselineLock,
        SchemaName.BISECT: BisectState,
        SchemaName.LEDGER: LedgerEntry,
        SchemaName.ATTESTATION: Claim,
        SchemaName.OVERRIDE: OverrideClaim,
        SchemaName.QUARANTINE: QuarantineFile,
        SchemaName.ROLLOUT: Plan,
        SchemaName.ROLLOUT_STATE: RolloutState,
        SchemaName.TRUST: Trust,
        SchemaName.AGENT: DeviceFile,
        SchemaName.DOWNGRADE: DowngradePermission,
        SchemaName.FIRMWARE_HISTORY: FirmwareHistory,
        SchemaName.AUDIT: Entry,
        SchemaName.AUDIT_HEAD: SealedHead,
        SchemaName.ROLES: RolesFile,
        SchemaName.GITHUB: GithubSettings,
    }
    typer.echo(json.dumps(models[name].model_json_schema(), indent=2))
