"""Time tags: as they travel from a tagger, and as recorded files keep them."""

from __future__ import annotations

from qdhil.tags.formats import open_recording
from qdhil.tags.recording import SYNC, DelayHistogram, Recording

__all__ = ["SYNC", "DelayHistogram", "Recording", "open_recording"]
