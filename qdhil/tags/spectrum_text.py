"""Optical spectra as text: a column of wavelengths, energies or frequencies, and one of the detector's signal.

Told by the heading above the numbers, or by the numbers where there is none. Wavelengths are returned in nm, photon
energies in meV, frequencies in GHz, by the unit that the heading names; Qudi writes metres without saying so, which
the values give away.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import Spectrum
from qdhil.tags.text_table import decode_text, rows_and_headings

_AXES = {"nm": re.compile(r"wavelength|lambda|λ"), "meV": re.compile(r"energy"), "GHz": re.compile(r"frequency")}
_UNIT = re.compile(r"[\(\[/_,\s](pm|nm|µm|um|m|mev|ev|µev|uev|ghz|thz|mhz|hz)\s*[\)\]]?(?:$|[\s,;\t])")
_SCALES = {
    "nm": {"pm": 1e-3, "nm": 1.0, "µm": 1e3, "um": 1e3, "m": 1e9},
    "meV": {"µev": 1e-3, "uev": 1e-3, "mev": 1.0, "ev": 1e3},
    "GHz": {"hz": 1e-9, "mhz": 1e-3, "ghz": 1.0, "thz": 1e3},
}
_RANGES = {"nm": (100.0, 20_000.0), "meV": (50.0, 15_000.0), "GHz": (10_000.0, 3e6)}
"""Where light is: what lies elsewhere is no optical spectrum, such as a microwave sweep."""
_BARE_RANGE_NM = (300.0, 3000.0)
_COARSEST_NM = 1.0
_NORMALISED = 5.0
"""Median below which a signal may be normalised pairs."""
_FEWEST_ROWS = 8
_START_BYTES = 4096
_SIGNALS = (re.compile(r"corrected", re.IGNORECASE), re.compile(r"signal|intensity|count|data|spectrum", re.IGNORECASE))
"""Names of the column to take, the best first."""


def looks_like_spectrum(data: bytes) -> bool:
    """Return whether a text is a spectrum: by the heading above the numbers, or without one by the numbers.

    Without heading these must be two columns: wavelengths in nm that rise by less than one each, and a signal with
    fractions, which counts of pairs don't have.
    """
    try:
        rows, headings = rows_and_headings("\n".join(decode_text(data[:_START_BYTES]).splitlines()[:-1]))
        if headings:
            return _kind(headings[-1]) is not None
        if could_be_wavelengths(rows):
            rows, _ = rows_and_headings(decode_text(data))
    except FormatError:
        return False
    return could_be_wavelengths(rows) and _fractional(rows)


def could_be_wavelengths(rows: list[list[float]]) -> bool:
    """Return whether the first of two columns rises in fine steps through the wavelengths of quantum light, in nm."""
    if len(rows) < _FEWEST_ROWS or {len(row) for row in rows} != {2}:
        return False
    axis = np.array([row[0] for row in rows])
    low, high = _BARE_RANGE_NM
    rising = bool(np.all(np.diff(axis) > 0))
    return rising and low <= axis[0] and axis[-1] <= high and float(np.diff(axis).max()) < _COARSEST_NM


def _fractional(rows: list[list[float]]) -> bool:
    """Return whether the signal is a camera's: with fractions, and no g2, whose level is 1."""
    signal = np.array([row[1] for row in rows])
    if not bool(np.all(np.isfinite(signal))):
        return False
    return bool(np.any(signal != np.rint(signal))) and float(np.median(np.abs(signal))) > _NORMALISED


def _kind(heading: str) -> str | None:
    first = heading.lower().lstrip("#%!/' ")
    return next((unit for unit, pattern in _AXES.items() if pattern.match(first)), None)


def read_spectrum(data: bytes) -> Spectrum:
    """Read a spectrum; an axis that no heading names is taken for wavelengths in nm.

    Raises
    ------
    FormatError
        If the columns can't be told, the axis isn't that of light or not rising, or values are missing.
    """
    rows, headings = rows_and_headings(decode_text(data))
    heading = headings[-1] if headings else ""
    unit = _kind(heading)
    if len({len(row) for row in rows}) > 1 or len(rows[0]) < 2 or len(rows) < _FEWEST_ROWS:
        raise FormatError("a spectrum needs eight lines or more, all of the same number of columns")
    table = np.array(rows, np.float64).T
    if not bool(np.all(np.isfinite(table))):
        raise FormatError("the table holds values that are not finite (nan or inf)")
    if unit is None:
        unit, axis, note = "nm", table[0], "axis taken to be wavelengths in nm: no heading names it"
        low, high = _RANGES[unit]
        if table.shape[0] != 2 or not low <= axis.min() <= axis.max() <= high:
            raise FormatError(f"no heading names a wavelength, and {axis.min():g} to {axis.max():g} is no range in nm")
    else:
        axis, note = _axis(table[0], heading, unit)
    column, ignored = _signal_column(heading, table.shape[0])
    order = slice(None) if axis[-1] > axis[0] else slice(None, None, -1)
    axis, signal = axis[order], table[column][order]
    if not bool(np.all(np.diff(axis) > 0)):
        raise FormatError("the axis of the spectrum neither rises nor falls throughout")
    notes = (note, f"columns {', '.join(ignored)} were ignored" if ignored else "")
    return Spectrum("spectrum-text", axis, signal, unit, tuple(filter(None, notes)))


def _axis(axis: npt.NDArray[np.float64], heading: str, unit: str) -> tuple[npt.NDArray[np.float64], str]:
    """Return the axis in its unit, by the heading or, where it names none, by where light is."""
    low, high = _RANGES[unit]
    named = [name for name in _UNIT.findall(heading.lower()) if name in _SCALES[unit]]
    scales = _SCALES[unit]
    # a microwave sweep in Hz would be light in MHz
    scales = {name: scales[name] for name in (named[:1] or scales) if named or name != "mhz"}
    fitting = {name: s for name, s in scales.items() if low <= axis.min() * s and axis.max() * s <= high}
    if not fitting:
        raise FormatError(f"an axis from {axis.min():g} to {axis.max():g} ({heading[:40]!r}) is no optical spectrum")
    if len(fitting) > 1:
        fitting = {unit: 1.0} if unit in fitting else dict([next(iter(fitting.items()))])
    ((name, scale),) = fitting.items()
    return axis * scale, "" if named else f"axis taken to be in {name}: no heading names a unit, and light lies there"


def _signal_column(heading: str, columns: int) -> tuple[int, list[str]]:
    """Return the column of the signal, and the names of the others."""
    if columns == 2:
        return 1, []
    for separator in ("\t", ";", ",", "  "):
        names = [name.strip() for name in heading.lstrip("#%!/' ").strip().split(separator) if name.strip()]
        if len(names) == columns:
            break
    else:
        raise FormatError(f"the heading {heading[:60]!r} doesn't name the {columns} columns")
    found = [i for pattern in _SIGNALS for i, name in enumerate(names) if i and pattern.search(name)]
    if not found:
        raise FormatError(f"columns {', '.join(names)}: which of them is the signal can't be told")
    return found[0], [name for i, name in enumerate(names) if i not in (0, found[0])]
