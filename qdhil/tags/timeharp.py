"""Tags of a TimeHarp 200 (.t3r): a clock of 100 ns, and the time between photon and laser pulse.

A record is, from the top: reserved 1 bit, valid 1, route 2, bin of the time since sync 12, clock 16. An
invalid record is an overflow of the clock (bit 11 of the bin set) or a marker (its lowest three bits). The
clock doesn't count laser pulses: times are no finer than its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.fixed_records import read_blocks
from qdhil.tags.recording import MARKER_BASE
from qdhil.tags.stream import TagFile, Tags

_WRAP = 1 << 16
_NS = 1e3
_STOPPED = 0.03


class TimeHarpFile(TagFile):
    """A .t3r file whose header has been read.

    Parameters
    ----------
    path, header
        As in :class:`~qdhil.tags.stream.TagFile`.
    at
        Offset of the records, in bytes.
    partial
        Read a truncated file as far as it goes.

    Raises
    ------
    FormatError
        If the header's numbers can't be, or the file is truncated.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], at: int, *, partial: bool = False) -> None:
        sync_hz, clock_ps = header["SyncRate"], header["TTTRGlobCLock"] * _NS
        resolution_ps = header["Brd[0].Resolution"] * _NS
        if not (sync_hz >= 0 and 0 < clock_ps < 1e9 and 0 < resolution_ps < 1e6):
            raise FormatError(
                f"a header with sync at {sync_hz} Hz, a clock of {clock_ps:g} ps and bins of {resolution_ps:g} ps"
            )
        period_ps = 1e12 / sync_hz if sync_hz else None
        super().__init__(
            path,
            "picoquant-t3r",
            most_tags=header["NumberOfRecords"],
            header=header,
            period_ps=period_ps,
            has_since=True,
            resolution_ps=clock_ps,
        )
        self._at, self._clock_ps, self._bin_ps = at, round(clock_ps), resolution_ps
        body = path.stat().st_size - at
        announced = header["NumberOfRecords"]
        self._count = min(max(body, 0) // 4, announced)
        if self._count < announced:
            said = f"the header announces {announced} records, the file holds {self._count}"
            if not partial:
                raise FormatError(f"truncated: {said}")
            self.warnings.append(f"truncated: {said}; these were read")
        elif body > 4 * announced:
            self.warnings.append(f"{body - 4 * announced} bytes follow the {announced} records and were ignored")

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        above = 0
        last = -1
        for start, records in read_blocks(self.path, self._at, self._count, "<u4"):
            valid = (records >> np.uint32(30)) & 1 == 1
            data = ((records >> np.uint32(16)) & 0xFFF).astype(np.int64)
            overflow = ~valid & (data & 0x800 != 0)
            odd = ~valid & ~overflow & (data & 7 == 0)
            if bool(odd.any()):
                raise FormatError(
                    f"record {start + int(np.argmax(odd))} is no photon, overflow or marker: damaged file"
                )
            clock = (records & 0xFFFF).astype(np.int64) + above + _WRAP * np.cumsum(overflow)
            above += _WRAP * int(np.count_nonzero(overflow))
            last = self._check(clock[valid], last)
            route = ((records >> np.uint32(28)) & 3).astype(np.int16)
            channels = np.where(valid, route, MARKER_BASE + (data & 7)).astype(np.int16)
            since = np.where(valid, np.rint(data * self._bin_ps), 0).astype(np.int64)
            kept = ~overflow
            if bool(kept.any()):
                yield Tags(clock[kept] * self._clock_ps, channels[kept], since[kept])

    def _check(self, clock: np.ndarray[Any, np.dtype[np.int64]], last: int) -> int:
        if not clock.size:
            return last
        falls = int(np.count_nonzero(np.diff(clock, prepend=max(last, 0)) < 0))
        if falls:
            raise FormatError(
                f"the clock falls {falls} times without an overflow record: overflow records are missing, "
                "or records are out of order"
            )
        return int(clock[-1])

    def duration_s(self, last_ps: int) -> float | None:
        """Return the span of the records in s, or ``None`` where the header contradicts it."""
        span_s, stopped_s = last_ps * 1e-12, self.header["StopAfter"] * 1e-3
        if stopped_s > 0 and abs(span_s - stopped_s) > _STOPPED * stopped_s:
            self.warnings.append(
                f"records span {span_s:.3f} s, but the header says stopped after {stopped_s:.3f} s: "
                "records are missing or miscounted, and no rate follows"
            )
            return None
        return span_s
