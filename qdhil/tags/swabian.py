"""Swabian-style tag records, 16 bytes each without header: type u1 at 0, missed u2 at 2, channel i4, time i8 in ps.

Types: 0 a tag, 1 an error of the tagger, 2 and 3 the begin and end of an overflow, 4 missed events. A negative
channel is the falling edge of an input; it becomes :data:`FALLING_BASE` plus the input's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.fixed_records import read_blocks, whole_records
from qdhil.tags.stream import LATEST_PS, TagFile, Tags

FALLING_BASE = 500
"""The falling edge of input n is channel ``FALLING_BASE + n``."""

_RECORD = np.dtype([("type", "u1"), ("zero", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("t_ps", "<i8")])
_TAG, _ERROR, _MISSED = 0, 1, 4
_SNIFFED = 64
_LONGEST_GAP_PS = 3_600 * 10**12


def looks_like_swabian(start: bytes) -> bool:
    """Return whether a file's first records are of known types and channels, with times that hardly fall."""
    head = np.frombuffer(start[: min(len(start) - len(start) % 16, 16 * _SNIFFED)], _RECORD)
    if head.size < 2 or bool(np.any(head["type"] > _MISSED)) or bool(np.any(head["zero"])):
        return False
    channel = np.abs(head["channel"].astype(np.int64))
    if bool(np.any((channel >= FALLING_BASE) | ((channel == 0) & (head["type"] == _TAG)))):
        return False
    times = head["t_ps"]
    if bool(np.any((times < 0) | (times > LATEST_PS))):
        return False
    steps = np.abs(np.diff(times))
    return bool(np.all(steps < _LONGEST_GAP_PS)) and bool(np.any(steps > 0))


class SwabianFile(TagFile):
    """A file of 16-byte records; times are counted from the earliest tag of the first block.

    Parameters
    ----------
    path
        The file.
    partial
        Read a file that ends within a record up to that record.

    Raises
    ------
    FormatError
        If the file ends within a record.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        self._count, warnings = whole_records(path, 0, _RECORD.itemsize, partial=partial)
        super().__init__(path, "swabian-records", most_tags=self._count)
        self.warnings += warnings
        self._missed = 0

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        origin_ps: int | None = None
        last_ps, self._missed, overflows = 0, 0, 0
        for start, records in read_blocks(self.path, 0, self._count, _RECORD):
            _check(records, start)
            self._missed += int(records["missed"][records["type"] == _MISSED].sum())
            overflows += int(np.count_nonzero(records["type"] == 2))
            tags = records[records["type"] == _TAG]
            if not tags.size:
                continue
            times = tags["t_ps"].astype(np.int64)
            origin_ps = int(times.min()) if origin_ps is None else origin_ps
            times -= origin_ps
            if bool(np.any(np.abs(np.diff(times, prepend=last_ps)) > _LONGEST_GAP_PS)):
                raise FormatError("times jump by more than an hour: damaged file")
            last_ps = int(times[-1])
            channels = np.where(tags["channel"] < 0, FALLING_BASE - tags["channel"], tags["channel"])
            yield Tags(times, channels.astype(np.int16), np.empty(0, np.int64))
        if self._missed or overflows:
            self._missed = max(self._missed, 1)
            self.warnings.append(f"the tagger missed {self._missed} events in {overflows} overflows: no rate follows")

    def duration_s(self, last_ps: int) -> float | None:
        """Return the span of the tags in s, or ``None`` where events were missed."""
        return None if self._missed else last_ps * 1e-12


def _check(records: np.ndarray[tuple[int], np.dtype[np.void]], start: int) -> None:
    """Refuse types and channels that a tagger doesn't write, and its own errors."""
    kind, channel = records["type"], np.abs(records["channel"].astype(np.int64))
    odd = (kind > _MISSED) | (records["zero"] != 0) | (channel >= FALLING_BASE) | ((channel == 0) & (kind == _TAG))
    odd |= (records["t_ps"] < 0) | (records["t_ps"] > LATEST_PS)
    if bool(odd.any()):
        raise FormatError(f"record {start + int(np.argmax(odd))} has an impossible type, channel or time: damaged file")
    if bool(np.any(kind == _ERROR)):
        raise FormatError(f"record {start + int(np.argmax(kind == _ERROR))} says that the tagger lost its time base")
