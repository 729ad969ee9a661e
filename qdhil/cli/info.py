"""``qdhil info FILE``: what a recording holds."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.errors import FormatError

if TYPE_CHECKING:
    from qdhil.tags.recording import DelayHistogram, Histograms, Spectrum
    from qdhil.tags.stream import TagFile


def info(
    file: Annotated[Path, typer.Argument(help="A recording.", metavar="FILE")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with the file's whole header.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Read a truncated file as far as it goes.")] = False,
) -> None:
    """Say what a recording holds: format, channels with their counts and rates, or bins; and what is wrong with it.

    Reads PicoQuant .ptu, .pt2, .pt3, .ht2, .ht3, .t3r, .phu, .phd, .hhd, .thd and text exports, quTAG, Swabian
    records, Becker & Hickl .spc, Photon-HDF5, Parquet segments, histograms and spectra as text; told apart by content.
    """
    from qdhil.tags.formats import open_recording, open_tags
    from qdhil.tags.recording import Recording, Spectrum

    try:
        tags = open_tags(file, partial=partial)
        if tags is not None:
            facts = _tags(tags)
        else:
            recording = open_recording(file)
            if isinstance(recording, Recording):
                raise FormatError("the file changed while it was read")
            facts = _spectrum(recording) if isinstance(recording, Spectrum) else _histograms(recording)
    except FormatError as error:
        said = str(error)
        raise FormatError(said if said.startswith(str(file)) else f"{file}: {said}") from error
    facts = {"file": str(file), **facts}
    if json:
        typer.echo(json_module.dumps(facts, allow_nan=False, default=str))
        return
    typer.echo("\n".join(_lines(facts)))


def _tags(tags: TagFile) -> dict[str, Any]:
    """Read the tags once, block by block."""
    import numpy as np

    from qdhil.tags.recording import SYNC

    counts = np.zeros(2048, np.int64)
    last_ps = 0
    for block in tags.blocks():
        counts += np.bincount(block.channels - SYNC, minlength=counts.size)
        last_ps = max(last_ps, int(block.times_ps.max()))
    duration_s = tags.duration_s(last_ps)
    channels = {int(slot) + SYNC: int(counts[slot]) for slot in np.flatnonzero(counts)}
    return {
        "format": tags.format,
        "kind": "tags",
        "tags": int(counts.sum()),
        "channels": {str(number): count for number, count in channels.items()},
        "duration_s": duration_s,
        "rates_hz": {str(number): count / duration_s for number, count in channels.items()} if duration_s else None,
        "period_ps": tags.period_ps,
        "resolution_ps": tags.resolution_ps,
        "time_since_sync": tags.has_since,
        "warnings": list(tags.warnings),
        "header": {name: value for name, value in tags.header.items() if _plain(value)},
    }


def _plain(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and abs(value) < float("inf"))


def _histograms(recording: DelayHistogram | Histograms) -> dict[str, Any]:
    from qdhil.tags.recording import DelayHistogram

    if isinstance(recording, DelayHistogram):
        kind, curves = "histogram", {0: recording}
    else:
        kind, curves = "histograms", dict(recording.curves)
    return {
        "format": recording.format,
        "kind": kind,
        "curves": {
            str(number): {
                "bins": int(curve.counts.size),
                "bin_ps": curve.bin_ps,
                "first_ps": curve.first_ps,
                "counts": int(curve.counts.sum()),
                "period_ps": curve.period_ps,
                "dwell_s": curve.dwell_s,
                "snapshots": None if curve.snapshots is None else int(curve.snapshots.shape[0]),
            }
            for number, curve in curves.items()
        },
        "warnings": list(recording.warnings),
    }


def _spectrum(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "format": spectrum.format,
        "kind": "spectrum",
        "points": int(spectrum.axis.size),
        "unit": spectrum.unit,
        "first": float(spectrum.axis[0]),
        "last": float(spectrum.axis[-1]),
        "highest": float(spectrum.signal.max()),
        "warnings": list(spectrum.warnings),
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"{facts['file']}  ({facts['format']})"]
    if facts["kind"] == "tags":
        duration_s, period_ps = facts["duration_s"], facts["period_ps"]
        lines.append(f"{facts['tags']} tags in {'an unknown time' if duration_s is None else f'{duration_s:.6g} s'}")
        lines.append(
            f"steps of {facts['resolution_ps']:g} ps"
            + (f", laser period {period_ps:.6g} ps" if period_ps else "")
            + (", with the time since sync" if facts["time_since_sync"] else "")
        )
        for number, count in facts["channels"].items():
            rate = f"{facts['rates_hz'][number]:>14.6g} /s" if facts["rates_hz"] else ""
            lines.append(f"channel {_name(int(number)):<12}{count:>12}{rate}")
    elif facts["kind"] == "spectrum":
        lines.append(
            f"spectrum of {facts['points']} points from {facts['first']:.6g} to {facts['last']:.6g} {facts['unit']}, "
            f"highest signal {facts['highest']:.6g}"
        )
    else:
        for number, curve in facts["curves"].items():
            snapshots = f", {curve['snapshots']} snapshots" if curve["snapshots"] else ""
            period = f", laser period {curve['period_ps']:.6g} ps" if curve["period_ps"] else ""
            lines.append(
                f"curve {number}: {curve['counts']} counts in {curve['bins']} bins of {curve['bin_ps']:g} ps "
                f"from {curve['first_ps']:g} ps{snapshots}{period}"
            )
    return lines + [f"warning: {warning}" for warning in facts["warnings"]]


def _name(number: int) -> str:
    from qdhil.tags.recording import MARKER_BASE, SYNC

    if number == SYNC:
        return "sync"
    return f"marker {number - MARKER_BASE}" if number >= MARKER_BASE else str(number)
