"""Polarisation-entangled pairs of a two-photon excited dot: biexciton, then exciton.

A pair whose exciton lives for τ is in the state (|HH> + exp(iSτ/ħ)|VV>)/√2 with the fine-structure
splitting S. Scattering of the exciton's spin leaves no polarisation, and dephasing between its two
states leaves that of HH and VV alone (Hudson et al., Phys. Rev. Lett. 99, 266802 (2007)). Noise photons
are unpolarised and decay with the line they lie on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from qdhil.model_files import Strict
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.detector_bank import Input, SyncInput, best_efficiency
from qdhil_sim.light.event_stream import EventStream
from qdhil_sim.light.excitation import Probability
from qdhil_sim.light.setup import Provenance
from qdhil_sim.light.wave_plates import WavePlates

if TYPE_CHECKING:
    from qdhil_sim.light._cascade import Analysis, Pairs
    from qdhil_sim.light._detection import Frame

HBAR_UEV_PS = 658.2119569
"""ħ in µeV·ps."""
Matrix = npt.NDArray[np.complex128]


class CascadeEmitter(Strict):
    """A dot whose biexciton is prepared by two-photon excitation."""

    pair_probability: Probability
    """Chance that a pulse prepares the biexciton."""
    lifetime_biexciton_ps: float = Field(gt=0)
    lifetime_exciton_ps: float = Field(gt=0)
    splitting_uev: float = 0.0
    """Fine-structure splitting S of the exciton in µeV."""
    scattering_ps: float | None = Field(default=None, gt=0)
    """Time constant of spin scattering; ``None`` for never."""
    dephasing_ps: float | None = Field(default=None, gt=0)
    """Time constant of dephasing between the two exciton states; ``None`` for never."""
    noise_biexciton: Probability = 0.0
    """Chance of a noise photon per pulse on the biexciton's line."""
    noise_exciton: Probability = 0.0
    pulse_jitter_ps: float = Field(default=0.0, ge=0)


class PairChannels(Strict):
    """Tagger inputs of the sync and of the ports of both analysers."""

    sync: int = Field(default=1, ge=0, le=30)
    biexciton: int = Field(default=2, ge=0, le=30)
    biexciton_reflected: int = Field(default=3, ge=0, le=30)
    exciton: int = Field(default=4, ge=0, le=30)
    exciton_reflected: int = Field(default=5, ge=0, le=30)

    @model_validator(mode="after")
    def _distinct(self) -> PairChannels:
        if len(set(self.model_dump().values())) != 5:
            raise ValueError("sync and the four ports each need their own input")
        return self


class CascadeSetup(Strict):
    """A pair source with an analyser and two detectors for each photon."""

    schema_version: Literal[1] = 1
    title: str = ""
    kind: Literal["cascade"] = "cascade"
    rep_rate_hz: float = Field(gt=0, le=1e11)
    transmission_biexciton: Probability
    """From the emitter to the analyser."""
    transmission_exciton: Probability
    sync_divider: int = Field(default=1, ge=1)
    sync_input_jitter_ps: float = Field(default=5.0, ge=0)
    emitter: CascadeEmitter
    detector_biexciton: Detector
    """One at either port of the analyser."""
    detector_exciton: Detector
    provenance: dict[str, Provenance] = Field(default_factory=dict)
    """By the field's path in the profile, or by the name of a published measure."""

    @property
    def period_ps(self) -> float:
        """Pulse period T in ps."""
        return 1e12 / self.rep_rate_hz


class PairQuality(NamedTuple):
    """What the pairs of a source are worth, all pairs of one pulse counted."""

    fidelity: float
    """To Φ+ = (HH + VV)/√2."""
    concurrence: float
    chsh: float
    """Largest CHSH value over all settings."""


def pair_share(emitter: CascadeEmitter) -> float:
    """Return k: the share of coincidences within a pulse that are pairs of the dot."""
    pair, first, second = emitter.pair_probability, emitter.noise_biexciton, emitter.noise_exciton
    total = pair * (1 + first + second) + first * second
    return pair / total if total > 0 else math.nan


def mean_state(emitter: CascadeEmitter) -> Matrix:
    """Return the density matrix of all pairs within a pulse over HH, HV, VH, VV, shape (4, 4).

    With x = S·T1/ħ, g' = 1/(1 + T1/τ_ss) and g'' = 1/(1 + T1/τ_ss + T1/τ_HV), its contrast in the HV basis
    is k·g' and its coherence <HH|ρ|VV> is (k/2)·g''/(1 + i·g''·x).
    """
    correlated, coherent = _lasting(emitter)
    share = pair_share(emitter)
    turned = emitter.splitting_uev * emitter.lifetime_exciton_ps / HBAR_UEV_PS
    coherence = share * coherent / (1 + 1j * coherent * turned) / 2
    like, unlike = (1 + share * correlated) / 4, (1 - share * correlated) / 4
    state = np.diag([like, unlike, unlike, like]).astype(np.complex128)
    state[0, 3], state[3, 0] = coherence, np.conj(coherence)
    return state


def pair_quality(emitter: CascadeEmitter) -> PairQuality:
    """Return fidelity, concurrence and the largest CHSH value of :func:`mean_state` in closed form."""
    state = mean_state(emitter)
    coherence, unlike = abs(state[0, 3]), state[1, 1].real
    contrast = 1 - 4 * unlike
    strengths = sorted([(2 * coherence) ** 2, (2 * coherence) ** 2, contrast**2])
    return PairQuality(
        fidelity=float((state[0, 0] + state[3, 3]).real / 2 + state[0, 3].real),
        concurrence=max(0.0, 2 * (float(coherence) - float(unlike))),
        chsh=2 * math.sqrt(strengths[1] + strengths[2]),
    )


class PairStream(EventStream):
    """Tags of both ports of both analysers, and of the sync.

    Parameters
    ----------
    setup
        The source with its detectors.
    biexciton, exciton
        Wave plates in front of either polarising splitter, for example from
        :data:`~qdhil_sim.light.wave_plates.ANALYSERS`.
    seed
        Seed of the acquisition.
    channels
        Tagger inputs.
    """

    def __init__(
        self,
        setup: CascadeSetup,
        biexciton: WavePlates,
        exciton: WavePlates,
        *,
        seed: int | Sequence[int],
        channels: PairChannels | None = None,
    ) -> None:
        wired = channels or PairChannels()
        first = [Input(number, setup.detector_biexciton) for number in (wired.biexciton, wired.biexciton_reflected)]
        second = [Input(number, setup.detector_exciton) for number in (wired.exciton, wired.exciton_reflected)]
        super().__init__(
            [*first, *second],
            seed=seed,
            period=10**12 / Fraction(setup.rep_rate_hz),
            sync=SyncInput(wired.sync, setup.sync_divider, setup.sync_input_jitter_ps),
            lasting_ps=setup.emitter.lifetime_biexciton_ps + setup.emitter.lifetime_exciton_ps,
            start_sd_ps=setup.emitter.pulse_jitter_ps,
        )
        best = best_efficiency([*first, *second])
        self._pairs = _pairs(setup, best)
        self._analysis = _analysis(biexciton, exciton)

    def _draw(self, frame: Frame, _lasts_ps: int, photons: npt.NDArray[np.float64]) -> int:
        from qdhil_sim.light import _cascade

        return _cascade.fill(self._light_rng, self._pairs, self._analysis, frame, photons)


def _lasting(emitter: CascadeEmitter) -> tuple[float, float]:
    scattered = emitter.lifetime_exciton_ps / emitter.scattering_ps if emitter.scattering_ps else 0.0
    dephased = emitter.lifetime_exciton_ps / emitter.dephasing_ps if emitter.dephasing_ps else 0.0
    return 1 / (1 + scattered), 1 / (1 + scattered + dephased)


def _pairs(setup: CascadeSetup, best: float) -> Pairs:
    from qdhil_sim.light._cascade import Pairs

    emitter = setup.emitter
    return Pairs(
        pair=emitter.pair_probability,
        noise_biexciton=emitter.noise_biexciton,
        noise_exciton=emitter.noise_exciton,
        survives_biexciton=setup.transmission_biexciton * best,
        survives_exciton=setup.transmission_exciton * best,
        lifetime_biexciton_ps=emitter.lifetime_biexciton_ps,
        lifetime_exciton_ps=emitter.lifetime_exciton_ps,
        phase_per_ps=emitter.splitting_uev / HBAR_UEV_PS,
        scattered_per_ps=1 / emitter.scattering_ps if emitter.scattering_ps else 0.0,
        dephased_per_ps=1 / emitter.dephasing_ps if emitter.dephasing_ps else 0.0,
        start_sd_ps=emitter.pulse_jitter_ps,
    )


def _analysis(biexciton: WavePlates, exciton: WavePlates) -> Analysis:
    from qdhil_sim.light._cascade import Analysis

    horizontal, vertical = biexciton.analysed().conj() * exciton.analysed().conj()
    coherence = horizontal * np.conj(vertical)
    return Analysis(
        populations=float(abs(horizontal) ** 2 + abs(vertical) ** 2) / 2,
        coherence_real=float(coherence.real),
        coherence_imag=float(coherence.imag),
    )
