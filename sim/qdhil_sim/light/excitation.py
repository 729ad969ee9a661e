"""The ways of exciting a pulsed source: a tagged union in the profile, ``[excitation] kind = "..."``.

A kind says what a pulse of a given area and length makes of the dot before all losses, and how long the
emitting level is then fed from above. Continuous light is not among them: it has no pulses.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from qdhil.model_files import Strict

REEXCITATION_FLOOR = 0.30
"""g2(0) of a resonantly driven dot at a pi pulse is this times pulse FWHM / T1 (Bloch equations)."""
_FWHM_PER_SECH_WIDTH = 2 * math.acosh(2)

Probability = Annotated[float, Field(ge=0, le=1)]


class Excited(NamedTuple):
    """What a pulse makes of the dot.

    Parameters
    ----------
    photon
        Probability of at least one photon.
    another
        Probability of a further one during the pulse, given the first.
    """

    photon: float
    another: float


class _Kind(Strict):
    @property
    def feeding_ps(self) -> float:
        """Mean time in which the emitting level is fed from the level above; 0 for at once."""
        return 0.0

    @property
    def extra_jitter_ps(self) -> float:
        """Standard deviation of the excitation's own jitter from pulse to pulse."""
        return 0.0


class _Rabi(_Kind):
    def excite(self, area_pi: float, fwhm_ps: float, lifetime_ps: float, detuning_ghz: float) -> Excited | None:
        """Return what a pulse makes, to first order in its length over the lifetime; None beyond that."""
        floor = REEXCITATION_FLOOR * fwhm_ps / lifetime_ps
        if floor >= 0.5:
            return None
        theta = math.pi * area_pi
        scale = _correlated_at_pi(floor) / reexcitation_shape(1.0)
        # a detuned pulse excites less often, and for two photons it has to excite twice
        share = spectral_share(detuning_ghz, fwhm_ps)
        during = scale * decay_share(area_pi)
        photon = share * (math.sin(theta / 2) ** 2 * (1 - during) + during)
        another = share**2 * scale * reexcitation_shape(area_pi)
        if during > 1 or another > photon:
            return None
        return Excited(photon, another / photon if photon > 0 else 0.0)


class Resonant(_Rabi):
    """A resonant pulse on a two-level dot: Rabi rotation and, during the pulse, re-excitation.

    The photon has the probability sin²(θ/2) of the rotation, less for a detuned laser, and what decays
    during the pulse adds to it: at even multiples of pi the rotation leaves nothing, so what is left comes
    from decay within the pulse, and then often in twos. Light is rare there and strongly bunched.
    """

    kind: Literal["resonant"] = "resonant"


class PulsePairs(_Rabi):
    """Resonant pulses in pairs, each a pulse of its own (Santori et al., Nature 419, 594 (2002)).

    The dot is taken to have decayed between the two: the separation is many lifetimes.
    """

    kind: Literal["pulse-pairs"]
    separation_ps: float = Field(gt=0)


class PShell(_Kind):
    """Resonant with an excited level of the dot, which relaxes to the emitting one.

    The rotation is that of a resonant pulse; the relaxation keeps the dot from being excited twice.
    """

    kind: Literal["p-shell"]
    relaxation_ps: float = Field(gt=0)

    @property
    def feeding_ps(self) -> float:
        """Mean relaxation time."""
        return self.relaxation_ps

    def excite(self, area_pi: float, fwhm_ps: float, lifetime_ps: float, detuning_ghz: float) -> Excited | None:
        """Return what a pulse makes."""
        del lifetime_ps
        return Excited(math.sin(math.pi * area_pi / 2) ** 2 * spectral_share(detuning_ghz, fwhm_ps), 0.0)


class Phonon(_Kind):
    """A pulse detuned to the blue that inverts the dot by emitting an acoustic phonon.

    The inversion rises with the power to a plateau below 1, where it hardly depends on the area, nor, within
    the width of the phonon sideband, on the detuning. A photon emitted during the pulse leaves a dot that the
    detuned pulse brings back only slowly, so there is no re-excitation to first order.
    """

    kind: Literal["phonon"]
    plateau: Probability = 0.9
    """Inversion far on the plateau."""
    saturation_area_pi: float = Field(default=0.5, gt=0)
    """Pulse area, in units of pi, at which 1 - 1/e of the plateau is reached."""
    sideband_ghz: float = Field(default=500.0, gt=0)
    """Standard deviation of the detuning from its best value over which the plateau falls off."""

    def excite(self, area_pi: float, fwhm_ps: float, lifetime_ps: float, detuning_ghz: float) -> Excited | None:
        """Return what a pulse makes."""
        del fwhm_ps, lifetime_ps
        reached = -math.expm1(-((area_pi / self.saturation_area_pi) ** 2))
        return Excited(self.plateau * reached * math.exp(-((detuning_ghz / self.sideband_ghz) ** 2) / 2), 0.0)


class TwoPhoton(_Kind):
    """Two-photon excitation of the biexciton, whose decay feeds the exciton that is observed.

    The rotation goes with the square of the area. For a second pair the dot must decay twice within the
    pulse, so g2(0) goes with the square of the pulse length over the biexciton's lifetime.
    """

    kind: Literal["two-photon"]
    biexciton_lifetime_ps: float = Field(gt=0)
    reexcitation: float = Field(default=0.30, ge=0)
    """g2(0) is this times (pulse FWHM / biexciton lifetime)² at a pi pulse."""

    @property
    def feeding_ps(self) -> float:
        """Lifetime of the biexciton."""
        return self.biexciton_lifetime_ps

    def excite(self, area_pi: float, fwhm_ps: float, lifetime_ps: float, detuning_ghz: float) -> Excited | None:
        """Return what a pulse makes; None where the pulse is too long for it."""
        del lifetime_ps
        floor = self.reexcitation * (fwhm_ps / self.biexciton_lifetime_ps) ** 2
        photon = math.sin(math.pi * area_pi**2 / 2) ** 2 * spectral_share(detuning_ghz, fwhm_ps)
        return Excited(photon, _correlated_at_pi(floor)) if floor < 0.5 else None


class _Carriers(_Kind):
    relaxation_ps: float = Field(gt=0)
    """Mean time of capture and relaxation."""
    saturation_area_pi: float = Field(default=0.5, gt=0)
    """Amplitude, in the units of ``pulse_area_pi``, that fills the dot with 1 - 1/e."""
    recapture: Probability = 0.0
    """Probability of another photon, given the first, when the dot is filled."""

    @property
    def feeding_ps(self) -> float:
        """Mean time of capture and relaxation."""
        return self.relaxation_ps

    def excite(self, area_pi: float, fwhm_ps: float, lifetime_ps: float, detuning_ghz: float) -> Excited | None:
        """Return what a pulse makes; the detuning of a laser above the band does not matter."""
        del fwhm_ps, lifetime_ps, detuning_ghz
        filled = -math.expm1(-((area_pi / self.saturation_area_pi) ** 2))
        return Excited(filled, self.recapture * filled)


class AboveBand(_Carriers):
    """Carriers excited above the band gap that the dot captures and that relax in it.

    The dot is filled once the pulse holds enough of them; what is captured after the first photon makes
    another.
    """

    kind: Literal["above-band"]


class Electrical(_Carriers):
    """Carriers injected by a voltage pulse: as above the band, and the pulse itself jitters."""

    kind: Literal["electrical"]
    injection_jitter_ps: float = Field(default=0.0, ge=0)
    """Standard deviation of the injection's time, from pulse to pulse."""

    @property
    def extra_jitter_ps(self) -> float:
        """Jitter of the injection."""
        return self.injection_jitter_ps


Excitation = Annotated[
    Resonant | PulsePairs | PShell | Phonon | TwoPhoton | AboveBand | Electrical, Field(discriminator="kind")
]


def spectral_share(detuning_ghz: float, fwhm_ps: float) -> float:
    """Return by how much less a detuned sech pulse excites: ``sech²(π Δ τ / 2)``, whatever its area.

    Rosen and Zener, Phys. Rev. 40, 502 (1932); τ is the pulse's FWHM in the field over 2 arcosh 2.
    """
    half = math.pi * abs(2e-3 * math.pi * detuning_ghz) * (fwhm_ps / _FWHM_PER_SECH_WIDTH) / 2
    return 1 / math.cosh(half) ** 2 if half < 300 else 0.0


def decay_share(area_pi: float) -> float:
    """Return the mean excitation during a square pulse: ``∫ sin²(θu/2) du = (1 - sin θ / θ) / 2``."""
    theta = math.pi * area_pi
    if theta < 0.01:
        return theta**2 / 12  # the closed form loses its digits here
    return (1 - math.sin(theta) / theta) / 2


def reexcitation_shape(area_pi: float) -> float:
    """Return how re-excitation scales with the pulse area, to first order in duration / T1.

    A square pulse of area θ that emits at the fraction u of its duration leaves the angle θ(1 - u):
    ``∫ sin²(θu/2) sin²(θ(1 - u)/2) du = (1 + cos θ / 2 - 3 sin θ / (2θ)) / 4``.
    """
    theta = math.pi * area_pi
    if theta < 0.05:
        return theta**4 / 480  # the closed form loses its digits here
    return (1 + math.cos(theta) / 2 - 1.5 * math.sin(theta) / theta) / 4


def _correlated_at_pi(floor: float) -> float:
    """Return r that solves 2r/(1 + r)² = floor, the g2(0) of one photon and with probability r a second."""
    return floor / (1 - floor + math.sqrt(1 - 2 * floor))
