"""What firmware controls of the excitation, and how many photons a pulse then makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from qdhil.errors import ConfigurationError
from qdhil_sim.light.setup import Emitter

REEXCITATION_FLOOR = 0.30
"""g2(0) of a resonantly driven dot at a pi pulse is this times pulse FWHM / T1 (Bloch equations)."""


class PulseControls(BaseModel):
    """The excitation pulse as the controller's firmware sets it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pulse_fwhm_ps: float = Field(default=10.0, ge=0)
    """Full width at half maximum of the pulse's field in ps."""
    pulse_area_pi: float = Field(default=1.0, ge=0, le=1.5)
    """Pulse area in units of pi; the first-order model of re-excitation ends at 1.5."""
    sync_jitter_ps: float = Field(default=0.0, ge=0)
    """Standard deviation of the Gaussian pulse-to-pulse jitter of the excitation in ps."""
    spurious_area_pi: float = Field(default=0.0, ge=0, le=1.0)
    """Area of an unwanted second pulse in units of pi."""
    spurious_delay_ps: float = Field(default=1000.0, ge=0)
    """Delay of the unwanted pulse after the wanted one in ps."""


@dataclass(frozen=True)
class PulsePhotons:
    """Probabilities of the four photons that a pulse can make at the emitter, before all losses.

    Parameters
    ----------
    signal
        The wanted photon, emitted with the lifetime T1 after the pulse.
    reexcitation
        A photon emitted during the pulse, given that there is a signal photon after it.
    leak
        A laser photon with the pulse, independent of the dot.
    spurious
        A photon after the unwanted pulse, given that the dot is then in the ground state.
    decayed
        Probability that an excited dot is back in the ground state at the unwanted pulse.
    """

    signal: float
    reexcitation: float
    leak: float
    spurious: float
    decayed: float

    @property
    def spurious_mean(self) -> float:
        """Mean number of spurious photons per pulse."""
        return self.spurious * (1 - self.signal * (1 - self.decayed))

    @property
    def mean(self) -> float:
        """Mean photon number μ per pulse."""
        return self.signal * (1 + self.reexcitation) + self.leak + self.spurious_mean

    @property
    def pair_mean(self) -> float:
        """Mean of n(n - 1) per pulse."""
        signal, extra, leak = self.signal, self.reexcitation, self.leak
        spurious_too = self.spurious * self.decayed
        both = signal * (extra + leak + spurious_too) + signal * extra * (leak + spurious_too)
        return 2 * (both + leak * self.spurious_mean)


def pulse_photons(controls: PulseControls, emitter: Emitter) -> PulsePhotons:
    """Return what a pulse makes at the emitter.

    The dot is excited with sin²(θ/2) for a pulse of area θ. Re-excitation at θ = π is what makes
    g2(0) of an otherwise perfect source ``REEXCITATION_FLOOR * fwhm / T1``; other areas scale by
    :func:`reexcitation_shape`.

    Raises
    ------
    ConfigurationError
        If the pulse is so long compared with the lifetime that the model has no solution.
    """
    floor = REEXCITATION_FLOOR * controls.pulse_fwhm_ps / emitter.lifetime_ps
    scale = reexcitation_shape(controls.pulse_area_pi) / reexcitation_shape(1.0)
    reexcitation = scale * _reexcitation_at_pi(floor) if floor < 0.5 else math.inf
    if reexcitation > 1:
        raise ConfigurationError(
            f"pulse_fwhm_ps = {controls.pulse_fwhm_ps} with pulse_area_pi = {controls.pulse_area_pi} is "
            f"beyond the model of re-excitation for a lifetime of {emitter.lifetime_ps} ps"
        )
    return PulsePhotons(
        signal=math.sin(math.pi * controls.pulse_area_pi / 2) ** 2,
        reexcitation=reexcitation,
        leak=emitter.leak_photons,
        spurious=math.sin(math.pi * controls.spurious_area_pi / 2) ** 2,
        decayed=-math.expm1(-controls.spurious_delay_ps / emitter.lifetime_ps),
    )


def reexcitation_shape(area_pi: float) -> float:
    """Return how re-excitation scales with the pulse area, to first order in duration / T1.

    A square pulse of area θ that emits at the fraction u of its duration leaves the angle θ(1 - u):
    ``∫ sin²(θu/2) sin²(θ(1 - u)/2) du = (1 + cos θ / 2 - 3 sin θ / (2θ)) / 4``.
    """
    theta = math.pi * area_pi
    if theta < 0.05:
        return theta**4 / 480  # the closed form loses its digits here
    return (1 + math.cos(theta) / 2 - 1.5 * math.sin(theta) / theta) / 4


def _reexcitation_at_pi(floor: float) -> float:
    """Return r that solves 2r/(1 + r)² = floor, the g2(0) of one photon and with probability r a second."""
    if floor == 0:
        return 0.0
    return (1 - floor - math.sqrt(1 - 2 * floor)) / floor
