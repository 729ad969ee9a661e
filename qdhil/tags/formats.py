"""Open a recording by what is in it, whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qdhil.errors import FormatError
from qdhil.tags import fixed_header, photon_hdf5, picoquant, segments
from qdhil.tags.becker_hickl import SpcFile, looks_like_spc
from qdhil.tags.harp_export import looks_like_harp_export, read_harp_export
from qdhil.tags.histogram_text import read_histogram_text
from qdhil.tags.picoquant_histograms import read_fixed_histograms, read_phu
from qdhil.tags.picoquant_records import is_histograms, open_fixed
from qdhil.tags.qutag import QutagFile, looks_like_qutag
from qdhil.tags.recording import DelayHistogram, Histograms, Recording
from qdhil.tags.stream import TagFile
from qdhil.tags.swabian import SwabianFile, looks_like_swabian

_LARGEST_BYTES = 4 << 30
_LARGEST_TEXT_BYTES = 1 << 26
_START_BYTES = 4096
_BY_LOOKS: tuple[tuple[Callable[[bytes], bool], type[QutagFile | SwabianFile | SpcFile]], ...] = (
    (looks_like_swabian, SwabianFile),
    (looks_like_spc, SpcFile),
    (looks_like_qutag, QutagFile),
)
"""Formats without a magic number, told by whether their first records make sense."""
_KNOWN_BUT_UNREAD = {
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "a NumPy array",
    b"SIMPLE  =": "a FITS file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
}


def open_tags(path: Path, *, partial: bool = False) -> TagFile | None:
    """Open a file of time tags for reading block by block, or return ``None`` if it holds something else.

    Parameters
    ----------
    path
        The file; its format is told by content.
    partial
        Read a truncated file as far as it goes, with a warning, rather than refuse it.

    Raises
    ------
    FormatError
        In one line, if the file can't be opened, or is of a tag format but damaged in its header.
    """
    start = _start(path)
    try:
        return _tag_file(path, start, partial)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error


def open_recording(path: Path, *, partial: bool = False) -> Recording | DelayHistogram | Histograms:
    """Read a whole recording: time tags, one histogram, or several.

    Parameters
    ----------
    path, partial
        As in :func:`open_tags`.

    Raises
    ------
    FormatError
        In one line, if the file can't be opened or read.
    """
    file = open_tags(path, partial=partial)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise FormatError(f"{path.stat().st_size} bytes are more than this reader holds in memory")
        return file.read() if file else _histograms(path, _start(path))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error


def _start(path: Path) -> bytes:
    try:
        if not path.stat() or not path.is_file():
            raise FormatError(f"{path}: not a file")
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    if not start:
        raise FormatError(f"{path}: the file is empty")
    return start


def _tag_file(path: Path, start: bytes, partial: bool) -> TagFile | None:
    if start.startswith(picoquant.MAGIC):
        return picoquant.open_ptu(path, partial=partial)
    if start.startswith(picoquant.MAGIC_HISTOGRAMS):
        return None
    if fixed_header.family_of(start):
        return None if is_histograms(path) else open_fixed(path, partial=partial)
    if start.startswith(photon_hdf5.MAGIC):
        return photon_hdf5.PhotonHdf5File(path)
    if start.startswith(segments.MAGIC):
        return segments.SegmentFile(path)
    for magic, what in _KNOWN_BUT_UNREAD.items():
        if start.startswith(magic):
            raise FormatError(f"{what}, which is not read; convert it to .ptu or a two-column histogram")
    for looks_like, opened in _BY_LOOKS:
        if looks_like(start):
            return opened(path, partial=partial)
    return None


def _histograms(path: Path, start: bytes) -> DelayHistogram | Histograms:
    if start.startswith(picoquant.MAGIC_HISTOGRAMS):
        return read_phu(path)
    if fixed_header.family_of(start):
        return read_fixed_histograms(path)
    if path.stat().st_size > _LARGEST_TEXT_BYTES:
        raise FormatError(f"{path.stat().st_size} bytes are more than a histogram as text can need")
    if looks_like_harp_export(start):
        return read_harp_export(path.read_bytes())
    return read_histogram_text(path.read_bytes())
