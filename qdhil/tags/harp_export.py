"""Histograms that PicoQuant's programs export as text: sections of numbers, each after a line with #.

::

    #HydraHarp 400  Histogram Data      07/09/2021 04:48:03 PM
    #channels per curve
    65536
    #display curve no.
    0 1 2 ...
    #memory block no.
    0 4 8 ...
    #ns/bin
    0.0040 0.0040 ...
    #counts
    0 0 0 ...
"""

from __future__ import annotations

import re

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.histogram_checks import check_values
from qdhil.tags.recording import DelayHistogram, Histograms
from qdhil.tags.text_table import decode_text

_TITLE = re.compile(rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?#\w+harp[^\n]*histogram", re.IGNORECASE)
_PER_CURVE, _CURVE, _NS, _COUNTS = "channels per curve", "display curve", "ns/", "counts"
_MOST_BINS, _MOST_CURVES = 1 << 22, 512


def looks_like_harp_export(start: bytes) -> bool:
    """Return whether a file's first line is the title of such an export."""
    return bool(_TITLE.match(start.replace(b"\0", b"")))


def read_harp_export(data: bytes) -> Histograms:
    """Read an export; curves are numbered by their column.

    Raises
    ------
    FormatError
        If a section is missing or cut short, or no curve holds usable counts.
    """
    sections = _sections(decode_text(data))
    widths_ns = _numbers(sections, _NS)[0] if _numbers(sections, _NS) else []
    rows = _numbers(sections, _COUNTS)
    announced = _numbers(sections, _PER_CURVE)
    if not widths_ns or not rows or not announced:
        raise FormatError("an export without its bin widths, its number of bins, or its counts")
    bins = announced[0][0]
    if len(rows) != bins or any(len(row) != len(widths_ns) for row in rows):
        raise FormatError(f"truncated: {len(rows)} lines of counts, not {bins:g} of {len(widths_ns)} columns each")
    if len(rows) > _MOST_BINS or len(widths_ns) > _MOST_CURVES:
        raise FormatError(f"{len(widths_ns)} curves of {len(rows)} bins")
    return _histograms(np.array(rows).T, widths_ns)


def _histograms(table: np.ndarray[tuple[int, int], np.dtype[np.float64]], widths_ns: list[float]) -> Histograms:
    curves: dict[int, DelayHistogram] = {}
    warnings: list[str] = []
    for number, (values, width_ns) in enumerate(zip(table, widths_ns, strict=True)):
        if not bool(values.any()):
            continue
        if not 0 < width_ns < 1e9:
            raise FormatError(f"curve {number} has bins of {width_ns:g} ns")
        try:
            counts = check_values(values)
        except FormatError as error:
            warnings.append(f"curve {number} is left out: {error}")
        else:
            curves[number] = DelayHistogram("picoquant-export", width_ns * 500, width_ns * 1e3, counts)
    if not curves:
        raise FormatError(warnings[0] if warnings else "no curve holds a count")
    return Histograms("picoquant-export", curves, tuple(warnings))


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            lines = sections.setdefault(line[1:].strip().lower(), [])
        elif line.strip():
            lines.append(line)
    return sections


def _numbers(sections: dict[str, list[str]], title: str) -> list[list[float]]:
    lines = next((lines for name, lines in sections.items() if name.startswith(title)), [])
    try:
        rows = [[float(part) for part in line.split()] for line in lines]
    except ValueError as error:
        raise FormatError(f"section {title!r} holds something else than numbers") from error
    if not all(np.all(np.isfinite(row)) for row in rows[:1]):
        raise FormatError(f"section {title!r} holds values that are not finite")
    return rows
