"""Delay histograms as text: two columns (or two rows) of delay in ps and counts of pairs."""

from __future__ import annotations

import codecs
import re

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import DelayHistogram

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNITS_PS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9, "s": 1e12}
_UNIT = re.compile(r"[\(\[/_,]\s*(fs|ps|ns|us|µs|ms|s)\s*[\)\]]?(?:$|[\s,;\t])")
_COMMENTS = ("#", "%", "//", "!", "'", '"')
_CLIPPED = frozenset((1 << bits) - 1 for bits in (8, 12, 14, 15, 16, 24, 31, 32))
_EXACT = float(1 << 53)
_HIGH, _TIES = 500, 5


def read_histogram_text(data: bytes) -> DelayHistogram:
    """Read a histogram of pairs; the axis is in ps unless a heading names another unit.

    Raises
    ------
    FormatError
        If the text isn't two columns of numbers, the axis isn't rising in equal steps, or the counts aren't
        counts: negative, fractional, all multiples of a number, clipped.
    """
    rows, headings = _rows(_text(data))
    axis, counts = _columns(rows)
    unit, warnings = _unit(headings)
    axis = axis * unit
    bin_ps = _check_axis(axis)
    return DelayHistogram("histogram-text", float(axis[0]), bin_ps, _check_counts(counts), warnings)


def _text(data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = data.decode("latin-1")
        except UnicodeDecodeError:  # pragma: no cover - latin-1 decodes all bytes
            text = "\0"
    if "\0" in text or sum(ord(c) < 9 for c in text[:4096]):
        raise FormatError("neither a known binary recording nor text")
    return text


def _rows(text: str) -> tuple[list[list[float]], list[str]]:
    rows: list[list[float]] = []
    headings: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().strip("\ufeff")
        if not stripped:
            continue
        values = None if stripped.startswith(_COMMENTS) else _numbers(stripped)
        if values is not None:
            rows.append(values)
        elif rows and not stripped.startswith(_COMMENTS):
            raise FormatError(f"line {number} is not numbers: {stripped[:40]!r}")
        else:
            headings.append(stripped)
    if not rows:
        raise FormatError("no line of numbers in the text")
    return rows, headings


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line (separated by ; tab space or comma), ``None`` if it holds others."""
    if ";" in line or "\t" in line or (" " in line and ", " not in line):
        # here a comma can only be a decimal one
        fields = [part.replace(",", ".") for part in re.split(r"[;\t ]+", line)]
    else:
        fields = re.split(r"\s*,\s*|\s+", line)
    try:
        return [float(part) for part in fields if part]
    except ValueError:
        return None


def _columns(rows: list[list[float]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    lengths = {len(row) for row in rows}
    if len(rows) == 2 and lengths == {len(rows[0])} and len(rows[0]) > 2:
        table = np.array(rows)
    elif lengths == {2}:
        table = np.array(rows).T
    else:
        shape = f"{min(lengths)}" if len(lengths) == 1 else f"{min(lengths)} to {max(lengths)}"
        raise FormatError(f"{shape} columns: a histogram has two, delay in ps and counts")
    if not bool(np.all(np.isfinite(table))):
        raise FormatError("the table holds values that are not finite (nan or inf)")
    return table[0], table[1]


def _unit(headings: list[str]) -> tuple[float, tuple[str, ...]]:
    for heading in reversed(headings):
        found = _UNIT.search(heading.lower())
        if found:
            name = found.group(1)
            note = () if name == "ps" else (f"axis converted from {name} to ps, as its heading says",)
            return _UNITS_PS[name], note
    return 1.0, ()


def _check_axis(axis: npt.NDArray[np.float64]) -> float:
    if axis.size < 3:
        raise FormatError(f"a histogram of {axis.size} bins")
    steps = np.diff(axis)
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        raise FormatError(f"the delay axis does not rise at bin {int(wrong[0]) + 1}")
    bin_ps = float(axis[-1] - axis[0]) / (axis.size - 1)
    uneven = np.abs(axis - (axis[0] + bin_ps * np.arange(axis.size))) > 0.25 * bin_ps
    if bool(uneven.any()):
        raise FormatError(f"the delay axis is not evenly spaced (first at bin {int(np.argmax(uneven))})")
    return bin_ps


def _check_counts(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    if bool(np.any(values < 0)):
        raise FormatError(f"negative counts, {int(np.count_nonzero(values < 0))} of them: background subtracted?")
    if bool(np.any(values != np.rint(values))):
        raise FormatError("fractional counts: rates or normalised values, from which no interval follows")
    if float(values.sum()) >= _EXACT:
        raise FormatError("counts beyond 2^53")
    counts: npt.NDArray[np.int64] = values.astype(np.int64)
    filled = counts[counts > 0]
    if filled.size < 2:
        raise FormatError("the histogram is empty")
    step = int(np.gcd.reduce(filled))
    if step > 1 and filled.size >= 8:
        raise FormatError(f"every count is a multiple of {step}: rates or scaled values, not counts")
    top = int(counts.max())
    full = int(np.count_nonzero(counts == top))
    if top in _CLIPPED and (full > 1 or top >= 65_535):
        raise FormatError(f"{full} bins are clipped at {top}, the counter's largest value")
    # at such heights Poisson counts hardly ever share their largest value
    if top >= _HIGH and full >= _TIES:
        raise FormatError(f"{full} bins share the largest count, {top}: they are clipped")
    return counts
