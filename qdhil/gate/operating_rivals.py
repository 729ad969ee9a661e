"""What users compare firmware with today, on the very traces of the gate's campaigns.

Each rule gets as many blocks as the gate's budget and one number a block: clicks per pulse, or central over mean far
peak. Before/after rules measure the baseline in the first half and the candidate in the second of the same session;
the stored-run rule takes the baseline from another session. The rules are re-stated here, not run from their projects.

- pytest-benchmark: ``--benchmark-compare-fail=mean:5%`` against a stored run.
- Welch: two-sided p < 0.01 before/after, and the mean is worse.
- Mann-Whitney canary judge (Kayenta): the 98 % interval of the shift, before/after, lies on the worse side of a
  quarter of the estimated shift.
- peeked t: one-sided p < 0.01 of the mean contrast of ABBA quads, asked after every quad from the second on.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.operating import Case, upper_bound
from qdhil.gate.operating_light import Arms, means
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context
from qdhil.statistics.evidence import Floats

LEVEL = 0.01
STORED_FACTOR = 1.05
CANARY_CONFIDENCE, CANARY_TOLERANCE = 0.98, 0.25
RULES = ("pytest-benchmark mean:5%", "Welch before/after p<.01", "Mann-Whitney canary judge", "t peeked p<.01")


@dataclass(frozen=True)
class RivalCell:
    """How often a rule calls the candidate worse."""

    rule: str
    metric: str
    drift: str
    truth: str
    alarms: int
    campaigns: int

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {**asdict(self), "alarm_rate_upper_95": upper_bound(self.alarms, self.campaigns)}


def rival_alarms(case: Case, chunk: int, campaigns: int, policy: Policy, context: Context) -> dict[str, int]:
    """Return how many of the campaigns each rule calls worse."""
    blocks = 4 * policy.campaign.quads_max
    before_after = np.repeat(np.arange(blocks)[None, :] >= blocks // 2, campaigns, axis=0)
    rng = case.counting(chunk, 2)
    # a stored run is another session: chunks of the table's campaigns never reach so far
    stored = _values(case, chunk + 1_000_000, np.zeros_like(before_after), policy, context, rng)
    new = _values(case, chunk, np.ones_like(before_after), policy, context, rng)
    halves = _values(case, chunk, before_after, policy, context, rng)
    arms, _ = case.session(chunk, campaigns, policy)
    quads = _values(case, chunk, arms, policy, context, rng)
    sign = 1.0 if DEFINITIONS[case.metric].harm == "higher" else -1.0
    old, late = halves[:, : blocks // 2], halves[:, blocks // 2 :]
    found = (
        _stored_run(stored, new, sign),
        _welch(old, late, sign),
        _canary(old, late, sign),
        _peeked(quads, arms, sign),
    )
    return {rule: int(alarms.sum()) for rule, alarms in zip(RULES, found, strict=True)}


def _values(case: Case, chunk: int, arms: Arms, policy: Policy, context: Context, rng: np.random.Generator) -> Floats:
    """Return one number a block, shape of ``arms``."""
    _, light = case.session(chunk, arms.shape[0], policy, arms)
    path = DEFINITIONS[case.metric].configurations[0]
    rates, dwell_s = case.source.rates(policy), getattr(policy.campaign.dwell_s, path)
    noise = rng.normal(0.0, rates.brightness_noise, arms.shape)
    mean = means(path, rates, dwell_s, case.drift, light, noise, arms, case.harm(policy))
    if DEFINITIONS[case.metric].harm == "lower":
        return np.asarray(rng.poisson(2 * mean.singles) / (dwell_s * rates.rep_rate_hz))
    peaks = 2 * (policy.window.max_lag - context.exclude_lags)
    far = np.maximum(rng.poisson(peaks * mean.far_peak), 1) / peaks
    return np.asarray(rng.poisson(mean.central) / far)


def _stored_run(stored: Floats, new: Floats, sign: float) -> Arms:
    ratio = new.mean(axis=1) / np.maximum(stored.mean(axis=1), 1e-300)
    return np.asarray(ratio**sign > STORED_FACTOR)


def _welch(old: Floats, new: Floats, sign: float) -> Arms:
    from scipy.stats import ttest_ind

    found = ttest_ind(new, old, axis=1, equal_var=False)
    return np.asarray((found.pvalue < LEVEL) & (sign * found.statistic > 0))


def _canary(old: Floats, new: Floats, sign: float) -> Arms:
    """Hodges and Lehmann's interval of the shift, by the normal approximation of Wilcoxon's rank sum."""
    from scipy.special import ndtri

    m, n = old.shape[1], new.shape[1]
    shifts = np.sort((new[:, :, None] - old[:, None, :]).reshape(len(old), m * n), axis=1)
    reach = float(ndtri((1 + CANARY_CONFIDENCE) / 2)) * math.sqrt(m * n * (m + n + 1) / 12)
    rank = max(math.floor(m * n / 2 - reach), 0)
    low, high, estimate = shifts[:, rank], shifts[:, m * n - 1 - rank], np.median(shifts, axis=1)
    tolerance = CANARY_TOLERANCE * np.abs(estimate)
    return np.asarray(low > tolerance if sign > 0 else high < -tolerance)


def _peeked(values: Floats, arms: Arms, sign: float) -> Arms:
    from scipy.special import stdtr

    signed = sign * np.where(arms, 0.5, -0.5) * values
    contrasts = signed.reshape(len(values), -1, 4).sum(axis=2)
    n = np.arange(1, contrasts.shape[1] + 1)
    mean = np.cumsum(contrasts, axis=1) / n
    squares = np.cumsum(contrasts**2, axis=1) - n * mean**2
    t = mean[:, 1:] / np.sqrt(np.maximum(squares[:, 1:], 1e-300) / (n[1:] - 1) / n[1:])
    return np.asarray((stdtr(n[1:] - 1, -t) < LEVEL).any(axis=1))
