"""The comb of coincidence peaks of a pulsed source in a delay histogram: its period and its phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_FEWEST_PERIODS = 6
_LEAST_CONTRAST = 0.1
_LEAST_POWER = 30.0
"""Power of a line over the shot noise; noise alone exceeds it with odds e^-30 a frequency."""
_SUBHARMONIC = 0.02
_SMALLEST_TOOTH = 0.05
"""Peaks between those of a comb count from this height on, relative to its own."""


@dataclass(frozen=True)
class Comb:
    """Peaks at ``phase_ps + m·period_ps`` for every integer m.

    Parameters
    ----------
    period_ps
        Distance of the peaks in ps.
    phase_ps
        Position of a peak, in [0, period).
    contrast
        Amplitude of the fundamental over the mean: 1 for needles, 0 for a flat histogram.
    """

    period_ps: float
    phase_ps: float
    contrast: float


def find_comb(counts: npt.NDArray[np.int64], *, first_ps: float, bin_ps: float, period_ps: float | None = None) -> Comb:
    """Find the comb in a histogram by its strongest spectral line, or by a known period.

    Parameters
    ----------
    counts
        Pairs per bin, shape (bins,).
    first_ps, bin_ps
        Delay of the first bin, and width of a bin, in ps.
    period_ps
        Period known from the laser's sync; the histogram must agree with it, or with a whole fraction of it
        (divided sync).

    Raises
    ------
    ValueError
        If no comb stands out of the noise, or it contradicts ``period_ps``.
    """
    total = int(counts.sum())
    if counts.size < 64 or total < 64:
        raise ValueError(f"{total} pairs in {counts.size} bins are too few to find a pulse comb in")
    window = np.hanning(counts.size)
    weights = counts * window
    delays = first_ps + bin_ps * np.arange(counts.size, dtype=np.float64)
    frequency = _fundamental(counts, window, bin_ps)
    frequency = _refine(weights, delays, frequency, 1.0 / (bin_ps * counts.size))
    found_ps = 1.0 / frequency
    found_ps /= _teeth_between(counts, delays, weights, found_ps)
    if period_ps is not None:
        found_ps = _agree(found_ps, period_ps)
    line = complex(np.sum(weights * np.exp(2j * np.pi * delays / found_ps)))
    contrast = abs(line) / float(weights.sum())
    if contrast < _LEAST_CONTRAST:
        raise ValueError(f"no pulse comb: the strongest line, at {found_ps:.0f} ps, has a contrast of {contrast:.3f}")
    phase_ps = float(np.angle(line)) / (2 * np.pi) * found_ps
    return Comb(found_ps, phase_ps % found_ps, contrast)


def _teeth_between(
    counts: npt.NDArray[np.int64], delays: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], period_ps: float
) -> int:
    """Return by how many equal steps the peaks really follow each other within ``period_ps``.

    Peaks of alternating height have a spectral line at twice their distance; they show as peaks between
    those of the comb, where a true comb has its floor.
    """
    line = complex(np.sum(weights * np.exp(2j * np.pi * delays / period_ps)))
    turn = (delays / period_ps - float(np.angle(line)) / (2 * np.pi)) % 1.0

    def near(place: float, reach: float) -> npt.NDArray[np.int64]:
        return counts[np.abs((turn - place + 0.5) % 1.0 - 0.5) < reach]

    for teeth in (3, 2):
        reach = 1 / (8 * teeth)
        main, gap = near(0.0, reach), near(0.5 / teeth, reach)
        between = [near(tooth / teeth, reach) for tooth in range(1, teeth)]
        if min(main.size, gap.size, *(tooth.size for tooth in between)) == 0:
            continue
        above = [float(tooth.mean() - gap.mean()) for tooth in between]
        error = [float(np.sqrt(tooth.sum() / tooth.size**2 + gap.sum() / gap.size**2)) for tooth in between]
        least = _SMALLEST_TOOTH * float(main.mean() - gap.mean())
        if all(height > max(5 * sigma, least) for height, sigma in zip(above, error, strict=True)):
            return teeth
    return 1


def _fundamental(counts: npt.NDArray[np.int64], window: npt.NDArray[np.float64], bin_ps: float) -> float:
    padded = 4 * counts.size
    weighted_mean = float((counts * window).sum() / window.sum())
    spectrum = np.abs(np.fft.rfft((counts - weighted_mean) * window, padded)) ** 2
    spectrum /= float((counts * window**2).sum())
    frequencies = np.fft.rfftfreq(padded, bin_ps)
    lowest = 4 * _FEWEST_PERIODS
    strongest = lowest + int(np.argmax(spectrum[lowest:]))
    power = float(spectrum[strongest])
    if power < _LEAST_POWER:
        raise ValueError(f"no pulse comb: no line of the histogram stands out of its noise (power {power:.1f})")
    # with needles, a harmonic may be as strong as the fundamental
    for divisor in range(6, 1, -1):
        near = round(strongest / divisor)
        if near < lowest:
            continue
        local = float(spectrum[near - 2 : near + 3].max())
        if local > max(_LEAST_POWER, _SUBHARMONIC * power):
            return float(frequencies[near - 2 + int(np.argmax(spectrum[near - 2 : near + 3]))])
    return float(frequencies[strongest])


def _refine(weights: npt.NDArray[np.float64], delays: npt.NDArray[np.float64], frequency: float, width: float) -> float:
    """Sharpen the frequency on the sum of the first harmonics, in ever finer steps."""
    filled = weights > 0
    heights, at = weights[filled], delays[filled] - float(delays.mean())
    reach = width / 2
    for _ in range(6):
        trials = frequency + reach * np.linspace(-1, 1, 9)
        powers = [
            sum(abs(np.sum(heights * np.exp(2j * np.pi * order * trial * at))) ** 2 for order in (1, 2, 3))
            for trial in trials
        ]
        frequency = float(trials[int(np.argmax(powers))])
        reach /= 3
    return frequency


def _agree(found_ps: float, known_ps: float) -> float:
    divider = round(known_ps / found_ps)
    if divider < 1 or abs(known_ps / divider - found_ps) > 1e-3 * found_ps:
        raise ValueError(f"the sync says a period of {known_ps:.1f} ps, the coincidences say {found_ps:.1f} ps")
    return known_ps / divider
