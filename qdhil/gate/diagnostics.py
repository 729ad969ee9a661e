"""Is the light as the estimators assume? What fails here can't support a PASS."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qdhil.gate.blocks import ARMS, Block, total
from qdhil.gate.evidence import Look
from qdhil.gate.quads import Context
from qdhil.metrics.near_far import near_to_far
from qdhil.statistics.dispersion import ONE_IN_1000, chi_squared_quantile

_NEAR_FAR_TOLERANCE = 0.05
"""Near over far side peaks may differ by this much from what dead time explains."""
_NEAR_FAR_CONFIDENCE = 1 - 1e-6
_MOST_DEAD = 0.2
"""A detector that is dead for more than this share of the time no longer counts in proportion to the light."""
_MOST_PHI = 1.5
_FEWEST_BLOCKS = 20
"""A scatter above ``_MOST_PHI`` is believed to be known only from this many blocks on."""


def near_far_problems(blocks: Sequence[Block], context: Context) -> list[str]:
    """Return, by arm, where near side peaks differ from far ones by more than dead time explains.

    That tells of saturation, crosstalk or another dead time than the calibration's. Nothing is said where the dead time
    is shorter than a period.
    """
    problems: list[str] = []
    if not any(block.configuration == "hbt" for block in blocks):
        return problems
    for arm in ARMS:
        counts = total(blocks, arm, "hbt")
        if math.floor(context.dead_time_ps / counts.period_ps) < 1:
            continue
        found = near_to_far(counts, dead_time_ps=context.dead_time_ps, confidence=_NEAR_FAR_CONFIDENCE)
        low, high = found.corrected_low, found.corrected_high
        if low is None or high is None or low > 1 + _NEAR_FAR_TOLERANCE or high < 1 - _NEAR_FAR_TOLERANCE:
            problems.append(
                f"near side peaks of the {arm} are x{found.corrected:.3f} of what dead time and far peaks explain"
            )
    return problems


def linearity_problems(blocks: Sequence[Block], context: Context) -> list[str]:
    """Return, by arm, which detector is dead for too large a share of the time to count in proportion to the light."""
    problems: list[str] = []
    for arm in ARMS:
        own = [block.counts for block in blocks if block.arm == arm]
        dwell_s = sum(counts.dwell_s for counts in own)
        for name, clicks in (
            ("a", sum(counts.singles_a for counts in own)),
            ("b", sum(counts.singles_b for counts in own)),
        ):
            dead = clicks * context.dead_time_ps * 1e-12 / dwell_s if dwell_s else 0.0
            if dead > _MOST_DEAD:
                problems.append(
                    f"detector {name} is dead {dead:.0%} of the time with the {arm} ({clicks / dwell_s:.3g} clicks/s): "
                    f"beyond {_MOST_DEAD:.0%} it is not linear; attenuate the light"
                )
    return problems


def dispersion_problems(look: Look, blocks: int) -> list[str]:
    """Return whether blocks scatter more than counting allows while too few of them say how much."""
    pairs = max(blocks // 2, 1)
    if look.phi is None or look.phi <= _MOST_PHI or blocks >= _FEWEST_BLOCKS:
        return []
    if look.phi * pairs > chi_squared_quantile(pairs, ONE_IN_1000):
        return [
            f"blocks scatter {look.phi:.2g} times more than counting allows, which {blocks} blocks "
            f"(of {_FEWEST_BLOCKS} wanted) don't tell well enough"
        ]
    return []
