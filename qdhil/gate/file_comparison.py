"""Compare two sets of recorded files on g2(0): one look, a drift that is not controlled.

Files were taken one after the other, so that a drift of the rig looks like a change of the firmware. A stated
allowance for it moves both tests to the cautious side; nothing makes the comparison as good as interleaved blocks.

What is compared is the *window ratio*: coincidences within a window around the antibunched peak over those within
windows around the other peaks. Of background f, lifetime tails of neighbours included, and peaks of area w it is
(f + g w)/(f + w): it grows with g2(0) and with nothing that a purer source has. A ratio r of g2(0) changes it by
1 + (r - 1) s only, with s = g (1 - R)/((1 - g) R); the low end of the interval of g from the fitted comb gives
the least s, hence the margin that is hardest to rule out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdhil.gate.file_windows import ArmWindows, Comb, Series, check_phase, count_windows, locate, pooled
from qdhil.gate.policy import MetricPolicy, Policy
from qdhil.gate.verdict import Verdict
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.pulsed_fit import g2_comb_fit
from qdhil.statistics.conditional import ratio_interval, ratio_p_values
from qdhil.statistics.dispersion import Dispersion, dispersion
from qdhil.statistics.intervals import poisson_ratio_interval

METRIC = "g2.pulsed.area"


@dataclass(frozen=True)
class FileComparison:
    """The decision, with everything that it rests on.

    ``margin`` (``None`` where the comb tells no g2) and ``tolerated`` are ratios of the window ratio, the drift
    allowance included.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    baseline: tuple[float, float, float]
    candidate: tuple[float, float, float]
    change: tuple[float | None, float, float]
    counts: dict[str, int]
    window_ps: int
    delay_ps: float
    period_ps: float
    margin: float | None
    tolerated: float
    drift_allowance: float
    p_no_harm: float | None
    p_harm: float
    phi: float | None
    confidence: float
    policy: str
    policy_sha256: str
    miss_rate: float
    false_block_rate: float

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["change"] = ["inf" if value == math.inf else value for value in self.change]
        return {
            "schema_version": 1,
            "metric": "g2.pulsed.window_ratio",
            "interleaved": False,
            **data,
            "verdict": str(self.verdict),
        }


def compare_files(
    baseline: Sequence[Series], candidate: Sequence[Series], policy: Policy, *, drift_allowance: float
) -> FileComparison:
    """Decide whether the candidate's files show a worse g2(0) than the baseline's.

    Parameters
    ----------
    baseline, candidate
        At least one file each.
    policy
        Its entry for g2(0), its window and its error rates decide.
    drift_allowance
        Factor, at least 1, by which the window ratio may drift between files without a change of firmware.

    Raises
    ------
    ValueError
        If the baseline shows no antibunched comb, the peaks of the two sets don't lie alike, or windows are empty.
    """
    if not 1 <= drift_allowance < math.inf:
        raise ValueError(f"a drift allowance is a factor from 1 on, not {drift_allowance}")
    wanted = policy.metrics.get(METRIC)
    if wanted is None:
        raise ValueError(f"the policy {policy.name} asks nothing of {METRIC}, the only metric that files tell")
    comb = locate(baseline, policy.window.window_ps)
    check_phase(baseline, candidate, comb)
    arms = {"baseline": count_windows(baseline, comb), "candidate": count_windows(candidate, comb)}
    scatter = dispersion([pair for arm in arms.values() for pair in arm.pairs])
    return _decided(arms["baseline"], arms["candidate"], policy, wanted, comb, scatter, drift_allowance, baseline)


def _least_share(files: Sequence[Series], comb: Comb, ratio: float) -> float | None:
    """Return the least part of the window ratio that goes with g2(0), ``None`` where the comb doesn't fit."""
    whole = pooled(files)
    histogram = Histogram.of(whole.blocks.sum(axis=0), first_ps=whole.first_ps, bin_ps=whole.bin_ps)
    try:
        fit = g2_comb_fit(histogram, period_ps=comb.period_ps, delay_ps=comb.delay_ps, fit_period=True, confidence=0.95)
    except ValueError:
        return None
    g = max(fit.g2.low, 0.0)
    return min(1.0, g * (1 - ratio) / ((1 - g) * ratio)) if ratio < 1 and g < 1 else None


def _decided(
    baseline: ArmWindows,
    candidate: ArmWindows,
    policy: Policy,
    wanted: MetricPolicy,
    comb: Comb,
    scatter: Dispersion,
    allowance: float,
    files: Sequence[Series],
) -> FileComparison:
    deflate = max(scatter.phi or 1.0, 1.0) if scatter.excessive else 1.0
    tables = [(int(arm.central / deflate), int(arm.side / deflate)) for arm in (candidate, baseline)]
    exposure = candidate.bins[0] * baseline.bins[1] / (candidate.bins[1] * baseline.bins[0])
    share = _least_share(files, comb, baseline.ratio)
    # above 1 a part of a tolerated change may be all of it, below 1 the least of it counts
    tolerated = 1 + (wanted.tolerated_ratio - 1) * (1.0 if wanted.tolerated_ratio >= 1 else share or 0.0)
    harm_null = tolerated * allowance
    p_harm = ratio_p_values(tables[0], tables[1], null_ratio=harm_null * exposure)[0]
    margin = None if share is None else (1 + (wanted.margin_ratio - 1) * share) / allowance
    p_no_harm = None
    if margin is not None:
        p_no_harm = ratio_p_values(tables[0], tables[1], null_ratio=margin * exposure)[1]
    interval = ratio_interval(tables[0], tables[1], confidence=policy.confidence)
    verdict, reasons = _verdict(policy, wanted, p_no_harm, p_harm, scatter, candidate)
    return FileComparison(
        verdict=verdict,
        reasons=(*reasons, _drift(allowance)),
        baseline=_with_interval(baseline, policy.confidence),
        candidate=_with_interval(candidate, policy.confidence),
        change=(
            None if interval.value is None else interval.value / exposure,
            interval.low / exposure,
            interval.high / exposure,
        ),
        counts={
            "baseline_central": baseline.central,
            "baseline_side": baseline.side,
            "candidate_central": candidate.central,
            "candidate_side": candidate.side,
        },
        window_ps=comb.window_ps,
        delay_ps=comb.delay_ps,
        period_ps=comb.period_ps,
        margin=margin,
        tolerated=harm_null,
        drift_allowance=allowance,
        p_no_harm=p_no_harm,
        p_harm=p_harm,
        phi=scatter.phi,
        confidence=policy.confidence,
        policy=policy.name,
        policy_sha256=policy.sha256,
        miss_rate=policy.miss_rate,
        false_block_rate=policy.false_block_rate,
    )


def _verdict(
    policy: Policy,
    wanted: MetricPolicy,
    p_no_harm: float | None,
    p_harm: float,
    scatter: Dispersion,
    candidate: ArmWindows,
) -> tuple[Verdict, list[str]]:
    """Return the verdict and why; what a PASS lacks is told all at once."""
    if p_no_harm is None:
        missing = ["the comb does not fit: how much of the window ratio is g2(0) is not known"]
    elif p_no_harm > policy.miss_rate:
        missing = [f"x{wanted.margin_ratio:g} of g2(0) is not ruled out (p = {p_no_harm:.2g})"]
    else:
        missing = []
    ruled_out = not missing
    missing += [f"{name} can't be told from files" for name in policy.metrics if name != METRIC]
    if policy.campaign.required_rigs > 1:
        missing.append(f"the policy requires {policy.campaign.required_rigs} rigs")
    if scatter.phi is None:
        missing.append("single histograms don't tell how blocks scatter")
    if wanted.limit is not None and not _within_limit(candidate, wanted.limit, policy.miss_rate):
        missing.append(f"g2(0) within {wanted.limit:g} is not proven (floor included)")
    if not missing:
        return Verdict.PASS, [f"x{wanted.margin_ratio:g} of g2(0) is ruled out (p = {p_no_harm:.2g})"]
    if p_harm <= policy.false_block_rate and not ruled_out:
        return Verdict.BLOCK, [f"worse than tolerated is proven (p = {p_harm:.2g})"]
    return Verdict.INCONCLUSIVE, [*missing, f"worse than tolerated: p = {p_harm:.2g}"]


def _within_limit(arm: ArmWindows, limit: float, miss_rate: float) -> bool:
    """Whether the window ratio, which is never below g2(0), lies below the limit at this error rate."""
    return _with_interval(arm, 1 - 2 * miss_rate)[2] < limit


def _with_interval(arm: ArmWindows, confidence: float) -> tuple[float, float, float]:
    per_bin = arm.bins[1] / arm.bins[0]
    low, high = poisson_ratio_interval(arm.central, arm.side, confidence)
    return arm.ratio, low * per_bin, high * per_bin


def _drift(allowance: float) -> str:
    return (
        "the files are not interleaved: drift between them is not controlled; "
        f"a change of x{allowance:g} is allowed for it, and a larger drift would be taken for a change"
    )
