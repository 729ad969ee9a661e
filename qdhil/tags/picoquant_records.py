"""PicoQuant's time tag files before the unified ones: .pt2, .pt3, .ht2, .ht3 and .t3r.

The records are those of the unified files (:mod:`qdhil.tags.tttr`), behind a fixed header; only the
TimeHarp 200 has its own. The unit of T2 times is the header's resolution: 4 ps in a PicoHarp, 1 ps in a
HydraHarp file of version 2, and 0.5 ps in one of version 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from qdhil.errors import FormatError
from qdhil.tags.fixed_header import HYDRAHARP, PICOHARP, TIMEHARP, read_fields, read_fixed_header
from qdhil.tags.stream import TagFile
from qdhil.tags.timeharp import TimeHarpFile
from qdhil.tags.tttr import LAYOUTS, Layout, Records
from qdhil.tags.tttr_file import TttrFile

_PICOHARP_T2_PS = 4.0
_PICOHARP_TTTR = "ExtDevices Reserved[0] Reserved[1] InpRate0 InpRate1 StopAfter StopReason NumRecords:I ImgHdrSize"
_HYDRAHARP_TTTR = "SyncRate StopAfter StopReason ImgHdrSize NumRecords:q"
_TIMEHARP_TTTR = (
    "TTTRGlobCLock Reserved[0] Reserved[1] Reserved[2] Reserved[3] Reserved[4] Reserved[5] SyncRate "
    "AverageCFDRate StopAfter StopReason NumberOfRecords:I"
)
_LAYOUTS = {
    (PICOHARP, "2.0", 2): LAYOUTS[0x00010203],
    (PICOHARP, "2.0", 3): LAYOUTS[0x00010303],
    (HYDRAHARP, "1.0", 2): LAYOUTS[0x00010204],
    (HYDRAHARP, "1.0", 3): LAYOUTS[0x00010304],
    (HYDRAHARP, "2.0", 2): LAYOUTS[0x01010204],
    (HYDRAHARP, "2.0", 3): LAYOUTS[0x01010304],
}
_NAMES = {PICOHARP: "picoquant-pt", HYDRAHARP: "picoquant-ht"}
_LONGEST_IMAGE_HEADER = 1 << 16


def is_histograms(path: Path) -> bool:
    """Return whether a file with a fixed header holds histograms rather than tags.

    Raises
    ------
    FormatError
        If the header can't be read.
    """
    with path.open("rb") as file:
        header = read_fixed_header(file)
    return int(header["MeasurementMode"]) < 2


def open_fixed(path: Path, *, partial: bool = False) -> TagFile:
    """Open a .pt2, .pt3, .ht2, .ht3 or .t3r file, whatever its name.

    Parameters
    ----------
    path
        The file.
    partial
        Read a truncated file as far as it goes.

    Raises
    ------
    FormatError
        If the file is truncated, of an unknown version, or its header contradicts itself.
    """
    with path.open("rb") as file:
        header = read_fixed_header(file)
        if header["Ident"] == TIMEHARP:
            header |= read_fields(file, _TIMEHARP_TTTR)
            if float(header["FormatVersion"]) >= 5:
                _skip_special_header(file, header, "SpecHeaderLength")
            return TimeHarpFile(path, header, file.tell(), partial=partial)
        header |= read_fields(file, _PICOHARP_TTTR if header["Ident"] == PICOHARP else _HYDRAHARP_TTTR)
        _skip_special_header(file, header, "ImgHdrSize")
        at = file.tell()
    layout = _LAYOUTS.get((header["Ident"], header["FormatVersion"], header["MeasurementMode"]))
    if layout is None:
        raise FormatError(f"measurement mode {header['MeasurementMode']} is neither T2 nor T3")
    if header["BitsPerRecord"] != 32:
        raise FormatError(f"records of {header['BitsPerRecord']} bits, not 32")
    unit_ps, resolution_ps = _units(header, layout)
    records = Records(layout, at, int(header["NumRecords"]), unit_ps, resolution_ps, header["StopAfter"] * 1e-3)
    return TttrFile(path, _NAMES[header["Ident"]], header, records, partial=partial)


def _skip_special_header(file: BinaryIO, header: dict[str, Any], name: str) -> None:
    """Step over the header of imaging measurements, whose length in 32-bit words is a field of its own."""
    if name not in header:
        header |= read_fields(file, name)
    words = header[name]
    if not 0 <= words <= _LONGEST_IMAGE_HEADER:
        raise FormatError(f"an imaging header of {words} words")
    file.seek(4 * words, 1)


def _units(header: Mapping[str, Any], layout: Layout) -> tuple[float, float]:
    """Return what the counter counts, and the width of a bin of the time since sync, in ps."""
    picoharp = header["Ident"] == PICOHARP
    resolution_ps = _single(header["Brd[0].Resolution"]) * 1e3 if picoharp else header["Resolution"]
    if not layout.t3:
        unit_ps = _PICOHARP_T2_PS if picoharp else resolution_ps
        if not 0.1 <= unit_ps <= 1e4:
            raise FormatError(f"a resolution of {unit_ps:g} ps can't be that of T2 records")
        return unit_ps, 0.0
    sync_hz = header["InpRate0" if picoharp else "SyncRate"]
    if sync_hz <= 0:
        raise FormatError(f"a sync rate of {sync_hz} Hz: times of T3 records can't be told")
    if not (math.isfinite(resolution_ps) and resolution_ps > 0):
        raise FormatError(f"a resolution of {resolution_ps:g} ps")
    return 1e12 / sync_hz, resolution_ps


def _single(value: float) -> float:
    """Return a number that the header keeps in single precision, without the digits it doesn't have."""
    return float(f"{value:.7g}")
