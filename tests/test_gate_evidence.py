"""Evidence of a campaign: limits, scatter, diagnostics, the family of all rigs, and when a campaign ends."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from campaigns_made import CONTEXT, POLICY_TEXT, Light, ListJournal, ScriptedBench, decide, made_policy, row

from qdhil.gate.blocks import Block
from qdhil.gate.campaign import Campaign
from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.evidence import Evidence, Look
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison, compare, is_decided
from qdhil.gate.policy import Policy
from qdhil.gate.verdict import Verdict

PATHS = ("hbt", "hom_parallel", "hom_orthogonal")
G2 = "g2.pulsed.area"


def policy_with(metric: str = G2, /, **wanted: Any) -> Policy:
    """The made policy with one metric's values replaced, from 3 to 12 quads."""
    policy = made_policy(quads_min=3, quads_max=12)
    changed = policy.metrics[metric].model_copy(update=wanted)
    return policy.model_copy(update={"metrics": {**policy.metrics, metric: changed}})


def judged(light: Light, policy: Policy, metric: str = G2, quads: int = 6) -> Comparison:
    return compare(metric, row(light, PATHS, quads), policy, rig="made-1", rigs=1, context=CONTEXT)


# 60 centrals against four far peaks of 15,000: g2 = 0.004


@pytest.mark.parametrize(("limit", "verdict"), [(0.006, "PASS"), (0.0025, "BLOCK"), (0.004, "INCONCLUSIVE")])
def test_a_limit_holds_beside_the_ratio(limit, verdict):
    """720 centrals: 0.006 lies 11 sigma above, 0.0025 10 below; at the limit itself nothing is proven."""
    found = judged(Light(3), policy_with(limit=limit))
    assert found.verdict == verdict
    assert found.limit == limit
    last = found.evidence.looks[-1]
    assert last.no_harm > math.log10(20), "the ratio itself is fine"
    assert (last.within_limit > math.log10(20)) == (verdict == "PASS")
    assert (last.beyond_limit > 2) == (verdict == "BLOCK")
    assert f"limit {limit:g}" in found.reason
    assert Comparison.from_record(json.loads(json.dumps(found.record(), allow_nan=False))) == found


@pytest.mark.parametrize(
    ("metric", "limit", "verdict"),
    [
        ("hom.v_unc", 0.05, "PASS"),  # 2 x 250/15,000 = 0.033
        ("hom.v_unc", 0.02, "BLOCK"),
        ("hom.v_co_cross", 0.11, "PASS"),  # 250/3000 = 0.083
        ("hom.v_co_cross", 0.06, "BLOCK"),
    ],
)
def test_limits_of_interference_are_of_one_minus_v(metric, limit, verdict):
    assert judged(Light(4), policy_with(metric, limit=limit), metric).verdict == verdict


def test_a_heavier_metric_needs_less_evidence_to_block():
    policy = policy_with(weight=6.0)
    assert policy.share(G2, 1) == pytest.approx(0.6)
    assert policy.share(None, 2) == pytest.approx(0.05)
    whole = sum(policy.share(name, 2) for name in policy.metrics) + policy.share(None, 2)
    assert whole == pytest.approx(0.5)
    assert judged(Light(5), policy).block_level == pytest.approx(0.05 * 0.6)


def test_before_the_least_number_of_quads_nothing_is_decided():
    assert judged(Light(6), policy_with(), quads=2).verdict is Verdict.INCONCLUSIVE
    assert judged(Light(6, worse={"hbt": 4.0}), policy_with(), quads=2).verdict is Verdict.INCONCLUSIVE
    assert judged(Light(6), policy_with(), quads=3).verdict is Verdict.PASS


def test_what_passed_at_an_earlier_look_has_passed():
    good = Look(3, 2.0, -1.0, None, None, "counts", 1.0)
    later = Look(4, 0.5, 0.1, None, None, "counts", 1.0)
    assert Evidence((good, later)).passed(1.3, 3)
    assert not Evidence((good, later)).passed(1.3, 4), "a look before the least number does not count"
    scattered = replace(later, form="quads")
    assert not Evidence((good, scattered)).passed(1.3, 3), "scatter found late speaks against the counts"
    assert not Evidence((good,), ("near side peaks",)).passed(1.3, 3)
    assert Evidence((good, replace(later, harm=5.0))).harm_log10(1.3, 3) == -300.0, "what passed counts no harm"


def test_scatter_turns_to_the_spread_between_quads():
    """A log-sd of 50 % at 60 centrals: variance over mean 16, which no Poisson series shows."""
    found = judged(Light(7, scatter=0.5), policy_with(), quads=6)
    last = found.evidence.looks[-1]
    assert last.form == "quads"
    assert last.phi > 3
    calm = judged(Light(8), policy_with(), quads=6).evidence.looks[-1]
    assert calm.no_harm > last.no_harm


def test_scatter_of_another_light_path_of_the_same_visits_speaks_against_counting():
    """Calm HBT blocks, while the interference paths of the same visits scatter with a log-sd of 50 %."""
    calm, wild = row(Light(8), ("hbt",), 4), row(Light(7, scatter=0.5), ("hom_parallel", "hom_orthogonal"), 4)

    def form(blocks: list[Block]) -> str:
        found = compare(G2, blocks, policy_with(), rig="made-1", rigs=1, context=CONTEXT)
        return found.evidence.looks[-1].form

    assert form(calm) == "counts"
    assert form(calm + wild) == "quads"
    later = [replace(block, quad=block.quad + 100) for block in wild]
    assert form(calm + later) == "counts", "other visits say nothing about these"
    dark = [replace(block, counts=replace(block.counts, peaks=(0,) * len(block.counts.peaks))) for block in wild]
    assert form(calm + dark) == "counts", "a path without coincidences says nothing"


def test_scatter_on_few_blocks_supports_no_pass():
    found = judged(Light(7, scatter=0.5), policy_with(margin_ratio=50.0), quads=4)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "blocks scatter" in found.evidence.diagnostics[0]
    assert "blocks scatter" in found.reason


@pytest.mark.parametrize("metric", [G2, "brightness.detected"])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_near_peaks_that_dead_time_does_not_explain_support_no_pass(metric, factor):
    blocks = []
    for block in row(Light(9), PATHS, 6):
        a, b, near, centre, _, c, d = block.counts.peaks
        odd = round(near * factor)
        blocks.append(replace(block, counts=replace(block.counts, peaks=(a, b, odd, centre, odd, c, d))))
    found = compare(metric, blocks, policy_with(), rig="made-1", rigs=1, context=CONTEXT)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert any("near side peaks of the candidate" in problem for problem in found.evidence.diagnostics)


@pytest.mark.parametrize(("clicks_per_s", "linear"), [(9e6, True), (11e6, False)])
def test_a_detector_that_is_mostly_dead_supports_no_pass(clicks_per_s, linear):
    """20 ns of dead time at 11 Mcps are 22 % of the time."""
    blocks = [
        replace(block, counts=replace(block.counts, singles_b=round(clicks_per_s * block.counts.dwell_s)))
        for block in row(Light(9), PATHS, 6)
    ]
    found = compare(G2, blocks, policy_with(), rig="made-1", rigs=1, context=CONTEXT)
    assert (found.verdict is Verdict.PASS) == linear
    assert any("detector b is dead 22%" in problem for problem in found.evidence.diagnostics) != linear


# the family


def outcome_with(policy: Policy, harm: dict[str, float]) -> RigOutcome:
    """Comparisons that are undecided, with given e-values of harm (decimal logarithms)."""
    undecided = {c.definition: c for c in decide(policy, row(Light(10), PATHS, 3))}
    changed = {
        name: replace(c, verdict=Verdict.INCONCLUSIVE, harm_log10=harm.get(name, -300.0))
        for name, c in undecided.items()
    }
    return RigOutcome(comparisons=changed, faults=FaultTally())


def test_small_harm_in_many_places_is_proven_over_the_family():
    """Shares of 1/5: each e = 60 alone falls short of 100, two make (60 + 60)/5 = 24 >= 20."""
    policy = made_policy()
    one = {"a": outcome_with(policy, {G2: math.log10(60)})}
    assert conclude(policy, one).verdict is Verdict.INCONCLUSIVE
    two = {"a": outcome_with(policy, {G2: math.log10(60), "hom.v_unc": math.log10(60)})}
    found = conclude(policy, two)
    assert found.verdict is Verdict.BLOCK
    assert found.family.is_harmed
    assert found.family.offenders == ("g2(0) on a", "V_unc on a")
    assert "g2(0) on a, V_unc on a" in found.reasons[0]
    spread = {rig: outcome_with(policy, {G2: math.log10(60)}) for rig in ("a", "b")}
    assert conclude(policy, spread).verdict is Verdict.INCONCLUSIVE, "the second rig halves every share"


def test_a_pass_needs_the_required_rigs():
    policy = made_policy(required_rigs=2)
    passed = {c.definition: c for c in decide(policy, row(Light(11), PATHS, 6))}
    assert {c.verdict for c in passed.values()} == {Verdict.PASS}
    outcome = RigOutcome(comparisons=passed, faults=FaultTally())
    alone = conclude(policy, {"a": outcome})
    assert alone.verdict is Verdict.INCONCLUSIVE
    assert "1 of the 2 rigs" in alone.reasons[0]
    assert conclude(policy, {"a": outcome, "b": outcome}).verdict is Verdict.PASS


# the campaign


def sequential(light: Light, policy: Policy, metrics: list[str]) -> tuple[int, ListJournal]:
    journal = ListJournal()
    campaign = Campaign(
        ScriptedBench(light),
        policy.campaign,
        PATHS,
        seed=1,
        journal=journal,
        decided=lambda blocks: is_decided(blocks, policy, metrics, rigs=1, context=CONTEXT),
    )
    return len(campaign.blocks("hbt")) // 4, journal


def test_a_campaign_ends_when_the_evidence_decides():
    policy = policy_with()
    assert sequential(Light(12), policy, list(policy.metrics))[0] == 3
    quads, journal = sequential(Light(12, worse={"hbt": 1.25}), policy, [G2])
    assert 3 <= quads <= 12
    assert [line for line in journal.lines if line[0] == "complete"][-1] == ("complete", quads - 1)
    few = Light(12, central={"hbt": 1.0, "hom_parallel": 2.0, "hom_orthogonal": 20.0}, far_per_peak=100.0)
    assert sequential(few, policy, [G2])[0] == 12, "what stays undecided spends the budget"


def test_proven_harm_ends_a_campaign_though_others_are_undecided():
    policy = policy_with("brightness.detected", margin_ratio=0.9999, tolerated_ratio=0.99999)
    quads, _ = sequential(Light(13, worse={"hbt": 3.0}), policy, list(policy.metrics))
    assert quads == 3


def test_nothing_to_decide_measures_the_least():
    assert sequential(Light(14), policy_with(), [])[0] == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("quads_max = 3", "quads_max = 2", "at least quads_min"),
        ("margin_ratio = 0.97", "margin_ratio = 0.97\nlimit = 0.05", "absolute value drifts"),
        ("margin_ratio = 1.5", "margin_ratio = 1.5\nlimit = 0.0", "greater than 0"),
        ("margin_ratio = 1.5", "margin_ratio = 1.5\nweight = -1.0", "greater than 0"),
        ("quads_min = 3", "quads_min = 3\nrequired_rigs = 0", "greater than or equal to 1"),
        ("quads_min = 3", "quads = 3", "Field required"),
    ],
)
def test_a_policy_that_can_not_be_meant_is_refused(tmp_path, old, new, says):
    from qdhil.errors import ConfigurationError
    from qdhil.gate.policy import load_policy

    file = tmp_path / "policy.toml"
    assert old in POLICY_TEXT
    file.write_text(POLICY_TEXT.replace(old, new))
    with pytest.raises(ConfigurationError, match=says):
        load_policy(file)


def test_weight_and_limit_are_part_of_the_digest():
    digests = {made_policy(quads_min=3, quads_max=12).sha256, policy_with(weight=2.0).sha256}
    assert len(digests | {policy_with(limit=0.05).sha256}) == 3
