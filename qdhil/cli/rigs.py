"""``qdhil rigs``: which rigs there are, who holds them, in what state they are, and how one comes back to service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import authority
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.exit_codes import ExitCode

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.firmware import Bundle
    from qdhil.rack import config

rigs = typer.Typer(
    help="List the rigs of a rack file, the firmware that it has in service, who holds them and their state.",
    epilog="Exit codes: 0 every rig is free or held; 30 one is out of service, or was left by a holder that died.",
)
_Rack = Annotated[Path | None, typer.Option(help="Rack file (default: two simulated rigs).")]
_Name = Annotated[str, typer.Argument(metavar="RIG", help="Name of the rig.")]
_FAULTY = ("left", "out of service")


@rigs.callback(invoke_without_command=True)
def list_(context: typer.Context, rack: _Rack = None, json: JsonOption = False) -> None:
    """List the rigs of a rack file, the firmware that it has in service, who holds them and their state."""
    from qdhil.errors import ConfigurationError

    if context.invoked_subcommand is not None:
        if rack is not None or json:
            raise ConfigurationError(f"rigs: options go behind {context.invoked_subcommand}")
        return
    described, _ = _load(rack)
    rows = [_row(name, rig, Path(described.lock_dir)) for name, rig in described.rigs.items()]
    if json:
        print_json(rows)
    else:
        for row in rows:
            tags = " ".join(f"{key}={value}" for key, value in row["tags"].items())
            typer.echo(f"{row['rig']:12} {row['kind']:10} {row['baseline']:10} {_said(row):10} {tags}")
    if any(row["state"] in _FAULTY for row in rows):
        raise typer.Exit(ExitCode.INFRA)


@rigs.command()
def restore(
    name: _Name,
    rack: _Rack = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="VERSION|PATH", help="Firmware in service (default: the rack file's).")
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long a busy rig is waited for.")] = 0.0,
) -> None:
    """Boot a rig's confirmed baseline, verify it, and return the rig to service.

    Where that fails the rig is out of service (exit 30). A simulated rig that nobody serves is started for it.
    """
    from qdhil.rack.lease import lease
    from qdhil.rack.service_state import return_to_service

    described, file = _load(rack)
    rig, lock_dir = _rig(described, name), Path(described.lock_dir)
    bundle = _baseline(rig, file, baseline or rig.firmware.baseline)
    with (
        _authority(described, file).action("operator", "rig.restore", name, {"baseline": bundle.sha256}),
        lease(name, lock_dir, wait_s=wait, on_wait=typer.echo, out_of_service_too=True),
    ):
        _restore(name, rig, file, bundle, lock_dir)
        return_to_service(name, lock_dir)
    typer.echo(f"{name}: {bundle.version} booted, confirmed and verified; in service")


@rigs.command()
def retire(
    name: _Name,
    reason: Annotated[str, typer.Option(help="What is wrong; everybody who wants the rig reads it.")],
    rack: _Rack = None,
) -> None:
    """Take a rig out of service; a run that holds it is not disturbed, but it is the last one."""
    from qdhil.errors import ConfigurationError
    from qdhil.rack.lease import holder, is_held
    from qdhil.rack.service_state import take_out_of_service

    described, file = _load(rack)
    _rig(described, name)
    lock_dir = Path(described.lock_dir)
    if not reason.strip():
        raise ConfigurationError("rigs retire: --reason is empty")
    with _authority(described, file).action("operator", "rig.retire", name, {"reason": reason}):
        take_out_of_service(name, lock_dir, reason)
    after = f" after {holder(name, lock_dir)}" if is_held(name, lock_dir) else ""
    typer.echo(f"{name}: out of service{after}; to return it: qdhil rigs restore {name}")


def _load(rack: Path | None) -> tuple[config.Rack, Path]:
    from qdhil.rack.config import load_rack
    from qdhil.rack.selection import default_rack_file

    file = rack or default_rack_file()
    return load_rack(file), file.resolve()


def _rig(described: config.Rack, name: str) -> config.Rig:
    from qdhil.errors import ConfigurationError

    if name not in described.rigs:
        raise ConfigurationError(f"rigs: no rig {name}; the rack file has {', '.join(described.rigs) or 'none'}")
    return described.rigs[name]


def _authority(described: config.Rack, file: Path) -> Authority:
    return authority(described.roles, described.audit, beside=file.parent)


def _baseline(rig: config.Rig, file: Path, wanted: str) -> Bundle:
    from qdhil.firmware import find_bundle
    from qdhil.rack.rig_bundles import rig_trust
    from qdhil.rack.selection import bundle_folder

    return find_bundle(
        wanted,
        bundle_folder(rig, file),
        hardware=rig.firmware.hardware,
        trust=rig_trust(rig, file),
        bootloader=rig.firmware.bootloader,
        in_service=True,
    )


def _restore(name: str, rig: config.Rig, file: Path, bundle: Bundle, lock_dir: Path) -> None:
    from qdhil.errors import InfraFault
    from qdhil.rack.restoration import restore_baseline
    from qdhil.rack.rig import Rig
    from qdhil.rack.service_state import take_out_of_service
    from qdhil.rack.simulated import simulator

    log = lock_dir / f"{name}.simulator.log"
    try:
        with simulator(name, rig, rack_file=file, seed=None, log=log) as served:
            there = Rig(name, rig)
            try:
                restore_baseline(there, bundle, gone=lambda: served.has_ended)
            finally:
                there.close()
    except InfraFault as fault:
        take_out_of_service(name, lock_dir, f"baseline {bundle.version} could not be restored: {fault}")
        raise


def _row(name: str, rig: config.Rig, lock_dir: Path) -> dict[str, Any]:
    from qdhil.rack.lease import holder, is_held
    from qdhil.rack.service_state import state_of

    held = holder(name, lock_dir) if is_held(name, lock_dir) else None
    notes = state_of(name, lock_dir)
    state = "held" if held else "left" if notes.visit is not None else "free"
    return {
        "rig": name,
        "kind": rig.kind,
        "baseline": rig.firmware.baseline,
        "tags": rig.tags,
        "held_by": held,
        "state": "out of service" if notes.out_of_service is not None else state,
        "visit": notes.visit and notes.visit.model_dump(),
        "out_of_service": notes.out_of_service and notes.out_of_service.model_dump(),
    }


def _said(row: dict[str, Any]) -> str:
    visit, parts = row["visit"], []
    if (why := row["out_of_service"]) is not None:
        parts.append(f"out of service since {why['since']}, by {why['who']}: {why['reason']}")
    if row["held_by"]:
        parts.append(f"held by {row['held_by']}")
    if visit is not None:
        who = "" if row["held_by"] else f"left by {visit['who']}, process {visit['process']}, "
        parts.append(f"{who}candidate {visit['candidate']['version']} on it since {visit['since']}")
    return "; ".join(parts) or "free"
