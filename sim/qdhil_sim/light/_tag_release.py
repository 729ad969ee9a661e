"""Handing out the tags of two detectors in order, with dark counts, dead time and sync.

Where a plain dead time is all that a click does to later ones, the fast kernel is used; otherwise a
:class:`~qdhil_sim.light.detector_bank.DetectorBank`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from qdhil.errors import QdhilError
from qdhil.tags.wire import CHANNEL_BITS
from qdhil_sim.light import _detection
from qdhil_sim.light._detection import NEVER_PS, Frame, Tags
from qdhil_sim.light._frame_drawing import bound
from qdhil_sim.light._hardware import inputs_of
from qdhil_sim.light._random import Words
from qdhil_sim.light.detector import TaggerInputs
from qdhil_sim.light.detector_bank import DetectorBank, Input, SyncInput
from qdhil_sim.light.setup import Channels, Setup


class Release(Protocol):
    """A way of handing out tags."""

    def release(self, frame: Frame, until_ps: int, words: Tags) -> tuple[Tags, int]:
        """Return the tags before a time, and how many at the front of ``words`` now are those that wait."""


def release_of(setup: Setup, channels: Channels, rng: Words, lead_ps: int, margin_ps: int) -> Release:
    """Return the way that the setup's detectors call for, ``lead_ps`` before time 0."""
    plain = setup.detector_a.has_plain_dead_time and setup.detector_b.has_plain_dead_time
    if plain and setup.tagger == TaggerInputs():
        return PlainRelease(setup, channels, rng, lead_ps, margin_ps)
    inputs = [Input(channels.a, setup.detector_a), Input(channels.b, setup.detector_b, setup.delay_b_ps)]
    sync = SyncInput(channels.sync, setup.sync_divider, setup.sync_input_jitter_ps)
    return DetectorBank(inputs, sync, setup.tagger, rng, lead_ps)


class PlainRelease:
    """Dark counts, a non-paralysable dead time for each detector, and sync."""

    def __init__(self, setup: Setup, channels: Channels, rng: Words, lead_ps: int, margin_ps: int) -> None:
        self._setup, self._rng, self._margin_ps = setup, rng, margin_ps
        self._inputs = inputs_of(setup, channels)
        detectors = ((setup.detector_a, channels.a), (setup.detector_b, channels.b))
        words = [((-lead_ps if d.dark_rate_hz > 0 else NEVER_PS) << CHANNEL_BITS) | c for d, c in detectors]
        self._pending = np.array([*words, channels.sync, 0])
        self._last_ps = np.full(2, -NEVER_PS)

    def release(self, frame: Frame, until_ps: int, words: Tags) -> tuple[Tags, int]:
        """Return the tags before a time, and how many at the front of ``words`` now are those that wait."""
        out = np.empty(words.size + self._others(frame), np.int64)
        written, waiting = _detection.release(
            self._rng, self._inputs, frame, until_ps, words, words.size, self._pending, self._last_ps, out
        )
        if written < 0:
            raise QdhilError("the simulated light made more dark counts than its bound allows")
        return out[:written], waiting

    def _others(self, frame: Frame) -> int:
        """Return a bound on the sync tags and dark counts within a frame."""
        lasts_s = (frame.pulses * frame.period_ps + 2 * self._margin_ps) / 1e12
        darks = (self._setup.detector_a.dark_rate_hz + self._setup.detector_b.dark_rate_hz) * lasts_s
        return bound(darks) + math.ceil(lasts_s * self._setup.rep_rate_hz / self._setup.sync_divider) + 4
