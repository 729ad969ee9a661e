"""The simulation behind the page of operating characteristics: it must judge as the gate does, and be repeatable."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from campaigns_made import CONTEXT
from scipy.stats import binom, poisson

from qdhil.gate.conclusion import RigOutcome, family_of
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.judge import compare, is_decided, metric_evidence
from qdhil.gate.operating import (
    DRIFTS,
    TRUTHS,
    Case,
    Ending,
    cell_of,
    family_ending,
    judged,
    judged_rig,
    level_log10,
    needed_log10,
    single_streams,
    upper_bound,
)
from qdhil.gate.operating_design import fixed_centrals, fixed_quads
from qdhil.gate.operating_light import UNCHANGED, Source, draw_blocks, interleaved, trace
from qdhil.gate.operating_page import beyond, markdown, pooled, table, wrong_of
from qdhil.gate.operating_picture import draw
from qdhil.gate.operating_plan import Plan, described
from qdhil.gate.operating_rivals import RULES, rival_alarms
from qdhil.gate.operating_run import simulate
from qdhil.gate.policy import default_policy_file, load_policy

POLICY = load_policy(default_policy_file())
G2, BRIGHTNESS = "g2.pulsed.area", "brightness.detected"
QDHIL = Path(sys.executable).with_name("qdhil")


def blocks_of(case, chunk, count, paths):
    arms, light = case.session(chunk, count, POLICY)
    rates = case.source.rates(POLICY)
    return draw_blocks(
        case.counting(chunk, 0), paths, rates, POLICY, CONTEXT, case.drift, light, arms, case.harm(POLICY)
    )


def judged_look_by_look(metric, blocks):
    """What the gate says when it is asked after every quad, without any shortcut."""
    needed, level, first = needed_log10(POLICY), level_log10(POLICY, metric), POLICY.campaign.quads_min
    width = 4 * len(DEFINITIONS[metric].configurations)
    for quads in range(first, POLICY.campaign.quads_max + 1):
        evidence = metric_evidence(metric, blocks[: width * quads], POLICY, CONTEXT)
        if evidence.passed(needed, first):
            return Ending("PASS", quads)
        if evidence.harm_log10(needed, first) >= level:
            return Ending("BLOCK", quads)
    return Ending("INCONCLUSIVE", POLICY.campaign.quads_max)


@pytest.mark.parametrize("metric", [G2, BRIGHTNESS, "hom.v_co_cross"])
@pytest.mark.parametrize("drift", ["OU 3 %", "blinking"])
def test_the_shortcut_judges_as_the_gate_does_at_every_look(metric, drift):
    case = Case(metric, drift, "half margin", Source(), 5)
    for blocks in blocks_of(case, 0, 6, DEFINITIONS[metric].configurations):
        assert judged(metric, blocks, POLICY, CONTEXT) == judged_look_by_look(metric, blocks)


def test_a_rig_stops_where_is_decided_says_so_and_the_family_is_the_gates():
    paths = ("hbt", "hom_parallel", "hom_orthogonal")
    case = Case(G2, "OU 1 %", "margin", Source(centrals=36.0), 6)
    series = blocks_of(case, 0, 2, paths)
    first, last = POLICY.campaign.quads_min, POLICY.campaign.quads_max
    outcomes, found = {}, []
    for number, blocks in enumerate(series):
        quads = next(
            (
                n
                for n in range(first, last)
                if is_decided(blocks[: 12 * n], POLICY, POLICY.metrics, rigs=2, context=CONTEXT)
            ),
            last,
        )
        ending = judged_rig(blocks, 3, POLICY, CONTEXT, 2)
        assert ending.quads == quads
        found.append(ending)
        seen = blocks[: 12 * quads]
        decided = {m: compare(m, seen, POLICY, rig=f"r{number}", rigs=2, context=CONTEXT) for m in POLICY.metrics}
        outcomes[f"r{number}"] = RigOutcome(comparisons=decided)
    assert (family_ending(found, POLICY).word == "BLOCK") == family_of(POLICY, outcomes).is_harmed
    assert family_ending(found, POLICY).word == "BLOCK"


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_trace_does_not_depend_on_the_truth_and_follows_its_law(drift):
    rng = np.random.default_rng(1)
    arms = interleaved(rng, 4000, 16)
    assert arms.reshape(-1, 4).sum(axis=1).tolist() == [2] * 64_000
    light = trace(drift, rng, arms)
    expected_sd = {"OU 1 %": 0.01, "OU 3 %": 0.03, "blinking": 0.2, "realigned": 0.03, "random walk": 0.016}
    assert light[:, -1].std() == pytest.approx(expected_sd.get(drift, light[:, -1].std()), rel=0.06)
    if drift in ("linear -2 %", "droop -20 %"):
        assert math.exp(light[0, -1]) == pytest.approx({"l": 0.98, "d": 0.8}[drift[0]], abs=0.003)
    margin, same = (Case(G2, drift, truth, Source(), 2).session(3, 5, POLICY)[1] for truth in ("margin", "no change"))
    np.testing.assert_array_equal(margin, same)


def test_mean_counts_are_the_sources():
    case = Case(G2, "none", "margin", replace(Source(), noise=0.0), 3)
    blocks = [block for series in blocks_of(case, 0, 40, ("hbt",)) for block in series]
    for arm, mean in (("baseline", 12.0), ("candidate", 18.0)):
        found = np.mean([block.counts.central for block in blocks if block.arm == arm])
        assert abs(found - mean) < 4 * math.sqrt(mean / (len(blocks) / 2))
    far, peaks = blocks[0].counts.far(CONTEXT.exclude_lags)
    assert abs(far / peaks - 600) < 5 * math.sqrt(600 / peaks)


def test_the_fixed_design_is_exact_and_the_least():
    """The reference's number for 5 % and 5 % is 139 centrals of the baseline."""
    centrals = fixed_centrals(1.5, 1.0, 0.05, 0.05)
    assert centrals == pytest.approx(139, abs=2)
    rng = np.random.default_rng(4)

    def passing(ratio, size):
        new, old = rng.poisson(size * ratio, 20_000), rng.poisson(size, 20_000)
        return float(np.mean(binom.cdf(new, new + old, 0.6) <= 0.05))

    assert passing(1.5, centrals) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 20_000)
    assert passing(1.0, centrals) == pytest.approx(0.95, abs=0.007)
    assert passing(1.0, 0.8 * centrals) < 0.93
    assert poisson.mean(centrals) == centrals
    quads = fixed_quads(0.97, 0.99, 0.05, 0.01, 0.015)
    contrasts = rng.normal(math.log(0.99), 0.015, (20_000, quads))
    t = (contrasts.mean(axis=1) - math.log(0.97)) / (contrasts.std(axis=1, ddof=1) / math.sqrt(quads))
    from scipy.stats import t as student

    assert np.mean(t > student.isf(0.05, quads - 1)) >= 0.985


def test_rules_of_others_keep_their_level_on_still_light_and_lose_it_under_drift():
    """Welch and the canary judge at 1 % each way: of 400 still sessions 14 alarms have odds below 10^-4."""
    still = rival_alarms(Case(BRIGHTNESS, "none", "no change", Source(), 7), 0, 400, POLICY, CONTEXT)
    assert still[RULES[0]] == 0
    assert still[RULES[1]] < 14
    assert still[RULES[2]] < 14
    drifting = rival_alarms(Case(BRIGHTNESS, "OU 3 %", "no change", Source(), 7), 0, 400, POLICY, CONTEXT)
    assert drifting[RULES[1]] > 60
    assert drifting[RULES[2]] > 60
    linear = rival_alarms(Case(BRIGHTNESS, "linear -2 %", "no change", Source(), 7), 0, 100, POLICY, CONTEXT)
    assert linear[RULES[1]] == 100
    clear = rival_alarms(Case(G2, "none", "twice margin", Source(), 7), 0, 100, POLICY, CONTEXT)
    assert all(clear[rule] >= 99 for rule in RULES)


def test_bounds_and_what_counts_as_wrong():
    assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)
    assert upper_bound(3, 3) == 1.0
    case = Case(G2, "none", "margin", Source(), 1)
    cell = cell_of(case, POLICY, [Ending("PASS", 3)] * 4 + [Ending("BLOCK", 5)] * 6, 10.0, 1).record()
    assert (cell["passed"], cell["blocked"], cell["campaigns"], wrong_of(cell)) == (4, 6, 10, 4)
    assert cell["mean_share"] == pytest.approx(0.42)
    assert pooled([cell, {**cell, "truth": "no change"}])[:2] == (10, 20)
    record = {"single": [cell], "family": [], "false_block_rate": 0.05, "miss_rate": 0.05}
    assert "the rate itself is above" in beyond(record)[0]


@pytest.fixture(scope="module")
def small():
    plan = Plan(POLICY, CONTEXT, Source(centrals=36.0), 200, 1, 3)
    return {**described(plan), **simulate(plan, workers=2, on_progress=lambda done, tasks: None).record()}


def test_results_are_complete_and_become_a_page(small, tmp_path):
    assert {(c["drift"], c["truth"]) for c in small["family"]} == {(d, t) for d in DRIFTS for t in TRUTHS}
    assert {c["streams"] for c in small["family"]} == {48}
    assert json.loads(json.dumps(small)) == small
    text = markdown(small, "page.svg")
    assert "{" not in text
    assert all(drift in text for drift in DRIFTS)
    assert len(table(small)) > len(small["single"])
    draw(small, tmp_path / "a.svg")
    draw(small, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_equal_seeds_give_equal_endings_and_others_not():
    case = Case(BRIGHTNESS, "OU 3 %", "half margin", Source(), 8)
    first = single_streams(case, 0, 12, POLICY, CONTEXT)
    assert single_streams(case, 0, 12, POLICY, CONTEXT) == first
    assert single_streams(replace(case, seed=9), 0, 12, POLICY, CONTEXT) != first


def test_the_command_reads_what_it_printed_and_refuses_anything_else(small, tmp_path):
    file, page = tmp_path / "oc.json", tmp_path / "page.md"
    file.write_text(json.dumps(small))
    done = subprocess.run([QDHIL, "oc", "--from", file, "--page", page], capture_output=True, text=True, check=True)
    assert "INC." in done.stdout
    assert page.read_text().startswith("# Operating characteristics")
    assert page.with_suffix(".svg").exists()
    for text in ("{}", "[]", "no json"):
        file.write_text(text)
        refused = subprocess.run([QDHIL, "oc", "--from", file], capture_output=True, text=True, check=False)
        assert refused.returncode == 64
        assert len(refused.stderr.splitlines()) == 1


def test_no_change_is_not_harm():
    assert Case(G2, "none", "no change", Source(), 1).harm(POLICY).centrals == {"hbt": 1.0}
    assert UNCHANGED.brightness == 1.0
