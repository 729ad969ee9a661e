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
from qdhil.tags.recording import DelayHistogram, Histograms, Recording, Spectrum
from qdhil.tags.spectrum_text import looks_like_spectrum, read_spectrum
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
_SETUP = b"*IDENTIFICATION"
_CONVERT = "convert it to .ptu or a two-column histogram"
_KNOWN_BUT_UNREAD = {
    b"PK\x03\x04": ("a zip archive", _CONVERT),
    b"\x93NUMPY": ("a NumPy array", _CONVERT),
    b"SIMPLE  =": ("a FITS file", _CONVERT),
    b"\x1f\x8b": ("a gzip archive", _CONVERT),
    b"%PDF": ("a PDF document", _CONVERT),
    b"\xd0\xcf\x11\xe0": ("an Office document", _CONVERT),
    b"SITT": (
        "a Swabian .ttbin file, of no public format",
        "read it with the FileReader of their TimeTagger library and write records of 16 bytes: type u1, 0 u1, "
        "missed u2, channel i4, time i8 in ps",
    ),
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


def open_recording(
    path: Path, *, partial: bool = False, spectrum: bool = False
) -> Recording | DelayHistogram | Histograms | Spectrum:
    """Read a whole recording: time tags, one histogram of delays, several, or an optical spectrum.

    Parameters
    ----------
    path, partial
        As in :func:`open_tags`.
    spectrum
        Read text as a spectrum, where that isn't plain from it.

    Raises
    ------
    FormatError
        In one line, if the file can't be opened or read.
    """
    file = open_tags(path, partial=partial)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise FormatError(f"{path.stat().st_size} bytes are more than this reader holds in memory")
        return file.read() if file else _curves(path, _start(path), spectrum)
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
    for magic, (what, advice) in _KNOWN_BUT_UNREAD.items():
        if start.startswith(magic):
            raise FormatError(f"{what}, which is not read; {advice}")
    if _SETUP in start[:64]:
        raise FormatError("a Becker & Hickl .set or .sdt file, which is not read; tags are in the .spc file beside it")
    for looks_like, opened in _BY_LOOKS:
        if looks_like(start):
            return opened(path, partial=partial)
    return None


def _curves(path: Path, start: bytes, spectrum: bool) -> DelayHistogram | Histograms | Spectrum:
    if start.startswith(picoquant.MAGIC_HISTOGRAMS):
        return read_phu(path)
    if fixed_header.family_of(start):
        return read_fixed_histograms(path)
    if path.stat().st_size > _LARGEST_TEXT_BYTES:
        raise FormatError(f"{path.stat().st_size} bytes are more than a histogram as text can need")
    data = path.read_bytes()
    if looks_like_harp_export(start):
        return read_harp_export(data)
    return read_spectrum(data) if spectrum or looks_like_spectrum(data) else read_histogram_text(data)
