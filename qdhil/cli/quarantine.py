"""``qdhil quarantine``: metrics of a rig that may not decide for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdhil.cli.authority import AuditOption, RolesOption, authority
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.errors import ConfigurationError

quarantine = typer.Typer(no_args_is_help=True, help="Metrics of a rig that may not decide for a while.")

FileOption = Annotated[Path, typer.Option("--file", help="The quarantine file.")]
DEFAULT_FILE = Path("quarantine.toml")


@quarantine.command()
def add(
    rig: Annotated[str, typer.Option(help="The rig.")],
    metric: Annotated[str, typer.Option(help="Definition id, as in the policy.")],
    reason: Annotated[str, typer.Option(help="What is wrong.")],
    link: Annotated[str, typer.Option(help="Where it is worked on, http(s).")],
    until: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD, UTC.")],
    file: FileOption = DEFAULT_FILE,
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Add a metric of a rig to the quarantine file."""
    from pydantic import ValidationError

    from qdhil.gate.definitions import DEFINITIONS
    from qdhil.gate.quarantine import QuarantineEntry, add_entry, utc_today
    from qdhil.model_files import describe

    if metric not in DEFINITIONS:
        raise ConfigurationError(f"--metric {metric}: no such definition; there are {', '.join(DEFINITIONS)}")
    values = {"rig": rig, "metric": metric, "reason": reason, "link": link, "until": until}
    try:
        entry = QuarantineEntry.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"quarantine: {describe(error).strip()}") from error
    if not entry.active(utc_today()):
        raise ConfigurationError(f"--until {until} is in the past")
    with authority(roles, audit).action(None, "quarantine.add", f"{rig} {metric}", {**values, "file": str(file)}):
        add_entry(file, entry)
    typer.echo(f"{file}: {entry}")


@quarantine.command("list")
def list_entries(file: FileOption = DEFAULT_FILE, json: JsonOption = False) -> None:
    """List the quarantine file; what has expired is marked."""
    from qdhil.gate.quarantine import load_quarantine, utc_today

    entries, today = load_quarantine(file), utc_today()
    if json:
        rows = [{**entry.model_dump(mode="json"), "active": entry.active(today)} for entry in entries]
        print_json(rows)
        return
    for entry in entries:
        typer.echo(f"{entry}{'' if entry.active(today) else ' (expired: it decides again)'}")
