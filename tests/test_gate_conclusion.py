"""The verdict of a whole run: PASS only if everything was measured and passed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from campaigns_made import ALL_METRICS, Light, decide, made_policy, row

from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison
from qdhil.gate.verdict import Verdict, combine

POLICY = made_policy()


@pytest.fixture(scope="module")
def passed() -> dict[str, Comparison]:
    """Four comparisons that passed, by definition."""
    light = Light(seed=11)
    blocks = row(light, ("hbt", "hom_parallel", "hom_orthogonal"), 6)
    decided = {comparison.definition: comparison for comparison in decide(POLICY, blocks)}
    assert {comparison.verdict for comparison in decided.values()} == {Verdict.PASS}
    return decided


def outcome(comparisons: dict[str, Comparison], **changes: Verdict) -> RigOutcome:
    by_name = {name.replace(".", "_"): name for name in comparisons}
    changed = {by_name[name]: replace(comparisons[by_name[name]], verdict=v) for name, v in changes.items()}
    return RigOutcome(comparisons={**comparisons, **changed}, faults=FaultTally())


def test_everything_passed_on_every_rig(passed):
    conclusion = conclude(POLICY, {"a": outcome(passed), "b": outcome(passed)})
    assert conclusion.verdict is Verdict.PASS
    assert conclusion.reasons


@pytest.mark.parametrize("missing", ALL_METRICS)
def test_a_missing_metric_is_never_pass(passed, missing):
    partial = {name: comparison for name, comparison in passed.items() if name != missing}
    conclusion = conclude(POLICY, {"a": outcome(passed), "b": outcome(partial)})
    assert conclusion.verdict is Verdict.INCONCLUSIVE
    assert "on b was not measured" in conclusion.reasons[0]


@pytest.mark.parametrize("rigs", [{}, {"a": RigOutcome()}, {"a": RigOutcome(faults=FaultTally())}])
def test_no_rig_or_no_comparison_is_inconclusive(rigs):
    conclusion = conclude(POLICY, rigs)
    assert conclusion.verdict is Verdict.INCONCLUSIVE
    assert conclusion.reasons


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASS])
def test_one_comparison_that_did_not_pass_decides(passed, verdict):
    conclusion = conclude(POLICY, {"a": outcome(passed), "b": outcome(passed, hom_v_unc=verdict)})
    assert conclusion.verdict is verdict
    assert "on b" in conclusion.reasons[0]


@pytest.mark.parametrize("verdict", [Verdict.INFRA, Verdict.REFUSED, Verdict.INCONCLUSIVE])
def test_a_problem_spoils_a_run_that_passed(passed, verdict):
    inside = outcome(passed)
    inside.problems.append((verdict, "cryostat warm"))
    for conclusion in (
        conclude(POLICY, {"a": inside}),
        conclude(POLICY, {"a": outcome(passed)}, [(verdict, "dead")]),
    ):
        assert conclusion.verdict is verdict
        assert conclusion.reasons[0] in {"cryostat warm", "dead"}


def test_a_rig_that_failed_is_told_once_not_metric_by_metric(passed):
    broken = RigOutcome(problems=[(Verdict.INFRA, "no answer")])
    conclusion = conclude(POLICY, {"a": outcome(passed), "b": broken})
    assert (conclusion.verdict, conclusion.reasons) == (Verdict.INFRA, ("no answer",))


def test_proven_harm_stands_whatever_else_failed(passed):
    harmed = outcome(passed, g2_pulsed_area=Verdict.BLOCK, hom_v_unc=Verdict.INCONCLUSIVE)
    broken = RigOutcome(problems=[(Verdict.INFRA, "no answer")])
    conclusion = conclude(POLICY, {"a": broken, "b": harmed})
    assert conclusion.verdict is Verdict.BLOCK
    assert conclusion.reasons[0].startswith("g2(0) on b")
    assert {reason.partition(":")[0] for reason in conclusion.reasons[1:]} == {"INFRA", "INCONCLUSIVE"}


def test_precedence_is_refused_block_infra_inconclusive_pass():
    ranked = [Verdict.REFUSED, Verdict.BLOCK, Verdict.INFRA, Verdict.INCONCLUSIVE, Verdict.PASS]
    assert set(ranked) == set(Verdict)
    for size in range(1, 6):
        for chosen in itertools.permutations(ranked, size):
            assert combine(chosen) is min(chosen, key=ranked.index)
    assert combine([]) is Verdict.INCONCLUSIVE


def test_exit_codes_are_apart_from_each_other_and_from_a_crash():
    codes = [verdict.exit_code for verdict in Verdict]
    assert codes == [0, 10, 20, 30, 40]
    assert [verdict for verdict in Verdict if verdict.exit_code == 0] == [Verdict.PASS]


def tally(candidate: tuple[int, int], baseline: tuple[int, int]) -> FaultTally:
    return FaultTally(
        visits={"candidate": candidate[1], "baseline": baseline[1]},
        faults={"candidate": candidate[0], "baseline": baseline[0]},
    )


@pytest.mark.parametrize(
    ("candidate", "baseline", "blocks"),
    [
        ((6, 18), (0, 16), False),
        ((8, 18), (0, 14), True),
        ((0, 12), (6, 18), False),
        ((0, 12), (0, 12), False),
    ],
)
def test_a_candidate_that_breaks_the_rig_is_blocked(passed, candidate, baseline, blocks):
    """The level is 0.05 over four metrics and the faults, 0.01: p = 0.014 is not proof, 0.004 is."""
    harmful = outcome(passed)
    harmful.faults = tally(candidate, baseline)
    conclusion = conclude(POLICY, {"a": harmful})
    assert conclusion.verdict is (Verdict.BLOCK if blocks else Verdict.PASS)
    if blocks:
        assert f"{candidate[0]} of {candidate[1]} visits of the candidate" in conclusion.reasons[0]


def test_association_is_fishers_exact_test():
    from scipy.stats import fisher_exact

    for candidate, baseline in [((6, 18), (0, 16)), ((3, 12), (2, 13)), ((1, 5), (4, 6))]:
        table = [[candidate[0], candidate[1] - candidate[0]], [baseline[0], baseline[1] - baseline[0]]]
        expected = fisher_exact(table, alternative="greater").pvalue
        assert tally(candidate, baseline).p_association == pytest.approx(expected, rel=1e-9)


def test_more_rigs_share_the_same_false_block_rate(passed):
    assert POLICY.share(None, 1) == pytest.approx(1 / 5)
    assert POLICY.share("hom.v_unc", 3) == pytest.approx(1 / 15)
    harmful = outcome(passed)
    harmful.faults = tally((8, 18), (0, 14))
    assert conclude(POLICY, {"a": harmful}).verdict is Verdict.BLOCK
    assert conclude(POLICY, {"a": harmful, "b": outcome(passed), "c": outcome(passed)}).verdict is Verdict.PASS


@pytest.mark.parametrize("record", [{}, {"visits": {}, "faults": {}}, {"visits": None, "faults": 3}, {"visits": "x"}])
def test_what_is_no_fault_record_is_refused(record):
    with pytest.raises(ValueError, match="not a fault record"):
        FaultTally.from_record(record)
    whole = tally((2, 7), (1, 8))
    assert FaultTally.from_record(whole.record()) == whole
