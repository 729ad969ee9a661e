"""The wave-packet overlap of two signal photons in closed form: how alike they can be at best.

For exponential wave packets the overlap is a product. Its first factor is the chance that the photon that
could start earlier is emitted after both could, E[exp(-Γ|D|)] over the difference D of the starts: jitter of
the pulses, feeding of the level, mismatch of the delay. The second is the mean interference from there on,
E[Γ Γ' / (Γ'² + Δ²)] with Γ' = Γ + 2γ* over the difference Δ of the lines: pure dephasing, a fixed detuning and
spectral diffusion.
"""

from __future__ import annotations

import math

from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.excitation import PulsePairs
from qdhil_sim.light.setup import Setup

_RAD_PER_PS_PER_GHZ = 2e-3 * math.pi


def signal_overlap(setup: Setup, controls: PulseControls) -> float:
    """Return M_s of the two signal photons that meet at the interferometer's last splitter."""
    emitter, mzi = setup.emitter, setup.interferometer
    jitter_ps = math.hypot(controls.sync_jitter_ps, setup.excitation.extra_jitter_ps)
    apart_ps = meeting_lag_ps(setup)
    steps = mzi.delay_periods * setup.pulses_per_period if mzi.delay_periods else 1
    forgotten = -math.expm1(-apart_ps / (1e3 * emitter.diffusion.correlation_ns))
    return start_overlap(
        emitter.lifetime_ps, jitter_ps, setup.excitation.feeding_ps, mzi.delay_error_ps
    ) * line_overlap(
        emitter.lifetime_ps,
        emitter.dephasing_rate_per_ps,
        controls.bias_ripple_ghz * (steps % 2),
        emitter.diffusion.sd_ghz * math.sqrt(2 * forgotten),
    )


def meeting_lag_ps(setup: Setup) -> float:
    """Return how far apart in time the two photons that meet were excited."""
    kind = setup.excitation
    if setup.interferometer.delay_periods == 0 and isinstance(kind, PulsePairs):
        return kind.separation_ps
    return setup.interferometer.delay_periods * setup.period_ps


def start_overlap(lifetime_ps: float, jitter_ps: float, feeding_ps: float, mismatch_ps: float) -> float:
    """Return E[exp(-|D|/T1)] for D = mismatch + N(0, 2 jitter²) + the difference of two feeding times.

    Without feeding and mismatch it is erfcx(jitter/T1); feeding alone gives T1/(T1 + feeding), mismatch
    alone exp(-|mismatch|/T1).
    """
    sd_ps = math.sqrt(2) * jitter_ps
    own = _decayed(1 / lifetime_ps, sd_ps, mismatch_ps)
    if feeding_ps == 0:
        return own
    if abs(feeding_ps / lifetime_ps - 1) < 1e-4:
        feeding_ps = lifetime_ps * 1.0001  # the formula's 0/0 has a smooth limit
    ratio = feeding_ps / lifetime_ps
    fed = _decayed(1 / feeding_ps, sd_ps, mismatch_ps)
    return (own - ratio * fed) / (1 - ratio**2)


def line_overlap(lifetime_ps: float, dephasing_per_ps: float, detuning_ghz: float, diffusion_ghz: float) -> float:
    """Return E[ΓΓ'/(Γ'² + Δ²)] for a line difference Δ of a mean and a standard deviation: a Voigt profile.

    Dephasing alone gives Γ/Γ'; diffusion as well (Γ/Γ') √(π/2) (Γ'/S) erfcx(Γ'/(√2 S)).
    """
    from scipy.special import voigt_profile

    total = 1 / lifetime_ps + 2 * dephasing_per_ps
    detuning, spread = _RAD_PER_PS_PER_GHZ * detuning_ghz, _RAD_PER_PS_PER_GHZ * diffusion_ghz
    return math.pi / lifetime_ps * float(voigt_profile(detuning, spread, total))


def _decayed(rate: float, sd_ps: float, mean_ps: float) -> float:
    """Return E[exp(-rate |x|)] for Gaussian x."""
    from scipy.special import log_ndtr

    if sd_ps == 0:
        return math.exp(-rate * abs(mean_ps))
    shift, at = rate * sd_ps, mean_ps / sd_ps
    above = shift**2 / 2 - shift * at + log_ndtr(at - shift)
    below = shift**2 / 2 + shift * at + log_ndtr(-at - shift)
    return float(math.exp(above) + math.exp(below))
