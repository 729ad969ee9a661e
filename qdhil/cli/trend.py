"""``qdhil trend``: stored numbers of a rig over time."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.json_output import JsonOption, print_json

if TYPE_CHECKING:
    from qdhil.record.ledger_trend import Series


class TrendArm(StrEnum):
    """Whose values."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


def trend(
    metric: Annotated[str, typer.Argument(help="Metric, such as g2.pulsed.area.")],
    rig: Annotated[str | None, typer.Option(help="Only this rig.")] = None,
    arm: Annotated[TrendArm, typer.Option(help="Whose values.")] = TrendArm.BASELINE,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG).")] = None,
    repository: Annotated[Path, typer.Option(help="Checkout whose ledger is read.")] = Path(),
    remote: Annotated[str, typer.Option(help="Git remote of the ledger.")] = "origin",
    json: JsonOption = False,
) -> None:
    """Show a metric's stored numbers over time, with marks where a rig is no longer what it was.

    For the health of rigs only: stored numbers never decide a verdict. Fetch them first: qdhil baseline sync.
    """
    from qdhil.errors import ConfigurationError
    from qdhil.record.ledger import Ledger
    from qdhil.record.ledger_trend import NOTICE, metrics_of, trends

    with Ledger(repository, remote) as ledger:
        contents = ledger.read()
    for problem in contents.problems:
        typer.echo(f"qdhil: skipped {problem}", err=True)
    series = trends(contents.entries, metric, arm=arm.value, rig=rig)
    if not series:
        known = ", ".join(metrics_of(contents.entries)) or "nothing: qdhil baseline sync fetches it"
        raise ConfigurationError(f"trend: no numbers of {metric}{f' on {rig}' if rig else ''}; the ledger has {known}")
    if plot is not None:
        from qdhil.record.run_folder import write_bytes
        from qdhil.report.trend_plot import trend_picture

        write_bytes(plot, trend_picture(metric, series))
    if json:
        rows = [one.record() for one in series]
        print_json({"metric": metric, "notice": NOTICE, "series": rows})
        return
    for one in series:
        for line in _lines(metric, one):
            typer.echo(line)
    typer.echo(NOTICE)


def _lines(metric: str, one: Series) -> list[str]:
    chart = one.chart
    usual = "too few for marks" if chart is None else f"usual {chart.level:.5g} +- {chart.spread:.2g}"
    lines = [f"{one.rig}  {metric}  {one.firmware} ({one.arm})  {len(one.points)} runs, {usual}"]
    for point in one.points:
        interval = f"[{point.low:.5g}, {point.high:.5g}]"
        lines.append(f"  {point.when:%Y-%m-%d %H:%M}  {point.value:<10.5g} {interval:24} {point.mark}".rstrip())
    return [*lines, ""]
