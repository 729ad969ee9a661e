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


def schema(name: Annotated[SchemaName, typer.Argument(help="Which file.")]) -> None:
    """Print the JSON schema of a long-lived file; of an attestation or override, of what qdhil says in it."""
    import json

    from pydantic import BaseModel

    from qdhil.firmware.bisect import BisectState
    from qdhil.firmware.bundle import Manifest
    from qdhil.gate.baseline import BaselineLock
    from qdhil.gate.overrides import OverrideClaim
    from qdhil.gate.policy import Policy
    from qdhil.gate.quarantine import QuarantineFile
    from qdhil.gate.statement import Claim
    from qdhil.keys.trust import Trust
    from qdhil.rack.config import Rack
    from qdhil.record.ledger_entry import LedgerEntry
    from qdhil.record.schemas import RunRecord, VerdictRecord

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
        SchemaName.TRUST: Trust,
    }
    typer.echo(json.dumps(models[name].model_json_schema(), indent=2))
