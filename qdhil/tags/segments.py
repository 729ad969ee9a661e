"""qdhil's own segments: sorted tags in a Parquet file that any reader of Parquet understands.

Columns ``t_ps`` (int64, delta encoded), ``channel`` (int16, dictionary) and, where the tagger kept it,
``since_sync_ps`` (int64, delta encoded); no compression, which would gain nothing, and a checksum on every page.
What the tags mean stands in the file's key-value metadata: unit, schema_version, rig, run, firmware, and what a
recording knows beside its tags. A file appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdhil.errors import ConfigurationError, FormatError
from qdhil.tags.extras import optional
from qdhil.tags.stream import BLOCK_TAGS, LATEST_PS, TagFile, Tags, in_order

MAGIC = b"PAR1"
SCHEMA_VERSION = 1
ROW_GROUP_TAGS = 1 << 20
"""Row groups hold from this many tags to twice as many."""
_EXTRA = ("segments", "a Parquet segment")
_MOST_CHANNEL = 2046
_LABELS = ("rig", "run", "firmware")


def write_segment(source: TagFile, path: Path, labels: Mapping[str, str] | None = None) -> int:
    """Write the tags of a file as a segment, sorted by time, in bounded memory; return how many.

    Parameters
    ----------
    source
        Where the tags come from.
    path
        The segment; replaced if it exists.
    labels
        ``rig``, ``run`` and ``firmware``, as far as known.

    Raises
    ------
    FormatError
        If the source turns out damaged; then nothing is left at ``path``.
    ConfigurationError
        If a label is unknown, or pyarrow isn't installed.
    """
    unknown = set(labels or {}) - set(_LABELS)
    if unknown:
        raise ConfigurationError(f"a segment has no label {sorted(unknown)[0]!r}; there are {', '.join(_LABELS)}")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        count = _write(source, unfinished, dict(labels or {}))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _write(source: TagFile, path: Path, labels: dict[str, str]) -> int:
    arrow, parquet = optional("pyarrow", *_EXTRA), optional("pyarrow.parquet", *_EXTRA)
    fields = [("t_ps", arrow.int64()), ("channel", arrow.int16())]
    fields += [("since_sync_ps", arrow.int64())] if source.has_since else []
    schema = arrow.schema([arrow.field(name, kind, nullable=False) for name, kind in fields])
    delta = {name: "DELTA_BINARY_PACKED" for name, _ in fields if name != "channel"}
    count, last_ps = 0, 0
    options: dict[str, Any] = {"compression": "NONE", "use_dictionary": ["channel"], "column_encoding": delta}
    with parquet.ParquetWriter(path, schema, write_page_checksum=True, store_schema=False, **options) as writer:
        for tags in in_order(source, hold=ROW_GROUP_TAGS):
            columns = [tags.times_ps, tags.channels] + ([tags.since_ps] if source.has_since else [])
            table = arrow.table([arrow.array(column) for column in columns], schema=schema)
            writer.write_table(table, row_group_size=2 * ROW_GROUP_TAGS)
            count, last_ps = count + tags.times_ps.size, int(tags.times_ps[-1])
        if not count:
            raise FormatError("no photon in the file")
        writer.add_key_value_metadata(_metadata(source, labels, count, last_ps))
    return count


def _metadata(source: TagFile, labels: dict[str, str], count: int, last_ps: int) -> dict[str, str]:
    duration_s = source.duration_s(last_ps)
    facts: dict[str, object] = {
        "unit": "ps",
        "schema_version": SCHEMA_VERSION,
        **labels,
        "tags": count,
        "source_format": source.format,
        "period_ps": source.period_ps,
        "resolution_ps": source.resolution_ps,
        "duration_s": duration_s,
    }
    known = {name: str(value) for name, value in facts.items() if value is not None}
    return known | {"warnings": json.dumps(source.warnings)}


class SegmentFile(TagFile):
    """A segment; pyarrow reads it block by block.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        If the file is damaged, or is Parquet but no segment of a known version.
    ConfigurationError
        If pyarrow isn't installed.
    """

    def __init__(self, path: Path) -> None:
        arrow, parquet = optional("pyarrow", *_EXTRA), optional("pyarrow.parquet", *_EXTRA)
        try:
            with parquet.ParquetFile(path) as file:
                facts = {k.decode(): v.decode() for k, v in (file.metadata.metadata or {}).items()}
                names, rows = file.schema_arrow.names, file.metadata.num_rows
                kinds = {field.name: str(field.type) for field in file.schema_arrow}
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise FormatError(f"a damaged Parquet file: {_line(error)}") from error
        if facts.get("unit") != "ps" or facts.get("schema_version") != str(SCHEMA_VERSION):
            said = f"unit {facts.get('unit')!r}, schema_version {facts.get('schema_version')!r}"
            raise FormatError(f"a Parquet file that is no segment of version {SCHEMA_VERSION}: {said}")
        if kinds.get("t_ps") != "int64" or kinds.get("channel") != "int16":
            raise FormatError(f"a segment without its columns t_ps and channel: {', '.join(names)}")
        if not facts.get("tags", "").isdigit() or int(facts["tags"]) != rows:
            raise FormatError(f"a segment of {rows} tags that should hold {facts.get('tags')}")
        super().__init__(
            path,
            f"qdhil-segment/{facts.get('source_format', 'unknown')}",
            most_tags=rows,
            header=facts,
            period_ps=_number(facts, "period_ps"),
            has_since=kinds.get("since_sync_ps") == "int64",
            resolution_ps=_number(facts, "resolution_ps") or 1.0,
        )
        self._duration_s = _number(facts, "duration_s")
        self.warnings.extend(_warnings(facts))

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        arrow, parquet = optional("pyarrow", *_EXTRA), optional("pyarrow.parquet", *_EXTRA)
        names = ["t_ps", "channel"] + (["since_sync_ps"] if self.has_since else [])
        last_ps = 0
        try:
            with parquet.ParquetFile(self.path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(BLOCK_TAGS, columns=names, use_threads=False):
                    columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
                    last_ps = _check(columns, last_ps)
                    yield Tags(columns[0], columns[1], columns[2] if self.has_since else np.empty(0, np.int64))
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise FormatError(f"a damaged segment: {_line(error)}") from error

    def duration_s(self, last_ps: int) -> float | None:  # noqa: ARG002 - the segment knows it
        """Return the time measured in s as the segment's writer knew it, or ``None`` where it didn't."""
        return self._duration_s


def _check(columns: list[Any], last_ps: int) -> int:
    times, channels = columns[0], columns[1]
    if any(column.dtype.kind != "i" for column in columns):
        raise FormatError("a segment with missing values")
    if times.size == 0:
        return last_ps
    if bool(np.any(np.diff(times, prepend=last_ps) < 0)) or int(times[-1]) > LATEST_PS:
        raise FormatError("a segment whose tags are not sorted, or beyond 2^62 ps: damaged file")
    if int(channels.min()) < -1 or int(channels.max()) > _MOST_CHANNEL:
        raise FormatError(f"a segment with channels from {channels.min()} to {channels.max()}")
    return int(times[-1])


def _number(facts: Mapping[str, str], name: str) -> float | None:
    if name not in facts:
        return None
    try:
        value = float(facts[name])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise FormatError(f"a segment with {name} {facts[name]!r}")
    return value


def _warnings(facts: Mapping[str, str]) -> list[str]:
    try:
        warnings = json.loads(facts.get("warnings", "[]"))
    except ValueError as error:
        raise FormatError("a segment with unreadable warnings") from error
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        raise FormatError("a segment with unreadable warnings")
    return warnings


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
