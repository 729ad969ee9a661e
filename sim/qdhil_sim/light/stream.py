"""The tags of one acquisition on a simulated rig, drawn photon by photon as they are taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from qdhil.errors import ConfigurationError, QdhilError
from qdhil.tags.acquisition import Configuration
from qdhil.tags.wire import CHANNEL_BITS
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.drift import STEP_PS, Drift
from qdhil_sim.light.setup import Channels, Detector, Setup

if TYPE_CHECKING:
    from qdhil_sim.light._detection import Clicks, Frame, Inputs
    from qdhil_sim.light._kernels import Optics, Source

"""How the light is routed."""

_FWHM_PER_SD = math.sqrt(8 * math.log(2))
_SIGMAS = 12


class LightStream:
    """One acquisition: the laser's sync tags and the clicks of both detectors, from time 0.

    Two signal photons that meet at the last splitter of the interferometer interfere; re-excitation,
    leak and spurious photons are distinguishable from everything, each other included, and route on
    their own. The tags are the same whatever the durations of the takes.

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
    ) -> None:
        from qdhil_sim.light._random import new_state

        if path not in get_args(Configuration):
            raise ConfigurationError(f"path {path!r} is not one of {', '.join(get_args(Configuration))}")
        if not 0 <= start_s < math.inf:
            raise ConfigurationError(f"start_s = {start_s} must be finite and not negative")
        channels = channels or Channels()
        self._setup, self._path, self._drift = setup, path, drift
        self._start_ps = round(start_s * 1e12)
        self._period = 10**12 / Fraction(setup.rep_rate_hz)
        self._source = _source(setup, controls)
        self._optics = _optics(setup, path)
        self._clicks = _clicks(setup, channels)
        self._inputs = _inputs(setup, channels)
        self._light_rng, self._other_rng = map(new_state, np.random.SeedSequence(seed).spawn(2))
        self._mean_photons = pulse_photons(controls, setup.emitter).mean
        self._margin_ps = math.ceil(_SIGMAS * self._jitter_ps()) + max(0, -setup.delay_b_ps) + 1
        self._ready = np.empty(0, np.int64)
        self._begin(channels)

    def take(self, duration_ps: int) -> npt.NDArray[np.int64]:
        """Return the next ``duration_ps`` of the acquisition as sorted packed words.

        A tag belongs to the take in which its time lies. Memory grows with the duration of one take,
        not with that of the acquisition.

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

    def _begin(self, channels: Channels) -> None:
        """Start early enough that the light, the dead times and the darks are under way at time 0."""
        from qdhil_sim.light import _detection

        setup = self._setup
        dead_ps = max(setup.detector_a.dead_time_ps, setup.detector_b.dead_time_ps)
        tail_ps = 40 * setup.emitter.lifetime_ps + self._source.spurious_delay_ps
        lead_ps = math.ceil(self._margin_ps + abs(setup.delay_b_ps) + dead_ps + tail_ps)
        delay = setup.interferometer.delay_periods
        self._pulse = -math.ceil(lead_ps / self._period) - delay - 1
        self._step = 0
        self._final_ps = -(1 << 56)
        self._taken_ps = 0
        self._buffer = np.empty(1024, np.int64)
        self._waiting = 0
        self._photons = np.empty((0, 2))
        first_ps = [
            -lead_ps if detector.dark_rate_hz > 0 else _detection.NEVER_PS
            for detector in (setup.detector_a, setup.detector_b)
        ]
        words = zip([*first_ps, 0], [channels.a, channels.b, channels.sync], strict=True)
        self._pending = np.array([*((t << CHANNEL_BITS) | c for t, c in words), 0])
        self._last_ps = np.full(2, -_detection.NEVER_PS)
        self._arm, self._span = np.zeros((delay + 1, 3)), np.zeros(2, np.int64)

    def _next_frame(self) -> npt.NDArray[np.int64]:
        """Draw the pulses up to the next step of the drift and return the tags that are final by then."""
        from qdhil_sim.light import _detection

        coupling = self._coupling()
        frame = self._frame()
        count = self._draw(frame, coupling)
        if self._buffer.size < self._waiting + count:
            self._buffer = np.concatenate((self._buffer[: self._waiting], np.empty(2 * count, np.int64)))
        waiting = _detection.detect(
            self._light_rng, self._clicks, frame, self._photons, count, self._buffer, self._waiting
        )
        self._final_ps = self._pulse_ps(self._pulse)[0] - self._margin_ps
        out = np.empty(waiting + self._others(frame), np.int64)
        written, self._waiting = _detection.release(
            self._other_rng,
            self._inputs,
            frame,
            self._final_ps,
            self._buffer,
            waiting,
            self._pending,
            self._last_ps,
            out,
        )
        if written < 0:
            raise QdhilError("the simulated light made more dark counts than its bound allows")
        return out[:written]

    def _draw(self, frame: Frame, coupling: float) -> int:
        """Draw the photons of a frame and return how many there are."""
        from qdhil_sim.light import _interference, _kernels

        size = _bound(self._mean_photons * coupling * frame.pulses) + 2 * len(self._arm)
        if len(self._photons) < size:
            self._photons = np.empty((size, 2))
        drawn = (self._light_rng, self._source, self._optics, frame, coupling, self._photons)
        hom = self._path.startswith("hom")
        count = _interference.fill_hom(*drawn, self._arm, self._span) if hom else _kernels.fill_hbt(*drawn)
        if count < 0:
            raise QdhilError("the simulated light made more photons than its bound allows")
        return count

    def _frame(self) -> Frame:
        from qdhil_sim.light._detection import Frame

        self._step += 1
        end_ps = self._step * STEP_PS - self._start_ps % STEP_PS
        first, self._pulse = self._pulse, max(math.ceil(end_ps / self._period), self._pulse)
        base_ps, phase_ps = self._pulse_ps(first)
        return Frame(base_ps, phase_ps, float(self._period), first, self._pulse - first, self._final_ps)

    def _pulse_ps(self, pulse: int) -> tuple[int, float]:
        """Return the nominal time of a pulse as whole ps and the rest."""
        exact = pulse * self._period
        return math.floor(exact), float(exact - math.floor(exact))

    def _coupling(self) -> float:
        """Return the chance of a photon to get from the emitter to a click in the coming drift step."""
        if self._path == "blanked":
            return 0.0
        setup = self._setup
        eta = setup.transmission * max(setup.detector_a.efficiency, setup.detector_b.efficiency)
        if self._path != "hbt":
            eta *= setup.interferometer.transmission
        if self._drift is not None:
            eta *= self._drift.coupling(self._start_ps // STEP_PS + self._step)
        return min(eta, 1.0)

    def _others(self, frame: Frame) -> int:
        """Return a bound on the sync tags and dark counts within a frame."""
        lasts_s = (frame.pulses * frame.period_ps + 2 * self._margin_ps) / 1e12
        darks = (self._setup.detector_a.dark_rate_hz + self._setup.detector_b.dark_rate_hz) * lasts_s
        return _bound(darks) + math.ceil(lasts_s * self._setup.rep_rate_hz / self._setup.sync_divider) + 4

    def _jitter_ps(self) -> float:
        """Return a bound on the standard deviation of anything that makes a tag early."""
        detectors = max(self._clicks.jitter_a_ps, self._clicks.jitter_b_ps)
        early = self._source.start_sd_ps + self._source.prompt_sd_ps
        return max(early + detectors, self._setup.sync_input_jitter_ps)


def _bound(mean: float) -> int:
    """Return a count that a compound Poisson number of this mean never reaches (odds below 1e-30)."""
    return math.ceil(1.3 * mean + 40 * math.sqrt(mean)) + 512


def _source(setup: Setup, controls: PulseControls) -> Source:
    from qdhil_sim.light._kernels import Source

    photons = pulse_photons(controls, setup.emitter)
    return Source(
        signal=photons.signal,
        extra=photons.reexcitation,
        leak=photons.leak,
        spurious=photons.spurious,
        decayed=photons.decayed,
        lifetime_ps=setup.emitter.lifetime_ps,
        start_sd_ps=controls.sync_jitter_ps,
        prompt_sd_ps=controls.pulse_fwhm_ps / _FWHM_PER_SD,
        spurious_delay_ps=controls.spurious_delay_ps,
    )


def _optics(setup: Setup, path: Configuration) -> Optics:
    from qdhil_sim.light._kernels import Optics

    mzi = setup.interferometer
    return Optics(
        to_a=mzi.bs2_transmission if path.startswith("hom") else setup.hbt.transmission,
        to_short=mzi.bs1_short,
        delay_periods=mzi.delay_periods,
        interference=(1 - mzi.mode_mismatch) ** 2 if path == "hom_parallel" else 0.0,
        dephasing_per_ps=setup.emitter.dephasing_rate_per_ps,
    )


def _clicks(setup: Setup, channels: Channels) -> Clicks:
    from qdhil_sim.light._detection import Clicks

    a, b = setup.detector_a, setup.detector_b
    best = max(a.efficiency, b.efficiency) or 1.0
    return Clicks(
        keep_a=a.efficiency / best,
        keep_b=b.efficiency / best,
        jitter_a_ps=a.jitter_ps,
        jitter_b_ps=b.jitter_ps,
        delay_b_ps=float(setup.delay_b_ps),
        channel_a=channels.a,
        channel_b=channels.b,
    )


def _inputs(setup: Setup, channels: Channels) -> Inputs:
    from qdhil_sim.light._detection import Inputs

    def gap_ps(detector: Detector) -> float:
        return 1e12 / detector.dark_rate_hz if detector.dark_rate_hz > 0 else 0.0

    return Inputs(
        dark_gap_a_ps=gap_ps(setup.detector_a),
        dark_gap_b_ps=gap_ps(setup.detector_b),
        dead_a_ps=setup.detector_a.dead_time_ps,
        dead_b_ps=setup.detector_b.dead_time_ps,
        channel_a=channels.a,
        channel_b=channels.b,
        channel_sync=channels.sync,
        sync_divider=setup.sync_divider,
        sync_jitter_ps=setup.sync_input_jitter_ps,
    )
