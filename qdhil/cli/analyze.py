"""``qdhil analyze FILE``: the estimates of a recording that some tagger or program wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from qdhil.errors import ConfigurationError, FormatError

EXIT_REFUSED = FormatError.exit_code


def analyze(
    file: Annotated[Path, typer.Argument(help="A recording of any format that `qdhil info` reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    window_ps: Annotated[
        int | None,
        typer.Option(min=1, help="Full width of a peak's window; by default it holds 95 % of a peak."),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="The two detectors' channels, such as 1,2; by default all pairs.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
) -> None:
    """Print every estimate that a recording supports, with its interval: g2(0), brightness or rates, lifetimes.

    A recording that can't be read or judged is refused in one line, with exit code 64.
    """
    report: dict[str, Any] = {
        "file": str(file),
        "format": None,
        "estimates": [],
        "refused": None,
        "warnings": [],
    }
    try:
        if not 0 < confidence < 1:
            raise FormatError(f"confidence must lie in (0, 1), not {confidence}")
        _fill(report, file, window_ps, _pair(channels), confidence)
    except ConfigurationError as error:
        report["refused"] = " ".join(str(error).split())
    if as_json:
        typer.echo(json.dumps(report, allow_nan=False))
    elif report["refused"] is None:
        typer.echo(_table(report))
    else:
        typer.echo(f"qdhil analyze: {report['refused']}", err=True)
    if report["refused"] is not None:
        raise typer.Exit(EXIT_REFUSED)


def _pair(channels: str | None) -> tuple[int, int] | None:
    if channels is None:
        return None
    parts = channels.split(",")
    try:
        a, b = (int(part) for part in parts)
    except ValueError as error:
        raise FormatError(f"--channels takes two numbers such as 1,2, not {channels!r}") from error
    if a == b:
        raise FormatError(f"--channels takes two different channels, not {channels!r}")
    return a, b


def _fill(
    report: dict[str, Any],
    file: Path,
    window_ps: int | None,
    channels: tuple[int, int] | None,
    confidence: float,
) -> None:
    """Read and analyse; a warning is reported only with a value."""
    from qdhil.cli.recording_estimates import Choices, estimates_of
    from qdhil.tags.formats import open_recording

    recording = open_recording(file)
    report["format"] = recording.format
    try:
        estimates, notes = estimates_of(recording, Choices(window_ps, channels, confidence))
    except FormatError as error:
        raise FormatError(f"{file}: {error}") from error
    report["estimates"] = [estimate.record() for estimate in estimates]
    report["warnings"] = [*recording.warnings, *notes]


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['file']}  ({report['format']})", ""]
    lines.append(f"{'definition':<22}{'value':>11}  {'interval':<25}{'corrected':>11}  window   delay")
    for estimate in report["estimates"]:
        interval = f"[{estimate['low']:.5g}, {estimate['high']:.5g}] {estimate['confidence']:.0%}"
        corrected = "-" if estimate["corrected"] is None else f"{estimate['corrected']:.5g}"
        window = "-" if estimate["window_ps"] is None else f"{estimate['window_ps']} ps"
        delay = "-" if estimate["delay_ps"] is None else f"{estimate['delay_ps']:+d} ps"
        lines.append(
            f"{estimate['definition']:<22}{estimate['value']:>11.5g}  {interval:<25}{corrected:>11}  "
            f"{window:<8} {delay}"
        )
        counts = ", ".join(f"{name} {count}" for name, count in estimate["counts"].items())
        lines.append(f"    {counts}; normalised to {estimate['normalisation']}")
        if estimate["correction"]:
            lines.append(f"    corrected: {estimate['correction']}")
    lines += [f"warning: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)
