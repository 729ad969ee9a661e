"""``qdhil gate``: recompute the verdict of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gate(
    folder: Annotated[Path, typer.Argument(help="Run folder that holds verdict.json.", metavar="FOLDER")],
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Recompute every comparison of a run from its counts, and end with the verdict's exit code.

    A record that its own counts contradict is refused (exit 40).
    """
    from qdhil.record.recheck import recheck
    from qdhil.report.table import verdict_lines

    record = recheck(folder)
    if json:
        typer.echo(record.model_dump_json(indent=2))
    else:
        for line, _ in verdict_lines(record):
            typer.echo(line)
    raise typer.Exit(record.exit_code)
