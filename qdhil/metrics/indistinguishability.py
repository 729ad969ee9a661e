"""Hong-Ou-Mandel visibility of successive photons behind an unbalanced interferometer: two definitions.

    V_unc       = 1 - 2·A0/A_unc        parallel polarisation alone, against its far peaks
    V_co/cross  = 1 - A_par/A_perp      parallel against orthogonal, each against its own far peaks

They're different numbers: for balanced splitters V_unc = M_tot - g and V_co/cross = M_tot/(1 + g), where
M_tot is the mean wave-packet overlap of the whole field and g its g2(0).
"""

from __future__ import annotations

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.noise import NoiseRatio, noise_pair, without_noise
from qdhil.metrics.purity import central_to_far
from qdhil.statistics.conditional import ratio_interval


def v_unc(
    parallel: PeakCounts,
    *,
    exclude_lags: int,
    confidence: float = 0.95,
    noise_ratio: NoiseRatio | None = None,
) -> Estimate:
    """Return V_unc = 1 - 2·A0/A_unc, parallel polarisation against its far peaks; id ``hom.v_unc``.

    The interval is exact (Clopper-Pearson, as for g2). The correction inverts the noise formula of
    :mod:`qdhil.metrics.noise`; to first order V_raw = (V - 2x)/(1 + 2x).

    Parameters
    ----------
    parallel
        Coincidences with parallel polarisations.
    exclude_lags
        Largest lag that is no far peak; at least the interferometer's delay in periods.
    confidence
        Nominal coverage of the interval.
    noise_ratio
        Noise over signal clicks within the window; gives ``corrected``.

    Raises
    ------
    ValueError
        If the far peaks hold no coincidence, or ``exclude_lags`` is below 1 or leaves no peak.
    """
    _check_excluded(exclude_lags)
    r, r_low, r_high, tally = central_to_far(parallel, exclude_lags=exclude_lags, confidence=confidence)
    corrected, correction = None, None
    if noise_ratio is not None:
        corrected = 1 - 2 * without_noise(r, noise_ratio)
        correction = "noise/signal {:.3g}, {:.3g}".format(*noise_pair(noise_ratio))
    return Estimate(
        definition="hom.v_unc",
        value=1 - 2 * r,
        low=1 - 2 * r_high,
        high=1 - 2 * r_low,
        confidence=confidence,
        counts=tally,
        window_ps=parallel.window_ps,
        delay_ps=parallel.delay_ps,
        normalisation="far-peaks",
        raw=1 - 2 * r,
        corrected=corrected,
        correction=correction,
    )


def v_co_cross(
    parallel: PeakCounts,
    orthogonal: PeakCounts,
    *,
    exclude_lags: int,
    confidence: float = 0.95,
    noise_ratio: NoiseRatio | None = None,
) -> Estimate:
    """Return V = 1 - A_par/A_perp, each normalised to its own far peaks; id ``hom.v_co_cross``.

    The ratio is the odds ratio of the table {central, far} x {parallel, orthogonal}, so its
    interval is exact by Fisher's non-central hypergeometric distribution, exposures included.

    Parameters
    ----------
    parallel, orthogonal
        Coincidences of the two polarisations, counted by the same definition.
    exclude_lags
        Largest lag that is no far peak; at least the interferometer's delay in periods.
    confidence
        Nominal coverage of the interval.
    noise_ratio
        Noise over signal clicks within the window, for both polarisations; gives ``corrected``.

    Raises
    ------
    ValueError
        If the two were counted by different definitions, far peaks or the orthogonal central peak hold no
        coincidence, or ``exclude_lags`` is below 1 or leaves no peak.
    """
    _check_excluded(exclude_lags)
    _check_same(parallel, orthogonal)
    r_par, _, _, par = central_to_far(parallel, exclude_lags=exclude_lags, confidence=confidence)
    r_perp, _, _, perp = central_to_far(orthogonal, exclude_lags=exclude_lags, confidence=confidence)
    if orthogonal.central == 0:
        raise ValueError("no central coincidence with orthogonal polarisation: there is nothing to compare with")
    ratio = ratio_interval((par["central"], par["side"]), (perp["central"], perp["side"]), confidence=confidence)
    corrected, correction = None, None
    if noise_ratio is not None:
        clean = without_noise(r_perp, noise_ratio)
        if clean > 0:
            corrected = 1 - without_noise(r_par, noise_ratio) / clean
            correction = "noise/signal {:.3g}, {:.3g}".format(*noise_pair(noise_ratio))
    return Estimate(
        definition="hom.v_co_cross",
        value=1 - r_par / r_perp,
        low=1 - ratio.high,
        high=1 - ratio.low,
        confidence=confidence,
        counts={
            "central": par["central"],
            "side": par["side"],
            "central_orthogonal": perp["central"],
            "side_orthogonal": perp["side"],
            "side_peaks": par["side_peaks"],
        },
        window_ps=parallel.window_ps,
        delay_ps=parallel.delay_ps,
        normalisation="orthogonal",
        raw=1 - r_par / r_perp,
        corrected=corrected,
        correction=correction,
    )


def m_tot(
    central_to_uncorrelated: float,
    *,
    g2: float,
    transmission: float = 0.5,
    first_transmission: float = 0.5,
    mode_overlap_loss: float = 0.0,
) -> float:
    """Return the mean wave-packet overlap M_tot of the whole field, for any pair of lossless splitters.

    With first splitter s : l (to the short and the long arm), second splitter T : R, and classical
    fringe visibility 1 - ε,

        M_tot = [T² + R² + T·R·g·(s² + l²)/(s·l) - r·(s·T + l·R)(s·R + l·T)/(s·l)] / [2·T·R·(1 - ε)²]

    which is V_unc + g for balanced splitters and ε = 0.

    Parameters
    ----------
    central_to_uncorrelated
        r = A0/A_unc of the parallel measurement, (1 - V_unc)/2.
    g2
        g2(0) of the source.
    transmission
        T of the last splitter (R = 1 - T).
    first_transmission
        s of the first splitter (l = 1 - s).
    mode_overlap_loss
        ε.

    Raises
    ------
    ValueError
        If a splitting ratio isn't in (0, 1), or ε isn't in [0, 1).
    """
    t, s, loss = transmission, first_transmission, mode_overlap_loss
    if not (0 < t < 1 and 0 < s < 1 and 0 <= loss < 1):
        raise ValueError(f"splitting ratios must lie in (0, 1) and ε in [0, 1): {t}, {s}, {loss}")
    r, long = 1 - t, 1 - s
    both = t * r * g2 * (s * s + long * long) / (s * long)
    uncorrelated = central_to_uncorrelated * (s * t + long * r) * (s * r + long * t) / (s * long)
    return (t * t + r * r + both - uncorrelated) / (2 * t * r * (1 - loss) ** 2)


def _check_excluded(exclude_lags: int) -> None:
    if exclude_lags < 1:
        raise ValueError(f"exclude_lags must be at least 1: peaks next to the centre interfere, not {exclude_lags}")


def _check_same(parallel: PeakCounts, orthogonal: PeakCounts) -> None:
    for name in ("window_ps", "delay_ps", "max_lag"):
        mine, theirs = getattr(parallel, name), getattr(orthogonal, name)
        if mine != theirs:
            raise ValueError(f"parallel and orthogonal differ in {name}: {mine} and {theirs}")
