"""Open a recording by what is in it, whatever its name."""

from __future__ import annotations

from pathlib import Path

from qdhil.errors import FormatError
from qdhil.tags.histogram_text import read_histogram_text
from qdhil.tags.picoquant import MAGIC, read_ptu
from qdhil.tags.qutag import looks_like_qutag, read_qutag
from qdhil.tags.recording import DelayHistogram, Recording

_LARGEST_BYTES = 4 << 30
_KNOWN_BUT_UNREAD = {
    b"PQHISTO": "a PicoQuant histogram file (.phu)",
    b"PicoHarp 300": "a PicoHarp file older than .ptu",
    b"HydraHarp": "a HydraHarp file older than .ptu",
    b"TimeHarp": "a TimeHarp file older than .ptu",
    b"#HydraHarp": "a HydraHarp export of decay curves",
    b"#PicoHarp": "a PicoHarp export of decay curves",
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"SIMPLE  =": "a FITS file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
}


def open_recording(path: Path) -> Recording | DelayHistogram:
    """Read a recording: PicoQuant .ptu, quTAG binary, or a histogram as text, told apart by content.

    Raises
    ------
    FormatError
        In one line, if the file can't be opened or read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FormatError(f"{path}: not a file")
        if size > _LARGEST_BYTES:
            raise FormatError(f"{path}: {size} bytes are more than this reader holds in memory")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    try:
        return _read(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _read(data: bytes) -> Recording | DelayHistogram:
    if not data:
        raise FormatError("the file is empty")
    if data.startswith(MAGIC):
        return read_ptu(data)
    for magic, what in _KNOWN_BUT_UNREAD.items():
        if data.startswith(magic):
            raise FormatError(f"{what}, which is not read; convert it to .ptu or a two-column histogram")
    if looks_like_qutag(data):
        return read_qutag(data)
    return read_histogram_text(data)
