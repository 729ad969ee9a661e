"""Facts as a table of two columns, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer


def print_rows(facts: Mapping[str, Any]) -> None:
    """Print one fact a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        typer.echo(f"{name:{width}}  {text if value not in (None, []) else '-'}")


def json_text(facts: Mapping[str, Any]) -> str:
    """Return the facts as JSON, with names that programs like."""
    return json.dumps({name.replace(" ", "_"): value for name, value in facts.items()}, indent=2)
