"""The tags of one acquisition on a simulated rig, drawn photon by photon as they are taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import get_args

import numpy as np
import numpy.typing as npt

from qdhil.errors import ConfigurationError
from qdhil.tags.acquisition import Configuration
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.detector_bank import settling_ps
from qdhil_sim.light.drift import STEP_PS, Drift
from qdhil_sim.light.setup import Channels, Setup
from qdhil_sim.light.takes import Takes

_SIGMAS = 12
_LIFETIMES = 40


class LightStream(Takes):
    """One acquisition: the laser's sync tags and the clicks of both detectors, from time 0.

    Two signal photons that meet at the last splitter of the interferometer interfere; re-excitation, leak,
    background and spurious photons are distinguishable from everything, each other included, and route on
    their own. The tags are the same whatever the durations of the takes and the number of threads.

    Parameters
    ----------
    setup, controls
        The rig's optics, and the excitation as firmware sets it.
    path
        How the light is routed; ``blanked`` leaves dark counts and sync.
    seed
        Seed of this acquisition.
    channels
        Tagger inputs.
    start_s
        Device time at time 0 of the acquisition, for the drift.
    drift
        The rig's drift, shared by its acquisitions; without it the coupling stays at its mean.
    threads
        How many threads draw light ahead; 1 draws in the caller's, None takes the cores there are.

    Raises
    ------
    ConfigurationError
        If the path is not known, the start negative or the controls beyond their model.
    """

    def __init__(
        self,
        setup: Setup,
        controls: PulseControls,
        path: Configuration,
        *,
        seed: int | Sequence[int],
        channels: Channels | None = None,
        start_s: float = 0.0,
        drift: Drift | None = None,
        threads: int | None = None,
    ) -> None:
        from qdhil_sim.light import _hardware
        from qdhil_sim.light._frame_drawing import DrawAhead, FrameDrawer, Joiner, usable_cores
        from qdhil_sim.light._frames import Frames
        from qdhil_sim.light._random import new_state
        from qdhil_sim.light._tag_release import release_of

        _check(path, start_s, threads)
        super().__init__()
        channels = channels or Channels()
        self._setup, self._path, self._drift = setup, path, drift
        light, other = np.random.SeedSequence(seed).spawn(2)
        source, optics = _hardware.source_of(setup, controls), _hardware.optics_of(setup, path)
        dot, clicks = _hardware.dot_of(setup, controls), _hardware.clicks_of(setup, channels)
        margin_ps = self._margin_ps(source.start_sd_ps + source.prompt_sd_ps)
        lead_ps = self._lead_ps(margin_ps, source.spurious_delay_ps)
        period = 10**12 / Fraction(setup.rep_rate_hz)
        first_pulse = -math.ceil(lead_ps / period) - setup.interferometer.delay_periods - 1
        frames = Frames(period, round(start_s * 1e12), first_pulse, margin_ps, self._coupling, dot, light)
        mean = pulse_photons(controls, setup.emitter, setup.excitation).mean * setup.pulses_per_period
        drawer = FrameDrawer(source, optics, dot, clicks, mean, hom=path.startswith("hom"))
        self._reuse = drawer.reuse
        self._light = DrawAhead(frames.next, drawer.draw, threads or usable_cores())
        self._joiner = Joiner(source, optics, clicks, hom=path.startswith("hom"))
        self._release = release_of(setup, channels, new_state(other), lead_ps, margin_ps)

    def _next_frame(self) -> npt.NDArray[np.int64]:
        drawn = self._light.next(wanted=max(1, (self._taken_ps - self._final_ps) // STEP_PS))
        words = self._joiner.join(drawn)
        self._final_ps = drawn.task.final_ps
        out, waiting = self._release.release(drawn.task.frame, self._final_ps, words)
        self._joiner.keep(words[:waiting])
        self._reuse(drawn)
        return out

    def _coupling(self, step: int) -> float:
        """Return the chance of a photon to get from the emitter to a click in a step of the drift."""
        if self._path == "blanked":
            return 0.0
        setup = self._setup
        eta = setup.transmission * max(setup.detector_a.efficiency, setup.detector_b.efficiency)
        if self._path != "hbt":
            eta *= setup.interferometer.transmission
        if self._drift is not None:
            eta *= self._drift.coupling(step)
        return min(eta, 1.0)

    def _margin_ps(self, early_sd_ps: float) -> int:
        """Return how much earlier than its pulse a tag can be."""
        setup = self._setup
        sd_ps = early_sd_ps + max(setup.detector_a.jitter_ps, setup.detector_b.jitter_ps)
        sd_ps = max(sd_ps, setup.sync_input_jitter_ps)
        shorter_ps = max(0.0, -setup.interferometer.delay_error_ps)
        return math.ceil(_SIGMAS * sd_ps + shorter_ps) + max(0, -setup.delay_b_ps) + 1

    def _lead_ps(self, margin_ps: int, spurious_delay_ps: float) -> int:
        """Return how long before time 0 all must begin to be under way by then."""
        setup = self._setup
        memory_ps = max(settling_ps(detector) for detector in (setup.detector_a, setup.detector_b))
        light_ps = _LIFETIMES * (setup.emitter.lifetime_ps + setup.excitation.feeding_ps) + spurious_delay_ps
        return math.ceil(margin_ps + abs(setup.delay_b_ps) + memory_ps + light_ps)


def _check(path: str, start_s: float, threads: int | None) -> None:
    if path not in get_args(Configuration):
        raise ConfigurationError(f"path {path!r} is not one of {', '.join(get_args(Configuration))}")
    if not 0 <= start_s < math.inf:
        raise ConfigurationError(f"start_s = {start_s} must be finite and not negative")
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads = {threads} must be at least 1")
