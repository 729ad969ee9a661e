"""Numbers in text files, in whatever dress: encodings, separators, decimal commas, headings."""

from __future__ import annotations

import codecs
import re

from qdhil.errors import FormatError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMENTS = ("#", "%", "//", "!", "'", '"')
_LARGEST_BYTES = 1 << 26


def decode_text(data: bytes) -> str:
    """Return the text of a file, without its byte order mark.

    Raises
    ------
    FormatError
        If the bytes are no text.
    """
    if len(data) > _LARGEST_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a text of numbers")
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text or sum(ord(c) < 9 for c in text[:4096]):
        raise FormatError("neither a known binary recording nor text")
    return text


def rows_and_headings(text: str) -> tuple[list[list[float]], list[str]]:
    """Return the lines of numbers, and the lines before and between them that are comments or headings.

    Raises
    ------
    FormatError
        If there is no line of numbers, or something else after the first.
    """
    rows: list[list[float]] = []
    headings: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().strip("\ufeff")
        if not stripped:
            continue
        values = None if stripped.startswith(_COMMENTS) else _numbers(stripped)
        if values is not None:
            rows.append(values)
        elif rows and not stripped.startswith(_COMMENTS):
            raise FormatError(f"line {number} is not numbers: {stripped[:40]!r}")
        else:
            headings.append(stripped)
    if not rows:
        raise FormatError("no line of numbers in the text")
    return rows, headings


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line (separated by ; tab space or comma), ``None`` if it holds others."""
    if ";" in line or "\t" in line or (" " in line and ", " not in line):
        # here a comma can only be a decimal one
        fields = re.split(r"[;\t ]+", line.replace(",", "."))
    else:
        fields = re.split(r"\s*,\s*|\s+", line)
    try:
        return [float(part) for part in fields if part]
    except ValueError:
        return None
