"""PicoQuant's unified files (.ptu and .phu): a header of self-describing tags, then records or histograms."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from qdhil.errors import FormatError
from qdhil.tags.tttr import LAYOUTS, Records
from qdhil.tags.tttr_file import TttrFile

MAGIC = b"PQTTTR"
MAGIC_HISTOGRAMS = b"PQHISTO"
_TAG = struct.Struct("<32siI8s")
_END = "Header_End"
_FLOATS = (0x20000008, 0x21000008)
_ANSI, _WIDE = 0x4001FFFF, 0x4002FFFF
_BLOCKS = (0x2001FFFF, _ANSI, _WIDE, 0xFFFFFFFF)
_SCALARS = (0xFFFF0008, 0x00000008, 0x10000008, 0x11000008, 0x12000008)
_LONGEST_TEXT = 1 << 16
_MOST_TAGS = 20_000
_SYNC = 0.01
"""Sync rate and sync period of one header agree better than this."""


def read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header's tags by name (``name[index]`` for arrays), and where the records begin.

    Parameters
    ----------
    file
        The file, opened for reading bytes.
    size
        Its size in bytes.

    Raises
    ------
    FormatError
        If the header is cut short or holds a tag of unknown type.
    """
    header: dict[str, Any] = {}
    file.seek(16)
    for _ in range(_MOST_TAGS):
        raw_tag = file.read(_TAG.size)
        if len(raw_tag) < _TAG.size:
            raise FormatError(f"truncated in its header: {size} bytes, no {_END}")
        raw_name, index, kind, raw = _TAG.unpack(raw_tag)
        name = raw_name.split(b"\0", 1)[0].decode("latin-1").strip()
        header[name if index < 0 else f"{name}[{index}]"] = _value(file, size, name, kind, raw)
        if name == _END:
            return header, file.tell()
    raise FormatError(f"no {_END} among {_MOST_TAGS} tags of the header: damaged file")


def _value(file: BinaryIO, size: int, name: str, kind: int, raw: bytes) -> Any:
    if kind in _FLOATS:
        return struct.unpack("<d", raw)[0]
    number = struct.unpack("<q", raw)[0]
    if kind in _SCALARS:
        return number
    if kind not in _BLOCKS:
        raise FormatError(f"header tag {name!r} has the unknown type {kind:#010x}")
    at = file.tell()
    if not 0 <= number <= size - at:
        raise FormatError(f"truncated in its header, at {name}")
    content = file.read(min(number, _LONGEST_TEXT)) if kind in (_ANSI, _WIDE) else b""
    file.seek(at + number)
    text = content.decode("utf-16-le" if kind == _WIDE else "latin-1", errors="replace")
    return text.split("\0", 1)[0].strip() if content else f"{number} bytes"


def required(header: Mapping[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    """Return a positive, finite number of the header.

    Raises
    ------
    FormatError
        If it is missing or something else.
    """
    value = header.get(name)
    if isinstance(value, int | float) and isinstance(value, kind) and 0 < value < math.inf:
        return value
    raise FormatError(f"header lacks a usable {name}")


def open_ptu(path: Path, *, partial: bool = False) -> TttrFile:
    """Open a .ptu file.

    Times of T2 records are counts of the global resolution; times of T3 records are the pulse number times
    the sync period plus the time since sync.

    Parameters
    ----------
    path
        The file.
    partial
        Read a truncated file as far as it goes.

    Raises
    ------
    FormatError
        If the file is truncated, of an unknown record type, or its header contradicts itself.
    """
    with path.open("rb") as file:
        header, at = read_header(file, path.stat().st_size)
    kind = required(header, "TTResultFormat_TTTRRecType", int)
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise FormatError(f"record type {kind:#010x} is none that is known")
    if header.get("TTResultFormat_BitsPerRecord", 32) != 32:
        raise FormatError(f"records of {header['TTResultFormat_BitsPerRecord']} bits, not 32")
    mode = header.get("Measurement_Mode")
    if mode in (2, 3) and (mode == 3) != layout.t3:
        raise FormatError(f"measurement mode T{mode} contradicts records of type {layout.name}")
    stopped = header.get("TTResult_StopAfter", 0)
    records = Records(
        layout=layout,
        at=at,
        announced=_announced(header),
        unit_ps=required(header, "MeasDesc_GlobalResolution", float) * 1e12,
        resolution_ps=required(header, "MeasDesc_Resolution", float) * 1e12 if layout.t3 else 0.0,
        stopped_s=stopped * 1e-3 if isinstance(stopped, int | float) and math.isfinite(stopped) else 0.0,
    )
    opened = TttrFile(path, "picoquant-ptu", header, records, partial=partial)
    sync_hz = header.get("TTResult_SyncRate", 0)
    if layout.t3 and isinstance(sync_hz, int) and sync_hz > 0 and abs(sync_hz * records.unit_ps * 1e-12 - 1) > _SYNC:
        opened.warnings.append(
            f"the header's sync rate of {sync_hz} Hz contradicts its sync period of {records.unit_ps:.1f} ps, which "
            "was taken: is a sync divider in use?"
        )
    return opened


def _announced(header: Mapping[str, Any]) -> int:
    count = header.get("TTResult_NumberOfRecords", 0)
    if not isinstance(count, int) or count < 0:
        raise FormatError(f"the header announces {count} records")
    return count
