"""What one quad says about a metric: a table of counts, a contrast, and pairs that should agree.

A quad is four visits in the order ABBA or BAAB; every linear drift drops out of its contrast, and any drift that is
common to the numerator and the denominator of a ratio of counts drops out of its table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from qdhil.gate.blocks import ARMS, Arm, Block, total
from qdhil.metrics import PeakCounts
from qdhil.statistics.dispersion import SameArmPair
from qdhil.statistics.evidence_counts import ArmCount, RatioTable
from qdhil.statistics.paired import quad_contrasts
from qdhil.tags.acquisition import Configuration

_FEWEST = 5
"""An arm's centrals of a quad below which their logarithm is no fair contrast."""


@dataclass(frozen=True)
class Context:
    """What a rig's calibration and the policy say about reading its counts."""

    exclude_lags: int
    dead_time_ps: int
    confidence: float
    dark_rate_hz: tuple[float, float] | None


@dataclass(frozen=True)
class QuadReading:
    """One quad of one metric.

    Parameters
    ----------
    contrast
        Log ratio candidate/baseline; ``None`` where an arm has too few counts for a logarithm.
    table
        The counts of both arms; ``None`` for a scalar.
    arm
        The counts of the candidate against an absolute limit; ``None`` for a scalar.
    level
        Log of the candidate's value on the scale of harm, ``None`` as for ``contrast``.
    pairs
        Blocks of the same arm, which should agree.
    """

    contrast: float | None
    table: RatioTable | None = None
    arm: ArmCount | None = None
    level: float | None = None
    pairs: tuple[SameArmPair, ...] = ()


ReadQuad = Callable[[Sequence[Block], Context], QuadReading]


def whole_quads(blocks: Sequence[Block], configurations: Sequence[Configuration]) -> list[list[Block]]:
    """Return the blocks quad by quad, as many as every configuration has.

    The n-th quads of the configurations go together, also where they were acquired one after the other.

    Raises
    ------
    ValueError
        If a configuration has no quad, or blocks of a quad aren't four in the order ABBA or BAAB.
    """
    by_configuration: list[list[list[Block]]] = []
    for name in configurations:
        quads: dict[int | None, list[Block]] = {}
        for block in blocks:
            if block.configuration == name:
                quads.setdefault(block.quad, []).append(block)
        for members in quads.values():
            quad_contrasts([1.0] * len(members), [block.arm for block in members])
            if len(members) != 4:
                raise ValueError(f"{len(members)} {name} blocks under one number are not an ABBA or BAAB quad")
        if not quads:
            raise ValueError(f"no {name} block of the baseline and the candidate")
        by_configuration.append(list(quads.values()))
    return [[block for part in parts for block in part] for parts in zip(*by_configuration, strict=False)]


def clicks_per_pulse(counts: PeakCounts) -> float:
    """Return the clicks of both detectors per laser pulse; ValueError without pulses."""
    if counts.triggers <= 0:
        raise ValueError("no laser pulses: clicks per pulse have no meaning")
    return (counts.singles_a + counts.singles_b) / counts.triggers


def far_counts(counts: PeakCounts, exclude_lags: int) -> tuple[int, float]:
    """Return the far coincidences and their variance over mean.

    Each click pairs with every side peak: variance over mean is 1 + (k - 1)(p_a + p_b).

    Raises
    ------
    ValueError
        If there is none, no click, or no laser pulse.
    """
    far, side_peaks = counts.far(exclude_lags)
    if far == 0:
        raise ValueError(f"no coincidence in {side_peaks} side peaks: there is nothing to normalise with")
    per_pulse = clicks_per_pulse(counts)
    if per_pulse <= 0:
        raise ValueError("coincidences without clicks: there is nothing to normalise with")
    return far, 1 + (side_peaks - 1) * per_pulse


def central_to_side_quad(configuration: Configuration, scale: float) -> ReadQuad:
    """Read central against far counts; ``scale`` times central over the mean far peak is the scale of harm."""

    def read(blocks: Sequence[Block], context: Context) -> QuadReading:
        cells = {arm: total(blocks, arm, configuration) for arm in ARMS}
        far = {arm: far_counts(counts, context.exclude_lags) for arm, counts in cells.items()}
        side_peaks = cells["candidate"].far(context.exclude_lags)[1]
        central = {arm: counts.central for arm, counts in cells.items()}
        excess = {arm: (phi - 1) / count for arm, (count, phi) in far.items()}
        rates = {arm: scale * side_peaks * (central[arm] + 0.5) / far[arm][0] for arm in ARMS}
        enough = min(central.values()) >= _FEWEST
        return QuadReading(
            contrast=math.log(rates["candidate"] / rates["baseline"]) if enough else None,
            table=RatioTable(
                (central["candidate"], far["candidate"][0]),
                (central["baseline"], far["baseline"][0]),
                log_variance=sum(excess.values()),
            ),
            arm=ArmCount(central["candidate"], far["candidate"][0], 1 / (scale * side_peaks), excess["candidate"]),
            level=math.log(rates["candidate"]) if enough else None,
            pairs=same_arm_pairs(blocks, configuration, context),
        )

    return read


def same_arm_pairs(blocks: Sequence[Block], configuration: Configuration, context: Context) -> tuple[SameArmPair, ...]:
    """Return both arms' pairs of centrals of one quad, far peaks as exposures."""
    pairs: list[SameArmPair] = []
    for arm in ARMS:
        first, second = (b.counts for b in blocks if (b.arm, b.configuration) == (arm, configuration))
        far = [far_counts(counts, context.exclude_lags) for counts in (first, second)]
        variance = sum(phi / count for count, phi in far)
        pairs.append(SameArmPair((first.central, second.central), (far[0][0], far[1][0]), variance))
    return tuple(pairs)


def pairs_elsewhere(quad: Sequence[Block], blocks: Sequence[Block], context: Context) -> tuple[SameArmPair, ...]:
    """Return the same-arm pairs of the other lit paths that were measured in the visits of a quad.

    A path without side-peak coincidences says nothing here.
    """
    own, visits = {block.configuration for block in quad}, {block.quad for block in quad}
    others: dict[tuple[Configuration, int | None], list[Block]] = {}
    for block in blocks:
        if block.quad in visits and block.configuration not in own:
            others.setdefault((block.configuration, block.quad), []).append(block)
    pairs: list[SameArmPair] = []
    for (configuration, _), members in others.items():
        with suppress(ValueError):
            pairs += same_arm_pairs(members, configuration, context)
    return tuple(pairs)


def co_cross_quad(blocks: Sequence[Block], context: Context) -> QuadReading:
    """Read parallel against orthogonal centrals, each with its far peaks as exposure.

    The far peaks' counting error, over-dispersion by re-used clicks included, goes into ``log_variance``.
    """
    pair: tuple[Configuration, Configuration] = ("hom_parallel", "hom_orthogonal")
    cells = {(arm, name): total(blocks, arm, name) for arm in ARMS for name in pair}
    far = {key: far_counts(counts, context.exclude_lags) for key, counts in cells.items()}
    variance = {arm: sum(far[arm, name][1] / far[arm, name][0] for name in pair) for arm in ARMS}
    exposure = {arm: far[arm, "hom_parallel"][0] / far[arm, "hom_orthogonal"][0] for arm in ARMS}

    def centrals(arm: Arm) -> tuple[int, int]:
        return cells[arm, "hom_parallel"].central, cells[arm, "hom_orthogonal"].central

    candidate, baseline = centrals("candidate"), centrals("baseline")
    if 0 in (candidate[1], baseline[1]):
        raise ValueError("no orthogonal centrals: there is nothing to normalise with")

    def value(arm: Arm) -> float:
        parallel, orthogonal = centrals(arm)
        return (parallel + 0.5) / (orthogonal + 0.5) / exposure[arm]

    rates = {arm: value(arm) for arm in ARMS}
    enough = min(*candidate, *baseline) >= _FEWEST
    return QuadReading(
        contrast=math.log(rates["candidate"] / rates["baseline"]) if enough else None,
        table=RatioTable(candidate, baseline, exposure["candidate"] / exposure["baseline"], sum(variance.values())),
        arm=ArmCount(candidate[0], candidate[1], exposure["candidate"], variance["candidate"]),
        level=math.log(rates["candidate"]) if enough else None,
        pairs=tuple(found for name in pair for found in same_arm_pairs(blocks, name, context)),
    )


def brightness_quad(blocks: Sequence[Block], context: Context) -> QuadReading:
    """Read the contrast of log clicks per pulse: a source drifts far more than it counts."""
    del context
    series = [block for block in blocks if block.configuration == "hbt"]
    values = [clicks_per_pulse(block.counts) for block in series]
    return QuadReading(contrast=float(quad_contrasts(values, [block.arm for block in series])[0]))
