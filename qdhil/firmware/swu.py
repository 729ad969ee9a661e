"""SWUpdate files: a cpio archive whose first member, ``sw-description``, says what the others are.

Read strictly: every member is described with its SHA-256 or refused, and nothing follows the archive but the
zeros that fill its last record. Formats: cpio "newc" and "crc" (cpio(5)), sw-description in libconfig or
JSON (sbabic.github.io/swupdate/sw-description.html).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qdhil.errors import RefusedError
from qdhil.firmware.libconfig import parse_libconfig
from qdhil.keys.strict_json import parse_json

DESCRIPTION = "sw-description"
SIGNATURE = "sw-description.sig"
WHAT = "SWUpdate file"
_HEADER_BYTES = 110
_FIELD = re.compile(rb"[0-9A-Fa-f]{104}")
_NAME = re.compile(r"[0-9A-Za-z_+-][0-9A-Za-z_.+-]*")
_NEWC, _CRC = b"070701", b"070702"
_FILE_KIND, _REGULAR_FILE = 0o170000, 0o100000
_DEPTH_MAX = 50
_RECORD_BYTES = 1 << 16
"""More zeros than this behind the archive are no filling of a record."""


@dataclass(frozen=True)
class SwuFacts:
    """What a SWUpdate file says of itself.

    Parameters
    ----------
    version
        ``software.version``.
    hardware
        Every ``hardware-compatibility``; ``None`` where there is none.
    members
        Names of the files inside.
    """

    version: str
    hardware: tuple[str, ...] | None
    members: tuple[str, ...]


def read_swu(data: bytes) -> SwuFacts:
    """Read a file and check its members against its description.

    Raises
    ------
    RefusedError
        With what is wrong.
    """
    members = dict(_members(data))
    if next(iter(members), None) != DESCRIPTION:
        raise _refused(f"its first member is not {DESCRIPTION}")
    software = _software(members[DESCRIPTION])
    _check_members(software, members)
    version = software.get("version")
    if not isinstance(version, str):
        raise _refused(f"{DESCRIPTION} has no software.version")
    hardware = [revision for found in _values(software, "hardware-compatibility") for revision in _texts(found)]
    if any(revision.startswith("#RE:") for revision in hardware):
        raise _refused("hardware-compatibility by a pattern can't be compared with a manifest")
    return SwuFacts(version, tuple(sorted(set(hardware))) or None, tuple(members))


def _software(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"{DESCRIPTION} is no text") from error
    what = f"{WHAT}: {DESCRIPTION}"
    parsed = parse_json(data, what) if text.lstrip().startswith("{") else parse_libconfig(text, what)
    software = parsed.get("software") if isinstance(parsed, dict) else None
    if not isinstance(software, dict):
        raise _refused(f"{DESCRIPTION} has no group software")
    return software


def _check_members(software: dict[str, Any], members: dict[str, bytes]) -> None:
    described = {DESCRIPTION, SIGNATURE}
    for group in _groups(software):
        name = group.get("filename")
        if name is None:
            continue
        digest = group.get("sha256")
        if name not in members or not isinstance(digest, str):
            raise _refused(f"{name} is described without its SHA-256, or is not there")
        if hashlib.sha256(members[name]).hexdigest() != digest.lower():
            raise _refused(f"{name} is not the file that {DESCRIPTION} describes")
        described.add(name)
    if unknown := members.keys() - described:
        raise _refused(f"{', '.join(sorted(unknown))}: not described in {DESCRIPTION}")


def _groups(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > _DEPTH_MAX:
        raise _refused(f"{DESCRIPTION} is nested too deep")
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _groups(inner, depth + 1)


def _values(software: dict[str, Any], name: str) -> Iterator[Any]:
    return (group[name] for group in _groups(software) if name in group)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _refused("hardware-compatibility must be a list of texts")
    return value


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member, in order."""
    at, seen = 0, set()
    while True:
        magic, fields = data[at : at + 6], data[at + 6 : at + _HEADER_BYTES]
        if magic not in (_NEWC, _CRC) or not _FIELD.fullmatch(fields):
            raise _refused("no cpio archive of the kind newc or crc")
        numbers = [int(fields[start : start + 8], 16) for start in range(0, len(fields), 8)]
        mode, size, name_size, checksum = numbers[1], numbers[6], numbers[11], numbers[12]
        name_end = at + _HEADER_BYTES + name_size
        start = _padded(data, name_end)
        end = start + size
        if not name_size or end > len(data) or data[name_end - 1] != 0:
            raise _refused("its archive is cut off")
        name = data[at + _HEADER_BYTES : name_end - 1].decode("ascii", "replace")
        if name == "TRAILER!!!":
            _check_end(data[end:], size)
            return
        if name in seen or not _NAME.fullmatch(name) or mode & _FILE_KIND != _REGULAR_FILE:
            raise _refused("a member twice, with a strange name, or that is no file")
        content = data[start:end]
        if magic == _CRC and sum(content) & 0xFFFFFFFF != checksum:
            raise _refused(f"{name}: its checksum is wrong")
        seen.add(name)
        yield name, content
        at = _padded(data, end)


def _padded(data: bytes, end: int) -> int:
    """Return the next multiple of four; what lies between must be zeros."""
    padded = end + -end % 4
    if any(data[end:padded]):
        raise _refused("its padding is not zero")
    return padded


def _check_end(rest: bytes, size: int) -> None:
    if size or len(rest) > _RECORD_BYTES or any(rest):
        raise _refused("something follows its archive")


def _refused(why: str) -> RefusedError:
    return RefusedError(f"{WHAT}: {why}")
