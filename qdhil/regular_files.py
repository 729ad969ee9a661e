"""Files that others may have put there: read without waiting, and only if they are files.

Where a pipe or a device lies in place of a file, a plain ``open`` would wait for ever or read without end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_regular(file: Path, flags: int = os.O_RDONLY) -> int:
    """Open what must be a file, and return its descriptor.

    Raises
    ------
    OSError
        If it can't be opened, or is something else than a file.
    """
    descriptor = os.open(file, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    number, said = (errno.EISDIR, os.strerror(errno.EISDIR)) if stat.S_ISDIR(mode) else (errno.EINVAL, "not a file")
    raise OSError(number, said, str(file))


def read_regular(file: Path, size_max_bytes: int = -1, flags: int = os.O_RDONLY) -> bytes:
    """Return the content of a file, or so many of its first bytes.

    Raises
    ------
    OSError
        If it can't be read, or is something else than a file.
    """
    with os.fdopen(open_regular(file, flags), "rb") as stream:
        return stream.read(size_max_bytes)
