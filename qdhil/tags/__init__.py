"""Time tags: as they travel from a tagger, and as recorded files keep them."""

from __future__ import annotations

from qdhil.tags.formats import open_recording, open_tags
from qdhil.tags.recording import MARKER_BASE, SYNC, DelayHistogram, Histograms, Recording, Spectrum
from qdhil.tags.segments import write_segment
from qdhil.tags.stream import TagFile, Tags, collect, in_order

__all__ = [
    "MARKER_BASE",
    "SYNC",
    "DelayHistogram",
    "Histograms",
    "Recording",
    "Spectrum",
    "TagFile",
    "Tags",
    "collect",
    "in_order",
    "open_recording",
    "open_tags",
    "write_segment",
]
