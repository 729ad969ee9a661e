"""Drawing frames of light, ahead of their use and by several threads, and joining them in order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from qdhil.errors import QdhilError
from qdhil_sim.light import _detection, _emission, _interference
from qdhil_sim.light._detection import Clicks, Photons, Tags
from qdhil_sim.light._emission import Optics, Source
from qdhil_sim.light._frames import FrameTask
from qdhil_sim.light._patterns import Floats
from qdhil_sim.light._wandering import Dot

_Array = TypeVar("_Array")

_FRONT = 4096
"""Room before the tags of a frame for those that still wait of the frames before."""
_AHEAD_PER_THREAD = 3


class Drawn(NamedTuple):
    """A frame's light."""

    task: FrameTask
    buffer: Tags
    """Packed words in order, from place ``_FRONT`` on."""
    tags: int
    """How many there are."""
    early: Floats
    late: Floats


class FrameDrawer:
    """Draws frames, each from itself alone; may be called by several threads at once.

    Parameters
    ----------
    source, optics, dot, clicks
        The light's way from the dot to the tags.
    mean_photons
        Bound on the mean photon number per period at the emitter.
    hom
        Whether the light passes the interferometer.
    """

    def __init__(
        self, source: Source, optics: Optics, dot: Dot, clicks: Clicks, mean_photons: float, *, hom: bool
    ) -> None:
        self._source, self._optics, self._dot, self._clicks = source, optics, dot, clicks
        self._mean_photons, self._hom = mean_photons, hom
        self._photons: deque[Photons] = deque()
        self._buffers: deque[Tags] = deque()

    def draw(self, task: FrameTask) -> Drawn:
        """Return the light of a frame."""
        size = bound(self._mean_photons * task.coupling * task.frame.pulses) + self._optics.delay_pulses
        photons = _spare(self._photons)
        if photons is None or len(photons) < size:
            photons = np.empty((size, 2))
        rows = self._optics.delay_pulses + 1 if self._hom else 0
        early, late = np.empty((rows, 4)), np.empty((rows, 4))
        drawn = (task.light_rng, self._source, self._optics, self._dot, task.wandering, task.frame, task.coupling)
        if self._hom:
            count, n_early, n_late = _interference.fill_hom(*drawn, photons, early, late)
        else:
            count, n_early, n_late = _emission.fill_hbt(*drawn, photons), 0, 0
        if count < 0:
            raise QdhilError("the simulated light made more photons than its bound allows")
        buffer = _spare(self._buffers)
        if buffer is None or buffer.size < _FRONT + count:
            buffer = np.empty(_FRONT + len(photons), np.int64)
        count = _detection.detect(task.light_rng, self._clicks, task.frame, photons, count, buffer[_FRONT:], 0)
        self._photons.append(photons)
        return Drawn(task, buffer, count, early[:n_early], late[:n_late])

    def reuse(self, drawn: Drawn) -> None:
        """Take back the buffer of a frame that has been used."""
        self._buffers.append(drawn.buffer)


class Joiner:
    """Joins frames in order: light of the long arm to the next frame's, waiting tags to the new ones."""

    def __init__(self, source: Source, optics: Optics, clicks: Clicks, *, hom: bool) -> None:
        self._source, self._optics, self._clicks, self._hom = source, optics, clicks, hom
        self._arm: Floats = np.empty((0, 4))
        self._tail: Tags = np.empty(0, np.int64)

    def join(self, drawn: Drawn) -> Tags:
        """Return a view of the frame's tags with all that came before and still waits."""
        self._pair_up(drawn)
        start = _FRONT - self._tail.size
        if start < 0:
            joined = np.concatenate((self._tail, drawn.buffer[_FRONT : _FRONT + drawn.tags]))
            joined.sort()
            return joined
        joined = drawn.buffer[start : _FRONT + drawn.tags]
        joined[: self._tail.size] = self._tail
        _merge_front(joined, self._tail)
        return joined

    def keep(self, waiting: Tags) -> None:
        """Keep the tags that are not final yet."""
        self._tail = waiting.copy()

    def _pair_up(self, drawn: Drawn) -> None:
        """Let the long arm's light from before meet the frame's first, and put its tags with the waiting."""
        task, pairs = drawn.task, 2 if self._source.separation_ps > 0 else 1
        pulses = task.frame.pulses * pairs
        if self._hom:
            photons = np.empty((len(self._arm) + len(drawn.early), 2))
            count, done = _interference.fill_seam(
                task.seam_rng,
                self._optics,
                self._source.separation_ps,
                task.frame,
                pulses,
                self._arm,
                drawn.early,
                photons,
            )
            self._arm = self._arm[done:]
            tags = np.empty(self._tail.size + count, np.int64)
            tags[: self._tail.size] = self._tail
            count = _detection.detect(task.seam_rng, self._clicks, task.frame, photons, count, tags, self._tail.size)
            self._tail = tags[:count]
        if len(self._arm) or len(drawn.late):
            self._arm = np.concatenate((self._arm, drawn.late))
            self._arm[:, 0] -= pulses


class DrawAhead:
    """Frames in order, drawn ahead by a pool of threads; with one thread, drawn when they are asked for.

    How far ahead grows with what has been used, so that a short acquisition draws little in vain.
    """

    def __init__(self, tasks: Callable[[], FrameTask], draw: Callable[[FrameTask], Drawn], threads: int) -> None:
        self._tasks, self._draw = tasks, draw
        self._most = _AHEAD_PER_THREAD * threads if threads > 1 else 0
        self._ahead = 0
        self._futures: deque[Future[Drawn]] = deque()

    def next(self, wanted: int = 1) -> Drawn:
        """Return the next frame; ``wanted`` frames from this one on will be asked for in any case."""
        if self._most == 0:
            return self._draw(self._tasks())
        self._ahead = min(self._ahead + 1, self._most)
        while len(self._futures) < min(max(self._ahead, wanted), self._most):
            self._futures.append(_pool().submit(self._draw, self._tasks()))
        return self._futures.popleft().result()


def _spare(arrays: deque[_Array]) -> _Array | None:
    """Return one of the arrays; asking first whether there is one would race with other threads."""
    try:
        return arrays.pop()
    except IndexError:
        return None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bound(mean: float) -> int:
    """Return a count that a compound Poisson number of this mean never reaches (odds below 1e-30)."""
    return math.ceil(1.3 * mean + 40 * math.sqrt(mean)) + 512


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Return the threads that all streams of the process share."""
    return ThreadPoolExecutor(max_workers=usable_cores(), thread_name_prefix="light")


def _merge_front(words: Tags, tail: npt.NDArray[np.int64]) -> None:
    """Bring ``words`` into order, given that what follows its first ``tail.size`` words is in order."""
    if tail.size == 0 or tail.size == words.size or tail[-1] <= words[tail.size]:
        return
    mixed = int(np.searchsorted(words[tail.size :], tail[-1])) + tail.size
    words[:mixed].sort()
