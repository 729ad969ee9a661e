"""The slow drift of a rig's coupling, one continuous process over the device time of the rig."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qdhil_sim.light.setup import CouplingDrift

STEP_PS = 10**10
"""The coupling is constant within steps of this length of device time (10 ms)."""
_BLOCK = 4096


class Drift:
    """The coupling of a rig as a function of device time: exp of an Ornstein-Uhlenbeck process.

    All acquisitions on a rig share one object and so see one process. The value at a step depends only
    on the seed and the step, whatever was asked before. One float is kept per 41 s of device time.

    Parameters
    ----------
    drift
        Standard deviation and correlation time.
    seed
        Seed of the rig.
    """

    def __init__(self, drift: CouplingDrift, seed: int | Sequence[int]) -> None:
        self._sd = drift.coupling_sd
        self._memory = math.exp(-STEP_PS / 1e12 / drift.correlation_s)
        self._seed = seed
        self._lock = threading.Lock()
        self._starts = [float(self._normals(0)[0]) * self._sd]
        self._block = -1
        self._values: npt.NDArray[np.float64] = np.empty(0)

    def coupling(self, step: int) -> float:
        """Return the coupling (mean 1) in step number ``step`` of device time; before 0 it stands still."""
        if self._sd == 0:
            return 1.0
        block, index = divmod(max(step, 0), _BLOCK)
        with self._lock:
            if block != self._block:
                self._seek(block)
            return math.exp(float(self._values[index]) - self._sd**2 / 2)

    def _seek(self, block: int) -> None:
        """Hold the values of one block, walking there from the last block whose start is known."""
        for number in range(min(block, len(self._starts) - 1), block + 1):
            values = self._walk(number)
            if number == len(self._starts) - 1:
                self._starts.append(float(values[-1]))
        self._block, self._values = block, values[:-1]

    def _walk(self, block: int) -> npt.NDArray[np.float64]:
        """Return the exact AR(1) steps of one block and, last, the first value of the next."""
        from scipy.signal import lfilter

        kicks = self._sd * math.sqrt(1 - self._memory**2) * self._normals(block)[1:]
        start = self._starts[block]
        steps, _ = lfilter([1.0], [1.0, -self._memory], kicks, zi=[self._memory * start])
        return np.concatenate(([start], steps))

    def _normals(self, block: int) -> npt.NDArray[np.float64]:
        entropy = [self._seed] if isinstance(self._seed, int) else list(self._seed)
        return np.random.default_rng([*entropy, block]).standard_normal(_BLOCK + 1)
