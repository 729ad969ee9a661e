"""Is a Hong-Ou-Mandel measurement consistent with itself? Ratios that must be 1 whatever the indistinguishability.

    orthogonal   A_perp/A_unc = (1 + g)/2            else: polarisation not orthogonal, or light that interferes not
    adjacent     A_adj/A_unc = (3 + g)/4             else: photon-number coherence, or blinking

for balanced splitters; for others by the exact areas of the reference geometry. ``value`` is the ratio of what
was seen to what must be, so that an interval without 1 is a failure at its confidence.
"""

from __future__ import annotations

from collections.abc import Callable

from qdhil.metrics.adjacent import adjacent_counts, check_confidence
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.overlap import Interferometer
from qdhil.statistics.intervals import poisson_ratio_interval
from qdhil.statistics.propagation import propagated_interval


def train_areas(overlap: float, g2: float, interferometer: Interferometer) -> tuple[float, float, float, float]:
    """Return the areas of the lags 0, +n, -n and of a far one, in units of the photon number squared.

    Continuous train of pulses and an interferometer's delay of n of them:

        A_0  = T·R·g(s² + l²) + s·l[T² + R² - 2T·R(1 - ε)²M]
        A_+n = T·R(s² + l²) + s·l·R² + g·s·l·T²
        A_-n = T·R(s² + l²) + s·l·T² + g·s·l·R²
        A_unc = (s·T + l·R)(s·R + l·T)
    """
    t, s = interferometer.transmission, interferometer.first_transmission
    r, long = 1 - t, 1 - s
    mixed, same = s * long, t * r * (s * s + long * long)
    contrast = (1 - interferometer.mode_overlap_loss) ** 2
    centre = same * g2 + mixed * (t * t + r * r - 2 * t * r * contrast * overlap)
    after = same + mixed * r * r + g2 * mixed * t * t
    before = same + mixed * t * t + g2 * mixed * r * r
    return centre, after, before, (s * t + long * r) * (s * r + long * t)


def orthogonal_control(
    orthogonal: PeakCounts,
    *,
    g2: Estimate,
    exclude_lags: int,
    interferometer: Interferometer | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return (A_perp/A_unc) over its expected value; id ``hom.control.orthogonal``.

    Parameters
    ----------
    orthogonal
        Coincidences with orthogonal polarisations.
    g2
        g2(0) of the same source, measured separately.
    exclude_lags
        Largest lag that is no far peak; at least the interferometer's delay in pulses.
    interferometer
        Its calibration; by default ideal and balanced.
    confidence
        Nominal coverage; ``g2`` must have the same.

    Raises
    ------
    ValueError
        If the far peaks hold no coincidence, ``exclude_lags`` < 1, or the confidences differ.
    """
    if exclude_lags < 1:
        raise ValueError("exclude_lags must be at least 1: peaks next to the centre interfere")
    optics = interferometer or Interferometer()

    def expected(g: float) -> float:
        centre, _, _, far = train_areas(0.0, g, optics)
        return centre / far

    return _control("orthogonal", orthogonal, (orthogonal.central, 1), exclude_lags, g2, expected, confidence)


def adjacent_control(
    counts: PeakCounts,
    *,
    g2: Estimate,
    exclude_lags: int,
    delay_pulses: int = 1,
    interferometer: Interferometer | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return (A_adj/A_unc) over its expected value; id ``hom.control.adjacent``.

    It doesn't depend on the indistinguishability, and V_adj - V_unc has its sign: a value above 1 means that
    V_unc, normalised by far peaks, comes out too low, as photon-number coherence makes it.

    Parameters
    ----------
    counts
        Coincidences, of either polarisation.
    delay_pulses
        Delay n of the interferometer in pulses.
    g2, exclude_lags, interferometer, confidence
        As for :func:`orthogonal_control`.

    Raises
    ------
    ValueError
        As :func:`orthogonal_control`, or if lags ±n weren't counted or count as far.
    """
    if exclude_lags < delay_pulses:
        raise ValueError(f"the peaks at lags ±{delay_pulses} interfere: exclude_lags must be at least that")
    optics = interferometer or Interferometer()

    def expected(g: float) -> float:
        _, after, before, far = train_areas(0.0, g, optics)
        return (after + before) / (2 * far)

    seen = adjacent_counts(counts, delay_pulses), 2
    return _control("adjacent", counts, seen, exclude_lags, g2, expected, confidence)


def _control(
    name: str,
    counts: PeakCounts,
    seen: tuple[int, int],
    exclude_lags: int,
    g2: Estimate,
    expected: Callable[[float], float],
    confidence: float,
) -> Estimate:
    check_confidence(confidence, g2)
    pairs, peaks = seen
    far, far_peaks = counts.far(exclude_lags)
    if far == 0:
        raise ValueError(f"no coincidence in {far_peaks} far peaks: there is nothing to normalise with")
    scale = far_peaks / peaks
    limits = poisson_ratio_interval(pairs, far, confidence)
    ratio = pairs / far * scale

    def relative(measured: float, g: float) -> float:
        return measured / expected(g)

    bounds = (ratio, limits[0] * scale, limits[1] * scale)
    low, high = propagated_interval(relative, [bounds, (g2.value, g2.low, g2.high)])
    return Estimate(
        definition=f"hom.control.{name}",
        value=relative(ratio, g2.value),
        low=low,
        high=high,
        confidence=confidence,
        counts={
            name: pairs,
            f"{name}_peaks": peaks,
            "side": far,
            "side_peaks": far_peaks,
            "g2": g2.value,
            "g2_low": g2.low,
            "g2_high": g2.high,
        },
        window_ps=counts.window_ps,
        delay_ps=counts.delay_ps,
        normalisation="far-peaks-and-expectation",
        raw=ratio,
    )
