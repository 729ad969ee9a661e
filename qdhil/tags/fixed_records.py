"""Records of one size behind a header: how many whole ones a file holds, and reading them in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.stream import BLOCK_TAGS

_Block = tuple[int, npt.NDArray[Any]]


def whole_records(path: Path, header_bytes: int, record_bytes: int, *, partial: bool) -> tuple[int, list[str]]:
    """Return how many records follow the header of a file that doesn't announce them, and what to warn of.

    Raises
    ------
    FormatError
        If there is none, or the file ends within one and isn't to be read in part.
    """
    body = max(path.stat().st_size - header_bytes, 0)
    count, rest = divmod(body, record_bytes)
    if not count or (rest and not partial):
        raise FormatError(f"truncated: {body} bytes of records are no whole number of {record_bytes}-byte records")
    return count, [f"truncated: the file ends within a record; {count} were read"] if rest else []


def read_blocks(path: Path, header_bytes: int, count: int, record: str | np.dtype[Any]) -> Iterator[_Block]:
    """Yield the number of the first record of each block, and the block's records.

    Raises
    ------
    FormatError
        If the file became shorter than ``count`` records, or has a hole.
    """
    kind = np.dtype(record)
    with path.open("rb") as file:
        file.seek(header_bytes)
        for start in range(0, count, BLOCK_TAGS):
            size = min(BLOCK_TAGS, count - start)
            raw = file.read(size * kind.itemsize)
            if len(raw) < size * kind.itemsize:
                raise FormatError("the file became shorter while it was read")
            records = np.frombuffer(raw, kind)
            refuse_holes(records)
            yield start, records


def refuse_holes(records: npt.NDArray[Any]) -> None:
    """Refuse (FormatError) runs of zeros, as broken copies leave them: no card writes four such records in a row."""
    # looks at one record in 256 bytes: a hole of a sector, 512 bytes, is always found
    step = max(256 // records.itemsize, 1)
    for at in np.flatnonzero(records[::step] == np.zeros((), records.dtype)) * step:
        if records.size >= at + 4 and not records[at : at + 4].tobytes().strip(b"\0"):
            raise FormatError("the file has a hole: its records are zero for a while")
