"""Light for the simulation of whole campaigns: drifts of the source from block to block, and Poisson counts.

A trace is the logarithm of the source's brightness at each block. Coincidences go with its square, in the centre and
far away alike, clicks with itself. The same trace can be measured in another order of the arms, so that other ways of
comparing two firmwares meet the very drift that the gate met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.gate.blocks import Block
from qdhil.gate.campaign import ORDERS
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context
from qdhil.gate.rig_rates import RigRates, rates_of_light
from qdhil.metrics import PeakCounts
from qdhil.statistics.evidence import Floats
from qdhil.tags.acquisition import Configuration

Arms = npt.NDArray[np.bool_]
"""Whether the candidate runs, shape (campaigns, blocks)."""

DRIFTS: dict[str, str] = {
    "none": "only the block noise",
    "OU 1 %": "Ornstein-Uhlenbeck, sd 1 %, correlation over 20 blocks",
    "OU 3 %": "the same with sd 3 %",
    "random walk": "steps of 0.2 % a block",
    "linear -2 %": "straight line to -2 % over the budget's blocks",
    "droop -20 %": "exponential fall by 20 % over the budget, a third of it as time constant",
    "slot 1 %": "the two inner visits of each quad are brighter by 1 %",
    "reflash 2 %": "the visit after a change of firmware is dimmer by 2 %",
    "blinking": "the fraction of time in the bright state scatters by 20 % (log-sd) from block to block",
    "realigned": "each session has an offset of its own, sd 3 %",
}
_CORRELATION_BLOCKS = 20
_STEP, _SLOT, _TRANSIENT, _ON, _OFFSET = 0.002, 0.01, 0.02, 0.2, 0.03


@dataclass(frozen=True)
class Source:
    """What is measured, and how well.

    Parameters
    ----------
    centrals
        Mean central coincidences of an HBT block.
    g2, visibility
        Of the baseline.
    rep_rate_hz
        Laser pulses per second.
    noise
        Relative noise of a block's brightness, without memory.
    """

    centrals: float = 12.0
    g2: float = 0.02
    visibility: float = 0.92
    rep_rate_hz: float = 80e6
    noise: float = 0.005

    def rates(self, policy: Policy) -> RigRates:
        """Return mean rates that give ``centrals`` in the policy's dwell; ValueError where no source has them."""
        if self.centrals <= 0:
            raise ValueError("centrals must be positive")
        pulses = policy.campaign.dwell_s.hbt * self.rep_rate_hz
        return rates_of_light(
            clicks=2 * math.sqrt(self.centrals / (self.g2 * pulses)),
            g2=self.g2,
            visibility=self.visibility,
            rep_rate_hz=self.rep_rate_hz,
            brightness_noise=self.noise,
        )


def interleaved(rng: np.random.Generator, campaigns: int, quads: int) -> Arms:
    """Return ABBA or BAAB quads in the order of a coin, shape (campaigns, 4 quads)."""
    orders = np.array([[arm == "candidate" for arm in order] for order in ORDERS])
    return np.asarray(orders[rng.integers(2, size=(campaigns, quads))].reshape(campaigns, 4 * quads))


def trace(drift: str, rng: np.random.Generator, arms: Arms) -> Floats:
    """Return the log brightness of each block, shape of ``arms``; the draws don't depend on ``arms``.

    Raises
    ------
    KeyError
        If the drift isn't known.
    """
    campaigns, blocks = arms.shape
    along = np.arange(blocks) / blocks
    if drift in ("OU 1 %", "OU 3 %"):
        return _ornstein_uhlenbeck(rng, arms.shape, 0.01 if drift == "OU 1 %" else 0.03)
    if drift == "random walk":
        return np.asarray(np.cumsum(rng.normal(0.0, _STEP, arms.shape), axis=1))
    if drift == "blinking":
        return rng.normal(0.0, _ON, arms.shape)
    if drift == "realigned":
        return np.repeat(rng.normal(0.0, _OFFSET, (campaigns, 1)), blocks, axis=1)
    if drift == "reflash 2 %":
        changed = np.concatenate((np.ones((campaigns, 1), bool), arms[:, 1:] != arms[:, :-1]), axis=1)
        return np.where(changed, math.log1p(-_TRANSIENT), 0.0)
    fixed = {
        "none": np.zeros(blocks),
        "linear -2 %": np.log1p(-0.02 * along),
        "droop -20 %": np.log1p(-0.2 * (1 - np.exp(-3 * along)) / (1 - math.exp(-3))),
        "slot 1 %": np.where(np.isin(np.arange(blocks) % 4, (1, 2)), math.log1p(_SLOT), 0.0),
    }
    return np.repeat(fixed[drift][None, :], campaigns, axis=0)


def _ornstein_uhlenbeck(rng: np.random.Generator, shape: tuple[int, ...], sd: float) -> Floats:
    keep = math.exp(-1 / _CORRELATION_BLOCKS)
    steps = rng.normal(0.0, sd, shape)
    walk = np.empty(shape)
    walk[:, 0] = steps[:, 0]
    for block in range(1, shape[1]):
        walk[:, block] = keep * walk[:, block - 1] + math.sqrt(1 - keep**2) * steps[:, block]
    return walk


@dataclass(frozen=True)
class Harm:
    """What the candidate multiplies: centrals by light path, and the brightness."""

    centrals: Mapping[Configuration, float]
    brightness: float = 1.0


UNCHANGED = Harm({})


@dataclass(frozen=True)
class Means:
    """Mean counts of a light path's blocks, each of shape (campaigns, blocks)."""

    central: Floats
    far_peak: Floats
    singles: Floats


def means(
    path: Configuration,
    rates: RigRates,
    dwell_s: float,
    drift: str,
    light: Floats,
    noise: Floats,
    arms: Arms,
    harm: Harm,
) -> Means:
    """Return the mean counts of each block.

    Parameters
    ----------
    path, rates, dwell_s
        What is measured, for how long.
    drift, light
        The drift and its trace.
    noise
        Log brightness noise of each block.
    arms, harm
        Which blocks the candidate has, and what it changes.
    """
    bright = np.exp(light + noise) * np.where(arms, harm.brightness, 1.0)
    squared = bright**2
    # two clicks far apart need the bright state twice, two of one pulse only once
    central = squared * np.exp(-light) if drift == "blinking" else squared
    delivered = rates.paths[path]
    return Means(
        delivered.central_hz * dwell_s * central * np.where(arms, harm.centrals.get(path, 1.0), 1.0),
        delivered.far_hz * dwell_s * squared,
        delivered.singles_hz[0] * dwell_s * bright,
    )


def draw_blocks(
    rng: np.random.Generator,
    paths: Sequence[Configuration],
    rates: RigRates,
    policy: Policy,
    context: Context,
    drift: str,
    light: Floats,
    arms: Arms,
    harm: Harm,
) -> list[list[Block]]:
    """Return the blocks of every campaign in the order of time, Poisson counts of the means."""
    campaigns, visits = arms.shape
    drawn: list[list[list[Block]]] = []
    for path in paths:
        dwell_s = getattr(policy.campaign.dwell_s, path)
        noise = rng.normal(0.0, rates.brightness_noise, arms.shape)
        mean = means(path, rates, dwell_s, drift, light, noise, arms, harm)
        singles = rng.poisson(mean.singles[..., None], (*arms.shape, 2))
        peaks = rng.poisson(_peak_means(mean, rates, policy, context, dwell_s))
        drawn.append(_as_blocks(path, singles, peaks, arms, rates, policy, dwell_s))
    return [[drawn[p][c][v] for v in range(visits) for p in range(len(paths))] for c in range(campaigns)]


def _peak_means(mean: Means, rates: RigRates, policy: Policy, context: Context, dwell_s: float) -> Floats:
    lags = policy.window.max_lag
    peaks = np.repeat(mean.far_peak[..., None], 2 * lags + 1, axis=-1)
    near = min(math.floor(context.dead_time_ps * rates.rep_rate_hz / 1e12), lags)
    peaks[..., lags - near : lags + near + 1] *= 1 + mean.singles[..., None] / (dwell_s * rates.rep_rate_hz)
    peaks[..., lags] = mean.central
    return peaks


def _as_blocks(
    path: Configuration,
    singles: npt.NDArray[np.int64],
    peaks: npt.NDArray[np.int64],
    arms: Arms,
    rates: RigRates,
    policy: Policy,
    dwell_s: float,
) -> list[list[Block]]:
    period_ps = 1e12 / rates.rep_rate_hz
    window_ps = min(policy.window.window_ps, int(period_ps))
    triggers = round(dwell_s * rates.rep_rate_hz)
    return [
        [
            Block(
                visit // 4,
                visit % 4,
                "candidate" if is_candidate else "baseline",
                path,
                PeakCounts(tuple(row), a, b, triggers, dwell_s, window_ps, period_ps, 0),
                {},
                "",
            )
            for visit, (is_candidate, (a, b), row) in enumerate(zip(*columns, strict=True))
        ]
        for columns in zip(arms.tolist(), singles.tolist(), peaks.tolist(), strict=True)
    ]
