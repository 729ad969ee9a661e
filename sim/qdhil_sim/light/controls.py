"""What firmware controls of the excitation, and how many photons a pulse then makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from qdhil.errors import ConfigurationError
from qdhil_sim.light.emitter import Emitter
from qdhil_sim.light.excitation import REEXCITATION_FLOOR, Excitation, Resonant, reexcitation_shape

__all__ = ["REEXCITATION_FLOOR", "PulseControls", "PulsePhotons", "pulse_photons", "reexcitation_shape"]


class PulseControls(BaseModel):
    """The excitation pulse as the controller's firmware sets it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pulse_fwhm_ps: float = Field(default=10.0, ge=0)
    """Full width at half maximum of the pulse's field in ps."""
    pulse_area_pi: float = Field(default=1.0, ge=0, le=8)
    """Pulse area in units of pi; where nothing rotates, the field's amplitude in units of the nominal one."""
    sync_jitter_ps: float = Field(default=0.0, ge=0)
    """Standard deviation of the Gaussian pulse-to-pulse jitter of the excitation in ps."""
    spurious_area_pi: float = Field(default=0.0, ge=0, le=1.0)
    """Area of an unwanted second pulse in units of pi."""
    spurious_delay_ps: float = Field(default=1000.0, ge=0)
    """Delay of the unwanted pulse after the wanted one in ps."""
    bias_ripple_ghz: float = Field(default=0.0, ge=0)
    """Shift of the line of every other pulse, from a ripple of the bias at half the clock."""


@dataclass(frozen=True)
class PulsePhotons:
    """Probabilities of the photons that a pulse can make at the emitter, before all losses.

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
    background
        A broad-band photon at any time of the period, independent of the dot.
    """

    signal: float
    reexcitation: float
    leak: float
    spurious: float
    decayed: float
    background: float = 0.0

    @property
    def spurious_mean(self) -> float:
        """Mean number of spurious photons per pulse."""
        return self.spurious * (1 - self.signal * (1 - self.decayed))

    @property
    def dot_mean(self) -> float:
        """Mean number of photons of the dot per pulse, while it is bright."""
        return self.signal * (1 + self.reexcitation) + self.spurious_mean

    @property
    def mean(self) -> float:
        """Mean photon number μ per pulse, while the dot is bright."""
        return self.dot_mean + self.leak + self.background

    @property
    def dot_pair_mean(self) -> float:
        """Mean of n(n - 1) per pulse of the dot's photons, while it is bright."""
        spurious_too = self.spurious * self.decayed
        return 2 * self.signal * (self.reexcitation + spurious_too + self.reexcitation * spurious_too)

    @property
    def pair_mean(self) -> float:
        """Mean of n(n - 1) per pulse, while the dot is bright."""
        others = self.leak + self.background
        return self.dot_pair_mean + 2 * (self.dot_mean * others + self.leak * self.background)


def pulse_photons(controls: PulseControls, emitter: Emitter, excitation: Excitation | None = None) -> PulsePhotons:
    """Return what a pulse makes at the emitter, by default of resonant excitation.

    Raises
    ------
    ConfigurationError
        If the pulse is so long compared with the lifetime that the model has no solution.
    """
    kind = excitation or Resonant()
    excited = kind.excite(controls.pulse_area_pi, controls.pulse_fwhm_ps, emitter.lifetime_ps, emitter.detuning_ghz)
    if excited is None:
        raise ConfigurationError(
            f"pulse_fwhm_ps = {controls.pulse_fwhm_ps} with pulse_area_pi = {controls.pulse_area_pi} is "
            f"beyond the model of {kind.kind} excitation for a lifetime of {emitter.lifetime_ps} ps"
        )
    return PulsePhotons(
        signal=excited.photon * emitter.preparation,
        reexcitation=excited.another,
        leak=emitter.leak_photons,
        spurious=math.sin(math.pi * controls.spurious_area_pi / 2) ** 2 * emitter.preparation,
        decayed=decayed_by(controls.spurious_delay_ps, emitter.lifetime_ps, kind.feeding_ps),
        background=emitter.background_photons,
    )


def decayed_by(delay_ps: float, lifetime_ps: float, feeding_ps: float) -> float:
    """Return the probability that a dot, filled within the feeding time, has emitted by a time."""
    if feeding_ps == 0:
        return -math.expm1(-delay_ps / lifetime_ps)
    if abs(feeding_ps / lifetime_ps - 1) < 1e-6:  # the two rates' limit
        x = delay_ps / lifetime_ps
        return -math.expm1(-x) - x * math.exp(-x)
    slow, fast = lifetime_ps * math.exp(-delay_ps / lifetime_ps), feeding_ps * math.exp(-delay_ps / feeding_ps)
    return 1 - (slow - fast) / (lifetime_ps - feeding_ps)
