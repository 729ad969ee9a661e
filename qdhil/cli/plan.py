"""``qdhil plan POLICY --rig NAME``: what a policy costs on a rig, and whether its budget can decide it."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.json_output import JsonOption, print_json
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qdhil.gate.blocks import Block
    from qdhil.gate.planning import Plan
    from qdhil.gate.quads import Context
    from qdhil.gate.rig_rates import RigRates
    from qdhil.rack.config import Rig


def plan(
    policy: Annotated[Path | None, typer.Argument(help="Policy file (default: the packaged one).")] = None,
    rig: Annotated[str, typer.Option("--rig", help="Rig of the rack file.")] = "sim-a1",
    rack: Annotated[Path | None, typer.Option(help="Rack file (default: two simulated rigs).")] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders lie; the rig's last one gives its rates.")] = Path(
        "runs"
    ),
    clicks: Annotated[float | None, typer.Option(help="Instead of a run: clicks of both detectors per pulse.")] = None,
    g2: Annotated[float, typer.Option(help="With --clicks: g2(0).")] = 0.02,
    visibility: Annotated[float, typer.Option(help="With --clicks: V_unc.")] = 0.92,
    noise: Annotated[float, typer.Option(help="With --clicks: relative noise of a block's brightness.")] = 0.005,
    rigs: Annotated[int, typer.Option(min=1, help="Rigs of the run.")] = 1,
    campaigns: Annotated[int, typer.Option(min=20, max=10_000, help="Simulated campaigns per case.")] = 100,
    json: JsonOption = False,
) -> None:
    """Print expected and worst-case quads and time of a policy on a rig, and its power at each margin.

    Ends with 64 where the policy can't be decided within its budget at the rig's count rates.
    """
    from qdhil.gate.planning import plan as simulate
    from qdhil.gate.policy import default_policy_file, load_policy
    from qdhil.gate.quads import Context
    from qdhil.gate.rig_rates import rates_of_light
    from qdhil.rack.config import load_rack
    from qdhil.rack.selection import default_rack_file, select_rigs
    from qdhil.record.schemas import CalibrationRecord

    demanded = load_policy(policy or default_policy_file())
    described = select_rigs(load_rack(rack or default_rack_file()), [rig])
    if rig not in described:
        raise ConfigurationError(f"--rig {rig}: name one rig")
    calibration = described[rig].calibration
    context = Context(
        CalibrationRecord.of(described[rig]).exclude_lags, calibration.dead_time_ps, demanded.confidence, None
    )
    try:
        if clicks is not None:
            rates = rates_of_light(
                clicks=clicks,
                g2=g2,
                visibility=visibility,
                rep_rate_hz=calibration.rep_rate_hz,
                brightness_noise=noise,
            )
        else:
            rates = _last_run(runs, rig, described[rig], context)
        found = simulate(demanded, rates, context, rigs=rigs, campaigns=campaigns)
    except ValueError as error:
        raise ConfigurationError(f"no plan for {rig}: {error}") from error
    if json:
        record = {
            "policy": demanded.name,
            "policy_sha256": demanded.sha256,
            "rig": rig,
            "rates": rates.source,
        }
        print_json({**record, "campaigns": campaigns, **found.record()})
    else:
        for line in table(found, rates, campaigns):
            typer.echo(line)
    if found.problems:
        raise typer.Exit(ConfigurationError.exit_code)


def _last_run(runs: Path, rig: str, described: Rig, context: Context) -> RigRates:
    """Return the rates of the newest run that measured whole quads on a rig."""
    from qdhil.gate.rig_rates import rates_of_run
    from qdhil.record.run_folder import BLOCKS_NAME, read_blocks

    for journal in sorted(runs.glob(f"*/{rig}/{BLOCKS_NAME}"), key=lambda file: file.parent.parent.name, reverse=True):
        blocks = [block for block in read_blocks(journal.parent) if block.excluded is None]
        if any(block.quad is not None for block in blocks):
            return rates_of_run(
                blocks,
                context,
                rep_rate_hz=described.calibration.rep_rate_hz,
                overhead_s=_overhead_s(blocks),
                source=str(journal.parent),
            )
    raise ConfigurationError(f"no run of {rig} below {runs}: measure once, or give --clicks, --g2 and --visibility")


def _overhead_s(blocks: Sequence[Block]) -> float:
    """Return the median wall time between two visits, beyond the first one's dwell."""
    visits: dict[tuple[int, int], tuple[datetime, float]] = {}
    for block in blocks:
        if block.quad is not None and block.position is not None:
            began, dwell_s = visits.get((block.quad, block.position), (datetime.fromisoformat(block.started), 0.0))
            visits[block.quad, block.position] = (began, dwell_s + block.counts.dwell_s)
    ordered = sorted(visits.values())
    gaps = sorted(
        max((after[0] - before[0]).total_seconds() - before[1], 0.0) for before, after in itertools.pairwise(ordered)
    )
    return gaps[len(gaps) // 2] if gaps else 0.0


def table(found: Plan, rates: RigRates, campaigns: int) -> list[str]:
    """Return the plan as lines."""
    from qdhil.gate.definitions import DEFINITIONS

    lines = [f"rates of {rates.source}; {campaigns} simulated campaigns per case", ""]
    lines.append(
        f"{'metric':<14}{'quads':>7}{'95 %':>6}  {'PASS unchanged':>14}  "
        f"{'BLOCK at margin':>15}  {'PASS at margin':>14}"
    )
    for entry in found.metrics:
        lines.append(
            f"{DEFINITIONS[entry.metric].title:<14}{entry.mean_quads:>7.1f}{entry.p95_quads:>6}  "
            f"{entry.p_pass_unchanged:>14.2f}  {entry.p_block_at_margin:>15.2f}  {entry.p_pass_at_margin:>14.2f}"
        )
    lines += [
        "",
        f"expected {found.expected_quads:.1f} quads, {found.expected_s:.0f} s; "
        f"at most {found.worst_quads} quads, {found.worst_s:.0f} s ({found.quad_s:.1f} s a quad)",
        *(f"can't be decided: {problem}" for problem in found.problems),
    ]
    return lines
