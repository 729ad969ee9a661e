"""The metrics a policy can name: what each needs, how it is estimated, how two arms are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from qdhil.gate.blocks import Block
from qdhil.gate.change import Change, brightness_change, central_to_side_change, co_cross_change
from qdhil.gate.quads import Context, ReadQuad, brightness_quad, central_to_side_quad, co_cross_quad
from qdhil.metrics import Estimate, PeakCounts, at_detector, g2_area, noise_ratio, v_co_cross, v_unc
from qdhil.tags.acquisition import Configuration


@dataclass(frozen=True)
class Definition:
    """One metric: its id, the configurations it reads, and its functions."""

    id: str
    title: str
    configurations: tuple[Configuration, ...]
    harm: Literal["higher", "lower"]
    scale: str
    """The number compared, as reasons name it."""
    prefix: str
    """What stands before a ratio where it is not the ratio of the values shown."""
    estimate: Callable[[dict[Configuration, PeakCounts], Context], Estimate]
    change: Callable[[Sequence[Block], Context], Change]
    quad: ReadQuad
    has_limit: bool = True
    """Whether a policy may set an absolute limit on its scale of harm."""


def _noise(counts: PeakCounts, context: Context) -> tuple[float, float] | None:
    if context.dark_rate_hz is None:
        return None
    dark_a_hz, dark_b_hz = context.dark_rate_hz
    x_a, x_b = (
        noise_ratio(
            dark_rate_hz=rate_hz,
            singles=singles,
            triggers=counts.triggers,
            dwell_s=counts.dwell_s,
            window_ps=counts.window_ps,
        )
        for rate_hz, singles in ((dark_a_hz, counts.singles_a), (dark_b_hz, counts.singles_b))
    )
    return x_a, x_b


def _purity(counts: dict[Configuration, PeakCounts], context: Context) -> Estimate:
    hbt = counts["hbt"]
    return g2_area(
        hbt,
        exclude_lags=context.exclude_lags,
        confidence=context.confidence,
        noise_ratio=_noise(hbt, context),
    )


def _v_unc(counts: dict[Configuration, PeakCounts], context: Context) -> Estimate:
    parallel = counts["hom_parallel"]
    return v_unc(
        parallel,
        exclude_lags=context.exclude_lags,
        confidence=context.confidence,
        noise_ratio=_noise(parallel, context),
    )


def _v_co_cross(counts: dict[Configuration, PeakCounts], context: Context) -> Estimate:
    parallel = counts["hom_parallel"]
    return v_co_cross(
        parallel,
        counts["hom_orthogonal"],
        exclude_lags=context.exclude_lags,
        confidence=context.confidence,
        noise_ratio=_noise(parallel, context),
    )


def _brightness(counts: dict[Configuration, PeakCounts], context: Context) -> Estimate:
    return at_detector(
        counts["hbt"],
        confidence=context.confidence,
        dead_time_ps=context.dead_time_ps,
        dark_rate_hz=context.dark_rate_hz,
    )


DEFINITIONS: dict[str, Definition] = {
    definition.id: definition
    for definition in (
        Definition(
            id="g2.pulsed.area",
            title="g2(0)",
            configurations=("hbt",),
            harm="higher",
            scale="g2(0)",
            prefix="",
            estimate=_purity,
            change=central_to_side_change("hbt"),
            quad=central_to_side_quad("hbt", 1.0),
        ),
        Definition(
            id="hom.v_unc",
            title="V_unc",
            configurations=("hom_parallel",),
            harm="higher",
            scale="1-V",
            prefix="1-V ",
            estimate=_v_unc,
            change=central_to_side_change("hom_parallel"),
            quad=central_to_side_quad("hom_parallel", 2.0),
        ),
        Definition(
            id="hom.v_co_cross",
            title="V_co/cross",
            configurations=("hom_parallel", "hom_orthogonal"),
            harm="higher",
            scale="1-V",
            prefix="1-V ",
            estimate=_v_co_cross,
            change=co_cross_change,
            quad=co_cross_quad,
        ),
        Definition(
            id="brightness.detected",
            title="clicks/pulse",
            configurations=("hbt",),
            harm="lower",
            scale="clicks/pulse",
            prefix="",
            estimate=_brightness,
            change=brightness_change,
            quad=brightness_quad,
            has_limit=False,
        ),
    )
}
