"""Any number of detectors with memory on the inputs of one tagger: from photons to tags, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qdhil.errors import ConfigurationError, QdhilError
from qdhil.tags.wire import CHANNEL_BITS
from qdhil_sim.light.detector import Detector, TaggerInputs

if TYPE_CHECKING:
    from qdhil_sim.light._detection import Frame, Photons, Tags
    from qdhil_sim.light._detector_memory import Bank, Memory
    from qdhil_sim.light._random import Words

_LIFETIMES = 40
_MOST_TRIGGERED = 1 << 14
_PIECE = 1 << 14


@dataclass(frozen=True)
class Input:
    """One tagger input with its detector.

    Parameters
    ----------
    channel
        Number of the input, 0 to 30.
    detector
        What is connected to it.
    delay_ps
        Electrical delay of its tags.
    """

    channel: int
    detector: Detector
    delay_ps: int = 0

    @property
    def settling_ps(self) -> float:
        """Time after which a click no longer counts for anything."""
        return settling_ps(self.detector) + abs(self.delay_ps)


@dataclass(frozen=True)
class SyncInput:
    """The tagger input of the laser's divided clock."""

    channel: int
    divider: int
    jitter_ps: float


class DetectorBank:
    """The detectors and the sync input of an acquisition, with what they remember from frame to frame.

    Parameters
    ----------
    inputs
        The detectors; photons name them by their place here.
    sync
        Sync input, for pulsed light.
    tagger
        What the tagger's inputs do themselves.
    rng
        State of the random numbers for all that is not light.
    lead_ps
        How long before time 0 dark counts begin.

    Raises
    ------
    ConfigurationError
        If inputs share a channel or are outside 0 to 30.
    """

    def __init__(
        self, inputs: Sequence[Input], sync: SyncInput | None, tagger: TaggerInputs, rng: Words, lead_ps: int
    ) -> None:
        taken = [item.channel for item in inputs] + ([sync.channel] if sync else [])
        if len(set(taken)) != len(taken) or not all(0 <= channel <= 30 for channel in taken):
            raise ConfigurationError(f"channels {taken} must differ and lie within 0 to 30")
        self._rng = rng
        self._bank = _bank(inputs, sync, tagger)
        self._memory = _memory(inputs, sync, lead_ps)

    def detect(self, rng: Words, frame: Frame, photons: Photons, count: int, words: Tags, n: int) -> int:
        """Put the tags of ``photons[:count]`` in order into ``words[:n]``; return the new count.

        Photons are rows of time within the frame in ps and place of the detector, shape (rows, 2).
        """
        from qdhil_sim.light import _detector_memory

        return _detector_memory.detect(rng, self._bank, frame, photons, count, words, n)

    def release(self, frame: Frame, until_ps: int, words: Tags) -> tuple[Tags, int]:
        """Return the tags before a time, and how many at the front of ``words`` now are those that wait.

        Raises
        ------
        QdhilError
            If more afterpulses wait at one time than there is room for.
        """
        from qdhil_sim.light import _detector_memory

        parts, waiting, full = [], words.size, True
        while full:
            out = np.empty(waiting + _PIECE, np.int64)
            written, waiting = _detector_memory.release(
                self._rng, self._bank, self._memory, frame, until_ps, words, waiting, out
            )
            if written < 0:
                raise QdhilError(f"more than {_MOST_TRIGGERED} afterpulses wait at one time")
            full = written == out.size
            parts.append(out[:written])
        return np.concatenate(parts), waiting


def best_efficiency(inputs: Sequence[Input]) -> float:
    """Return the efficiency that all losses before the detectors may count with; the rest is drawn at each."""
    return max(item.detector.efficiency for item in inputs)


def settling_ps(detector: Detector) -> float:
    """Return the time after which a detector has forgotten a click."""
    afterpulses = detector.afterpulse_probability > 0
    return detector.dead_time_ps + (_LIFETIMES * detector.afterpulse_decay_ps if afterpulses else 0.0)


def _bank(inputs: Sequence[Input], sync: SyncInput | None, tagger: TaggerInputs) -> Bank:
    """Return what the kernels need to know of the detectors, in their order here."""
    from qdhil_sim.light._detector_memory import Bank

    detectors = [item.detector for item in inputs]
    number = np.zeros(32, np.int64)
    for place, item in enumerate(inputs):
        number[item.channel] = place
    best = best_efficiency(inputs) or 1.0
    return Bank(
        channel=np.array([item.channel for item in inputs]),
        number=number,
        keep=np.array([d.efficiency / best for d in detectors]),
        jitter_ps=np.array([d.jitter_ps for d in detectors]),
        delay_ps=np.array([float(item.delay_ps) for item in inputs]),
        dark_gap_ps=np.array([1e12 / d.dark_rate_hz if d.dark_rate_hz > 0 else 0.0 for d in detectors]),
        dead_ps=np.array([d.dead_time_ps for d in detectors]),
        extends=np.array([int(d.dead_time_kind == "paralysable") for d in detectors]),
        afterpulse=np.array([d.afterpulse_probability for d in detectors]),
        afterpulse_decay_ps=np.array([d.afterpulse_decay_ps for d in detectors]),
        crosstalk=tagger.crosstalk_probability,
        crosstalk_delay_ps=tagger.crosstalk_delay_ps,
        input_dead_ps=tagger.dead_time_ps,
        channel_sync=sync.channel if sync else -1,
        sync_divider=sync.divider if sync else 1,
        sync_jitter_ps=sync.jitter_ps if sync else 0.0,
    )


def _memory(inputs: Sequence[Input], sync: SyncInput | None, lead_ps: int) -> Memory:
    """Return the detectors' state ``lead_ps`` before the acquisition begins."""
    from qdhil_sim.light._detection import NEVER_PS
    from qdhil_sim.light._detector_memory import Memory

    first = [-lead_ps if item.detector.dark_rate_hz > 0 else NEVER_PS for item in inputs]
    words = [(t_ps << CHANNEL_BITS) | item.channel for t_ps, item in zip(first, inputs, strict=True)]
    words.append(sync.channel if sync else NEVER_PS << CHANNEL_BITS)
    return Memory(
        pending=np.array(words),
        last_ps=np.full(len(inputs), -NEVER_PS),
        tagged_ps=np.full(len(inputs), -NEVER_PS),
        triggered=np.empty(_MOST_TRIGGERED, np.int64),
        counts=np.zeros(2, np.int64),
    )
