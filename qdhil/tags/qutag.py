"""quTools quTAG binary files: a 40-byte header, then records of u64 time (ps) and u16 channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.fixed_records import read_blocks, whole_records
from qdhil.tags.recording import MARKER_BASE
from qdhil.tags.stream import TagFile, Tags

HEADER_BYTES = 40
_RECORD = np.dtype([("t_ps", "<u8"), ("channel", "<u2")])
_FIRST_MARKER = 100
_MARKERS = 17
_CHANNELS = 64
_LONGEST_GAP_PS = 3_600 * 10**12


def looks_like_qutag(start: bytes) -> bool:
    """Return whether the first records after a 40-byte header are plausible: channels and nearby times."""
    available = max(min(len(start) - HEADER_BYTES, 64 * _RECORD.itemsize), 0)
    available -= available % _RECORD.itemsize
    head = np.frombuffer(start[HEADER_BYTES : HEADER_BYTES + available], _RECORD)
    if head.size < 2:
        return False
    times, channels = head["t_ps"], head["channel"]
    if bool(np.any(times >= 1 << 62)) or bool(np.any((channels >= _CHANNELS) & (channels < _FIRST_MARKER))):
        return False
    if bool(np.any(channels >= _FIRST_MARKER + _MARKERS)):
        return False
    steps = np.abs(np.diff(times.astype(np.int64)))
    return bool(np.all(steps < _LONGEST_GAP_PS)) and bool(np.any(steps > 0))


class QutagFile(TagFile):
    """A quTAG file; times are counted from the earliest tag of the first block.

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
        self._count, warnings = whole_records(path, HEADER_BYTES, _RECORD.itemsize, partial=partial)
        super().__init__(path, "qutag-binary", most_tags=self._count)
        self.warnings += warnings

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        origin_ps: int | None = None
        last_ps = 0
        for start, records in read_blocks(self.path, HEADER_BYTES, self._count, _RECORD):
            channels = records["channel"].astype(np.int16)
            odd = ((channels >= _CHANNELS) & (channels < _FIRST_MARKER)) | (channels < 0)
            odd |= channels >= _FIRST_MARKER + _MARKERS
            if bool(odd.any()):
                at = int(np.argmax(odd))
                raise FormatError(f"record {start + at} is of channel {records['channel'][at]}: damaged file")
            if int(records["t_ps"].max()) >= 1 << 62:
                raise FormatError("times beyond 2^62 ps: damaged file")
            times = records["t_ps"].astype(np.int64)
            origin_ps = int(times.min()) if origin_ps is None else origin_ps
            times -= origin_ps
            markers = channels >= _FIRST_MARKER
            channels = np.where(markers, MARKER_BASE - _FIRST_MARKER + channels, channels).astype(np.int16)
            _check_gaps(times, last_ps)
            last_ps = int(times[-1])
            yield Tags(times, channels, np.empty(0, np.int64))


def _check_gaps(times: npt.NDArray[np.int64], last_ps: int) -> None:
    if bool(np.any(np.abs(np.diff(times, prepend=last_ps)) > _LONGEST_GAP_PS)):
        raise FormatError("times jump by more than an hour: damaged file")
