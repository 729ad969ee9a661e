"""Delay histograms as text: delays and counts in two columns or rows, named columns, or a series of snapshots.

Delays are in ps unless a heading names another unit. Three kinds are told apart by their columns:

- two columns (or two rows): delay and counts of pairs, as correlators of time taggers write them;
- more columns with a heading that names each: the delay, one column of counts, and others made from it
  (normalised, errors, a fit), which are ignored;
- more columns without heading: the delay, then the counts of consecutive snapshots. There the delays are in ns
  where in ps the bins would be narrower than 1 ps.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.histogram_checks import burst_snapshots, check_values
from qdhil.tags.recording import DelayHistogram
from qdhil.tags.spectrum_text import could_be_wavelengths
from qdhil.tags.text_table import decode_text, rows_and_headings

_UNITS_PS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9, "s": 1e12}
_UNIT = re.compile(r"[\(\[/_,]\s*(fs|ps|ns|us|µs|ms|s)\s*[\)\]]?(?:$|[\s,;\t])")
_BARE_UNIT = re.compile(r"(?:time|delay|tau|τ|lag)\s+(fs|ps|ns|us|µs|ms|s)\b")
_DELAY = re.compile(r"time|delay|tau|τ|lag|^\W*(d?t)\b", re.IGNORECASE)
_DERIVED = re.compile(r"norm|err|sigma|std|fit|unc|g2_|smooth", re.IGNORECASE)
_COUNTS = re.compile(r"\b(counts?|coincidences?)\b", re.IGNORECASE)
_SPECTRUM = re.compile(r"wavelength|wavenumber|frequency|energy|intensity", re.IGNORECASE)
_OTHER_AXIS = re.compile(
    r"^\W*(controlled variable|voltage|current|temperature|[xyz]? ?position|pixel|channel|\w*[_ ]?frequency)",
    re.IGNORECASE,
)
_QUDI = re.compile(r"saved data from the class", re.IGNORECASE)
_SIGNAL = re.compile(r"\bsignal\b", re.IGNORECASE)
_MOST_BINS = 1 << 22
_FINEST_BIN_PS, _WIDEST_BIN_PS = 1.0, 1e6

_Table = npt.NDArray[np.float64]


def read_histogram_text(data: bytes) -> DelayHistogram:
    """Read a histogram of pairs.

    Raises
    ------
    FormatError
        If the text isn't one of the three kinds, the axis isn't rising in equal steps, or the counts aren't
        counts: negative, fractional, all multiples of a number, clipped.
    """
    rows, headings = rows_and_headings(decode_text(data))
    table = _table(rows)
    _refuse_other_axes(headings)
    axis, columns, dropped = _columns(table, headings)
    unit_ps, warnings = _unit(headings)
    if columns.shape[0] > 1 and warnings is None and float(axis[-1] - axis[0]) < axis.size - 1:
        unit_ps, warnings = (
            1e3,
            ("axis taken to be in ns: no heading names a unit, and bins below 1 ps can't be",),
        )
    axis = axis * unit_ps
    bin_ps, first_ps = _check_axis(axis), float(axis[0])
    notes = ((f"columns {', '.join(dropped)} were ignored",) if dropped else ()) + (warnings or ())
    if columns.shape[0] > 1:
        return _series(columns, first_ps, bin_ps, notes)
    if warnings is None and could_be_wavelengths(rows):
        raise FormatError(
            "no heading says what the first column is: if delays, name their unit there, such as 'delay (ps)'; if "
            "wavelengths in nm, say --kind spectrum"
        )
    counts = check_values(columns[0])
    if warnings is None:
        _check_unnamed(table[0])
    return DelayHistogram("histogram-text", first_ps, bin_ps, counts, notes)


def _series(columns: _Table, first_ps: float, bin_ps: float, notes: tuple[str, ...]) -> DelayHistogram:
    """Return the sum of snapshots; bursts are no reason to refuse the others."""
    if first_ps == 0.0:
        # the bins of a correlator that starts at 0 begin at their delays
        first_ps = bin_ps / 2
        notes = (*notes, "axis taken to hold the beginnings of the bins, as it begins at 0")
    snapshots = _snapshots(columns)
    burst = burst_snapshots(snapshots)
    check_values(columns[~burst].sum(axis=0))
    if burst.any():
        share = float(snapshots[burst].sum() / snapshots.sum())
        notes = (
            *notes,
            f"{int(burst.sum())} of {burst.size} snapshots, first number {int(np.argmax(burst)) + 1}, hold bursts: "
            f"{share:.1%} of all counts",
        )
    counts = snapshots.sum(axis=0)
    return DelayHistogram("histogram-series-text", first_ps, bin_ps, counts, notes, snapshots=snapshots)


def _refuse_other_axes(headings: list[str]) -> None:
    """Refuse columns of something else: spectra, sweeps, scans, and the fluorescence of a pulsed measurement."""
    last = headings[-1] if headings else ""
    if _SPECTRUM.search(last):
        raise FormatError(f"columns {last.strip('# ')!r}: a spectrum, which holds no delays")
    for heading in (last, *(line for line in headings if "\t" in line)):
        if _OTHER_AXIS.search(heading):
            raise FormatError(f"columns {heading.strip('# ')!r}: the first is no delay")
    if any(_QUDI.search(heading) for heading in headings) and _SIGNAL.search(last):
        raise FormatError(f"columns {last.strip('# ')!r}: Qudi's signal over time, which is no count of pairs")


def _table(rows: list[list[float]]) -> _Table:
    """Return the numbers by column."""
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise FormatError(f"{min(lengths)} to {max(lengths)} columns: a histogram has two, delay in ps and counts")
    table = np.array(rows) if len(rows) == 2 and len(rows[0]) > 2 else np.array(rows).T
    if table.shape[0] < 2:
        raise FormatError("1 column: a histogram has two, delay in ps and counts")
    if table.shape[1] > _MOST_BINS:
        raise FormatError(f"a histogram of {table.shape[1]} bins")
    if not bool(np.all(np.isfinite(table))):
        raise FormatError("the table holds values that are not finite (nan or inf)")
    return table


def _columns(table: _Table, headings: list[str]) -> tuple[_Table, _Table, list[str]]:
    """Return the axis, the columns of counts, and the names of those left out."""
    if table.shape[0] == 2:
        return table[0], table[1:], []
    names = _names(headings, table.shape[0])
    if names is None:
        return table[0], table[1:], []
    if not _DELAY.search(names[0]):
        raise FormatError(f"columns {', '.join(names)}: the first is no delay")
    kept = [i for i, name in enumerate(names) if i and not _DERIVED.search(name)]
    if len(kept) > 1:
        counts = [i for i in kept if _COUNTS.search(names[i])]
        kept = counts if len(counts) == 1 else kept
    if len(kept) != 1:
        raise FormatError(f"columns {', '.join(names)}: which of them are the counts can't be told")
    return table[0], table[kept], [name for i, name in enumerate(names) if i and i not in kept]


def _names(headings: list[str], columns: int) -> list[str] | None:
    """Return the names of the columns, if the last heading holds as many."""
    if not headings:
        return None
    for separator in ("\t", ";", ",", "  "):
        names = [name.strip() for name in headings[-1].lstrip("#%!/' ").strip().split(separator) if name.strip()]
        if len(names) == columns:
            return names
    raise FormatError(f"the heading {headings[-1][:60]!r} doesn't name the {columns} columns")


def _check_unnamed(axis: _Table) -> None:
    """Refuse a first column of which no heading says that it holds delays, and which doesn't look like ps."""
    advice = "if they are delays, name their unit in a heading, such as 'delay (ps)'"
    if axis[0] in (0, 1) and bool(np.all(np.diff(axis) == 1)):
        raise FormatError(f"the first column counts {axis[0]:g}, {axis[1]:g}, ...: bins or pixels; {advice}")
    step = float(axis[-1] - axis[0]) / (axis.size - 1)
    if step < _FINEST_BIN_PS:
        raise FormatError(f"the first column rises by {step:g}, too little for delays in ps; {advice}")


def _snapshots(columns: _Table) -> npt.NDArray[np.int64]:
    if bool(np.any(columns < 0)) or bool(np.any(columns != np.rint(columns))):
        raise FormatError("negative or fractional counts in a snapshot: rates or normalised values")
    return columns.astype(np.int64)


def _unit(headings: list[str]) -> tuple[float, tuple[str, ...] | None]:
    """Return the unit that the headings name in ps, and what to warn of; ``None`` where none does.

    Headings that speak of a delay count, otherwise the one right above the numbers.
    """
    of_delay = [heading for heading in headings if _DELAY.search(heading)] or headings[-1:]
    found = {
        unit for heading in of_delay for pattern in (_UNIT, _BARE_UNIT) for unit in pattern.findall(heading.lower())
    }
    if len(found) > 1:
        raise FormatError(f"headings name several units of time: {', '.join(sorted(found))}")
    if not found:
        return 1.0, None
    name = found.pop()
    note = () if name == "ps" else (f"axis converted from {name} to ps, as its heading says",)
    return _UNITS_PS[name], note


def _check_axis(axis: _Table) -> float:
    if axis.size < 3:
        raise FormatError(f"a histogram of {axis.size} bins")
    steps = np.diff(axis)
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        raise FormatError(f"the delay axis does not rise at bin {int(wrong[0]) + 1}")
    bin_ps = float(axis[-1] - axis[0]) / (axis.size - 1)
    if bin_ps > _WIDEST_BIN_PS:
        raise FormatError(f"bins of {bin_ps * 1e-6:g} µs are too wide for photon pairs: check the unit of the delays")
    uneven = np.abs(axis - (axis[0] + bin_ps * np.arange(axis.size))) > 0.25 * bin_ps
    if bool(uneven.any()):
        raise FormatError(f"the delay axis is not evenly spaced (first at bin {int(np.argmax(uneven))})")
    return bin_ps
