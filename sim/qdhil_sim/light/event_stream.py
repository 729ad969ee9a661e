"""Streams of tags from any number of detectors; what kind of light they see is up to the subclass.

Light is drawn in frames that begin at fixed times of the acquisition, so that the tags don't depend on
how the acquisition is cut into takes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qdhil_sim.light.detector import TaggerInputs
from qdhil_sim.light.detector_bank import DetectorBank, Input, SyncInput
from qdhil_sim.light.takes import Takes

if TYPE_CHECKING:
    from qdhil_sim.light._detection import Frame

FRAME_PS = 10**10
_SIGMAS = 12
_LIFETIMES = 40


class EventStream(Takes):
    """One acquisition, drawn as it is taken; a subclass draws the photons of each frame.

    Parameters
    ----------
    inputs
        The detectors; photons name them by their place here.
    seed
        Seed of the acquisition.
    period
        Pulse period in ps, ``None`` for continuous light.
    sync
        Sync input, for pulsed light.
    lasting_ps
        Longest time constant of the light, which must be under way at time 0.
    start_sd_ps
        Standard deviation of what can make a photon early.
    tagger
        What the tagger's inputs do themselves.

    Raises
    ------
    ConfigurationError
        If inputs share a channel or are outside 0 to 30.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        seed: int | Sequence[int],
        period: Fraction | None,
        sync: SyncInput | None,
        lasting_ps: float,
        start_sd_ps: float = 0.0,
        tagger: TaggerInputs | None = None,
    ) -> None:
        from qdhil_sim.light._random import new_state

        super().__init__()
        self._period = period
        self._light_rng, other_rng = map(new_state, np.random.SeedSequence(seed).spawn(2))
        early_ps = max(0, *(-item.delay_ps for item in inputs)) + 1
        spread_ps = max([item.detector.jitter_ps for item in inputs] + ([sync.jitter_ps] if sync else []))
        self._margin_ps = math.ceil(_SIGMAS * (spread_ps + start_sd_ps)) + early_ps
        settling_ps = max(item.settling_ps for item in inputs)
        self._lead_ps = math.ceil(self._margin_ps + settling_ps + _LIFETIMES * lasting_ps)
        self._bank = DetectorBank(inputs, sync, tagger or TaggerInputs(), other_rng, self._lead_ps)
        self._buffer, self._waiting = np.empty(1024, np.int64), 0
        self._room = np.empty((1024, 2))
        self._number = 0
        self._next_pulse = 0 if period is None else -math.ceil(self._lead_ps / period)
        self._next_ps = -self._lead_ps

    @abstractmethod
    def _draw(self, frame: Frame, lasts_ps: int, photons: npt.NDArray[np.float64]) -> int:
        """Fill rows (time within the frame, input) in rough order of time; return their count.

        Returns a negative number where there are more than rows; random numbers and state of the light must
        then be as before. ``lasts_ps`` is the duration of the frame.
        """

    def _next_frame(self) -> npt.NDArray[np.int64]:
        frame, lasts_ps = self._frame()
        while (count := self._draw_again(frame, lasts_ps)) < 0:
            self._room = np.empty((2 * len(self._room), 2))
        if self._buffer.size < self._waiting + count:
            self._buffer = np.concatenate((self._buffer[: self._waiting], np.empty(2 * count, np.int64)))
        n = self._bank.detect(self._light_rng, frame, self._room, count, self._buffer, self._waiting)
        self._final_ps = frame.base_ps + lasts_ps - self._margin_ps
        out, self._waiting = self._bank.release(frame, self._final_ps, self._buffer[:n])
        return out

    def _draw_again(self, frame: Frame, lasts_ps: int) -> int:
        before = self._light_rng.copy()
        count = self._draw(frame, lasts_ps, self._room)
        if count < 0:
            self._light_rng[:] = before
        return count

    def _frame(self) -> tuple[Frame, int]:
        """Return the next frame and how long it lasts in ps."""
        from qdhil_sim.light._detection import Frame

        self._number += 1
        end_ps = self._number * FRAME_PS
        if self._period is None:
            base_ps, self._next_ps = self._next_ps, end_ps
            return Frame(base_ps, 0.0, 0.0, 0, 0, self._final_ps), end_ps - base_ps
        first, self._next_pulse = self._next_pulse, math.ceil(end_ps / self._period)
        exact = first * self._period
        base_ps = math.floor(exact)
        lasts_ps = math.floor(self._next_pulse * self._period) - base_ps
        pulses = self._next_pulse - first
        phase_ps = float(exact - base_ps)
        return Frame(base_ps, phase_ps, float(self._period), first, pulses, self._final_ps), lasts_ps
