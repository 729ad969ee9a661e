"""Tag files as streams: blocks of tags in bounded memory, and what is built on them.

A :class:`TagFile` knows its header at once and gives its tags block by block; its ``warnings`` are complete
once the last block has been read. A whole :class:`~qdhil.tags.recording.Recording` is collected from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import Recording

BLOCK_TAGS = 1 << 16
"""Tags decoded at a time: few enough to stay in the processor's cache."""

LATEST_PS = 1 << 62
"""No time beyond this (53 days) is believed."""

_CHANNELS = 2048
_FIRST_ROOM = 1 << 12


@dataclass(frozen=True)
class Tags:
    """Some consecutive tags of a file.

    Parameters
    ----------
    times_ps
        Times, int64, shape (n,), in the order of the file.
    channels
        Channel of each, int16, shape (n,); numbers as in :class:`~qdhil.tags.recording.Recording`.
    since_ps
        Time since the laser pulse, int64, shape (n,), or empty where the format has none.
    """

    times_ps: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int16]
    since_ps: npt.NDArray[np.int64]


class TagFile(ABC):
    """A tag file whose header has been read.

    Parameters
    ----------
    path
        The file.
    form
        Name of the format.
    header
        What the header says, by its own names.
    period_ps
        Time between two laser pulses as the file tells it, or ``None``.
    has_since
        Whether tags carry the time since the laser pulse.
    """

    def __init__(
        self,
        path: Path,
        form: str,
        *,
        header: Mapping[str, Any] | None = None,
        period_ps: float | None = None,
        has_since: bool = False,
    ) -> None:
        self.path = path
        self.format = form
        self.header: dict[str, Any] = dict(header or {})
        self.period_ps = period_ps
        self.has_since = has_since
        self.warnings: list[str] = []

    @abstractmethod
    def blocks(self) -> Iterator[Tags]:
        """Yield the tags from the beginning, in blocks that may be overwritten by the next.

        Raises
        ------
        FormatError
            If the file turns out damaged, at the latest after the last block.
        """

    def duration_s(self, last_ps: int) -> float | None:
        """Return the time measured in s, given the last tag; ``None`` where no rate follows."""
        return last_ps * 1e-12


class _Growing:
    """An int64 array that grows at its end, in place where the system allows."""

    def __init__(self) -> None:
        self._room = np.empty(_FIRST_ROOM, np.int64)
        self.size = 0

    def last(self) -> int:
        return int(self._room[self.size - 1])

    def extend(self, values: npt.NDArray[np.int64]) -> None:
        end = self.size + values.size
        if end > self._room.size:
            self._room.resize(max(end, self._room.size + (self._room.size >> 1)), refcheck=False)
        self._room[self.size : end] = values
        self.size = end

    def finish(self) -> npt.NDArray[np.int64]:
        self._room.resize(self.size, refcheck=False)
        return self._room


def collect(file: TagFile) -> Recording:
    """Read a whole tag file into memory.

    Raises
    ------
    FormatError
        If the file is damaged or holds no tag.
    """
    from qdhil.tags import _decoding

    times: dict[int, _Growing] = {}
    since: dict[int, _Growing] = {}
    falls: dict[int, int] = {}
    ends = np.zeros(_CHANNELS, np.int64)
    grouped, grouped_since = np.empty(0, np.int64), np.empty(0, np.int64)
    for block in file.blocks():
        if block.times_ps.size > grouped.size:
            grouped, grouped_since = np.empty((2, block.times_ps.size), np.int64)
        _decoding.by_channel(block.times_ps, block.since_ps, block.channels, ends, grouped, grouped_since)
        begin = 0
        for slot in np.flatnonzero(np.diff(ends, prepend=0)):
            channel, end = int(slot) - 1, int(ends[slot])
            mine = times.setdefault(channel, _Growing())
            last = mine.last() if mine.size else -LATEST_PS
            falls[channel] = falls.get(channel, 0) + int(_decoding.falls(grouped[begin:end], last))
            mine.extend(grouped[begin:end])
            if file.has_since:
                since.setdefault(channel, _Growing()).extend(grouped_since[begin:end])
            begin = end
    if not times:
        raise FormatError("no photon in the file")
    return _recording(file, {c: t.finish() for c, t in times.items()}, {c: s.finish() for c, s in since.items()}, falls)


def _recording(
    file: TagFile,
    times: dict[int, npt.NDArray[np.int64]],
    since: dict[int, npt.NDArray[np.int64]],
    falls: dict[int, int],
) -> Recording:
    """Return the recording, with the channels that were out of order sorted."""
    for channel, count in falls.items():
        if count:
            order = np.argsort(times[channel], kind="stable")
            times[channel] = times[channel][order]
            if channel in since:
                since[channel] = since[channel][order]
    disordered = sum(falls.values())
    if disordered:
        file.warnings.append(f"{disordered} records were out of order and have been sorted")
    if min(int(t[0]) for t in times.values()) < 0:
        raise FormatError("times before the start of the acquisition: damaged file")
    last_ps = max(int(t[-1]) for t in times.values())
    if last_ps > LATEST_PS:
        raise FormatError("times beyond 2^62 ps: the header's resolution or the records are damaged")
    return Recording(
        format=file.format,
        channels=dict(sorted(times.items())),
        duration_s=file.duration_s(last_ps),
        period_ps=file.period_ps,
        since_sync_ps=dict(sorted(since.items())),
        warnings=tuple(file.warnings),
    )


def in_order(file: TagFile, *, hold: int = 1 << 20) -> Iterator[Tags]:
    """Yield the tags sorted by time, in blocks of about ``hold``, however the file has them.

    Tags may stand out of order by up to ``hold`` places; as many are kept back at a time.

    Raises
    ------
    FormatError
        If a tag stands farther from its place.
    """
    waiting: list[Tags] = []
    emitted_ps = -LATEST_PS
    count = 0
    for block in file.blocks():
        waiting.append(Tags(block.times_ps.copy(), block.channels.copy(), block.since_ps.copy()))
        count += block.times_ps.size
        if count >= 2 * hold:
            merged = _sorted(waiting)
            ready, rest = _cut(merged, count - hold)
            emitted_ps = _check_after(ready, emitted_ps)
            waiting, count = [rest], hold
            yield ready
    if count:
        merged = _sorted(waiting)
        _check_after(merged, emitted_ps)
        yield merged


def _check_after(tags: Tags, emitted_ps: int) -> int:
    if int(tags.times_ps[0]) < emitted_ps:
        raise FormatError("tags are out of order by more than a million places: damaged file")
    return int(tags.times_ps[-1])


def _cut(tags: Tags, at: int) -> tuple[Tags, Tags]:
    head = Tags(tags.times_ps[:at], tags.channels[:at], tags.since_ps[:at])
    return head, Tags(tags.times_ps[at:], tags.channels[at:], tags.since_ps[at:])


def _sorted(parts: list[Tags]) -> Tags:
    times = np.concatenate([part.times_ps for part in parts])
    channels = np.concatenate([part.channels for part in parts])
    since = np.concatenate([part.since_ps for part in parts])
    if bool(np.any(times[1:] < times[:-1])):
        order = np.argsort(times, kind="stable")
        times, channels = times[order], channels[order]
        since = since[order] if since.size else since
    return Tags(times, channels, since)
