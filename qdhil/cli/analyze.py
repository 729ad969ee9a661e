"""``qdhil analyze FILE``: the estimates of a recording that some tagger or program wrote."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from qdhil.errors import ConfigurationError, FormatError

EXIT_REFUSED = FormatError.exit_code
FIGURES = (".png", ".pdf", ".svg")
_RULE = 22


class Kind(StrEnum):
    """What a recording may be taken for."""

    AUTO = "auto"
    HBT = "hbt"
    HOM = "hom"
    CW = "cw"
    DECAY = "decay"
    TRACE = "trace"
    SPECTRUM = "spectrum"


def analyze(
    file: Annotated[Path, typer.Argument(help="A recording of any format that `qdhil info` reads, or a spectrum.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a figure: png, pdf or svg by its ending.")] = None,
    kind: Annotated[Kind, typer.Option(help="What to take the recording for; by default the data decide.")] = Kind.AUTO,
    window_ps: Annotated[
        int | None,
        typer.Option(min=1, help="Full width of a peak's window; by default it holds 97 % of a peak."),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="The two detectors' channels, such as 1,2; by default all pairs.")
    ] = None,
    irf_ps: Annotated[
        float | None, typer.Option(help="Standard deviation of the delay by both detectors' response, for a cw dip.")
    ] = None,
    delay_periods: Annotated[int, typer.Option(help="Delay of the interferometer in pulses, for hom.")] = 1,
    g2: Annotated[float | None, typer.Option(help="g2(0) of the same source, for M_tot.")] = None,
    g2_sd: Annotated[float, typer.Option(help="Standard uncertainty of --g2.")] = 0.0,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
) -> None:
    """Print every estimate that a recording supports, with its interval: g2(0), brightness or rates, lifetimes, lines.

    A recording that can't be read or judged is refused in one line, with exit code 64.
    """
    options = {
        "kind": kind.value,
        "window_ps": window_ps,
        "channels": channels,
        "confidence": confidence,
        "irf_ps": irf_ps,
        "delay_periods": delay_periods,
        "g2": g2,
        "g2_sd": g2_sd,
    }
    _print(_report(file, plot, options), as_json)


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, allow_nan=False))
    elif report["refused"] is None:
        typer.echo(_table(report))
    else:
        typer.echo(f"qdhil analyze: {report['refused']}", err=True)
    if report["refused"] is not None:
        raise typer.Exit(EXIT_REFUSED)


def _report(file: Path, plot: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return what is printed, with the reason under ``refused`` where nothing can be estimated."""
    report: dict[str, Any] = {"file": str(file), "format": None, "estimates": [], "refused": None, "warnings": []}
    try:
        _check_figure(plot)
        _fill(report, file, plot, {**options, "channels": _channels(options["channels"], options["kind"])})
    except ConfigurationError as error:
        report["refused"] = " ".join(str(error).split())
        report["estimates"] = []
    return report


def _check_figure(plot: Path | None) -> None:
    """Refuse a figure that can't be written, before the work begins."""
    if plot is None:
        return
    from importlib.util import find_spec

    if plot.suffix.lower() not in FIGURES:
        raise ConfigurationError(f"--plot writes png, pdf or svg, not {plot.name!r}")
    if not plot.parent.is_dir():
        raise ConfigurationError(f"--plot: no folder {plot.parent}")
    if find_spec("matplotlib") is None:
        raise ConfigurationError("--plot needs matplotlib: install qdhil[report]")


def _channels(channels: str | None, kind: str) -> tuple[int, ...] | None:
    if channels is None:
        return None
    try:
        numbers = tuple(int(part) for part in channels.split(","))
    except ValueError as error:
        raise FormatError(f"--channels takes two numbers such as 1,2, not {channels!r}") from error
    wanted = (1, 2) if kind in (Kind.DECAY, Kind.TRACE) else (2,)
    if len(numbers) not in wanted or len(set(numbers)) < len(numbers):
        raise FormatError(f"--channels takes two different channels, not {channels!r}")
    return numbers


def _fill(report: dict[str, Any], file: Path, plot: Path | None, options: dict[str, Any]) -> None:
    """Read, analyse and draw; a warning is reported only with a value."""
    from qdhil.analysis import Choices, analyse
    from qdhil.tags.formats import open_recording

    choices = Choices(**options)
    recording = open_recording(file, spectrum=choices.kind == "spectrum")
    report["format"] = recording.format
    try:
        found = analyse(recording, choices)
    except FormatError as error:
        raise FormatError(f"{file}: {error}") from error
    if plot is not None:
        from qdhil.report.recording_figure import write_figure

        write_figure(found.panels, plot, file.name)
        report["plot"] = str(plot)
    report["estimates"] = [_with_unit(_finite(estimate.record())) for estimate in found.estimates]
    report["warnings"] = [*recording.warnings, *found.notes]


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without infinities, which JSON has no word for: a limit that is none is ``null``."""
    return {
        name: None if isinstance(value, float) and abs(value) == float("inf") else value
        for name, value in record.items()
    }


def _with_unit(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record that says the unit of its value; a line's is that of its axis."""
    from qdhil.metrics.units import unit_of

    _, _, of_axis = str(record["normalisation"]).partition(", in ")
    return record | {"unit": unit_of(record["definition"]) or of_axis}


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['file']}  ({report['format']})", ""]
    width = max(_RULE, *(len(estimate["definition"]) + 1 for estimate in report["estimates"]))
    lines.append(f"{'definition':<{width}}{'value':>11} {'':<3}  {'interval':<30}{'corrected':>11}  window   delay")
    for estimate in report["estimates"]:
        low, high = ("-" if bound is None else f"{bound:.5g}" for bound in (estimate["low"], estimate["high"]))
        interval = f"[{low}, {high}] {estimate['confidence']:.0%}"
        corrected = "-" if estimate["corrected"] is None else f"{estimate['corrected']:.5g}"
        window = "-" if estimate["window_ps"] is None else f"{estimate['window_ps']} ps"
        delay = "-" if estimate["delay_ps"] is None else f"{estimate['delay_ps']:+d} ps"
        value = f"{estimate['value']:>11.5g} {estimate['unit']:<3}"
        lines.append(f"{estimate['definition']:<{width}}{value}  {interval:<30}{corrected:>11}  {window:<8} {delay}")
        counts = ", ".join(f"{name} {_number(count)}" for name, count in estimate["counts"].items())
        lines.append(f"    {counts}; normalised to {estimate['normalisation']}")
        if estimate["correction"]:
            lines.append(f"    corrected: {estimate['correction']}")
    if "plot" in report:
        lines.append(f"figure: {report['plot']}")
    lines += [f"warning: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)


def _number(count: float) -> str:
    return str(count) if isinstance(count, int) else f"{count:.10g}"
