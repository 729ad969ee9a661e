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


def schema(name: Annotated[SchemaName, typer.Argument(help="Which file.")]) -> None:
    """Print the JSON schema of rack.toml, policy.toml, a bundle's manifest.json, run.json or verdict.json."""
    import json

    from pydantic import BaseModel

    from qdhil.firmware.bundle import Manifest
    from qdhil.gate.policy import Policy
    from qdhil.rack.config import Rack
    from qdhil.record.schemas import RunRecord, VerdictRecord

    models: dict[SchemaName, type[BaseModel]] = {
        SchemaName.RACK: Rack,
        SchemaName.POLICY: Policy,
        SchemaName.MANIFEST: Manifest,
        SchemaName.RUN: RunRecord,
        SchemaName.VERDICT: VerdictRecord,
    }
    typer.echo(json.dumps(models[name].model_json_schema(), indent=2))
