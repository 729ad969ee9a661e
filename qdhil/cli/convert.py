"""``qdhil convert IN OUT``: tags to a Parquet segment, a histogram to text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    from qdhil.tags.recording import DelayHistogram, Histograms

_SEGMENT, _TEXT = ".parquet", (".txt", ".tsv", ".dat")


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording of any format that `qdhil info` reads.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .parquet for tags, a .txt for a histogram.")],
    rig: Annotated[str | None, typer.Option(help="Rig to write into the segment.")] = None,
    run: Annotated[str | None, typer.Option(help="Run to write into the segment.")] = None,
    firmware: Annotated[str | None, typer.Option(help="Firmware to write into the segment.")] = None,
    curve: Annotated[int | None, typer.Option(help="Which curve of a file of several.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Read a truncated file as far as it goes.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert a recording, in bounded memory.

    Tags become a segment (Parquet: int64 ps, channel, time since sync), sorted by time; a histogram becomes text
    of two columns, delay in ps and counts. OUT appears only when it is complete.
    """
    if target.exists() and not overwrite:
        raise ConfigurationError(f"{target} exists; say --overwrite to replace it")
    labels = {"rig": rig, "run": run, "firmware": firmware}
    try:
        written, warnings = _write(source, target, labels, curve, partial)
    except FormatError as error:
        said = str(error)
        raise FormatError(said if said.startswith(str(source)) else f"{source}: {said}") from error
    except OSError as error:
        raise ConfigurationError(f"{error.filename or target}: {error.strerror or error}") from error
    typer.echo(f"{target}: {written}")
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _write(
    source: Path, target: Path, labels: dict[str, str | None], curve: int | None, partial: bool
) -> tuple[str, tuple[str, ...]]:
    """Write what the source holds, and return what was written and the warnings."""
    from qdhil.tags.formats import open_recording, open_tags

    tags = open_tags(source, partial=partial)
    if tags is None:
        histogram = _one(open_recording(source), source, curve)
        _expect(target, _TEXT, "a histogram")
        return _write_text(histogram, target), histogram.warnings
    from qdhil.tags.segments import write_segment

    _expect(target, (_SEGMENT,), "tags")
    count = write_segment(tags, target, {name: value for name, value in labels.items() if value is not None})
    return f"{count} tags", tuple(tags.warnings)


def _expect(target: Path, endings: tuple[str, ...], what: str) -> None:
    if target.suffix.lower() not in endings:
        raise ConfigurationError(f"{target}: {what} can be converted to {' or '.join(endings)}")


def _one(recording: object, source: Path, curve: int | None) -> DelayHistogram:
    from qdhil.tags.recording import DelayHistogram, Histograms, Spectrum

    if isinstance(recording, Spectrum):
        raise ConfigurationError(f"{source}: a spectrum is not converted")
    if isinstance(recording, Histograms):
        return _curve(recording, source, curve)
    if not isinstance(recording, DelayHistogram) or curve is not None:
        raise ConfigurationError(f"{source}: --curve is for files of several curves")
    return recording


def _curve(recording: Histograms, source: Path, curve: int | None) -> DelayHistogram:
    curves = recording.curves
    if curve is None and len(curves) == 1:
        curve = next(iter(curves))
    if curve is None or curve not in curves:
        raise ConfigurationError(f"{source}: choose with --curve one of {', '.join(map(str, curves))}")
    return curves[curve]


def _write_text(histogram: DelayHistogram, target: Path) -> str:
    """Write delays with the digits that their steps need."""
    digits = 0 if histogram.bin_ps == round(histogram.bin_ps) and histogram.first_ps == round(histogram.first_ps) else 6
    digits = min(max(digits, 3 - math.floor(math.log10(histogram.bin_ps)) if digits else 0), 9)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write("# delay (ps)\tcounts\n")
            for delay, count in zip(histogram.delays_ps, histogram.counts, strict=True):
                file.write(f"{delay:.{digits}f}\t{count}\n")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return f"{histogram.counts.size} bins of {histogram.bin_ps:g} ps, {int(histogram.counts.sum())} counts"
