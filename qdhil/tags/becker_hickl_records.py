"""Records of Becker & Hickl FIFO files (.spc): which bits of which card mean what.

Four layouts, from the top bit (the SPC-600's in 48 bits from its three 16-bit words):

==============  ===========================================================================================
SPC-1xx, -8xx   invalid, overflow, gap, marker, ADC 12, routing 4, macro time 12
SPC-600, 630    48 bits: macro time low 16 | routing 8, macro time high 8 | 0, gap, overflow, invalid, ADC 12
SPC-600, 630    32 bits: invalid, overflow, gap, 0, routing 3, macro time 17, ADC 8
SPC-QC          kind and input 4, time since the pulse 12, routing 4, macro time 12
==============  ===========================================================================================

In 32-bit records of the SPC-1xx and SPC-600 an overflow that is invalid counts overflows in its low 28 bits;
elsewhere an overflow is one. Kinds of SPC-QC-x04 (two bits, the input follows): photon, marker, overflow, photon
after a gap; of SPC-QC-x06: 0 and three bits of input a photon, 1000 an overflow, 1010 a marker, 11 and two bits of
input a photon after a gap.

Sources: The bh TCSPC Handbook, "Data structure of FIFO files"; SPC_data_file_structure.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


class Events(NamedTuple):
    """What a block's records say, each of shape (records,).

    ``macro`` counts within the range of the field; ``overflows`` come before the record; ``kept`` are photons and
    markers; ``lost`` are photons outside the card's time window; ``odd`` are records that no card writes.
    """

    macro: _Ints
    overflows: _Ints
    kept: _Bools
    marker: _Bools
    gap: _Bools
    lost: _Bools
    odd: _Bools
    routing: _Ints
    input: _Ints
    since: _Ints


@dataclass(frozen=True)
class SpcLayout:
    """One layout.

    Parameters
    ----------
    name
        Cards that write it.
    record
        dtype of a record; the header is as long.
    wrap
        What an overflow adds to the macro time.
    bins
        Range of the time since the pulse.
    decode
        Records to events.
    """

    name: str
    record: str
    wrap: int
    bins: int
    decode: Callable[[npt.NDArray[Any]], Events]

    @property
    def header_bytes(self) -> int:
        """Size of the header, which is that of a record."""
        return np.dtype(self.record).itemsize


def _bit(words: npt.NDArray[np.uint32], bit: int) -> _Bools:
    found: _Bools = (words >> np.uint32(bit)) & np.uint32(1) != 0
    return found


def _field(words: npt.NDArray[np.uint32], low: int, bits: int) -> _Ints:
    return ((words >> np.uint32(low)) & np.uint32((1 << bits) - 1)).astype(np.int64)


def _classic(words: npt.NDArray[np.uint32]) -> Events:
    invalid, overflow, gap, marker = (_bit(words, bit) for bit in (31, 30, 29, 28))
    counting = invalid & overflow & ~marker
    overflows = np.where(counting, _field(words, 0, 28), overflow)
    kept, none = ~invalid | marker, np.zeros(words.size, np.bool_)
    lost = invalid & ~marker & ~overflow
    adc = 4095 - _field(words, 16, 12)
    return Events(_field(words, 0, 12), overflows, kept, marker, gap, lost, none, _field(words, 12, 4), 0 * adc, adc)


def _spc600_short(words: npt.NDArray[np.uint32]) -> Events:
    invalid, overflow, gap = (_bit(words, bit) for bit in (31, 30, 29))
    counting = invalid & overflow
    overflows = np.where(counting, np.maximum(_field(words, 0, 28), 1), overflow)
    none, odd = np.zeros(words.size, np.bool_), _bit(words, 28) & ~counting
    adc = 255 - _field(words, 0, 8)
    lost = invalid & ~overflow
    return Events(_field(words, 8, 17), overflows, ~invalid, none, gap, lost, odd, _field(words, 25, 3), 0 * adc, adc)


def _spc600_long(records: npt.NDArray[Any]) -> Events:
    low, middle, high = (records[name].astype(np.uint32) for name in ("f0", "f1", "f2"))
    invalid, overflow, gap = (_bit(low, bit) for bit in (12, 13, 14))
    macro = high.astype(np.int64) | _field(middle, 0, 8) << 16
    none = np.zeros(low.size, np.bool_)
    adc = 4095 - _field(low, 0, 12)
    return Events(
        macro,
        overflow.astype(np.int64),
        ~invalid,
        none,
        gap,
        invalid & ~overflow,
        _bit(low, 15),
        _field(middle, 8, 8),
        0 * adc,
        adc,
    )


def _qc(words: npt.NDArray[np.uint32], six: bool) -> Events:
    kind = _field(words, 28, 4)
    overflow = kind == 8 if six else kind >> 2 == 2
    marker = kind == 10 if six else kind >> 2 == 1
    gap = kind >> 2 == 3
    photon = kind < 8 if six else kind >> 2 == 0
    odd = overflow & (words != np.uint32(1 << 31)) | ~(overflow | marker | gap | photon)
    entry = np.where(gap | (not six), kind & 3, kind & 7)
    none = np.zeros(words.size, np.bool_)
    return Events(
        _field(words, 0, 12),
        overflow.astype(np.int64),
        ~overflow,
        marker,
        gap,
        none,
        odd,
        _field(words, 12, 4),
        entry,
        _field(words, 16, 12),
    )


CLASSIC = SpcLayout("SPC-1xx", "<u4", 1 << 12, 4096, _classic)
SPC600_SHORT = SpcLayout("SPC-600 in 32 bits", "<u4", 1 << 17, 256, _spc600_short)
SPC600_LONG = SpcLayout("SPC-600 in 48 bits", "<u2,<u2,<u2", 1 << 24, 4096, _spc600_long)
QC_FOUR = SpcLayout("SPC-QC-x04", "<u4", 1 << 12, 4096, lambda words: _qc(words, six=False))
QC_SIX = SpcLayout("SPC-QC-x06", "<u4", 1 << 12, 4096, lambda words: _qc(words, six=True))
