"""``qdhil rigs``: which rigs there are and who holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rigs(
    rack: Annotated[Path | None, typer.Option(help="Rack file (default: two simulated rigs).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the rigs of a rack file, their firmware in service, and who holds them."""
    import json as json_module

    from qdhil.rack.config import load_rack
    from qdhil.rack.lease import holder, is_held
    from qdhil.rack.selection import default_rack_file

    described = load_rack(rack or default_rack_file())
    lock_dir = Path(described.lock_dir)
    rows = []
    for name, rig in described.rigs.items():
        held = holder(name, lock_dir) if is_held(name, lock_dir) else None
        rows.append(
            {"rig": name, "kind": rig.kind, "baseline": rig.firmware.baseline, "tags": rig.tags, "held_by": held}
        )
    if json:
        typer.echo(json_module.dumps(rows, indent=2))
        return
    for row in rows:
        tags = " ".join(f"{key}={value}" for key, value in described.rigs[str(row["rig"])].tags.items())
        state = f"held by {row['held_by']}" if row["held_by"] else "free"
        typer.echo(f"{row['rig']:12} {row['kind']:10} {row['baseline']:10} {state:10} {tags}")
