"""The campaign on a scripted rig: order, memory, faults, budget, journal."""

from __future__ import annotations

import pytest
from campaigns_made import ListJournal, ScriptedBench, campaign, fault

from qdhil.errors import InfraFault
from qdhil.gate.campaign import ORDERS

ABBA, BAAB = ORDERS


def orders(seed: int, quads: int = 20) -> list[tuple[str, ...]]:
    arms = [block.arm for block in campaign(ScriptedBench(), seed=seed, quads=quads).blocks("hbt")]
    return [tuple(arms[first : first + 4]) for first in range(0, len(arms), 4)]


def test_every_quad_is_abba_or_baab_by_a_seeded_coin():
    first = orders(1)
    assert len(first) == 20
    assert set(first) == {ABBA, BAAB}
    assert ABBA == ("baseline", "candidate", "candidate", "baseline")
    assert BAAB == ("candidate", "baseline", "baseline", "candidate")
    assert orders(1) == first
    assert orders(2) != first


def test_nothing_is_touched_before_blocks_are_asked_for():
    bench = ScriptedBench()
    campaign(bench)
    assert bench.calls == []


def test_one_boot_serves_every_wanted_configuration():
    bench = ScriptedBench()
    measured = campaign(bench, ("hbt", "hom_parallel", "hom_orthogonal", "hbt"), quads=2)
    hbt = measured.blocks("hbt")
    assert len(bench.called("stage")) == 1
    assert bench.called("boot") == [(block.arm,) for block in hbt]
    assert len(hbt) == 8
    after_first_boot = bench.calls[bench.calls.index(("boot", hbt[0].arm)) :][:7]
    visit = [call[2] for call in after_first_boot if call[0] == "measure"]
    assert visit == ["hbt", "hom_parallel", "hom_orthogonal"]
    assert [call[0] for call in after_first_boot[1:]] == ["check_health", "measure"] * 3, "health before every block"


def test_blocks_are_acquired_once_and_replayed():
    bench = ScriptedBench()
    measured = campaign(bench, ("hbt", "hom_parallel"), quads=2)
    first = measured.blocks("hbt")
    calls = len(bench.calls)
    assert measured.blocks("hbt") is first
    assert {block.configuration for block in measured.blocks("hom_parallel")} == {"hom_parallel"}
    assert len(bench.calls) == calls


def test_a_configuration_nobody_announced_is_a_second_row_with_new_quad_numbers():
    bench = ScriptedBench()
    journal = ListJournal()
    measured = campaign(bench, ("hbt",), journal=journal, quads=3)
    assert [block.quad for block in measured.blocks("hbt")] == [0] * 4 + [1] * 4 + [2] * 4
    late = measured.blocks("hom_parallel")
    assert [block.quad for block in late] == [3] * 4 + [4] * 4 + [5] * 4
    assert [line for line in journal.lines if line[0] == "complete"] == [("complete", quad) for quad in range(6)]
    assert [call[1] for call in bench.called("measure")] == ["hbt"] * 12 + ["hom_parallel"] * 12


def test_dwell_and_health_are_the_policys_and_the_rigs():
    bench = ScriptedBench()
    (block, *_) = campaign(bench, quads=2).blocks("hbt")
    assert bench.called("measure")[0][2] == "0.1"
    assert block.health == {"temperature_k": 4.0}
    assert block.excluded is None
    assert block.started.endswith("+00:00")


@pytest.mark.parametrize("method", ["boot", "check_health", "measure"])
def test_a_fault_costs_its_quad_which_is_measured_again(method):
    journal = ListJournal()
    bench = ScriptedBench(**{method: {5: fault("cold finger")}})  # the second visit of the second quad
    measured = campaign(bench, journal=journal)
    blocks = measured.blocks("hbt")
    assert [(block.quad, block.position) for block in blocks] == [(q, p) for q in range(3) for p in range(4)]
    assert bench.called("recover") == [()]
    assert bench.calls[bench.calls.index(("recover",)) + 1][0] == "boot", "every visit boots, recovered or not"
    second = blocks[4:8]
    arms = [block.arm for block in second]
    expected = [("block", 1, 0, arms[0], "hbt"), ("fault", 1, arms[1], "cold finger")]
    at = journal.lines.index(("complete", 0)) + 1
    assert journal.lines[at : at + 2] == expected
    assert journal.lines[at + 2] == ("exclude", 1, str(fault("cold finger")))
    again = [("block", 1, position, arm, "hbt") for position, arm in enumerate(arms)]
    assert journal.lines[at + 3 : at + 8] == [*again, ("complete", 1)]


def test_the_quad_that_is_measured_again_keeps_its_order():
    whole = [block.arm for block in campaign(ScriptedBench(), seed=3, quads=8).blocks("hbt")]
    faulty = ScriptedBench(measure={2: fault(), 9: fault()})
    assert [block.arm for block in campaign(faulty, seed=3, quads=8).blocks("hbt")] == whole


def test_faults_are_tallied_by_the_arm_that_ran():
    bench = ScriptedBench(boot={0: fault(), 3: fault()})
    measured = campaign(bench, seed=3)
    first = measured.blocks("hbt")[0].arm
    boots = [arm for (arm,) in bench.called("boot")]
    failed = [boots[0], boots[3]]
    assert boots[0] == first
    for arm in ("baseline", "candidate"):
        assert measured.faults.visits[arm] == boots.count(arm)
        assert measured.faults.faults[arm] == failed.count(arm)
    assert measured.faults.total_faults == 2
    assert len(boots) == 12 + 1 + 3


def test_the_budget_is_how_many_faults_are_survived():
    spent = {0: fault("one"), 1: fault("two"), 2: fault("three")}
    bench = ScriptedBench(measure=spent)
    measured = campaign(bench, fault_budget=3)
    assert len(measured.blocks("hbt")) == 12
    bench = ScriptedBench(measure=spent)
    measured = campaign(bench, ("hbt",), fault_budget=2)
    with pytest.raises(InfraFault, match="three") as caught:
        measured.blocks("hbt")
    assert caught.value is spent[2]
    calls = len(bench.calls)
    for again in (
        lambda: measured.blocks("hbt"),
        lambda: measured.blocks("hom_parallel"),
        measured.dark_rates_hz,
    ):
        with pytest.raises(InfraFault) as repeated:
            again()
        assert repeated.value is spent[2]
    assert len(bench.calls) == calls, "a rig that was given up is left alone"


def test_a_budget_of_nothing_survives_no_fault():
    with pytest.raises(InfraFault):
        campaign(ScriptedBench(boot={7: fault()}), fault_budget=0).blocks("hbt")


def test_a_rig_that_does_not_come_back_is_given_up_at_once():
    dead = fault("no answer after reset")
    journal = ListJournal()
    bench = ScriptedBench(measure={1: fault("tags")}, recover={0: dead})
    measured = campaign(bench, journal=journal, fault_budget=100)
    for _ in range(2):
        with pytest.raises(InfraFault) as caught:
            measured.blocks("hbt")
        assert caught.value is dead
    assert bench.calls[-1] == ("recover",)
    assert [line[0] for line in journal.lines] == ["block", "fault", "exclude"]
    assert measured.faults.total_faults == 0, "broken under either firmware: it says nothing about the candidate"


def test_a_rig_that_can_not_be_staged_is_given_up():
    refused = fault("image")
    bench = ScriptedBench(stage={0: refused})
    measured = campaign(bench)
    for _ in range(2):
        with pytest.raises(InfraFault) as caught:
            measured.blocks("hbt")
        assert caught.value is refused
    assert bench.calls == [("stage",)]


def test_an_error_of_our_own_is_not_measured_over():
    """A second try would write a second row of quads under the numbers of the first."""
    broken = ZeroDivisionError("kernel")
    bench = ScriptedBench(measure={5: broken})
    measured = campaign(bench)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            measured.blocks("hbt")
        assert caught.value is broken
    assert len(bench.called("measure")) == 6


def test_dark_rates_come_from_one_blanked_block_under_the_baseline():
    bench = ScriptedBench()
    measured = campaign(bench)
    assert measured.dark_rates_hz() == (100.0, 110.0)
    assert measured.dark_rates_hz() == (100.0, 110.0)
    assert bench.called("measure") == [("baseline", "blanked", "1")]
    assert bench.calls[0] == ("stage",), "staging boots the verified baseline"


def test_a_fault_in_the_dark_fails_the_campaign():
    dark = fault("tags")
    measured = campaign(ScriptedBench(measure={0: dark}))
    for again in (measured.dark_rates_hz, measured.dark_rates_hz, lambda: measured.blocks("hbt")):
        with pytest.raises(InfraFault) as caught:
            again()
        assert caught.value is dark


def test_progress_counts_visits_and_tells_faults():
    said: list[str] = []
    measured = campaign(
        ScriptedBench(measure={1: fault()}),
        ("hbt",),
        on_progress=lambda step: said.append(str(step)),
        quads=2,
    )
    arms = [block.arm for block in measured.blocks("hbt")]
    assert said[0] == f"visit 1 of at most 8: {arms[0]}, hbt"
    assert said[2] == f"visit 1 of at most 8: {arms[0]}, hbt, 1 fault"
    assert said[-1] == f"visit 8 of at most 8: {arms[-1]}, hbt, 1 fault"
    measured.blocks("hom_parallel")
    assert said[-1].startswith("visit 8 of"), "a second row counts from its own beginning"
