"""``--json``: the option that the verbs share, and what it prints."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print plain data, indented."""
    typer.echo(json.dumps(value, indent=2))
