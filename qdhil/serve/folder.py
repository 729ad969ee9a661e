"""A folder of attestations, and what it says about a firmware.

Files are read anew for every question and verified by the gate's own function: what the folder, the trust
file or the clock says now is what is answered. Only which file names which firmware is remembered.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.gate.attestation import FILE_SUFFIX, Verified, verify
from qdhil.gate.verdict import Verdict, combine
from qdhil.keys.strict_json import SIZE_MAX_BYTES, parse_json
from qdhil.keys.trust import Trust, load_trust
from qdhil.serve.answer import Answer, Question, Word

FILES_MAX = 10_000
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Of a file that was removed since, or a link that leads nowhere; a file that can't be read might hold a BLOCK."""
_REASONS_SHOWN = 3
_WORDS: dict[Verdict, Word] = {
    Verdict.PASS: "pass",
    Verdict.BLOCK: "block",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.INFRA: "infra",
}

_Stamp = tuple[int, int, int, int]


class _Found(NamedTuple):
    """An attestation that holds for a question, with its bytes."""

    verified: Verified
    data: bytes


def _now() -> datetime:
    return datetime.now(UTC)


class AttestationFolder:
    """What ``*.attestation.json`` files in a folder say; never written to.

    Parameters
    ----------
    folder
        Where the files are. A link may lead elsewhere inside it, not outside.
    trust_file
        Whose signatures count; read again when it changes.
    clock
        The time.
    """

    def __init__(self, folder: Path, trust_file: Path, clock: Callable[[], datetime] = _now) -> None:
        self._folder = folder
        self._trust_file = trust_file
        self._clock = clock
        self._index: dict[str, tuple[_Stamp, str | None]] = {}
        self._trust: tuple[_Stamp, Trust] | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Refuse a folder or a trust file that can't be read.

        Raises
        ------
        ConfigurationError
            With the reason.
        """
        if not self._folder.is_dir():
            raise ConfigurationError(f"{self._folder}: no such folder of attestations")
        load_trust(self._trust_file)

    def answer(self, question: Question) -> Answer:
        """Return what is known of a firmware; whatever is wrong here is an unverified ``infra``, never an error.

        A proven harm stands while its attestation holds. Otherwise the latest measurement speaks; a file that
        does not hold is heard of only where none does, so that nobody can hide a verdict behind a forgery.
        """
        try:
            with self._lock:
                trust = self._trusted()
                files = list(self._files_of(question.firmware_sha256))
            return self._judged(question, trust, files)
        except OSError as error:
            return Answer("infra", False, f"the folder of attestations can't be read: {error.strerror}")
        except ConfigurationError:
            return Answer("infra", False, "the trust file can't be read")

    async def ask(self, question: Question, within_s: float = 10.0) -> Answer:
        """Return the answer without holding up others; a folder that takes too long is an ``infra``."""
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.to_thread(self.answer, question)
        except TimeoutError:
            return Answer("infra", False, f"the folder of attestations did not answer within {within_s:g} s")

    def _judged(self, question: Question, trust: Trust, files: list[Path]) -> Answer:
        found: list[_Found] = []
        refusals: list[str] = []
        for file in files:
            try:
                data = _read(file)
                found.append(_Found(verify(data, trust, question, self._clock()), data))
            except RefusedError as error:
                refusals.append(str(error))
            except FileNotFoundError:
                continue  # removed since it was listed
        if found:
            chosen = _speaks(found)
            word = _WORDS[chosen.verified.verdict]
            reason = "; ".join(chosen.verified.signed.claim.reasons) or word
            return Answer(word, True, reason, chosen.data, chosen.verified)
        if refusals:
            return Answer("refused", False, "; ".join(sorted(set(refusals))[:_REASONS_SHOWN]))
        return Answer("pending", False, "no attestation of this firmware")

    def _trusted(self) -> Trust:
        try:
            stamp = _stamp(self._trust_file.stat())
        except OSError as error:
            raise ConfigurationError("the trust file can't be read") from error
        if self._trust is None or self._trust[0] != stamp:
            self._trust = (stamp, load_trust(self._trust_file))
        return self._trust[1]

    def _files_of(self, firmware_sha256: str) -> Iterator[Path]:
        """Yield the files that name a firmware, after a look at every file that is new or changed."""
        root = self._folder.resolve(strict=True)
        seen: dict[str, tuple[_Stamp, str | None]] = {}
        for file, stamp in _candidates(self._folder, root):
            before = self._index.get(file.name)
            seen[file.name] = before if before is not None and before[0] == stamp else (stamp, _named(file))
            if seen[file.name][1] == firmware_sha256:
                yield file
        self._index = seen


def _candidates(folder: Path, root: Path) -> Iterator[tuple[Path, _Stamp]]:
    with os.scandir(folder) as entries:
        found = sorted((entry for entry in entries if entry.name.endswith(FILE_SUFFIX)), key=lambda entry: entry.name)
    if len(found) > FILES_MAX:  # the one that is left out might be the BLOCK
        raise OSError(errno.EFBIG, f"more than {FILES_MAX} attestations in it")
    for entry in found:
        file = folder / entry.name
        try:
            if entry.is_symlink() and not file.resolve(strict=True).is_relative_to(root):
                continue
            status = file.stat()
        except RuntimeError:  # a link to itself
            continue
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise
            continue
        if stat.S_ISREG(status.st_mode):
            yield file, _stamp(status)


def _speaks(found: list[_Found]) -> _Found:
    """Choose among attestations that hold."""
    harmful = [one for one in found if one.verified.verdict is Verdict.BLOCK]
    latest = max(one.verified.signed.claim.measured for one in found)
    last = harmful or [one for one in found if one.verified.signed.claim.measured == latest]
    worst = combine(one.verified.verdict for one in last)
    return next(one for one in last if one.verified.verdict is worst)


def _named(file: Path) -> str | None:
    """Return the firmware that a file is about by its own word; nothing is believed yet."""
    try:
        envelope = parse_json(_read(file), "attestation")
        statement = parse_json(base64.b64decode(envelope["payload"], validate=True), "statement")
        named = statement["subject"][0]["digest"]["sha256"]
    except (RefusedError, FileNotFoundError, ValueError, LookupError, TypeError):
        return None
    return named if isinstance(named, str) else None


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(SIZE_MAX_BYTES + 1)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
