"""The quantum dot of a source: its lifetime, its dephasing, and what makes its line wander and go dark."""

from __future__ import annotations

from pydantic import Field

from qdhil.model_files import Strict
from qdhil_sim.light.excitation import Probability


class SpectralDiffusion(Strict):
    """Ornstein-Uhlenbeck wandering of the line."""

    sd_ghz: float = Field(default=0.0, ge=0)
    """Stationary standard deviation of the line's frequency."""
    correlation_ns: float = Field(default=700.0, gt=0)


class Blinking(Strict):
    """A random telegraph between a bright and a dark state of the dot."""

    on_fraction: float = Field(default=1.0, gt=0, le=1)
    correlation_ns: float = Field(default=1000.0, gt=0)
    """τ_b with 1/τ_b = 1/τ_on + 1/τ_off."""


class Response(Strict):
    """How the dot answers to its surroundings, relative to nominal temperature and bias.

    Pure dephasing by phonons follows the occupation n(T) of one phonon energy E: γ*(T) = γ*(T0) + A (n(T)
    (n(T) + 1) - n(T0) (n(T0) + 1)), two-phonon scattering through a level E above (Muljarov and Zimmermann,
    Phys. Rev. Lett. 93, 237401 (2004)); light in the zero-phonon line follows exp(-S coth(E / 2kT)).
    """

    stark_ghz_per_v: float = 0.0
    """Shift of the line with the bias, to first order."""
    stark_ghz_per_v2: float = 0.0
    plateau_v: float | None = Field(default=None, gt=0)
    """Half width of the charge plateau around the nominal bias; beyond it the dot holds another charge."""
    thermal_ghz_per_k: float = 0.0
    """Shift of the line with the temperature; negative is to the red."""
    phonon_mev: float = Field(default=1.0, gt=0)
    """Phonon energy E."""
    phonon_dephasing_per_ns: float = Field(default=0.0, ge=0)
    """A."""
    huang_rhys: float = Field(default=0.0, ge=0)
    """S."""


class Emitter(Strict):
    """A quantum dot, before all losses."""

    lifetime_ps: float = Field(gt=0)
    """Radiative lifetime T1 in ps."""
    overlap: float = Field(gt=0, le=1)
    """Wave-packet overlap M0 = Γ/(Γ + 2γ*) of two signal photons, with Γ = 1/T1 and pure dephasing γ*."""
    leak_photons: Probability = 0.0
    """Probability of one laser photon leaking in with a pulse, whatever the dot does."""
    background_photons: Probability = 0.0
    """Probability of one broad-band photon of other origin a pulse period, at any time, whatever the dot does."""
    wavelength_nm: float | None = Field(default=None, gt=0)
    """Wavelength of the line at nominal conditions; None where it is not known."""
    detuning_ghz: float = 0.0
    """Frequency of the laser relative to where it excites the dot best."""
    preparation: Probability = 1.0
    """Probability that the dot holds the charge that the laser finds, pulse by pulse."""
    number_coherence: Probability = 0.0
    """Photon-number coherence kept by a pulse that excites the dot with less than certainty, beside dephasing."""
    diffusion: SpectralDiffusion = SpectralDiffusion()
    blinking: Blinking = Blinking()
    response: Response = Response()

    @property
    def dephasing_rate_per_ps(self) -> float:
        """Pure dephasing rate γ* in 1/ps."""
        return (1 / self.overlap - 1) / (2 * self.lifetime_ps)
