"""What uncorrelated clicks do to coincidence ratios, and how to take it out again.

x is the ratio of noise to signal clicks of a detector within the window of a peak. Noise pairs with
everything, so a ratio g of the central to a far peak is seen as

    g_raw = (g + x_a + x_b + x_a·x_b) / ((1 + x_a)(1 + x_b)),

which for equal detectors is (g + 2x + x²)/(1 + x)², the form of Brouri et al., Opt. Lett. 25, 1294 (2000)
with ρ = 1/(1 + x).
"""

from __future__ import annotations

NoiseRatio = float | tuple[float, float]
"""Noise over signal clicks within the window: one number, or one for each detector (a, b)."""


def noise_ratio(*, dark_rate_hz: float, singles: int, triggers: int, dwell_s: float, window_ps: float) -> float:
    """Return x = d·w/p of one detector, with p its signal clicks per pulse.

    Parameters
    ----------
    dark_rate_hz
        Rate d of dark counts and of uniform background.
    singles
        Clicks of the detector within the dwell, dark counts included.
    triggers
        Laser pulses within the dwell.
    dwell_s
        Time measured, in s.
    window_ps
        Full width w of the window of a peak.

    Raises
    ------
    ValueError
        If the dark rate is negative, or dark counts leave no signal.
    """
    if dark_rate_hz < 0:
        raise ValueError(f"dark_rate_hz must not be negative, not {dark_rate_hz}")
    signal = singles - dark_rate_hz * dwell_s
    if signal <= 0 or triggers <= 0:
        raise ValueError(f"{singles} clicks in {dwell_s} s are no more than {dark_rate_hz} dark counts a second")
    return dark_rate_hz * window_ps * 1e-12 * triggers / signal


def without_noise(raw: float, ratio: NoiseRatio) -> float:
    """Return the central-to-far ratio that the signal alone would have shown.

    Not clipped: a value below 0 says that the noise ratio is too large or the counts are few.
    """
    x_a, x_b = noise_pair(ratio)
    return raw * (1 + x_a) * (1 + x_b) - x_a - x_b - x_a * x_b


def noise_pair(ratio: NoiseRatio) -> tuple[float, float]:
    """Return the noise ratios of detectors a and b; refuse (ValueError) negative ones."""
    x_a, x_b = ratio if isinstance(ratio, tuple) else (ratio, ratio)
    if not (x_a >= 0 and x_b >= 0):
        raise ValueError(f"noise ratios must not be negative: {x_a}, {x_b}")
    return x_a, x_b
