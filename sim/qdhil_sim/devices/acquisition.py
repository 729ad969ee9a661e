"""One acquisition of the time tagger: light drawn as device time passes, and the FIFO it waits in.

In turbo the client pulls: light is drawn when a block is asked for, so nothing is ever lost. In real
time light comes whether it is fetched or not, and what finds the FIFO full is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt

FIFO_TAGS = 1 << 23
DRAW_S = 0.02
"""Light is drawn in pieces of this length."""

Tags = npt.NDArray[np.int64]


class Light(Protocol):
    """Where tags come from."""

    def take(self, duration_ps: int) -> Tags:
        """Return the next ``duration_ps`` as packed sorted tags."""


class Acquisition:
    """Tags of one acquisition on their way to the client.

    Parameters
    ----------
    number
        Id of the acquisition, from 1.
    light
        The light, from the start of the acquisition.
    start_s, duration_s
        Device time of the start, and how long light is taken.
    fifo_tags
        Size of the FIFO; ``None`` for no limit (pulled light).
    """

    def __init__(self, number: int, light: Light, start_s: float, duration_s: float, fifo_tags: int | None) -> None:
        self.number = number
        self.start_s = start_s
        self.end_s = start_s + duration_s
        self.dropped = 0
        self.sequence = 0
        self._light = light
        self._drawn_ps = 0
        self._fifo_tags = fifo_tags
        self._fifo: deque[Tags] = deque()
        self._waiting = 0

    @property
    def drawn_s(self) -> float:
        """Device time in s from the start up to which light has been drawn."""
        return self._drawn_ps * 1e-12

    def progress_s(self, now_s: float) -> float:
        """Return how long light has been taken."""
        return min(now_s, self.end_s) - self.start_s

    def stop(self, now_s: float) -> None:
        """End now; what has been taken can still be fetched."""
        self.end_s = max(min(self.end_s, now_s), self.start_s + self.drawn_s)

    def draw_until(self, now_s: float) -> None:
        """Draw all light up to a device time; for light that does not wait."""
        while self._draw(now_s):
            pass

    def draw_tags(self, count: int) -> None:
        """Draw light until ``count`` tags wait or the acquisition is over; for pulled light."""
        while self._waiting < count and self._draw(self.end_s):
            pass

    def fetch(self, count: int) -> Tags:
        """Return and remove up to ``count`` waiting tags."""
        pieces = []
        while count and self._fifo:
            piece = self._fifo.popleft()
            if piece.size > count:
                self._fifo.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= piece.size
        tags = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.int64), *pieces])
        self._waiting -= tags.size
        return tags

    def _draw(self, until_s: float) -> bool:
        span_s = min(until_s, self.end_s) - self.start_s
        span_ps = min(round(DRAW_S * 1e12), round(span_s * 1e12) - self._drawn_ps)
        if span_ps <= 0:
            return False
        tags = self._light.take(span_ps)
        self._drawn_ps += span_ps
        room = tags.size if self._fifo_tags is None else min(tags.size, self._fifo_tags - self._waiting)
        self.dropped += tags.size - room
        if room:
            self._fifo.append(tags[:room])
            self._waiting += room
        return True
