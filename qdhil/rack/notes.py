"""Files beside the locks that every user of the host reads and writes, and who is writing.

The lock folder may be shared by several users and sticky, where nobody can replace another's file. So a
note is rewritten in place, always as one block of the same size: a reader sees the old text or the new,
and what a power failure tore apart can't be read, which its readers take for the worst.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from qdhil.audit.actor import account
from qdhil.durable_files import flush_folder
from qdhil.errors import ConfigurationError
from qdhil.regular_files import open_regular, read_regular

_BLOCK_BYTES = 4096
_LONGEST_NAME_BYTES = 200


def shared_file(lock_dir: Path, name: str) -> Path:
    """Return a file of the lock folder, made for every user of the host where it is missing.

    Raises
    ------
    ConfigurationError
        If it can't be made.
    """
    try:
        if not lock_dir.is_dir():
            lock_dir.mkdir(parents=True, exist_ok=True)
            lock_dir.chmod(0o1777)
        file = lock_dir / name
        with suppress(FileExistsError):
            # O_EXCL: a link that somebody left there must not lead out of the folder
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                os.fchmod(descriptor, 0o666)  # for every user of the host, whatever the umask
            finally:
                os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"lock folder {lock_dir}: {error.strerror}; set lock_dir in the rack file") from error
    return file


def write_note(file: Path, text: str) -> None:
    """Write a note in place and flush it to the disk; an empty text takes it away.

    Raises
    ------
    OSError
        If it can't be written, or is too long.
    """
    data = text.encode()
    if len(data) > _BLOCK_BYTES:
        raise OSError(f"a note of {len(data)} bytes; at most {_BLOCK_BYTES}")
    # without O_CREAT, which a sticky folder forbids on a file of somebody else
    descriptor = open_regular(file, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if data:
            os.pwrite(descriptor, data.ljust(_BLOCK_BYTES), 0)
        else:
            os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    flush_folder(file.parent)


def read_note(file: Path) -> str:
    """Return a note, empty where there is none.

    Raises
    ------
    OSError, UnicodeDecodeError
        If it can't be read.
    """
    try:
        data = read_regular(file, _BLOCK_BYTES + 1, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    if len(data) > _BLOCK_BYTES:
        raise OSError(f"longer than the {_BLOCK_BYTES} bytes of a note")
    return data.decode().strip()


def one_line(text: str, size_max_bytes: int) -> str:
    """Return a text as one line that fits into a note, without what is no character."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return line.encode()[:size_max_bytes].decode(errors="ignore")


def whoami() -> dict[str, str | int]:
    """Return who this process is to another user of the host: ``who``, ``process`` and ``since``."""
    run = os.environ.get("CI_RUN_ID") or os.environ.get("GITHUB_RUN_ID") or os.environ.get("CI_JOB_ID")
    who = account() + (f"#{run}" if run else "")
    return {
        "who": one_line(who, _LONGEST_NAME_BYTES),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
