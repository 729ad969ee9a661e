"""SWUpdate files: a cpio archive of the kind crc, as ``cpio -o -H crc`` writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

RECORD_BYTES = 512


def member(name: str, content: bytes, *, magic: bytes = b"070702", mode: int = 0o100644) -> bytes:
    path = name.encode() + b"\0"
    checksum = sum(content) & 0xFFFFFFFF if magic == b"070702" else 0
    numbers = [7, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), checksum]
    head = magic + b"".join(b"%08X" % number for number in numbers) + path
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def archive(members: Iterable[tuple[str, bytes]], **options: bytes | int) -> bytes:
    data = b"".join(member(name, content, **options) for name, content in members)  # type: ignore[arg-type]
    data += member("TRAILER!!!", b"", mode=0)
    return data + bytes(-len(data) % RECORD_BYTES)


def description(content: bytes, *, version: str = "1.5.0", hardware: str = '"psc-2-rev-b"') -> str:
    return f"""
software = {{
    version = "{version}";  # of the whole
    description = "controller " "firmware";
    hardware-compatibility: [ {hardware} ];
    /* one image and one script */
    images: ( {{
        filename = "rootfs.img";
        device = "/dev/null";
        sha256 = "{hashlib.sha256(content).hexdigest()}";
    }} );
}}
"""


def made_swu(content: bytes = b"root file system", **options: str) -> bytes:
    return archive([("sw-description", description(content, **options).encode()), ("rootfs.img", content)])
