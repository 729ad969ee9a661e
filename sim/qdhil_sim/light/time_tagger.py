"""The way of tags out of a time tagger: a FIFO that is read at a limited rate, and what finds it full is lost."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from qdhil.errors import ConfigurationError

Tags = npt.NDArray[np.int64]


class Light(Protocol):
    """Where tags come from."""

    def take(self, duration_ps: int) -> Tags:
        """Return the next ``duration_ps`` as packed sorted tags."""


class TimeTagger:
    """Light as a tagger delivers it; what its FIFO has no room for is missing, and counted.

    The FIFO empties at a steady rate, and a tag that finds it full is lost, so the tags don't depend on how
    the acquisition is cut into takes.

    Parameters
    ----------
    light
        Where the tags come from.
    fifo_tags
        Room in the FIFO.
    readout_hz
        Tags per second that leave it.
    """

    def __init__(self, light: Light, *, fifo_tags: int, readout_hz: float) -> None:
        if fifo_tags < 1 or not readout_hz > 0:
            raise ConfigurationError("a tagger needs room for one tag, and a positive readout_hz")
        self._light = light
        self._fifo_tags = fifo_tags
        self._readout_per_ps = readout_hz * 1e-12
        self._level, self._at_ps = np.zeros(1), np.zeros(1, np.int64)
        self._lost: dict[int, int] = {}

    @property
    def dropped(self) -> int:
        """Tags lost so far, of all channels."""
        return sum(self._lost.values())

    @property
    def dropped_by_channel(self) -> dict[int, int]:
        """Tags lost so far, by channel."""
        return dict(sorted(self._lost.items()))

    def take(self, duration_ps: int) -> Tags:
        """Return what got through of the next ``duration_ps``, as sorted packed words."""
        from qdhil_sim.light._fifo import admit

        words = self._light.take(duration_ps)
        kept = np.empty(words.size, np.bool_)
        admit(words, self._fifo_tags, self._readout_per_ps, self._level, self._at_ps, kept)
        channels, counts = np.unique(words[~kept] & 31, return_counts=True)
        for channel, count in zip(channels.tolist(), counts.tolist(), strict=True):
            self._lost[channel] = self._lost.get(channel, 0) + count
        return words[kept]
