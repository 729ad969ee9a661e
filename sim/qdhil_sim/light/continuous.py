"""A dot under continuous excitation: its correlation in closed form, and the tags of an HBT experiment.

The dot is pumped at the rate W from its ground state, decays with Γ = 1/T1, and from the excited state
may be shelved in a dark state (k_s), from which it returns to the ground state (k_r). Then

    g2(τ) = 1 - (1 + a) exp(-|τ|/τ1) + a exp(-|τ|/τ2),

which without shelving is 1 - exp(-|τ|(W + Γ)). Light that is not the dot's, a share b of the photons,
leaves (1 - b)² of the dip. Coherence between ground and excited state is not in the model: it holds for
incoherent pumping, not for Rabi oscillations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from qdhil.errors import ConfigurationError
from qdhil.model_files import Strict
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.detector_bank import Input, best_efficiency
from qdhil_sim.light.event_stream import EventStream
from qdhil_sim.light.excitation import Probability
from qdhil_sim.light.setup import Provenance

if TYPE_CHECKING:
    from qdhil_sim.light._continuous import Cycle
    from qdhil_sim.light._detection import Frame

Floats = npt.NDArray[np.float64]
ContinuousPath = Literal["hbt", "blanked"]


class ContinuousEmitter(Strict):
    """An incoherently pumped dot with an optional dark state."""

    lifetime_ps: float = Field(gt=0)
    pump_per_ns: float = Field(gt=0)
    """Pump rate W from the ground state, in 1/ns."""
    shelving_per_ns: float = Field(default=0.0, ge=0)
    """Rate from the excited to the dark state, in 1/ns."""
    return_per_ns: float = Field(default=0.0, ge=0)
    """Rate from the dark to the ground state, in 1/ns; needed where there is shelving."""
    background_share: Probability = 0.0
    """Share of the photons that are not the dot's."""


class ContinuousSetup(Strict):
    """A continuously driven source in front of one splitter with two detectors."""

    schema_version: Literal[1] = 1
    title: str = ""
    kind: Literal["continuous"] = "continuous"
    transmission: Probability
    """From the emitter to the splitter."""
    splitter_transmission: Probability = 0.5
    """Share of the light that goes to detector a."""
    delay_b_ps: int = Field(default=0, ge=-(10**6), le=10**6)
    emitter: ContinuousEmitter
    detector_a: Detector
    detector_b: Detector
    provenance: dict[str, Provenance] = Field(default_factory=dict)
    """By the field's path in the profile, or by the name of a published measure."""


class Correlation(NamedTuple):
    """g2(τ) of a three-level dot: 1 + contrast·[-(1 + a)·exp(-|τ|/τ1) + a·exp(-|τ|/τ2)]."""

    contrast: float
    """(1 - b)² for a background share b."""
    bunching: float
    """a; 0 without shelving."""
    antibunching_ps: float
    """τ1."""
    bunching_ps: float
    """τ2; 1 without shelving, where it has no meaning."""
    photons_per_ps: float
    """Photons of the dot per ps at the emitter."""

    def at(self, delay_ps: npt.ArrayLike, *, sigma_ps: float = 0.0) -> Floats:
        """Return g2 at delays, blurred by a Gaussian of ``sigma_ps`` (both detectors in quadrature)."""
        fast, slow = (
            blurred_decay(delay_ps, time_ps, sigma_ps) for time_ps in (self.antibunching_ps, self.bunching_ps)
        )
        values: Floats = 1 + self.contrast * (self.bunching * slow - (1 + self.bunching) * fast)
        return values


def blurred_decay(delay_ps: npt.ArrayLike, decay_ps: float, sigma_ps: float) -> Floats:
    """Return exp(-|t|/decay) convolved with a Gaussian: ½ exp(-u²/2)[erfcx((a-u)/√2) + erfcx((a+u)/√2)]."""
    from scipy.special import erfc, erfcx

    delay = np.abs(np.asarray(delay_ps, np.float64))
    if sigma_ps == 0:
        return np.exp(-delay / decay_ps)
    a, u = sigma_ps / decay_ps, delay / sigma_ps
    near = np.exp(np.minimum(a * a / 2 - a * u, 500.0)) * erfc((a - u) / math.sqrt(2))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.exp(-u * u / 2) * erfcx((a - u) / math.sqrt(2))
    first = np.where(u < a, scaled, near)
    blurred: Floats = (first + np.exp(-u * u / 2) * erfcx((a + u) / math.sqrt(2))) / 2
    return blurred


def correlation(emitter: ContinuousEmitter) -> Correlation:
    """Return the correlation of a dot from the rate equations of its three levels.

    Raises
    ------
    ConfigurationError
        If it is shelved without return.
    """
    decay, pump = 1 / emitter.lifetime_ps, emitter.pump_per_ns / 1e3
    shelve, back = emitter.shelving_per_ns / 1e3, emitter.return_per_ns / 1e3
    contrast = (1 - emitter.background_share) ** 2
    if shelve == 0:
        photons = decay * pump / (decay + pump)
        return Correlation(contrast, 0.0, 1 / (decay + pump), 1.0, photons)
    if back == 0:
        raise ConfigurationError("emitter.return_per_ns must be positive where there is shelving")
    total = pump + decay + shelve + back
    product = (pump + decay + shelve) * back + pump * shelve
    root = math.sqrt(total**2 / 4 - product)
    fast = total / 2 + root
    slow = product / fast
    excited = pump * back / product
    bunching = (pump / excited - fast) / (fast - slow)
    return Correlation(contrast, bunching, 1 / fast, 1 / slow, decay * excited)


class ContinuousStream(EventStream):
    """Tags of both detectors under continuous excitation; there is no sync.

    Only detected photons are drawn: the time to the next one is a sum of a geometric number of cycles of
    the dot, drawn exactly as gamma variates.

    Parameters
    ----------
    setup
        Source, splitter and detectors.
    path
        ``hbt``, or ``blanked`` for dark counts alone.
    seed
        Seed of the acquisition.
    channel_a, channel_b
        Tagger inputs.
    """

    def __init__(
        self,
        setup: ContinuousSetup,
        path: ContinuousPath = "hbt",
        *,
        seed: int | Sequence[int],
        channel_a: int = 2,
        channel_b: int = 3,
    ) -> None:
        if path not in ("hbt", "blanked"):
            raise ConfigurationError(f"path {path!r} is not one of hbt, blanked")
        inputs = [Input(channel_a, setup.detector_a), Input(channel_b, setup.detector_b, setup.delay_b_ps)]
        shape = correlation(setup.emitter)
        lasting_ps = max(shape.antibunching_ps, shape.bunching_ps)
        super().__init__(inputs, seed=seed, period=None, sync=None, lasting_ps=lasting_ps)
        detected = setup.transmission * best_efficiency(inputs) if path == "hbt" else 0.0
        self._cycle = _cycle(setup.emitter, shape, detected)
        self._to_a = setup.splitter_transmission
        self._next = np.full(2, -1.0)

    def _draw(self, _frame: Frame, lasts_ps: int, photons: Floats) -> int:
        from qdhil_sim.light import _continuous

        before = self._next.copy()
        count = _continuous.fill(self._light_rng, self._cycle, self._to_a, float(lasts_ps), self._next, photons)
        if count < 0:
            self._next = before
        return count


def _cycle(emitter: ContinuousEmitter, shape: Correlation, detected: float) -> Cycle:
    from qdhil_sim.light._continuous import Cycle

    if emitter.background_share == 1:
        raise ConfigurationError("emitter.background_share must be below 1: there is a dot")
    leave = 1 / emitter.lifetime_ps + emitter.shelving_per_ns / 1e3
    shelved = emitter.shelving_per_ns / 1e3 / leave
    background = emitter.background_share / (1 - emitter.background_share) * shape.photons_per_ps * detected
    return Cycle(
        detected=detected * (1 - shelved),
        shelved=shelved,
        pump_ps=1e3 / emitter.pump_per_ns,
        excited_ps=1 / leave,
        dark_ps=1e3 / emitter.return_per_ns if emitter.return_per_ns > 0 else 0.0,
        background_gap_ps=1 / background if background > 0 else 0.0,
    )
