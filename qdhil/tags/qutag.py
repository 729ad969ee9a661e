"""quTools quTAG binary files: a 40-byte header, then records of u64 time (ps) and u16 channel."""

from __future__ import annotations

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE, Recording, sorted_by_channel

HEADER_BYTES = 40
_RECORD = np.dtype([("t_ps", "<u8"), ("channel", "<u2")])
_FIRST_MARKER = 100
_CHANNELS = 64
_LONGEST_GAP_PS = 3_600 * 10**12


def looks_like_qutag(data: bytes) -> bool:
    """Return whether the first records after a 40-byte header are plausible: channels and nearby times."""
    head = np.frombuffer(data[HEADER_BYTES : HEADER_BYTES + 64 * _RECORD.itemsize][: _whole(data)], _RECORD)
    if head.size < 2:
        return False
    times, channels = head["t_ps"], head["channel"]
    if bool(np.any(times >= 1 << 62)) or bool(np.any((channels >= _CHANNELS) & (channels < _FIRST_MARKER))):
        return False
    if bool(np.any(channels > _FIRST_MARKER + 16)):
        return False
    steps = np.abs(np.diff(times.astype(np.int64)))
    return bool(np.all(steps < _LONGEST_GAP_PS)) and bool(np.any(steps > 0))


def _whole(data: bytes) -> int:
    """Return the bytes of whole records among the first 64."""
    available = max(min(len(data) - HEADER_BYTES, 64 * _RECORD.itemsize), 0)
    return available - available % _RECORD.itemsize


def read_qutag(data: bytes) -> Recording:
    """Read a quTAG file; times are counted from the first tag, as the tagger counts from its own start.

    Raises
    ------
    FormatError
        If the file ends within a record, or holds times or channels that a quTAG doesn't write.
    """
    body = len(data) - HEADER_BYTES
    if body <= 0 or body % _RECORD.itemsize:
        raise FormatError(f"truncated: {body} bytes after the header are no whole number of 10-byte records")
    records = np.frombuffer(data, _RECORD, offset=HEADER_BYTES)
    channels = records["channel"].astype(np.int64)
    odd = ((channels >= _CHANNELS) & (channels < _FIRST_MARKER)) | (channels > _FIRST_MARKER + 16)
    if bool(odd.any()):
        raise FormatError(f"record {int(np.argmax(odd))} is of channel {int(channels[odd][0])}: damaged file")
    if int(records["t_ps"].max()) >= 1 << 62:
        raise FormatError("times beyond 2^62 ps: damaged file")
    times = records["t_ps"].astype(np.int64)
    times -= times.min()
    span = int(times.max())
    if span > 0 and int(np.sort(np.diff(np.sort(times)))[-1]) > max(_LONGEST_GAP_PS, span // 2):
        raise FormatError("one gap spans more than half of the recording: damaged times")
    numbers = np.where(channels >= _FIRST_MARKER, MARKER_BASE + channels - _FIRST_MARKER, channels)
    by_channel, _, disordered = sorted_by_channel(times, numbers)
    warnings = (f"{disordered} records were out of order and have been sorted",) if disordered else ()
    return Recording("qutag-binary", by_channel, span * 1e-12, warnings=warnings)
