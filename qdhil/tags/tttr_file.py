"""Files of TTTR records: block by block in bounded memory, or whole, on several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.fixed_records import refuse_holes
from qdhil.tags.recording import Recording
from qdhil.tags.stream import BLOCK_TAGS, TagFile, Tags, finish
from qdhil.tags.tttr import Records
from qdhil.tags.tttr_decoder import Decoder

_STOPPED = 0.03
_FINEST_PS, _LONGEST_PS = 0.01, 1e13
"""No tagger resolves less, and no laser pulses slower."""
_PIECE = 1 << 18
_MOST_THREADS = 4
_NO_SINCE = np.empty(0, np.int64)


class TttrFile(TagFile):
    """A file of 32-bit TTTR records behind a header of whatever generation.

    Parameters
    ----------
    path, form, header
        As in :class:`~qdhil.tags.stream.TagFile`; the name of the layout is added to ``form``.
    records
        Where the records lie and what they count.
    partial
        Read a truncated file as far as it goes, with a warning, rather than refuse it.

    Raises
    ------
    FormatError
        If the header's numbers can't be, or the file holds fewer records than announced.
    """

    def __init__(
        self, path: Path, form: str, header: Mapping[str, Any], records: Records, *, partial: bool = False
    ) -> None:
        layout = records.layout
        steps_ps = records.resolution_ps if layout.t3 else records.unit_ps
        super().__init__(
            path,
            f"{form}/{layout.name}",
            most_tags=max(path.stat().st_size - records.at, 0) // 4,
            header=header,
            period_ps=records.unit_ps if layout.t3 else None,
            has_since=layout.t3,
            resolution_ps=steps_ps,
        )
        self._records = records
        if not (steps_ps >= _FINEST_PS and records.unit_ps <= _LONGEST_PS):
            raise FormatError(
                f"times in steps of {steps_ps:g} ps, and a unit of {records.unit_ps:g} ps: damaged header"
            )
        if layout.t3 and records.resolution_ps > records.unit_ps:
            raise FormatError(
                f"bins of {records.resolution_ps:.3g} ps are wider than the sync period of {records.unit_ps:.3g} ps"
            )
        self._count = self._count_records(path.stat().st_size - records.at, partial)

    def _count_records(self, body: int, partial: bool) -> int:
        present, announced = max(body, 0) // 4, self._records.announced
        if announced < 0:
            raise FormatError(f"the header announces {announced} records")
        if present < announced:
            said = f"the header announces {announced} records, the file holds {present}"
            if not partial:
                raise FormatError(f"truncated: {said}")
            self.warnings.append(f"truncated: {said}; these were read")
            return present
        if not announced:
            said = f"the header announces no records (aborted measurement?); read all {present}"
            self.warnings.append(said)
            announced = present
        if body > 4 * announced:
            extra = body - 4 * announced
            self.warnings.append(f"{extra} bytes follow the {announced} records and were ignored")
        return announced

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks, each overwritten by the next."""
        self._check_count()
        decoder = Decoder(self._records)
        state = decoder.first_state()
        size = min(self._count, BLOCK_TAGS)
        raw, times, channels = np.empty(size, "<u4"), np.empty(size, np.int64), np.empty(size, np.int16)
        since_ps = np.empty(size, np.int64) if self.has_since else None
        with self.path.open("rb", buffering=0) as file:
            for start in range(0, self._count, BLOCK_TAGS):
                part = raw[: min(BLOCK_TAGS, self._count - start)]
                self._fill(file.fileno(), part, start)
                places = np.zeros(1, np.uint64)
                decoder.decode(part, start, state, places, (times, since_ps, channels))
                decoder.check(state)
                written = int(places[0])
                if written:
                    since = _NO_SINCE if since_ps is None else since_ps[:written]
                    yield Tags(times[:written], channels[:written], since)
        decoder.check_lateness(state)

    def read(self) -> Recording:
        """Read the whole file: a survey of its blocks says where each one's tags go, then all are decoded.

        Raises
        ------
        FormatError
            If the file is damaged or holds no tag.
        """
        self._check_count()
        threads = min(_MOST_THREADS, os.cpu_count() or 1, -(-self._count // _PIECE))
        with self.path.open("rb", buffering=0) as file, ThreadPoolExecutor(threads) as pool:
            return _Whole(self, self._records, self._count, file.fileno(), pool).recording()

    def _check_count(self) -> None:
        if not self._count:
            raise FormatError("no photon in the file")

    def _fill(self, descriptor: int, raw: npt.NDArray[np.uint32], start: int) -> None:
        read_records(descriptor, raw, self._records.at + 4 * start)

    def duration_s(self, last_ps: int) -> float | None:
        """Return the span of the records in s, or ``None`` where the header contradicts it."""
        span_s, stopped_s = last_ps * 1e-12, self._records.stopped_s
        if stopped_s > 0 and abs(span_s - stopped_s) > _STOPPED * stopped_s:
            self.warnings.append(
                f"records span {span_s:.3f} s, but the header says stopped after {stopped_s:.3f} s: "
                "records are missing or miscounted, and no rate follows"
            )
            return None
        return span_s


def read_records(descriptor: int, raw: npt.NDArray[np.uint32], offset: int) -> None:
    """Fill an array from a file at an offset in bytes; refuse (FormatError) a file that ends before."""
    view = raw.data.cast("B")
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise FormatError("the file became shorter while it was read")
        view, offset = view[count:], offset + count
    refuse_holes(raw)


class _Whole:
    """One whole file on its way to memory, in pieces that threads share.

    ``counts``, ``overflows`` and ``lasts`` are what the survey found, by piece.
    """

    def __init__(self, file: TttrFile, records: Records, count: int, descriptor: int, pool: ThreadPoolExecutor) -> None:
        self._file, self._records, self._descriptor, self._pool = file, records, descriptor, pool
        self._decoder = Decoder(records)
        self._starts = range(0, count, _PIECE)
        self._count = count
        self._buffers = threading.local()

    def recording(self) -> Recording:
        from qdhil.tags import _decoding

        found = list(self._pool.map(self._survey, self._starts))
        counts = np.array([piece[0] for piece in found])
        counts[:, [_decoding.UNKNOWN_SLOT, _decoding.OVERFLOW_SLOT]] = 0
        totals = counts.sum(axis=0)
        bases = np.cumsum(totals) - totals
        places = bases + np.cumsum(counts, axis=0) - counts
        states = self._states([piece[1] for piece in found], [piece[2] for piece in found])
        times = np.empty(int(totals.sum()), np.int64)
        since = np.empty(times.size, np.int64) if self._records.layout.t3 else None
        outputs = (times, since)
        list(self._pool.map(partial(self._decode, outputs), self._starts, states, places.astype(np.uint64)))
        self._check(states)
        self._decoder.check_lateness(np.sum(states, axis=0))
        ends = {slot: slice(bases[slot], bases[slot] + totals[slot]) for slot in np.flatnonzero(totals)}
        falls = dict.fromkeys(ends, 0)
        if self._disordered(states, times, places):
            falls = {slot: _falls(times[part]) for slot, part in ends.items()}
        names = {slot: int(self._decoder.channel_of[slot]) for slot in ends}
        return finish(
            self._file,
            {names[slot]: times[part] for slot, part in ends.items()},
            {} if since is None else {names[slot]: since[part] for slot, part in ends.items()},
            {names[slot]: count for slot, count in falls.items()},
        )

    def _read(self, start: int) -> npt.NDArray[np.uint32]:
        if not hasattr(self._buffers, "raw"):
            self._buffers.raw = np.empty(_PIECE, "<u4")
        raw: npt.NDArray[np.uint32] = self._buffers.raw[: self._count - start]
        read_records(self._descriptor, raw, self._records.at + 4 * start)
        return raw

    def _survey(self, start: int) -> tuple[npt.NDArray[np.int64], int, int]:
        counts = np.zeros(self._decoder.channel_of.size, np.int64)
        overflows, last = self._decoder.survey(self._read(start), counts)
        return counts, overflows, last

    def _states(self, overflows: list[int], lasts: list[int]) -> list[npt.NDArray[np.int64]]:
        """Return the state in which each piece begins."""
        from qdhil.tags import _decoding

        states = [self._decoder.first_state()]
        above, last = 0, _decoding.NEVER
        for count, found in zip(overflows[:-1], lasts[:-1], strict=True):
            above += count * self._records.layout.wrap
            last = last if found == _decoding.UNCHANGED else found
            state = self._decoder.first_state()
            state[_decoding.ABOVE], state[_decoding.LAST] = min(above, 1 << 62), last
            states.append(state)
        return states

    def _decode(
        self,
        outputs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None],
        start: int,
        state: npt.NDArray[np.int64],
        places: npt.NDArray[np.uint64],
    ) -> None:
        raw = self._read(start)
        self._decoder.decode(raw, start, state, places, (*outputs, None))

    def _check(self, states: list[npt.NDArray[np.int64]]) -> None:
        """Check the pieces in the order of the file, with the overflows so far."""
        from qdhil.tags import _decoding

        overflows = 0
        for state in states:
            overflows += int(state[_decoding.OVERFLOWS])
            state[_decoding.OVERFLOWS] = min(overflows, 1 << 62)
            self._decoder.check(state)

    def _disordered(
        self, states: list[npt.NDArray[np.int64]], times: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
    ) -> bool:
        """Return whether any channel can be out of order: tags within a piece are, or two at a border."""
        from qdhil.tags import _decoding

        if any(state[_decoding.DISORDERED] for state in states):
            return True
        borders = np.unique(places[1:])
        borders = borders[(borders > 0) & (borders < times.size)]
        begins = np.isin(borders, places[0])
        return bool(np.any((times[borders] < times[borders - 1]) & ~begins))


def _falls(times: npt.NDArray[np.int64]) -> int:
    return int(np.count_nonzero(times[1:] < times[:-1]))
