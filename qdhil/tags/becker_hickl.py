"""Becker & Hickl FIFO files (.spc) of the SPC-1xx and SPC-8xx cards: 32-bit records after a 32-bit header.

Header: bit 31 set, bits 0 to 23 the macro time clock in 0.1 ns. A record is, from the top: invalid, overflow,
gap, marker, ADC (12 bits), routing (4 bits), macro time (12 bits). An invalid overflow record counts overflows
in its low 28 bits; an overflow bit elsewhere means one. The card works in reversed start-stop mode, so the time
since the laser pulse is 4095 - ADC, whose unit only the .set file beside the .spc tells.

Source: The bh TCSPC Handbook, "Data structure of FIFO files".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.recording import MARKER_BASE
from qdhil.tags.stream import BLOCK_TAGS, LATEST_PS, TagFile, Tags

_INVALID, _OVERFLOW, _GAP, _MARKER = (np.uint32(1 << bit) for bit in (31, 30, 29, 28))
_WRAP = 4096
_CLOCK_STEP_PS = 100
_SLOWEST_CLOCK = 100_000
_SNIFFED = 512
_MOST_OVERFLOWS = 1 << 26
_LARGEST_SETUP = 1 << 22
_OTHER_RECORDS = frozenset((0x21, 0x22, 0x23, 0x24, 0x27, 0x29, *range(0x8B, 0x8F)))
"""Module codes of .set files whose .spc files have other records: SPC-600, 630, 700, 730, 930, DPC-230, SPC-QC."""


def looks_like_spc(start: bytes) -> bool:
    """Return whether a file's first bytes are a header and records whose macro time rises between overflows."""
    words = np.frombuffer(start[: len(start) - len(start) % 4], "<u4")[: _SNIFFED + 1]
    if words.size < 8 or not words[0] & _INVALID or words[0] & np.uint32(0x78000000):
        return False
    if not 0 < int(words[0]) & 0xFFFFFF <= _SLOWEST_CLOCK:
        return False
    total, kept, counts = _macro_time(words[1:])
    falls = bool(np.any(np.diff(total[kept]) < 0))
    return not falls and bool(kept.any()) and int(counts.max()) < _MOST_OVERFLOWS


def _macro_time(
    records: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return the macro time of each record, whether it is a photon or marker, and its overflows."""
    invalid, overflow, marker = ((records & bit) != 0 for bit in (_INVALID, _OVERFLOW, _MARKER))
    counting = invalid & overflow & ~marker
    counts = np.where(counting, records & np.uint32(0x0FFFFFFF), overflow).astype(np.int64)
    total = (records & np.uint32(0xFFF)).astype(np.int64) + _WRAP * np.cumsum(counts)
    return total, ~invalid | marker, counts


class SpcFile(TagFile):
    """An .spc file; the .set file beside it, if there is one, gives the unit of the time since the pulse.

    Parameters
    ----------
    path
        The file.
    partial
        Read a file that ends within a record up to that record.

    Raises
    ------
    FormatError
        If the file is truncated, or its .set file says that it is of another card.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        body = path.stat().st_size - 4
        self._count, rest = divmod(max(body, 0), 4)
        if rest and not partial:
            raise FormatError(f"truncated: {body} bytes after the header are no whole number of 4-byte records")
        with path.open("rb") as file:
            clock_ps = (int.from_bytes(file.read(4), "little") & 0xFFFFFF) * _CLOCK_STEP_PS
        setup = _setup_beside(path)
        self._bin_ps = _bin_ps(setup)
        super().__init__(
            path,
            "becker-hickl-spc",
            most_tags=self._count,
            header=setup,
            has_since=self._bin_ps > 0,
            resolution_ps=clock_ps,
        )
        if rest:
            self.warnings.append(f"truncated: the file ends within a record; {self._count} were read")
        if not self._bin_ps:
            self.warnings.append("no .set file beside the .spc tells the unit of the time since the laser pulse")
        self._gaps = 0

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        above, last, skipped = 0, 0, 0
        self._gaps = 0
        with self.path.open("rb") as file:
            file.seek(4)
            for start in range(0, self._count, BLOCK_TAGS):
                size = min(BLOCK_TAGS, self._count - start)
                records = np.frombuffer(file.read(4 * size), "<u4")
                if records.size < size:
                    raise FormatError("the file became shorter while it was read")
                total, kept, counts = _macro_time(records)
                total += above
                above += _WRAP * int(counts.sum())
                if above * self.resolution_ps > LATEST_PS:
                    raise FormatError("times beyond 2^62 ps: damaged file")
                self._gaps += int(np.count_nonzero(kept & ((records & _GAP) != 0)))
                skipped += int(np.count_nonzero(~kept & ((records & _OVERFLOW) == 0)))
                if bool(kept.any()):
                    last = _check_order(total[kept], last)
                    yield self._tags(records[kept], total[kept])
        if skipped:
            self.warnings.append(f"{skipped} photons outside the time window of the card were left out")
        if self._gaps:
            self.warnings.append(f"photons were lost before {self._gaps} records (full buffer): no rate follows")

    def _tags(self, records: npt.NDArray[np.uint32], total: npt.NDArray[np.int64]) -> Tags:
        routing = ((records >> np.uint32(12)) & np.uint32(15)).astype(np.int16)
        marker = (records & _MARKER) != 0
        channels = np.where(marker, MARKER_BASE + routing, routing).astype(np.int16)
        adc = ((records >> np.uint32(16)) & np.uint32(0xFFF)).astype(np.int64)
        since = np.where(marker, 0, np.rint((4095 - adc) * self._bin_ps)).astype(np.int64)
        return Tags(total * round(self.resolution_ps), channels, since if self.has_since else since[:0])

    def duration_s(self, last_ps: int) -> float | None:
        """Return the span of the records in s, or ``None`` where photons were lost."""
        return None if self._gaps else last_ps * 1e-12


def _check_order(total: npt.NDArray[np.int64], last: int) -> int:
    falls = int(np.count_nonzero(np.diff(total, prepend=last) < 0))
    if falls:
        raise FormatError(
            f"the macro time falls {falls} times without an overflow: overflow records are missing, or records "
            "are out of order"
        )
    return int(total[-1])


def _setup_beside(path: Path) -> dict[str, str]:
    """Return the parameters of the .set file, by their names such as SP_TAC_R."""
    beside = next((p for p in (path.with_suffix(".set"), path.with_suffix(".SET")) if p.is_file()), None)
    if beside is None or beside.stat().st_size > _LARGEST_SETUP:
        return {}
    data = beside.read_bytes()
    module = int.from_bytes(data[:2], "little") >> 4 & 0xFF
    if module in _OTHER_RECORDS:
        raise FormatError(f"{beside.name} is of module {module:#x}, whose records are not read")
    found = re.findall(rb"#\w\w \[(\w+),\w,([^\]]*)\]", data)
    return {name.decode("ascii"): value.decode("latin-1") for name, value in found}


def _bin_ps(setup: dict[str, str]) -> float:
    """Return the step of the ADC in ps: the range of the TAC over its gain and 4096; 0 where unknown."""
    try:
        step_ps = float(setup["SP_TAC_R"]) * 1e12 / float(setup["SP_TAC_G"]) / _WRAP
    except (KeyError, ValueError, ZeroDivisionError):
        return 0.0
    return step_ps if math.isfinite(step_ps) and 0 < step_ps < 1e6 else 0.0
