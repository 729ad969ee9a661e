"""What light a rig delivers, as mean rates: read from a run, or given as numbers of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdhil.gate.blocks import Block, total
from qdhil.gate.quads import Context, clicks_per_pulse, whole_quads
from qdhil.statistics.paired import quad_contrasts
from qdhil.tags.acquisition import Configuration


@dataclass(frozen=True)
class PathRates:
    """Mean rates of one light path: coincidences of the centre and of one far peak, and clicks of both detectors."""

    central_hz: float
    far_hz: float
    singles_hz: tuple[float, float]


@dataclass(frozen=True)
class RigRates:
    """What a rig delivers.

    Parameters
    ----------
    paths
        Rates by light path.
    rep_rate_hz
        Laser pulses per second.
    brightness_noise
        Relative noise of a block's brightness beyond counting.
    overhead_s
        Wall time of a visit beyond its dwell: boot, settling, transfer; 0 where it isn't known.
    source
        Where the numbers come from.
    """

    paths: Mapping[Configuration, PathRates]
    rep_rate_hz: float
    brightness_noise: float
    overhead_s: float
    source: str


def rates_of_run(
    blocks: Sequence[Block], context: Context, *, rep_rate_hz: float, overhead_s: float, source: str
) -> RigRates:
    """Return the rates that the baseline had in a run.

    Raises
    ------
    ValueError
        If the run holds no whole quads, or counts that say nothing.
    """
    paths: dict[Configuration, PathRates] = {}
    for name in dict.fromkeys(b.configuration for b in blocks if b.quad is not None):
        counts = total(blocks, "baseline", name)
        far, peaks = counts.far(context.exclude_lags)
        paths[name] = PathRates(
            counts.central / counts.dwell_s,
            far / peaks / counts.dwell_s,
            (counts.singles_a / counts.dwell_s, counts.singles_b / counts.dwell_s),
        )
    noise = 0.0
    if "hbt" in paths:
        quads = whole_quads(blocks, ["hbt"])
        contrasts = [
            float(quad_contrasts([clicks_per_pulse(b.counts) for b in quad], [b.arm for b in quad])[0])
            for quad in quads
        ]
        if len(contrasts) > 1:
            noise = float(np.std(contrasts, ddof=1))  # of a contrast of means of two, as of one block
    return RigRates(paths, rep_rate_hz, noise, overhead_s, source)


def rates_of_light(
    *, clicks: float, g2: float, visibility: float, rep_rate_hz: float, brightness_noise: float
) -> RigRates:
    """Return the rates that a source would have.

    Parameters
    ----------
    clicks
        Clicks of both detectors per pulse.
    g2, visibility
        g2(0), and V_unc of the parallel path.
    rep_rate_hz
        Laser pulses per second.
    brightness_noise
        Relative noise of a block's brightness.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    if not (0 < clicks < 2 and 0 <= g2 <= 1 and 0 <= visibility <= 1 and rep_rate_hz > 0 and brightness_noise >= 0):
        raise ValueError("clicks per pulse lie in (0, 2), g2(0) and V in [0, 1], rates and noise are positive")
    per_detector = clicks / 2
    far = rep_rate_hz * per_detector**2
    singles = (rep_rate_hz * per_detector,) * 2
    return RigRates(
        {
            "hbt": PathRates(g2 * far, far, singles),
            "hom_parallel": PathRates((1 - visibility) / 2 * far, far, singles),
            "hom_orthogonal": PathRates((1 + g2) / 2 * far, far, singles),
        },
        rep_rate_hz,
        brightness_noise,
        0.0,
        "given rates",
    )
