"""Whether an audit log is whole: every line exactly an entry, each holding the digest of the one before.

A chain alone can't show that its end was cut off, or that all of it was written anew: for that the number and
digest of its last line are noted elsewhere, as a *head*, and checked here.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from qdhil.audit.entry import NOTHING_BEFORE, Entry, decode, digest, signed_bytes
from qdhil.audit.log import LOCK_TIMEOUT_S, try_lock
from qdhil.errors import ConfigurationError
from qdhil.regular_files import open_regular


@dataclass(frozen=True, order=True)
class Head:
    """The end of a log at some time.

    Parameters
    ----------
    number
        Number of the last entry, 0 of an empty log.
    sha256
        Digest of its line.
    """

    number: int
    sha256: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NUMBER:HASH``.

        Raises
        ------
        ConfigurationError
            If it is something else.
        """
        match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
        if match is None:
            raise ConfigurationError("a head is NUMBER:HASH, as qdhil audit head prints it")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        """Return ``NUMBER:HASH``."""
        return f"{self.number}:{self.sha256}"


@dataclass(frozen=True)
class Examined:
    """What an examination of a log found.

    Parameters
    ----------
    head
        Its end, as far as it is whole.
    signed
        Entries with a valid signature of their actor.
    torn
        Numbers of the entries that follow what a crash left.
    tail_bytes
        What a crash left at the end, which the next entry will note.
    problem
        Why it is not whole, or nothing.
    """

    head: Head
    signed: int
    torn: tuple[int, ...]
    tail_bytes: int
    problem: str

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.problem


class _TamperedError(Exception):
    """What is wrong with a line."""


def verify_log(
    file: Path, *, heads: Sequence[Head] = (), on_entry: Callable[[Entry], None] = lambda _: None
) -> Examined:
    """Examine a log.

    Parameters
    ----------
    file
        The log.
    heads
        What was noted of it before; every one must still be in it.
    on_entry
        Called with every entry that follows rightly on the one before.

    Raises
    ------
    ConfigurationError
        If it can't be read.
    """
    walk = _Walk(heads)
    problem, tail_bytes = "", 0
    for place, (line, ended) in enumerate(_lines(file), start=1):
        if not ended:
            tail_bytes = len(line)
            break
        try:
            on_entry(walk.follow(line))
        except _TamperedError as error:
            problem = f"line {place}: {error}"
            break
    return Examined(walk.head, walk.signed, tuple(walk.torn), tail_bytes, problem or walk.missing())


class _Walk:
    """Follow a chain from its first line."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self.head = Head(0, NOTHING_BEFORE)
        self.signed = 0
        self.torn: list[int] = []
        self._heads: dict[int, set[str]] = {}
        for head in heads:
            self._heads.setdefault(head.number, set()).add(head.sha256)
        if self._heads.pop(0, {NOTHING_BEFORE}) != {NOTHING_BEFORE}:
            raise ConfigurationError("a head with the number 0 has the hash 0")

    def follow(self, line: bytes) -> Entry:
        try:
            entry, torn = decode(line)
        except ValueError as error:
            raise _TamperedError(str(error)) from error
        if entry.number != self.head.number + 1:
            raise _TamperedError(f"entry {entry.number} where {self.head.number + 1} belongs")
        if entry.previous != self.head.sha256:
            raise _TamperedError(f"entry {entry.number} follows another line than the one before it")
        self._check_signature(entry)
        self.head = Head(entry.number, digest(line))
        noted = self._heads.pop(entry.number, {self.head.sha256})
        if noted != {self.head.sha256}:
            raise _TamperedError(f"entry {entry.number} is not the one that was noted as head")
        if torn:
            self.torn.append(entry.number)
        return entry

    def missing(self) -> str:
        """Return what is wrong with the end."""
        if not self._heads:
            return ""
        return (
            f"the log ends at entry {self.head.number}, and entry {max(self._heads)} was noted as head: it was cut off"
        )

    def _check_signature(self, entry: Entry) -> None:
        actor = entry.actor
        if actor.known_by == "account":
            if actor.identity != actor.account or (actor.key_id, actor.public, actor.signature) != (None, None, None):
                raise _TamperedError(f"entry {entry.number}: its actor contradicts itself")
            return
        if not actor.key_id or not actor.public or not actor.signature or actor.identity != f"key:{actor.key_id}":
            raise _TamperedError(f"entry {entry.number}: its actor is a key and has not signed")
        if not _is_signature(actor.key_id, actor.public, actor.signature, signed_bytes(entry)):
            raise _TamperedError(f"entry {entry.number}: not signed by the key that it names")
        self.signed += 1


def _is_signature(key_id: str, public: str, signature: str, data: bytes) -> bool:
    from qdhil.keys.extra import public_key, signing

    library = signing()
    try:
        key = public_key(public)
        if key.keyid != key_id:
            return False
        key.verify_signature(library.Signature(key_id, signature), data)
    except (ValueError, library.UnverifiedSignatureError):
        return False
    return True


def _lines(file: Path) -> Iterator[tuple[bytes, bool]]:
    """Return the lines of a log at one moment, and whether each is ended by a line feed."""
    try:
        with os.fdopen(open_regular(file), "rb") as stream:
            left = _size(stream.fileno(), file)
            while left > 0:
                line = stream.readline(left)
                if not line:
                    return
                left -= len(line)
                yield line.removesuffix(b"\n"), line.endswith(b"\n")
    except OSError as error:
        raise ConfigurationError(f"audit log {file}: {error.strerror}") from error


def _size(descriptor: int, file: Path) -> int:
    """Return the size of a log while nobody is writing, so that no half line is taken for a crash."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while not try_lock(descriptor, fcntl.LOCK_SH):
        if time.monotonic() > deadline:
            raise ConfigurationError(f"audit log {file}: locked by another process for {LOCK_TIMEOUT_S:g} s")
        time.sleep(1e-3)
    size = os.fstat(descriptor).st_size
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return size
