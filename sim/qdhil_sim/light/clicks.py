"""What the detectors of a setup must click: exact numbers for click detectors with dead time.

:mod:`~qdhil_sim.light.closed_form` gives areas of a photon counter. A detector with dead time clicks once
for all its photons of a pulse, and a click blinds it for the next ``floor(dead time / T)`` pulses, whose
light behind an interferometer is correlated with that of this one. Both pull the estimates away from the
closed forms, in proportion to the clicks per pulse.

Nothing is sampled. Pulse by pulse the light is a Markov chain: what waits in the long arm, and for how
many pulses each detector is still blind. A pulse's photons are enumerated with the rules of the event
sampler, so that one slot's clicks follow from the long arm's oldest pulse and the new one; the stationary
law of the chain gives the clicks, and its law some pulses after a click of the other detector gives the
coincidences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from qdhil.errors import ConfigurationError
from qdhil_sim.light._slot import SHARES, Floats, Routing, slot_odds
from qdhil_sim.light.controls import PulseControls, pulse_photons
from qdhil_sim.light.detector import TaggerInputs
from qdhil_sim.light.overlap import signal_overlap
from qdhil_sim.light.setup import Detector, Setup

LitPath = Literal["hbt", "hom_parallel", "hom_orthogonal"]

_MOST_STATES = 1 << 18
_LIFETIMES = 8
"""Light later than this many lifetimes (3e-4 of it) may fall outside a window or a dead time."""
_SIGMAS = 6
"""Standard deviations of all jitters that a window or a dead time allows for."""


@dataclass(frozen=True)
class PathClicks:
    """Clicks and coincidences per laser pulse on one path, at mean coupling and dark counts included.

    Parameters
    ----------
    clicks_a, clicks_b
        Clicks of each detector.
    peaks
        Coincidences by lag from -max_lag to max_lag; lag m pairs a click of a with one of b, m pulses
        later. They reach as far as the interferometer and the longer dead time do together: peaks further
        out differ from ``far`` only in second order of the clicks per pulse.
    far
        Coincidences in a peak so far out that its two clicks are independent.
    """

    clicks_a: float
    clicks_b: float
    peaks: tuple[float, ...]
    far: float

    @property
    def max_lag(self) -> int:
        """Largest lag in ``peaks``, in pulses."""
        return len(self.peaks) // 2

    @property
    def central(self) -> float:
        """Coincidences of clicks that belong to the same pulse."""
        return self.peaks[self.max_lag]

    @property
    def central_to_far(self) -> float:
        """Central over far coincidences; not a number in the dark."""
        return self.central / self.far if self.far > 0 else math.nan


@dataclass(frozen=True)
class ClickPrediction:
    """What the raw estimates of a setup with given controls must tend to.

    Parameters
    ----------
    hbt, parallel, orthogonal
        Clicks on the HBT path and on the HOM path in both polarisations.
    """

    hbt: PathClicks
    parallel: PathClicks
    orthogonal: PathClicks

    @property
    def g2(self) -> float:
        """g2(0), central over far coincidences."""
        return self.hbt.central_to_far

    @property
    def visibility_unc(self) -> float:
        """1 - 2 A0 / A_unc in parallel polarisation."""
        return 1 - 2 * self.parallel.central_to_far

    @property
    def visibility_cross(self) -> float:
        """1 - A∥ / A⊥, each central peak against its own far peaks."""
        return 1 - self.parallel.central_to_far / self.orthogonal.central_to_far

    @property
    def brightness(self) -> float:
        """Clicks of both detectors per pulse on the HBT path."""
        return self.hbt.clicks_a + self.hbt.clicks_b


def predict_clicks(setup: Setup, controls: PulseControls, *, window_ps: float) -> ClickPrediction:
    """Return clicks and coincidences per pulse, and with them the raw g2, visibilities and brightness.

    Exact in the photons per pulse and in the dead time, for windows and dead times that cut no light: a
    few times ``exp(-8)`` of the light at most may be on the wrong side. Two approximations remain. Where
    there is an unwanted second pulse, the overlap of two signal photons doesn't know of it (third order
    in the clicks per pulse). Where light and a dark count meet in one slot, the click is the light's.

    Parameters
    ----------
    setup, controls
        The rig's optics, and the excitation as firmware sets it.
    window_ps
        Full width of the window of a peak in ps. It decides which dark counts are coincident.

    Raises
    ------
    ConfigurationError
        If the light or the detectors have what the chain does not know (blinking, background, pulse pairs,
        afterpulses), if the window or a dead time would cut into the light of a pulse (a detector without dead time is
        one that counts photons), if the interferometer's delay and the dead times make too many states,
        or if the controls are beyond their model.
    """
    _check(setup, controls, window_ps)
    paths: tuple[LitPath, ...] = ("hbt", "hom_parallel", "hom_orthogonal")
    return ClickPrediction(*(_path_clicks(setup, controls, path, window_ps) for path in paths))


def _check(setup: Setup, controls: PulseControls, window_ps: float) -> None:
    emitter, detectors = setup.emitter, (setup.detector_a, setup.detector_b)
    beyond = {
        "a blinking dot": emitter.blinking.on_fraction < 1,
        "background at any time": emitter.background_photons > 0,
        "pulse pairs": setup.pulses_per_period > 1,
        "detectors with more memory than a dead time": not all(detector.has_plain_dead_time for detector in detectors),
        "a tagger with dead time or crosstalk": setup.tagger != TaggerInputs(),
    }
    for what, present in beyond.items():
        if present:
            raise ConfigurationError(f"exact clicks are not known for {what}")
    margin_ps = _LIFETIMES * (emitter.lifetime_ps + setup.excitation.feeding_ps)
    margin_ps += abs(setup.interferometer.delay_error_ps)
    margin_ps += controls.spurious_delay_ps if controls.spurious_area_pi > 0 else 0.0
    jitters = (detector.jitter_ps for detector in detectors)
    margin_ps += _SIGMAS * math.hypot(controls.sync_jitter_ps, setup.excitation.extra_jitter_ps, *jitters)
    if not 2 * margin_ps <= window_ps <= setup.period_ps:
        raise ConfigurationError(
            f"window_ps = {window_ps:g} must hold a whole peak, {2 * margin_ps:g} ps, and not exceed the period"
        )
    for name, detector in zip("ab", detectors, strict=True):
        rest_ps = detector.dead_time_ps % setup.period_ps
        if not margin_ps <= rest_ps <= setup.period_ps - margin_ps:
            raise ConfigurationError(
                f"detector_{name}.dead_time_ps = {detector.dead_time_ps} must end between two pulses, "
                f"{margin_ps:g} ps or more from either"
            )


def _path_clicks(setup: Setup, controls: PulseControls, path: LitPath, window_ps: float) -> PathClicks:
    chain = _chain(setup, controls, path)
    blind = max(chain.a.every.shape[0], chain.b.every.shape[0]) - 1
    reach = setup.interferometer.delay_periods + blind
    state = _stationary(chain)
    any_a, any_b, any_pairs = _moments(chain, state, chain.a.click, chain.b.click, reach)
    light_a, light_b, light_pairs = _moments(chain, state, chain.a.light, chain.b.light, reach)
    # two clicks of light are always within the window of their peak, others by chance
    inside = window_ps / setup.period_ps
    return PathClicks(
        clicks_a=any_a,
        clicks_b=any_b,
        peaks=tuple(inside * both + (1 - inside) * light for both, light in zip(any_pairs, light_pairs, strict=True)),
        far=inside * any_a * any_b + (1 - inside) * light_a * light_b,
    )


class _Blindness(NamedTuple):
    """A detector's steps by (pulses still blind, light 0 or 1, pulses then blind): all, or those that count."""

    every: Floats
    click: Floats
    light: Floats


class _Chain(NamedTuple):
    """The Markov chain of one path."""

    slot: Floats
    """Odds of (new pulse's share of the long arm, light at a, light at b) for each oldest share."""
    delay_periods: int
    a: _Blindness
    b: _Blindness


def _chain(setup: Setup, controls: PulseControls, path: LitPath) -> _Chain:
    mzi, hom = setup.interferometer, path != "hbt"
    overlap = signal_overlap(setup, controls) if path == "hom_parallel" else 0.0
    routing = Routing(
        survival=setup.transmission * (mzi.transmission if hom else 1.0),
        to_short=mzi.bs1_short if hom else 1.0,  # the HBT splitter is the last one with the long arm empty
        to_a=mzi.bs2_transmission if hom else setup.hbt.transmission,
        efficiency_a=setup.detector_a.efficiency,
        efficiency_b=setup.detector_b.efficiency,
        interference=(1 - mzi.mode_mismatch) ** 2 * overlap,
    )
    blind = [_blindness(detector, setup.period_ps) for detector in (setup.detector_a, setup.detector_b)]
    delay = mzi.delay_periods if hom else 1
    states = math.log2(SHARES) * delay + math.log2(blind[0].every.shape[0] * blind[1].every.shape[0])
    if states > math.log2(_MOST_STATES):
        raise ConfigurationError(
            f"interferometer.delay_periods = {delay} with these dead times makes more than {_MOST_STATES} states"
        )
    return _Chain(slot_odds(pulse_photons(controls, setup.emitter, setup.excitation), routing), delay, *blind)


def _blindness(detector: Detector, period_ps: float) -> _Blindness:
    blind = math.floor(detector.dead_time_ps / period_ps)
    dark = -math.expm1(-detector.dark_rate_hz * period_ps * 1e-12)
    every, click, light = (np.zeros((blind + 1, 2, blind + 1)) for _ in range(3))
    for left in range(1, blind + 1):
        every[left, :, left - 1] = 1
    click[0, :, blind] = dark, 1
    light[0, 1, blind] = 1
    every[0, :, 0] += 1 - dark, 0
    every[0] += click[0]
    return _Blindness(every, click, light)


def _step(chain: _Chain, state: Floats, at_a: Floats, at_b: Floats) -> Floats:
    """Return the state a slot later, or the part of it with the clicks that ``at_a`` and ``at_b`` select.

    A state has the shape (pulses a is blind, pulses b is blind, oldest share of the arm, the other shares).
    """
    lit = np.einsum("abor,onij->abrnij", state, chain.slot)
    after = np.einsum("abrnij,aip->pbrnj", lit, at_a)
    after = np.einsum("pbrnj,bjq->pqrn", after, at_b)
    following: Floats = after.reshape(state.shape)
    return following


def _stationary(chain: _Chain) -> Floats:
    blind_a, blind_b = chain.a.every.shape[0], chain.b.every.shape[0]
    state = np.zeros((blind_a, blind_b, SHARES, SHARES ** (chain.delay_periods - 1)))
    state[0, 0, 0, 0] = 1
    change = math.inf
    while change > 1e-14:
        after = _step(chain, state, chain.a.every, chain.b.every)
        after /= after.sum()
        change = float(np.abs(after - state).sum())
        state = after
    return state


def _moments(chain: _Chain, state: Floats, at_a: Floats, at_b: Floats, reach: int) -> tuple[float, float, list[float]]:
    """Return the odds of a selected click at a, at b, and at both, by lags from -reach to reach."""
    every_a, every_b = chain.a.every, chain.b.every
    central = float(_step(chain, state, at_a, at_b).sum())
    after_a, after_b = _step(chain, state, at_a, every_b), _step(chain, state, every_a, at_b)
    clicks_a, clicks_b = float(after_a.sum()), float(after_b.sum())
    later, earlier = [], []
    for _ in range(reach):
        later.append(float(_step(chain, after_a, every_a, at_b).sum()))
        earlier.append(float(_step(chain, after_b, at_a, every_b).sum()))
        after_a, after_b = (_step(chain, after, every_a, every_b) for after in (after_a, after_b))
    return clicks_a, clicks_b, [*reversed(earlier), central, *later]


def non_paralysable_rate_hz(rate_hz: float, dead_time_ps: float) -> float:
    """Return the click rate n/(1 + nτ) of steady light."""
    return rate_hz / (1 + rate_hz * dead_time_ps * 1e-12)


def paralysable_rate_hz(rate_hz: float, dead_time_ps: float) -> float:
    """Return the click rate n·exp(-nτ) of steady light, highest at n = 1/τ."""
    return rate_hz * math.exp(-rate_hz * dead_time_ps * 1e-12)
