"""Becker & Hickl FIFO files (.spc): a header of one record's size, then records as the card writes them.

Header of 32 bits: 1, routing bits 4, raw, markers, femtoseconds, six inputs (SPC-QC only), then the macro time clock in
0.1 ns (24 bits), or in fs where a SPC-QC says so (22 bits). Of 48 bits (SPC-600): a word whose bits 8 to 11 count
routing bits, the clock in 0.1 ns, and 0. All but the SPC-QC work in reversed start-stop mode, so the time since the
laser pulse is the highest ADC value less the ADC. Its unit only the .set file beside the .spc tells; which card
wrote the records the .set file tells too, otherwise the records themselves.

The "absolute time" mode of SPC-QC cards can't be told from the others; there the time since the pulse means nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.becker_hickl_records import CLASSIC, QC_FOUR, QC_SIX, SPC600_LONG, SPC600_SHORT, Events, SpcLayout
from qdhil.tags.fixed_records import read_blocks, whole_records
from qdhil.tags.recording import MARKER_BASE
from qdhil.tags.stream import LATEST_PS, TagFile, Tags

_FASTEST_PS, _SLOWEST_PS = 1.0, 1e7
_SPC600_CLOCK_PS = 50_000
_SNIFFED, _FEWEST = 512, 7
_MOST_OVERFLOWS = 1 << 26
_LARGEST_SETUP = 1 << 22
_UNREAD = frozenset((0x23, 0x24, 0x27, 0x29))
"""Module codes of .set files whose .spc files have other records: SPC-700, 730, 930, DPC-230."""
_SPC600, _QC_FOUR, _QC_SIX = (0x21, 0x22), (0x8B, 0x8C), (0x8D, 0x8E)


def looks_like_spc(start: bytes) -> bool:
    """Return whether a file's first bytes are a header and records whose macro time rises between overflows."""
    return bool(_possible(start))


def _possible(start: bytes) -> list[SpcLayout]:
    """Return the layouts in which the first records make sense, those of the header's flags first."""
    candidates: list[SpcLayout] = [SPC600_LONG]
    if len(start) >= 4 and start[3] & 0x80:
        qc = start[3] & 0x04
        candidates = [*([QC_SIX if start[2] & 0x80 else QC_FOUR] if qc else []), CLASSIC, SPC600_SHORT]
    found = [layout for layout in candidates if _makes_sense(start, layout)]
    return found[:1] if found[:1] in ([QC_FOUR], [QC_SIX]) else found


def _makes_sense(start: bytes, layout: SpcLayout) -> bool:
    size = layout.header_bytes
    if not _FASTEST_PS <= _clock_ps(start, layout) <= _SLOWEST_PS or (layout is CLASSIC and start[3] & 1):
        return False
    if layout is SPC600_SHORT and _clock_ps(start, layout) != _SPC600_CLOCK_PS:
        return False
    if layout is SPC600_LONG and (start[4:6] != b"\0\0" or start[0] > 15 or start[1] & 0xE0 or start[3] & 0x80):
        return False
    records = np.frombuffer(start[: len(start) - len(start) % size], layout.record)[1 : _SNIFFED + 1]
    if records.size < _FEWEST:
        return False
    events = layout.decode(records)
    total = events.macro + layout.wrap * np.cumsum(events.overflows)
    rises = bool(np.all(np.diff(total[events.kept]) >= 0)) and bool(events.kept.any())
    if layout in (QC_FOUR, QC_SIX) and not events.overflows.any():
        return False
    return rises and not events.odd.any() and int(events.overflows.max()) < _MOST_OVERFLOWS


def _clock_ps(header: bytes, layout: SpcLayout) -> float:
    """Return the unit of the macro time in ps; 0 where the header is too short."""
    if len(header) < layout.header_bytes:
        return 0.0
    if layout is SPC600_LONG:
        return int.from_bytes(header[2:4], "little") * 100.0
    word = int.from_bytes(header[:4], "little")
    if layout in (QC_FOUR, QC_SIX):
        return (word & 0x3FFFFF) * (1e-3 if word & 1 << 24 else 100.0)
    return (word & 0xFFFFFF) * 100.0


class SpcFile(TagFile):
    """An .spc file; the .set file beside it, if there is one, tells the card and the unit of the time since the pulse.

    Parameters
    ----------
    path
        The file.
    partial
        Read a file that ends within a record up to that record.

    Raises
    ------
    FormatError
        If the file is truncated, its .set file says that it is of a card that isn't known, or its records could be
        of two.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        with path.open("rb") as file:
            start = file.read(8 * _SNIFFED)
        setup, module = _setup_beside(path)
        self._layout = _layout(start, module)
        self._at = self._layout.header_bytes
        self._count, warnings = whole_records(path, self._at, self._at, partial=partial)
        self._bin_ps = _bin_ps(setup, self._layout.bins)
        self._routing_bits = start[3] >> 3 & 15
        super().__init__(
            path,
            "becker-hickl-spc",
            most_tags=self._count,
            header={"records": self._layout.name, **setup},
            has_since=self._bin_ps > 0,
            resolution_ps=_clock_ps(start, self._layout),
        )
        self.warnings += warnings
        if not self._bin_ps:
            self.warnings.append("no .set file beside the .spc tells the unit of the time since the laser pulse")
        self._gaps = 0

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        above, last, lost = 0, 0, 0
        self._gaps = 0
        wrap = self._layout.wrap
        for start, records in read_blocks(self.path, self._at, self._count, self._layout.record):
            events = self._layout.decode(records)
            if bool(events.odd.any()):
                raise FormatError(f"record {start + int(np.argmax(events.odd))} is none of {self._layout.name} cards")
            if (above + wrap * float(events.overflows.sum())) * self.resolution_ps > LATEST_PS:
                raise FormatError("times beyond 2^62 ps: damaged file")
            total = above + events.macro + wrap * np.cumsum(events.overflows)
            above += wrap * int(events.overflows.sum())
            self._gaps += int(np.count_nonzero(events.kept & events.gap))
            lost += int(np.count_nonzero(events.lost))
            if bool(events.kept.any()):
                last = _check_order(total[events.kept], last)
                yield self._tags(events, total)
        if lost:
            self.warnings.append(f"{lost} photons outside the time window of the card were left out")
        if self._gaps:
            self.warnings.append(f"photons were lost before {self._gaps} records (full buffer): no rate follows")

    def _tags(self, events: Events, total: npt.NDArray[np.int64]) -> Tags:
        kept, unit_ps = events.kept, self.resolution_ps
        marker = events.marker[kept]
        channel = events.routing[kept] | events.input[kept] << self._routing_bits
        channels = np.where(marker, MARKER_BASE + events.routing[kept], channel).astype(np.int16)
        since = np.where(marker, 0, np.rint(events.since[kept] * self._bin_ps)).astype(np.int64)
        whole = unit_ps == round(unit_ps)
        times = total[kept] * round(unit_ps) if whole else np.rint(total[kept] * unit_ps).astype(np.int64)
        return Tags(times, channels, since if self.has_since else since[:0])

    def duration_s(self, last_ps: int) -> float | None:
        """Return the span of the records in s, or ``None`` where photons were lost."""
        return None if self._gaps else last_ps * 1e-12


def _layout(start: bytes, module: int | None) -> SpcLayout:
    """Return the layout that the .set file's module code and the first records agree on."""
    found = _possible(start)
    if module is not None:
        wanted: tuple[SpcLayout, ...] = (CLASSIC,)
        if module in _SPC600:
            wanted = (SPC600_LONG, SPC600_SHORT)
        elif module in _QC_FOUR + _QC_SIX:
            wanted = (QC_SIX if module in _QC_SIX else QC_FOUR,)
        found = [layout for layout in wanted if layout in found or _makes_sense(start, layout)]
    if not found:
        said = "" if module is None else f" of module {module:#x}, which the .set file names"
        raise FormatError(f"the first records are not those{said}: damaged file")
    if len(found) > 1:
        names = " or ".join(layout.name for layout in found)
        raise FormatError(f"records of {names}: put the .set file beside the .spc, which tells the card")
    return found[0]


def _check_order(total: npt.NDArray[np.int64], last: int) -> int:
    falls = int(np.count_nonzero(np.diff(total, prepend=last) < 0))
    if falls:
        raise FormatError(
            f"the macro time falls {falls} times without an overflow: overflow records are missing, or records "
            "are out of order"
        )
    return int(total[-1])


def _setup_beside(path: Path) -> tuple[dict[str, str], int | None]:
    """Return the parameters of the .set file, by their names such as SP_TAC_R, and its module code."""
    beside = next((p for p in (path.with_suffix(".set"), path.with_suffix(".SET")) if p.is_file()), None)
    if beside is None or beside.stat().st_size > _LARGEST_SETUP:
        return {}, None
    data = beside.read_bytes()
    module = int.from_bytes(data[:2], "little") >> 4 & 0xFF
    if module in _UNREAD:
        raise FormatError(f"{beside.name} is of module {module:#x}, whose records are not read")
    found = re.findall(rb"#\w\w \[(\w+),\w,([^\]]*)\]", data)
    return {name.decode("ascii"): value.decode("latin-1") for name, value in found}, module


def _bin_ps(setup: dict[str, str], bins: int) -> float:
    """Return the step of the ADC in ps: the range of the TAC over its gain and its bins; 0 where unknown."""
    try:
        step_ps = float(setup["SP_TAC_R"]) * 1e12 / float(setup["SP_TAC_G"]) / bins
    except (KeyError, ValueError, ZeroDivisionError):
        return 0.0
    return step_ps if math.isfinite(step_ps) and 0 < step_ps < 1e6 else 0.0
