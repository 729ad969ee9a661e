"""``qdhil analyze FILE``: g2(0) of a recording that some tagger or program wrote."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.errors import FormatError

if TYPE_CHECKING:
    from qdhil.metrics.estimate import Estimate
    from qdhil.metrics.hbt import HbtResult
    from qdhil.tags.recording import DelayHistogram, Recording

_FEWEST_TAGS = 100
_MOST_CHANNELS = 8
EXIT_REFUSED = FormatError.exit_code


def analyze(
    file: Annotated[Path, typer.Argument(help="PicoQuant .ptu, quTAG binary, or histogram text (ps, counts).")],
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
    """Find the antibunched peak of a recording and print g2(0) with its exact interval.

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
    except FormatError as error:
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
    from qdhil.metrics.brightness import at_detector
    from qdhil.tags.formats import open_recording
    from qdhil.tags.recording import DelayHistogram

    recording = open_recording(file)
    notes: list[str] = []
    report["format"] = recording.format
    if isinstance(recording, DelayHistogram):
        result = _histogram(file, recording, window_ps, confidence)
        estimates = [result.g2]
    else:
        pair, result = _tags(file, recording, window_ps, channels, confidence)
        estimates = [result.g2]
        if recording.duration_s is not None:
            estimates.append(at_detector(result.counts, confidence=confidence))
        lifetimes, notes = _lifetimes(recording, pair, confidence)
        estimates += lifetimes
    report["estimates"] = [estimate.record() for estimate in estimates]
    report["warnings"] = [*recording.warnings, *result.warnings, *notes]


def _histogram(file: Path, recording: DelayHistogram, window_ps: int | None, confidence: float) -> HbtResult:
    from qdhil.metrics.hbt import analyse_histogram

    try:
        return analyse_histogram(
            recording.counts,
            first_ps=recording.first_ps,
            bin_ps=recording.bin_ps,
            window_ps=window_ps,
            confidence=confidence,
        )
    except ValueError as error:
        raise FormatError(f"{file}: {error}") from error


def _tags(
    file: Path,
    recording: Recording,
    window_ps: int | None,
    channels: tuple[int, int] | None,
    confidence: float,
) -> tuple[tuple[int, int], HbtResult]:
    from qdhil.metrics.hbt import analyse_tags

    found: list[tuple[tuple[int, int], HbtResult]] = []
    reasons: list[str] = []
    for a, b in _candidates(file, recording, channels):
        try:
            result = analyse_tags(
                recording.channels[a],
                recording.channels[b],
                duration_s=recording.duration_s or 0.0,
                period_ps=recording.period_ps,
                window_ps=window_ps,
                confidence=confidence,
            )
        except ValueError as error:
            reasons.append(f"channels {a} and {b}: {error}")
        else:
            found.append(((a, b), result))
    if not found:
        raise FormatError(f"{file}: {reasons[0]}" + (f" (and {len(reasons) - 1} more pairs)" if reasons[1:] else ""))
    if len(found) > 1:
        pairs = ", ".join(f"{a},{b}" for (a, b), _ in found)
        raise FormatError(f"{file}: several pairs of channels are antibunched ({pairs}): choose with --channels")
    return found[0]


def _lifetimes(recording: Recording, channels: tuple[int, int], confidence: float) -> tuple[list[Estimate], list[str]]:
    """Return the lifetime each detector sees, where the tagger kept the time since sync."""
    from qdhil.metrics.lifetime import lifetime_tail

    estimates: list[Estimate] = []
    notes: list[str] = []
    for channel in channels:
        if recording.period_ps is None or channel not in recording.since_sync_ps:
            continue
        try:
            estimate = lifetime_tail(
                recording.since_sync_ps[channel], period_ps=recording.period_ps, confidence=confidence
            )
        except ValueError as error:
            notes.append(f"no lifetime from channel {channel}: {error}")
        else:
            estimates.append(replace(estimate, counts={"channel": channel, **estimate.counts}))
    return estimates, notes


def _candidates(file: Path, recording: Recording, channels: tuple[int, int] | None) -> list[tuple[int, int]]:
    from qdhil.tags.recording import MARKER_BASE

    filled = sorted(
        number for number, times in recording.channels.items() if number < MARKER_BASE and times.size >= _FEWEST_TAGS
    )
    if channels is not None:
        missing = [number for number in channels if number not in recording.channels]
        if missing:
            raise FormatError(f"{file}: no tags of channel {missing[0]}; there are {sorted(recording.channels)}")
        return [channels]
    if len(filled) < 2:
        raise FormatError(f"{file}: {len(filled)} channels with at least {_FEWEST_TAGS} tags; g2 takes two")
    if len(filled) > _MOST_CHANNELS:
        raise FormatError(f"{file}: {len(filled)} channels hold tags: choose two with --channels")
    return list(itertools.combinations(filled, 2))


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
