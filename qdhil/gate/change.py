"""How much two arms differ: the ratio candidate/baseline of one positive number, with an interval.

The number is the *scale of harm*: g2(0), 1 - V, or the brightness. The interval has its coverage at a time fixed
beforehand and is for the reader; what decides is the evidence (:mod:`qdhil.gate.evidence`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from qdhil.gate.blocks import ARMS, Arm, Block, total
from qdhil.gate.quads import Context, clicks_per_pulse, far_counts
from qdhil.statistics.conditional import ratio_interval
from qdhil.statistics.paired import quad_contrasts, t_comparison
from qdhil.tags.acquisition import Configuration

_EXPOSURE_SIGMAS = 3.891
"""Standard errors of the far peaks by which the interval of V_co/cross is widened."""


@dataclass(frozen=True)
class Change:
    """The ratio candidate/baseline on the scale of harm.

    Parameters
    ----------
    ratio, low, high
        Estimate and interval; ``ratio`` is ``None`` where neither arm has a count.
    test
        What the interval rests on.
    """

    ratio: float | None
    low: float
    high: float
    test: str

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON, which has no infinity: an open end is the text ``"inf"``."""
        return {name: "inf" if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; TypeError or AttributeError on anything else."""
        fields: dict[str, Any] = {name: math.inf if value == "inf" else value for name, value in record.items()}
        return cls(**fields)


def central_to_side_change(configuration: Configuration) -> Callable[[Sequence[Block], Context], Change]:
    """Compare central-to-far ratios by Fisher's non-central hypergeometric distribution."""

    def change(blocks: Sequence[Block], context: Context) -> Change:
        baseline, candidate = (
            (counts.central, counts.far(context.exclude_lags)[0])
            for counts in (total(blocks, arm, configuration) for arm in ARMS)
        )
        interval = ratio_interval(candidate, baseline, confidence=context.confidence)
        test = "conditional odds ratio of {central, far} counts"
        return Change(interval.value, interval.low, interval.high, test)

    return change


def co_cross_change(blocks: Sequence[Block], context: Context) -> Change:
    """Compare A_par/A_perp of two arms: an odds ratio of centrals whose exposures are far peaks."""
    pair: tuple[Configuration, Configuration] = ("hom_parallel", "hom_orthogonal")
    cells = {(arm, name): total(blocks, arm, name) for arm in ARMS for name in pair}
    far = {key: far_counts(counts, context.exclude_lags) for key, counts in cells.items()}
    exposure = (far["candidate", "hom_parallel"][0] * far["baseline", "hom_orthogonal"][0]) / (
        far["baseline", "hom_parallel"][0] * far["candidate", "hom_orthogonal"][0]
    )
    reach = math.exp(_EXPOSURE_SIGMAS * math.sqrt(sum(phi / count for count, phi in far.values())))

    def centrals(arm: Arm) -> tuple[int, int]:
        return cells[arm, "hom_parallel"].central, cells[arm, "hom_orthogonal"].central

    interval = ratio_interval(centrals("candidate"), centrals("baseline"), confidence=context.confidence)
    return Change(
        None if interval.value is None else interval.value / exposure,
        interval.low / exposure / reach,
        interval.high / exposure * reach,
        test="conditional odds ratio of {parallel, orthogonal} centrals, far peaks as exposure",
    )


def brightness_change(blocks: Sequence[Block], context: Context) -> Change:
    """Compare clicks per pulse over ABBA quads by Student's t: a source drifts far more than it counts."""
    series = [block for block in blocks if block.configuration == "hbt"]
    values = [clicks_per_pulse(block.counts) for block in series]
    contrasts = quad_contrasts(values, [block.arm for block in series])
    found = t_comparison(contrasts, confidence=context.confidence)
    return Change(
        math.exp(found.estimate),
        math.exp(found.low),
        math.exp(found.high),
        test=f"Student t over {found.quads} ABBA quads of log brightness",
    )
