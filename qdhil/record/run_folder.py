"""The run folder: everything that a verdict rests on, written as it happens.

::

    runs/20261123T081500Z-1.5.0-good/
        policy.toml  rack.toml        as they were used, and quarantine.toml where one was given
        verdict.json                  the verdict of the whole run
        sim-a1/run.json               rig, firmware, calibration, seeds, software
        sim-a1/blocks.jsonl           a line per block, fault or exclusion, in the order of time
        sim-a1/hbt.json  hbt.png      coincidence histogram by arm, as data and picture
        sim-a1/simulator.log          only where the rig is simulated
        sim-a1/guardian.log           only where the run was killed

A line of ``blocks.jsonl`` is flushed to the disk before the next block begins, so that a killed run
loses nothing that was measured. Other files are written beside and renamed.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qdhil.durable_files import replace_file
from qdhil.errors import ConfigurationError, InfraFault, RecordFault
from qdhil.gate.blocks import Arm, Block

BLOCKS_NAME = "blocks.jsonl"
RUN_NAME = "run.json"
VERDICT_NAME = "verdict.json"
POLICY_NAME = "policy.toml"
RACK_NAME = "rack.toml"
QUARANTINE_NAME = "quarantine.toml"


def create_run_folder(root: Path, label: str) -> Path:
    """Make and return a new folder below ``root`` named by the time and a label.

    Raises
    ------
    ConfigurationError
        If it can't be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = root / (f"{stamp}-{label}" + (f"-{attempt}" if attempt else ""))
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise ConfigurationError(f"run folder {root}: {error.strerror}") from error
    raise ConfigurationError(f"run folder {root}: a thousand runs named {stamp}-{label}")


def write_json(file: Path, data: Any) -> None:
    """Write JSON as :func:`write_bytes` does."""
    write_bytes(file, (json.dumps(data, indent=2, allow_nan=False, default=str) + "\n").encode())


def write_bytes(file: Path, data: bytes) -> None:
    """Write beside the target, flush to the disk, and rename, so that a reader never sees half a file.

    Raises
    ------
    RecordFault
        If it can't be written.
    """
    try:
        replace_file(file, data)
    except OSError as error:
        raise RecordFault(f"{file} can't be written: {error.strerror}") from error


class BlockJournal:
    """Append blocks, faults and exclusions of one rig to its ``blocks.jsonl``."""

    def __init__(self, folder: Path) -> None:
        try:
            # exclusive: two campaigns in one journal would be evidence for neither
            self._file = os.open(folder / BLOCKS_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordFault(f"{folder / BLOCKS_NAME} can't be begun: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def block(self, block: Block) -> None:
        """Keep a measured block."""
        self._append({"kind": "block", **block.record()})

    def fault(self, arm: Arm, quad: int, fault: InfraFault) -> None:
        """Keep a fault of the rig."""
        self._append({"kind": "fault", "arm": arm, "quad": quad, **fault.record()})

    def exclude(self, quad: int, reason: str) -> None:
        """Mark every block of a quad so far as not counting."""
        self._append({"kind": "exclude", "quad": quad, "reason": reason})

    def complete(self, quad: int) -> None:
        """Mark a quad as whole."""
        self._append({"kind": "complete", "quad": quad})

    def _append(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n").encode()
        try:
            if os.write(self._file, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            raise RecordFault(f"{BLOCKS_NAME} can't be written: {error.strerror}") from error


def read_blocks(folder: Path) -> list[Block]:
    """Return every block of a rig's folder in the order of time, those that don't count marked as excluded.

    Blocks of a quad that was never completed are excluded; a last line that a kill cut off is left out.

    Raises
    ------
    ConfigurationError
        If the journal is missing or damaged elsewhere.
    """
    blocks: list[Block] = []
    complete: set[int] = set()
    for record in _lines(folder / BLOCKS_NAME):
        kind = record.pop("kind", None)
        try:
            if kind == "block":
                blocks.append(Block.from_record(record))
            elif kind == "exclude":
                blocks = [_excluded(block, record["quad"], record["reason"]) for block in blocks]
            elif kind == "complete":
                complete.add(record["quad"])
            elif kind != "fault":
                raise ValueError(f"a line of the unknown kind {kind!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"block journal {folder / BLOCKS_NAME}: {error}") from error
    return [
        block
        if block.quad is None or block.quad in complete
        else _excluded(block, block.quad, "its quad was not completed")
        for block in blocks
    ]


def read_visits(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return, by arm, how many visits measured a block at least, and how many a fault ended.

    A visit that a fault ended may be among both: whether it had measured something is not told apart.

    Raises
    ------
    ConfigurationError
        If the journal is missing or damaged.
    """
    faults: Counter[str] = Counter()
    measured: set[tuple[int, str, str, str]] = set()
    for record in _lines(folder / BLOCKS_NAME):
        arm = str(record.get("arm"))
        if record.get("kind") == "fault":
            faults[arm] += 1
        elif record.get("kind") == "block" and record.get("configuration") != "blanked":
            measured.add((faults.total(), str(record.get("quad")), str(record.get("position")), arm))
    return Counter(visit[-1] for visit in measured), faults


def _excluded(block: Block, quad: int | None, reason: str) -> Block:
    if block.quad != quad or block.excluded is not None:
        return block
    return replace(block, excluded=reason)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ConfigurationError(f"block journal {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"block journal {file}: not UTF-8: {error}") from error
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ConfigurationError(f"block journal {file}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ConfigurationError(f"block journal {file}, line {number}: not a JSON object")
        yield record
