"""PicoQuant's unified TTTR files (.ptu): a header of self-describing tags, then 32-bit records."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE, Recording, sorted_by_channel
from qdhil.tags.tttr import LAYOUTS, Events, decode

MAGIC = b"PQTTTR"
_TAG = struct.Struct("<32siI8s")
_END = "Header_End"
_FLOATS = (0x20000008, 0x21000008)
_BLOCKS = (0x2001FFFF, 0x4001FFFF, 0x4002FFFF, 0xFFFFFFFF)
_SCALARS = (0xFFFF0008, 0x00000008, 0x10000008, 0x11000008, 0x12000008)
_LATEST_PS = float(1 << 62)
_LATE = 0.01
"""More than this fraction of T3 tags later than a period after their sync: the header's period is wrong."""


def read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header's tags by name (``name[index]`` for arrays), and where the records begin.

    Raises
    ------
    FormatError
        If the header is cut short or holds a tag of unknown type.
    """
    header: dict[str, Any] = {}
    at = 16
    while True:
        if at + _TAG.size > len(data):
            raise FormatError(f"truncated in its header: {len(data)} bytes, no {_END}")
        raw_name, index, kind, raw = _TAG.unpack_from(data, at)
        at += _TAG.size
        name = raw_name.split(b"\0", 1)[0].decode("latin-1").strip()
        if kind in _BLOCKS:
            length = struct.unpack("<q", raw)[0]
            if not 0 <= length <= len(data) - at:
                raise FormatError(f"truncated in its header, at {name}")
            value: Any = data[at : at + length].rstrip(b"\0 ").decode("latin-1")
            at += length
        elif kind in _FLOATS:
            value = struct.unpack("<d", raw)[0]
        elif kind in _SCALARS:
            value = struct.unpack("<q", raw)[0]
        else:
            raise FormatError(f"header tag {name!r} has the unknown type {kind:#010x}")
        header[name if index < 0 else f"{name}[{index}]"] = value
        if name == _END:
            return header, at


def read_ptu(data: bytes) -> Recording:
    """Read a .ptu file.

    Times of T2 records are counts of the global resolution; times of T3 records are the pulse number times
    the sync period plus the time since sync.

    Raises
    ------
    FormatError
        If the file is truncated, of an unknown record type, or its records contradict each other.
    """
    header, at = read_header(data)
    kind = _required(header, "TTResultFormat_TTTRRecType", int)
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise FormatError(f"record type {kind:#010x} is none that is known")
    if header.get("TTResultFormat_BitsPerRecord", 32) != 32:
        raise FormatError(f"records of {header['TTResultFormat_BitsPerRecord']} bits, not 32")
    mode = header.get("Measurement_Mode")
    if mode in (2, 3) and (mode == 3) != layout.t3:
        raise FormatError(f"measurement mode T{mode} contradicts records of type {layout.name}")
    warnings: list[str] = []
    records = _records(data[at:], header, warnings)
    events = decode(records, layout)
    if events.counter.size == 0:
        raise FormatError("no photon in the file")
    period_ps = None
    unit_ps = _required(header, "MeasDesc_GlobalResolution", float) * 1e12
    since_ps: npt.NDArray[np.int64] | None = None
    if float(events.counter.max()) * unit_ps > _LATEST_PS:
        raise FormatError("times beyond 2^62 ps: the header's resolution or the records are damaged")
    times = np.rint(events.counter * unit_ps).astype(np.int64)
    if layout.t3:
        period_ps = unit_ps
        since_ps = _since_sync(events, header, period_ps)
        times += since_ps
    channels, since, disordered = sorted_by_channel(times, events.channel, since_ps)
    if disordered:
        warnings.append(f"{disordered} records were out of order and have been sorted")
    duration_s = int(times.max()) * 1e-12
    contradiction = _compare_duration(header, duration_s)
    warnings.extend(contradiction)
    return Recording(
        format=f"picoquant-ptu/{layout.name}",
        channels=channels,
        duration_s=None if contradiction else duration_s,
        period_ps=period_ps,
        since_sync_ps=since,
        warnings=tuple(warnings),
    )


def _required(header: dict[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    value = header.get(name)
    if isinstance(value, int | float) and isinstance(value, kind) and 0 < value < math.inf:
        return value
    raise FormatError(f"header lacks a usable {name}")


def _records(body: bytes, header: dict[str, Any], warnings: list[str]) -> npt.NDArray[np.uint32]:
    announced = header.get("TTResult_NumberOfRecords", 0)
    present, rest = divmod(len(body), 4)
    if announced and present < announced:
        raise FormatError(f"truncated: the header announces {announced} records, the file holds {present}")
    if not announced:
        warnings.append(f"the header announces no records (aborted measurement?); read all {present}")
        announced = present
    if present > announced or rest:
        extra = len(body) - 4 * announced
        warnings.append(f"{extra} bytes follow the {announced} records and were ignored")
    return np.frombuffer(body, "<u4", count=announced)


def _since_sync(events: Events, header: dict[str, Any], period_ps: float) -> npt.NDArray[np.int64]:
    resolution_ps = _required(header, "MeasDesc_Resolution", float) * 1e12
    if resolution_ps > period_ps:
        raise FormatError(f"bins of {resolution_ps:.3g} ps are wider than the sync period of {period_ps:.3g} ps")
    since_ps: npt.NDArray[np.int64] = np.rint(events.since * resolution_ps).astype(np.int64)
    photons = since_ps[events.channel < MARKER_BASE]
    late = float(np.mean(photons > 1.02 * period_ps)) if photons.size else 0.0
    if late > _LATE:
        raise FormatError(
            f"{late:.0%} of the photons come later than a sync period of {period_ps:.1f} ps: "
            "sync period or resolution of the header is wrong"
        )
    return since_ps


def _compare_duration(header: dict[str, Any], duration_s: float) -> list[str]:
    stopped_s = header.get("TTResult_StopAfter", 0) * 1e-3
    if stopped_s > 0 and not 0.97 * stopped_s <= duration_s <= 1.03 * stopped_s:
        return [
            f"records span {duration_s:.3f} s, but the header says stopped after {stopped_s:.3f} s: "
            "records are missing or miscounted, and no rate follows"
        ]
    return []
