"""One metric on one rig: what decides, what never passes, and the record of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from campaigns_made import ALL_METRICS, CONTEXT, Light, counts, decide, made_policy, row

from qdhil.gate.blocks import Arm, Block, total
from qdhil.gate.campaign import ORDERS
from qdhil.gate.judge import Comparison, compare
from qdhil.gate.verdict import Verdict
from qdhil.metrics import PeakCounts

POLICY = made_policy()
CONFIGURATIONS = ("hbt", "hom_parallel", "hom_orthogonal")


def blocks(light: Light, quads: int = 6) -> list[Block]:
    return row(light, CONFIGURATIONS, quads)


def verdicts(light: Light) -> dict[str, Verdict]:
    return {comparison.definition: comparison.verdict for comparison in decide(POLICY, blocks(light))}


def changed(series: Sequence[Block], arm: Arm | None = None, **counted: object) -> list[Block]:
    """The same blocks with some of their counts replaced."""
    return [
        replace(block, counts=replace(block.counts, **counted)) if arm in (None, block.arm) else block
        for block in series
    ]


def judged(name: str, series: Sequence[Block]) -> Comparison:
    return compare(name, series, POLICY, rig="made-1", rigs=1, context=CONTEXT)


def test_each_harm_blocks_its_own_metric_only():
    """Effects of a factor 2 (or -8 %) at these counts are beyond 8 sigma; odds of a false alarm below 10^-4."""
    assert set(verdicts(Light(seed=2)).values()) == {Verdict.PASS}
    purity = verdicts(Light(seed=3, worse={"hbt": 2.0}))
    assert [name for name, verdict in purity.items() if verdict is Verdict.BLOCK] == ["g2.pulsed.area"]
    interference = verdicts(Light(seed=4, worse={"hom_parallel": 2.0}))
    assert [n for n, verdict in interference.items() if verdict is Verdict.BLOCK] == [
        "hom.v_unc",
        "hom.v_co_cross",
    ]
    dim = verdicts(Light(seed=5, dimmer=0.92))
    assert [name for name, verdict in dim.items() if verdict is Verdict.BLOCK] == ["brightness.detected"]


def test_improvement_passes():
    better = Light(seed=6, worse={"hbt": 0.5, "hom_parallel": 0.5}, dimmer=1.08)
    assert set(verdicts(better).values()) == {Verdict.PASS}


def test_few_photons_are_inconclusive():
    few = Light(seed=7, central={"hbt": 1.0, "hom_parallel": 2.0, "hom_orthogonal": 20.0}, far_per_peak=30.0)
    found = verdicts(few)
    assert {found[name] for name in ALL_METRICS if name != "brightness.detected"} == {Verdict.INCONCLUSIVE}


def test_comparison_says_what_decided_it():
    found = judged("g2.pulsed.area", blocks(Light(seed=8, worse={"hbt": 2.0})))
    assert found.verdict is Verdict.BLOCK
    assert found.summary.startswith("BLOCK: g2(0) on made-1: g2(0) x")
    assert (found.margin_ratio, found.tolerated_ratio, found.miss_rate) == (1.5, 1.0, 0.05)
    assert found.block_level == pytest.approx(0.01), "four metrics and the faults of one rig share 0.05"
    assert found.blocks == 24
    assert found.harm_log10 == found.evidence.looks[-1].harm >= -math.log10(found.block_level)
    assert [look.quads for look in found.evidence.looks] == [1, 2, 3, 4, 5, 6]
    assert found.change.low < found.change.ratio < found.change.high
    assert found.change.ratio == pytest.approx(found.candidate.value / found.baseline.value)


@pytest.mark.parametrize("name", ALL_METRICS)
def test_record_survives_json(name):
    found = judged(name, blocks(Light(seed=9)))
    assert Comparison.from_record(json.loads(json.dumps(found.record(), allow_nan=False))) == found


@pytest.mark.parametrize("arms", [("baseline",), ("baseline", "candidate")])
def test_a_source_without_central_counts_is_recorded_too(arms):
    """An open interval is no reason to lose the verdict: JSON has no infinity."""
    series = blocks(Light(seed=10), 2)
    for arm in arms:
        series = changed(series, arm, peaks=(50, 50, 7, 0, 7, 50, 50))
    found = judged("g2.pulsed.area", series)
    assert found.verdict is not Verdict.PASS
    assert found.change.high == math.inf
    assert found.change.ratio == (math.inf if arms == ("baseline",) else None)
    assert Comparison.from_record(json.loads(json.dumps(found.record(), allow_nan=False))) == found


@pytest.mark.parametrize("record", [{}, {"verdict": "PASS"}, {"verdict": "FINE"}])
def test_what_is_no_comparison_is_refused(record):
    with pytest.raises(ValueError, match="not a"):
        Comparison.from_record(record)
    whole = judged("g2.pulsed.area", blocks(Light(seed=9), 2)).record()
    for damage in ({"change": 3}, {"baseline": {}}, {"verdict": "FINE"}, {"extra": 1}):
        with pytest.raises(ValueError, match="not a"):
            Comparison.from_record({**whole, **damage})


COUNT_METRICS = [name for name in ALL_METRICS if name != "brightness.detected"]


@pytest.mark.parametrize("name", COUNT_METRICS)
@pytest.mark.parametrize("arm", ["baseline", "candidate", None])
def test_empty_side_peaks_are_an_error_never_a_pass(name, arm):
    series = changed(blocks(Light(seed=12), 2), arm, peaks=(0, 0, 7, 5, 7, 0, 0))
    with pytest.raises(ValueError, match="nothing to normalise with"):
        judged(name, series)


@pytest.mark.parametrize("name", ALL_METRICS)
@pytest.mark.parametrize("arm", ["baseline", "candidate", None])
def test_no_clicks_and_no_pulses_are_an_error_never_a_pass(name, arm):
    for lost in ({"singles_a": 0, "singles_b": 0}, {"triggers": 0}):
        with pytest.raises(ValueError, match=r"clicks|pulses|positive"):
            judged(name, changed(blocks(Light(seed=12), 2), arm, **lost))


def test_no_orthogonal_centrals_are_an_error_never_a_pass():
    series = [
        replace(block, counts=counts(0, [15_000] * 4)) if block.configuration == "hom_orthogonal" else block
        for block in blocks(Light(seed=12), 2)
    ]
    with pytest.raises(ValueError, match="nothing to"):
        judged("hom.v_co_cross", series)


@pytest.mark.parametrize("name", ALL_METRICS)
@pytest.mark.parametrize("arm", ["baseline", "candidate"])
def test_a_missing_arm_is_an_error_never_a_pass(name, arm):
    series = [block for block in blocks(Light(seed=12), 2) if block.arm != arm]
    with pytest.raises(ValueError, match=rf"no .* block of the {arm}|not (an ABBA|whole quads)|no side counts"):
        judged(name, series)


def test_brightness_without_spread_is_an_error_never_a_pass():
    series = changed(blocks(Light(seed=12), 2), singles_a=1000, singles_b=1000)
    with pytest.raises(ValueError, match="spread"):
        judged("brightness.detected", series)


def test_brightness_of_blocks_out_of_order_is_refused():
    series = sorted(blocks(Light(seed=12), 2), key=lambda block: block.arm)
    with pytest.raises(ValueError, match="ABBA"):
        judged("brightness.detected", series)


def test_blocks_of_other_configurations_do_not_count():
    series = blocks(Light(seed=13))
    alone = [block for block in series if block.configuration == "hbt"]
    assert judged("g2.pulsed.area", series).record() == judged("g2.pulsed.area", alone).record()


def test_drift_common_to_centre_and_side_leaves_the_count_ratio_alone():
    faded = Light(seed=14, drift=lambda block: -0.02 * block)
    assert verdicts(faded)["g2.pulsed.area"] is Verdict.PASS


def test_blocks_add_by_arm_and_configuration():
    series = [
        Block(0, position, arm, "hbt", counts(position + 1, [10, 10, 10, 10]), {}, "now")
        for position, arm in enumerate(ORDERS[0])
    ]
    assert total(series, "baseline", "hbt").central == 1 + 4
    assert total(series, "candidate", "hbt").central == 2 + 3
    with pytest.raises(ValueError, match="no hom_parallel block of the candidate"):
        total(series, "candidate", "hom_parallel")


def test_block_record_round_trips_and_refuses_anything_else():
    block = Block(3, 1, "candidate", "hbt", counts(5, [1, 2, 3, 4]), {"temperature_k": 4.0}, "now", "cryostat")
    record = json.loads(json.dumps(block.record()))
    assert Block.from_record(record) == block
    for damage in ({"extra": 1}, {"counts": None}, {"counts": {}}):
        with pytest.raises(ValueError, match=r"not a block record|has the keys"):
            Block.from_record({**record, **damage})


def test_counts_refuse_what_no_rig_can_count():
    whole = counts(5, [1, 2, 3, 4])
    for damage in ({"peaks": (1, 2)}, {"singles_a": -1}, {"dwell_s": math.nan}, {"period_ps": math.inf}):
        with pytest.raises(ValueError, match=r"peaks|negative|range"):
            PeakCounts(**{**whole.record(), "peaks": whole.peaks, **damage})
