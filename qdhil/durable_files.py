"""Files that are whole whatever happens: a reader sees the old content or the new, and so does the next start."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(file: Path, data: bytes) -> None:
    """Write beside a file, flush to the disk, and rename, so that nobody ever sees half of it.

    Raises
    ------
    OSError
        If it can't be written; the file is what it was then.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(file.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, with the names that were made or replaced in it.

    Raises
    ------
    OSError
        If it can't be flushed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
