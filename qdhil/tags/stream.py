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
_LEAST_ROOM, _MOST_ROOM = 1 << 12, 1 << 27


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
    most_tags
        No more tags than this are in the file.
    has_since
        Whether tags carry the time since the laser pulse.
    resolution_ps
        The steps in which times are counted; correlations within a step mean nothing.
    """

    def __init__(
        self,
        path: Path,
        form: str,
        *,
        most_tags: int,
        header: Mapping[str, Any] | None = None,
        period_ps: float | None = None,
        has_since: bool = False,
        resolution_ps: float = 1.0,
    ) -> None:
        self.path = path
        self.format = form
        self.header: dict[str, Any] = dict(header or {})
        self.period_ps = period_ps
        self.has_since = has_since
        self.resolution_ps = resolution_ps
        self.warnings: list[str] = []
        self.most_tags = most_tags

    @abstractmethod
    def blocks(self) -> Iterator[Tags]:
        """Yield the tags from the beginning, in blocks that may be overwritten by the next.

        Raises
        ------
        FormatError
            If the file turns out damaged, at the latest after the last block.
        """

    def read(self) -> Recording:
        """Read the whole file into memory.

        Raises
        ------
        FormatError
            If the file is damaged or holds no tag.
        """
        return collect(self)

    def duration_s(self, last_ps: int) -> float | None:
        """Return the time measured in s, given the last tag; ``None`` where no rate follows."""
        return last_ps * 1e-12


class _Growing:
    """An int64 array that grows at its end.

    Room for all that may come is reserved at once, where that is no more than a GiB: the system gives memory
    only where it is written, so nothing is copied and little is wasted.
    """

    def __init__(self, most: int) -> None:
        try:
            self._room = np.empty(min(most, _MOST_ROOM), np.int64)
        except MemoryError:
            self._room = np.empty(min(most, _LEAST_ROOM), np.int64)
        self.size = 0

    def last(self) -> int:
        return int(self._room[self.size - 1]) if self.size else -LATEST_PS

    def end(self, count: int) -> npt.NDArray[np.int64]:
        """Return room for ``count`` values after the last; :attr:`size` is raised by who writes them."""
        if self.size + count > self._room.size:
            grown = np.empty(2 * (self.size + count), np.int64)
            grown[: self.size] = self._room[: self.size]
            self._room = grown
        return self._room[self.size : self.size + count]

    def finish(self) -> npt.NDArray[np.int64]:
        return self._room[: self.size]


class _Channel:
    """What has been collected of one channel."""

    def __init__(self, most: int, has_since: bool) -> None:
        self.times = _Growing(most)
        self.since = _Growing(most if has_since else 0)
        self.falls = 0

    def extend(self, block: Tags, channel: int) -> None:
        from qdhil.tags import _decoding

        count = block.times_ps.size
        room = self.times.end(count)
        taken, falls = _decoding.take_channel(block.times_ps, block.channels, channel, self.times.last(), room)
        if block.since_ps.size:
            _decoding.take_values(block.since_ps, block.channels, channel, self.since.end(count))
            self.since.size += taken
        self.times.size += taken
        self.falls += falls


def collect(file: TagFile) -> Recording:
    """Read a whole tag file into memory.

    Raises
    ------
    FormatError
        If the file is damaged or holds no tag.
    """
    from qdhil.tags import _decoding

    channels: dict[int, _Channel] = {}
    present = np.zeros(_CHANNELS, np.bool_)
    for block in file.blocks():
        _decoding.mark_channels(block.channels, present)
        for slot in np.flatnonzero(present):
            number = int(slot) - 1
            if number not in channels:
                channels[number] = _Channel(file.most_tags + BLOCK_TAGS, file.has_since)
            channels[number].extend(block, number)
        present[:] = False
    times = {number: channel.times.finish() for number, channel in channels.items()}
    since = {number: channel.since.finish() for number, channel in channels.items() if file.has_since}
    return finish(file, times, since, {number: channel.falls for number, channel in channels.items()})


def finish(
    file: TagFile,
    times: dict[int, npt.NDArray[np.int64]],
    since: dict[int, npt.NDArray[np.int64]],
    falls: dict[int, int],
) -> Recording:
    """Return the recording, with the channels that were out of order sorted.

    Parameters
    ----------
    file
        Where the tags come from.
    times, since
        Times and times since sync by channel, in ps.
    falls
        How many times of a channel lie before the one before them.

    Raises
    ------
    FormatError
        If there is none, or times lie before the start, or beyond what is believed.
    """
    for channel, count in falls.items():
        if count:
            order = np.argsort(times[channel], kind="stable")
            times[channel] = times[channel][order]
            if channel in since:
                since[channel] = since[channel][order]
    disordered = sum(falls.values())
    if disordered:
        file.warnings.append(f"{disordered} records were out of order and have been sorted")
    if not times:
        raise FormatError("no photon in the file")
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
        resolution_ps=file.resolution_ps,
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
