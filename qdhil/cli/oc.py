"""``qdhil oc``: how often a policy's verdicts are wrong and what they cost, over simulated campaigns."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.json_output import JsonOption
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_CAMPAIGNS = 200


def oc(
    policy: Annotated[Path | None, typer.Option(help="Policy file (default: the packaged one).")] = None,
    campaigns: Annotated[
        int, typer.Option(min=LEAST_CAMPAIGNS, max=10_000_000, help="Simulated campaigns of one metric on one rig.")
    ] = 20_000,
    family: Annotated[
        int, typer.Option(min=0, max=100_000, help="Simulated runs of every metric on 12 rigs, per cell; 0 for none.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every number.")] = 20261123,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one a core).")] = None,
    event_level: Annotated[
        Path | None, typer.Option(help="Results at event level to include, from benches/bench_operating.py.")
    ] = None,
    read: Annotated[Path | None, typer.Option("--from", help="Results of an earlier --json; nothing is run.")] = None,
    page: Annotated[Path | None, typer.Option(help="Page to write; its picture goes beside it.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure the operating characteristics of a policy by simulation, beside what other rules do on the same traces.

    Progress goes to the standard error.
    """
    import json as json_module

    from qdhil.gate.operating_page import markdown, table
    from qdhil.gate.operating_picture import draw

    record = _read(read, "results") if read else _simulated(policy, campaigns, family, seed, workers or os.cpu_count())
    if event_level is not None:
        record["event_level"] = _read(event_level, "results at event level")
    try:
        if page is not None:
            picture = page.with_suffix(".svg")
            page.write_text(markdown(record, picture.name))
            draw(record, picture)
        lines = [json_module.dumps(record, indent=1)] if json else table(record)
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"not results of qdhil oc: {error} is missing or wrong") from error
    for line in lines:
        typer.echo(line)


def _read(file: Path, what: str) -> dict[str, Any]:
    import json as json_module

    try:
        record = json_module.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: no {what}: {error}") from error
    if not isinstance(record, dict):
        raise ConfigurationError(f"{file}: no {what}: not an object")
    return record


def _simulated(policy: Path | None, campaigns: int, family: int, seed: int, workers: int | None) -> dict[str, Any]:
    from qdhil.gate.operating_light import Source
    from qdhil.gate.operating_plan import Plan, described
    from qdhil.gate.operating_run import simulate
    from qdhil.gate.policy import default_policy_file, load_policy
    from qdhil.gate.quads import Context
    from qdhil.rack.config import load_rack
    from qdhil.rack.selection import default_rack_file
    from qdhil.record.schemas import CalibrationRecord

    demanded = load_policy(policy or default_policy_file())
    rig = next(iter(load_rack(default_rack_file()).rigs.values()))
    calibration = CalibrationRecord.of(rig)
    context = Context(calibration.exclude_lags, calibration.dead_time_ps, demanded.confidence, None)
    source = Source(rep_rate_hz=calibration.rep_rate_hz)
    plan = Plan(demanded, context, source, campaigns, family, seed)
    try:
        return {**described(plan), **simulate(plan, workers=workers or 1, on_progress=_progress()).record()}
    except ValueError as error:
        raise ConfigurationError(f"no operating characteristics of {demanded.name}: {error}") from error


def _progress() -> Callable[[int, int], None]:
    begin = time.monotonic()
    ending = "\r" if sys.stderr.isatty() else "\n"

    def show(done: int, tasks: int) -> None:
        if ending == "\r" or done == tasks or done % max(tasks // 20, 1) == 0:
            typer.echo(f"qdhil oc: {done}/{tasks}, {time.monotonic() - begin:.0f} s{ending}", err=True, nl=False)

    return show
