"""An acquisition that is handed out in takes of any duration, as a time tagger's host reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from qdhil.errors import ConfigurationError
from qdhil.tags.wire import CHANNEL_BITS

_LONG_BEFORE_PS = -(1 << 56)


class Takes(ABC):
    """Cuts an acquisition that is made frame by frame into takes; a subclass makes the frames."""

    def __init__(self) -> None:
        self._ready = np.empty(0, np.int64)
        self._taken_ps, self._final_ps = 0, _LONG_BEFORE_PS

    def take(self, duration_ps: int) -> npt.NDArray[np.int64]:
        """Return the next ``duration_ps`` of the acquisition as sorted packed words.

        A tag belongs to the take in which its time lies; the tags are the same however an acquisition is cut.
        Memory grows with the duration of one take, not with that of the acquisition.

        Raises
        ------
        ConfigurationError
            If the duration is negative.
        """
        if duration_ps < 0:
            raise ConfigurationError(f"duration_ps = {duration_ps} must not be negative")
        self._taken_ps += int(duration_ps)
        parts = [self._ready]
        while self._final_ps < self._taken_ps:
            parts.append(self._next_frame())
        cut = int(np.searchsorted(parts[-1], self._taken_ps << CHANNEL_BITS))
        self._ready = parts[-1][cut:]
        parts[-1] = parts[-1][:cut]
        return np.concatenate(parts)

    @abstractmethod
    def _next_frame(self) -> npt.NDArray[np.int64]:
        """Return the tags that are final once the next frame is made, and set ``_final_ps`` to their end."""
