"""How two arms are compared: the ratio candidate/baseline of one positive number, tested twice.

The number is the *scale of harm*: g2(0), 1 - V, or the brightness. One test is against the margin, the
other against what is tolerated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from qdhil.gate.blocks import Block, total
from qdhil.metrics import PeakCounts
from qdhil.statistics.conditional import ratio_interval, ratio_p_values
from qdhil.statistics.paired import quad_contrasts, t_comparison
from qdhil.tags.acquisition import Configuration

_EXPOSURE_RISK = 1e-4
"""Chance that the far peaks' counting error exceeds what is allowed for it; added to every p-value."""
_EXPOSURE_SIGMAS = 3.891
"""Two-sided normal quantile of _EXPOSURE_RISK."""


@dataclass(frozen=True)
class Context:
    """What a rig's calibration and the policy say about reading its counts."""

    exclude_lags: int
    dead_time_ps: int
    confidence: float
    dark_rate_hz: tuple[float, float] | None


@dataclass(frozen=True)
class Change:
    """The ratio candidate/baseline on the scale of harm, and the two p-values that decide.

    Parameters
    ----------
    ratio, low, high
        Estimate and interval; ``ratio`` is ``None`` where neither arm has a count.
    p_margin
        P(so little harm | the ratio is at the margin): small rules the margin out.
    p_tolerated
        P(so much harm | the ratio is at the tolerated value): small proves harm.
    test
        Which test this is.
    """

    ratio: float | None
    low: float
    high: float
    p_margin: float
    p_tolerated: float
    test: str

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON, which has no infinity: an open end is the text ``"inf"``."""
        return {name: "inf" if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; TypeError or AttributeError on anything else."""
        fields: dict[str, Any] = {name: math.inf if value == "inf" else value for name, value in record.items()}
        return cls(**fields)


def central_to_side_change(
    configuration: Configuration,
) -> Callable[[Sequence[Block], float, float, Context], Change]:
    """Compare central-to-far ratios by Fisher's non-central hypergeometric distribution."""

    def change(blocks: Sequence[Block], margin: float, tolerated: float, context: Context) -> Change:
        baseline, candidate = (
            (counts.central, counts.far(context.exclude_lags)[0])
            for counts in (total(blocks, "baseline", configuration), total(blocks, "candidate", configuration))
        )
        interval = ratio_interval(candidate, baseline, confidence=context.confidence)
        return Change(
            interval.value,
            interval.low,
            interval.high,
            p_margin=ratio_p_values(candidate, baseline, null_ratio=margin)[1],
            p_tolerated=ratio_p_values(candidate, baseline, null_ratio=tolerated)[0],
            test="conditional odds ratio of {central, far} counts",
        )

    return change


def _far_error(counts: PeakCounts, exclude_lags: int) -> tuple[float, float]:
    """Return the far counts and their relative variance, over-dispersion by re-used clicks included.

    Each click pairs with every side peak, so that Var/mean = 1 + (k - 1)(p_a + p_b).
    """
    far, side_peaks = counts.far(exclude_lags)
    if far == 0:
        raise ValueError(f"no coincidence in {side_peaks} side peaks: there is nothing to normalise with")
    return far, (1 + (side_peaks - 1) * _clicks_per_pulse(counts)) / far


def _clicks_per_pulse(counts: PeakCounts) -> float:
    if counts.triggers <= 0:
        raise ValueError("no laser pulses: clicks per pulse have no meaning")
    return (counts.singles_a + counts.singles_b) / counts.triggers


def co_cross_change(blocks: Sequence[Block], margin: float, tolerated: float, context: Context) -> Change:
    """Compare A_par/A_perp of two arms: an odds ratio of centrals whose exposures are far peaks.

    The far peaks are some twenty times as many as the parallel centrals; their counting error moves the
    null by ``_EXPOSURE_SIGMAS`` in the cautious direction and costs ``_EXPOSURE_RISK`` of each p-value.
    """
    cells = {
        (arm, configuration): total(blocks, arm, configuration)
        for arm in ("baseline", "candidate")
        for configuration in ("hom_parallel", "hom_orthogonal")
    }
    far = {key: _far_error(counts, context.exclude_lags) for key, counts in cells.items()}
    exposure = (far["candidate", "hom_parallel"][0] * far["baseline", "hom_orthogonal"][0]) / (
        far["baseline", "hom_parallel"][0] * far["candidate", "hom_orthogonal"][0]
    )
    reach = math.exp(_EXPOSURE_SIGMAS * math.sqrt(sum(variance for _, variance in far.values())))
    candidate, baseline = (
        (cells[arm, "hom_parallel"].central, cells[arm, "hom_orthogonal"].central) for arm in ("candidate", "baseline")
    )
    interval = ratio_interval(candidate, baseline, confidence=context.confidence)
    p_margin = ratio_p_values(candidate, baseline, null_ratio=margin * exposure / reach)[1]
    p_tolerated = ratio_p_values(candidate, baseline, null_ratio=tolerated * exposure * reach)[0]
    return Change(
        None if interval.value is None else interval.value / exposure,
        interval.low / exposure / reach,
        interval.high / exposure * reach,
        p_margin=min(1.0, p_margin + _EXPOSURE_RISK),
        p_tolerated=min(1.0, p_tolerated + _EXPOSURE_RISK),
        test="conditional odds ratio of {parallel, orthogonal} centrals, far peaks as exposure",
    )


def brightness_change(blocks: Sequence[Block], margin: float, tolerated: float, context: Context) -> Change:
    """Compare clicks per pulse over ABBA quads by Student's t: a source drifts far more than it counts."""
    series = [block for block in blocks if block.configuration == "hbt"]
    values = [_clicks_per_pulse(block.counts) for block in series]
    contrasts = quad_contrasts(values, [block.arm for block in series])
    at_margin = t_comparison(contrasts, null=math.log(margin), confidence=context.confidence)
    at_tolerated = t_comparison(contrasts, null=math.log(tolerated))
    return Change(
        math.exp(at_margin.estimate),
        math.exp(at_margin.low),
        math.exp(at_margin.high),
        p_margin=at_margin.p_greater,
        p_tolerated=at_tolerated.p_less,
        test=f"Student t over {at_margin.quads} ABBA quads of log brightness",
    )
