"""Fixed binary headers of PicoQuant's software before the unified files: which fields, in which order.

Three families, told apart by the first 16 bytes, each with the version as text in the next 6 (both padded,
with spaces or zeros). Fields stand without gaps, little-endian. Source: the header structures that PicoQuant
published with its file demos.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from qdhil.errors import FormatError

PICOHARP, HYDRAHARP, TIMEHARP = "PicoHarp 300", "HydraHarp", "TimeHarp 200"
FAMILIES = (PICOHARP, HYDRAHARP, TIMEHARP)
_VERSIONS = {
    PICOHARP: ("2.0",),
    HYDRAHARP: ("1.0", "2.0"),
    TIMEHARP: ("2.0", "3.0", "4.0", "5.0", "6.0"),
}

_IDENT = "Ident:16s FormatVersion:6s"
_FILE = "CreatorName:18s CreatorVersion:12s FileTime:18s CRLF:2s Comment:256s"
_OLD_FILE = "HardwareVersion:6s FileTime:18s CRLF:2s Comment:256s"
_DISPLAY = "DisplayLinLog DisplayTimeAxisFrom DisplayTimeAxisTo DisplayCountAxisFrom DisplayCountAxisTo"
_STOP = "Offset AcquisitionTime StopAt StopOnOvfl Restart"
_SCRIPT = (
    " ".join(f"DisplayCurve[{i}].MapTo DisplayCurve[{i}].Show" for i in range(8))
    + " "
    + " ".join(f"Param[{i}].Start:f Param[{i}].Step:f Param[{i}].Stop:f" for i in range(3))
    + " RepeatMode RepeatsPerCurve RepeatTime RepeatWaitTime ScriptName:20s"
)
_MODULES = " ".join(f"ModuleInfo[{i}].Model ModuleInfo[{i}].Version" for i in range(10))
_ROUTER = " ".join(
    f"Brd[0].RtCh[{i}].{field}"
    for i in range(4)
    for field in ("InputType", "InputLevel", "InputEdge", "CFDPresent", "CFDLevel", "CFDZCross")
)

_PICOHARP_FIELDS = (
    f"{_FILE} NumberOfCurves BitsPerRecord RoutingChannels NumberOfBoards ActiveCurve MeasurementMode SubMode "
    f"RangeNo {_STOP} {_DISPLAY} {_SCRIPT} Brd[0].HardwareIdent:16s Brd[0].HardwareVersion:8s "
    "Brd[0].HardwareSerial Brd[0].SyncDivider Brd[0].CFDZeroCross0 Brd[0].CFDLevel0 Brd[0].CFDZeroCross1 "
    f"Brd[0].CFDLevel1 Brd[0].Resolution:f Brd[0].RouterModelCode Brd[0].RouterEnabled {_ROUTER}"
)
_HYDRAHARP_FIELDS = (
    f"{_FILE} NumberOfCurves BitsPerRecord ActiveCurve MeasurementMode SubMode Binning Resolution:d {_STOP} "
    f"{_DISPLAY} {_SCRIPT} HardwareIdent:16s HardwarePartNo:8s HardwareSerial NumberOfModules {_MODULES} "
    "BaseResolution:d InputsEnabled:q InputChannelsPresent RefClockSource ExtDevices MarkerSettings SyncDivider "
    "SyncCFDLevel SyncCFDZeroCross SyncOffset"
)
_TIMEHARP_FIELDS = (
    "NumberOfChannels NumberOfCurves BitsPerChannel RoutingChannels NumberOfBoards ActiveCurve MeasurementMode "
    f"SubMode RangeNo {_STOP} {_DISPLAY} {_SCRIPT}"
)
_TIMEHARP_BOARD = (
    "Brd[0].BoardSerial Brd[0].CFDZeroCross Brd[0].CFDDiscriminatorMin Brd[0].SYNCLevel Brd[0].CurveOffset "
    "Brd[0].Resolution:f"
)
_MOST_INPUTS = 64


def read_fields(file: BinaryIO, fields: str) -> dict[str, Any]:
    """Read fields at the file's position; each is ``name`` (int32) or ``name:format`` of :mod:`struct`.

    Raises
    ------
    FormatError
        If the file ends within them.
    """
    names, formats = zip(*(f"{field}:i".split(":")[:2] for field in fields.split()), strict=True)
    layout = struct.Struct("<" + "".join(formats))
    raw = file.read(layout.size)
    if len(raw) < layout.size:
        raise FormatError(f"truncated in its header, before {names[0] if not raw else names[-1]}")
    values = (_text(value) if isinstance(value, bytes) else value for value in layout.unpack(raw))
    return dict(zip(names, values, strict=True))


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1").strip()


def family_of(start: bytes) -> str | None:
    """Return which family the first 16 bytes of a file belong to, if any."""
    ident = _text(start[:16])
    return next((family for family in FAMILIES if ident == family), None)


def read_fixed_header(file: BinaryIO) -> dict[str, Any]:
    """Read the part of the header that histograms and records have in common; the file then stands after it.

    Raises
    ------
    FormatError
        If the file is cut, or of a version that never was.
    """
    file.seek(0)
    header = read_fields(file, _IDENT)
    family, version = header["Ident"], header["FormatVersion"]
    if version not in _VERSIONS[family]:
        raise FormatError(f"a {family} file of version {version!r}; known are {', '.join(_VERSIONS[family])}")
    if family == PICOHARP:
        header |= read_fields(file, _PICOHARP_FIELDS)
    elif family == HYDRAHARP:
        header |= read_fields(file, _HYDRAHARP_FIELDS)
        header |= _inputs(file, header["InputChannelsPresent"], rates=header["MeasurementMode"] >= 2)
    else:
        newest = version == "6.0"
        header |= read_fields(file, f"{_FILE if newest else _OLD_FILE} {_TIMEHARP_FIELDS}")
        identity = "Brd[0].HardwareIdent:16s Brd[0].HardwareVersion:8s "
        header |= read_fields(file, (identity if newest else "") + _TIMEHARP_BOARD)
    if family != HYDRAHARP and header["NumberOfBoards"] != 1:
        raise FormatError(f"a header of {header['NumberOfBoards']} boards, not 1")
    return header


def _inputs(file: BinaryIO, count: int, *, rates: bool) -> dict[str, Any]:
    """Read the settings of the input channels, and their rates, which files of histograms lack."""
    if not 0 <= count <= _MOST_INPUTS:
        raise FormatError(f"a header of {count} input channels")
    settings = ("ModuleIdx", "CFDLevel", "CFDZeroCross", "Offset")
    fields = [f"InpChan[{i}].{name}" for i in range(count) for name in settings]
    fields += [f"InputRate[{i}]" for i in range(count) if rates]
    return read_fields(file, " ".join(fields)) if fields else {}
