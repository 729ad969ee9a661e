"""The rules of a rollout, over every order of answers, losses, kills and wishes that hypothesis finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.exit_codes import ExitCode
from qdhil.rollout import machine
from qdhil.rollout.changes import in_phase
from qdhil.rollout.fleet import DeviceState
from qdhil.rollout.lock import Answer, Opening
from qdhil.rollout.plan import Plan
from qdhil.rollout.state import Device, Firmware, RolloutState, Wish

T0 = datetime(2026, 11, 23, 12, tzinfo=UTC)
RINGS = {"canary": ["c1"], "early": ["e1", "e2", "e3"], "fleet": ["f1", "f2"]}
OPEN = Opening(Answer.OPEN, "PASS", ExitCode.PASS)
SHUT = (
    Opening(Answer.HOLD, "INCONCLUSIVE", ExitCode.INCONCLUSIVE),
    Opening(Answer.HOLD, "INFRA", ExitCode.INFRA),
    Opening(Answer.REFUSE, "tampered", ExitCode.REFUSED),
)
BLOCK = Opening(Answer.ROLL_BACK, "BLOCK", ExitCode.BLOCK)


def plan(wave_size: int = 2, **health: int) -> Plan:
    return Plan.model_validate(
        {
            "schema_version": 1,
            "name": "r1",
            "candidate": "2.0.0",
            "baseline": "1.0.0",
            "bundles": "bundles",
            "hardware": ["rev-b"],
            "policy_sha256": "c" * 64,
            "state": {"kind": "file", "folder": "state"},
            "fleet": {"kind": "rigs", "rack": "rack.toml"},
            "rings": [
                {"name": name, "devices": devices, "wave_size": wave_size, "bake_time_s": 60, "health": health}
                for name, devices in RINGS.items()
            ],
        }
    )


def first(plan: Plan) -> RolloutState:
    return RolloutState(
        rollout="0" * 32,
        name="r1",
        plan_sha256=plan.sha256,
        candidate=Firmware(version="2.0.0", sha256="b" * 64),
        baseline=Firmware(version="1.0.0", sha256="a" * 64),
        updated="",
        devices={device: Device(ring=ring.name) for ring in plan.rings for device in ring.devices},
    )


class World:
    """Devices that do what they are told, as far as they can."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = first(plan)
        self.runs = dict.fromkeys(self.state.devices, "baseline")
        self.down: set[str] = set()
        self.sick: set[str] = set()
        self.now = T0
        self.last_answer: dict[str, Answer] = {}
        self.answer = OPEN
        self.steps = 0

    def seen(self, device: str) -> DeviceState:
        if device in self.down:
            return DeviceState("unreachable", "", "no answer", None)
        runs = self.runs[device]
        healthy = device not in self.sick or runs == "baseline"
        phase: Any = runs
        return DeviceState(phase, runs, "as said", healthy)

    def reset(self, device: str) -> None:
        """A power cycle: what is on trial is gone."""
        if self.runs[device] == "trial":
            self.runs[device] = "baseline"

    def resume(self) -> None:
        self.state = machine.resumed(self.state)
        confirmed = in_phase(self.state.devices, "confirmed")
        self.state = machine.after_drift(self.state, self.plan, {device: self.seen(device) for device in confirmed})

    def step(self, *, killed: bool = False) -> bool:
        """Do the next action; ``killed`` before what came of it is kept. False where there is none."""
        action = machine.next_action(self.state, self.plan)
        if action is None:
            return False
        self.steps += 1
        assert self.steps < 2000, "it never ends"
        after = self._done(action)
        if killed:
            self.resume()
        else:
            self.state = RolloutState.model_validate_json(after.model_dump_json())
        return True

    def _done(self, action: machine.Action) -> RolloutState:
        device, state, plan = action.subject, self.state, self.plan
        up = device not in self.down
        match action.verb:
            case "ask":
                assert device == plan.rings[state.ring].name
                self.last_answer[device] = self.answer.answer
                return machine.after_lock(state, plan, self.answer)
            case "survey":
                return machine.after_survey(state, plan, device, self.seen(device), self.now)
            case "install":
                self._allowed(device)
                if up and self.runs[device] == "baseline":
                    self.runs[device] = "trial"
                return machine.after_install(state, plan, device, self.seen(device), self.now)
            case "bake":
                self.now += timedelta(seconds=60)
                return machine.after_baking(state)
            case "check":
                return machine.after_check(state, plan, device, self.seen(device), self.now)
            case "confirm":
                self._allowed(device)
                if up and self.runs[device] == "trial":
                    self.runs[device] = "confirmed"
                return machine.after_confirm(state, plan, device, self.seen(device), self.now)
            case "roll back":
                if up:
                    self.runs[device] = "baseline"
                return machine.after_roll_back(state, plan, device, self.seen(device), self.now)

    def _allowed(self, device: str) -> None:
        """Nothing is installed or confirmed but after the lock, asked last, opened that device's ring."""
        assert self.last_answer[self.state.devices[device].ring] is Answer.OPEN
        assert self.state.devices[device].ring == self.plan.rings[self.state.ring].name


def run(world: World) -> RolloutState:
    while world.step():
        pass
    return world.state


def test_all_goes_well() -> None:
    world = World(plan())
    assert run(world).phase == "done"
    assert set(world.runs.values()) == {"confirmed"}
    assert world.state.exit_code == ExitCode.PASS


def test_waves_are_as_large_as_the_plan_says() -> None:
    world = World(plan(wave_size=2))
    most = 0
    while world.step():
        most = max(most, sum(runs == "trial" for runs in world.runs.values()))
    assert most == 2


@pytest.mark.parametrize("opening", SHUT)
def test_no_pass_holds_and_touches_nothing(opening: Opening) -> None:
    world = World(plan())
    world.answer = opening
    state = run(world)
    assert state.held is not None
    assert state.held.exit_code == opening.exit_code
    assert set(world.runs.values()) == {"baseline"}


@pytest.mark.parametrize("opening", SHUT)
def test_a_lock_that_shuts_while_a_wave_bakes_confirms_nothing_and_leaves_nothing_on_trial(opening: Opening) -> None:
    world = World(plan())
    while "trial" not in world.runs.values():
        world.step()
    world.answer = opening
    assert run(world).held is not None
    assert set(world.runs.values()) == {"baseline"}
    world.answer = OPEN
    world.resume()
    assert run(world).phase == "done"


def test_block_rolls_back_the_ring_and_no_other() -> None:
    world = World(plan(wave_size=1))
    while world.runs["e1"] != "confirmed":
        world.step()
    world.answer = BLOCK
    state = run(world)
    assert (state.phase, state.exit_code) == ("rolled back", ExitCode.BLOCK)
    assert {device for device, runs in world.runs.items() if runs == "confirmed"} == {"c1"}
    assert set(world.runs.values()) == {"confirmed", "baseline"}


@pytest.mark.parametrize(("sick", "phase"), [({"e2"}, "done"), ({"e2", "e3"}, "rolled back")])
def test_failed_devices_within_and_over_the_budget(sick: set[str], phase: str) -> None:
    world = World(plan(max_failed=1))
    world.sick = sick
    assert run(world).phase == phase
    assert all(world.runs[device] == "baseline" for device in sick)
    if phase == "rolled back":
        assert world.runs == {"c1": "confirmed", **dict.fromkeys(("e1", "e2", "e3", "f1", "f2"), "baseline")}


@pytest.mark.parametrize(("down", "ends"), [({"e2"}, True), ({"e2", "e3"}, False)])
def test_devices_out_of_reach_hold_and_never_roll_back(down: set[str], ends: bool) -> None:
    world = World(plan(max_unreachable=1))
    world.down = set(down)
    state = run(world)
    assert state.is_final == ends
    if not ends:
        assert state.held is not None
        assert state.held.exit_code == ExitCode.INFRA
        assert "trial" not in world.runs.values()
        world.down = set()
        world.resume()
        assert run(world).phase == "done"


def test_a_device_that_falls_back_is_tried_again_and_fails_in_the_end() -> None:
    world = World(plan(attempts_max=3, max_failed=0))
    falls = 0
    while world.step():
        if world.runs["c1"] == "trial":
            world.reset("c1")
            falls += 1
    assert (falls, world.state.phase) == (3, "rolled back")
    assert world.state.devices["c1"].phase == "failed"


def test_a_device_that_can_not_be_brought_back_holds_until_it_is() -> None:
    world = World(plan())
    while world.runs["c1"] != "trial":
        world.step()
    world.answer = BLOCK
    world.down = {"c1"}
    state = run(world)
    assert state.held is not None
    assert not state.is_final
    world.down = set()
    world.resume()
    assert run(world).phase == "rolled back"
    assert world.runs["c1"] == "baseline"


def test_unknown_firmware_holds_and_is_not_touched() -> None:
    world = World(plan())
    world.runs["e2"] = "unknown"
    state = run(world)
    assert state.held is not None
    assert "e2" in state.held.reason
    assert world.runs["e2"] == "unknown"
    assert world.runs["e1"] == "baseline"


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("pause", {"c1": "confirmed", "e1": "trial"}),
        ("abort", {"c1": "confirmed", "e1": "baseline"}),
        ("abort-all", {"c1": "baseline", "e1": "baseline"}),
        ("abort-keep", {"c1": "confirmed", "e1": "trial"}),
    ],
)
def test_wishes(wish: Wish, expected: dict[str, str]) -> None:
    world = World(plan())
    while world.runs["e1"] != "trial":
        world.step()
    world.state = machine.after_wish(world.state, wish)
    run(world)
    assert {device: world.runs[device] for device in expected} == expected
    assert world.state.is_final == (wish != "pause")
    if wish == "pause":
        world.resume()
        assert run(world).phase == "done"


def test_a_confirmed_device_found_on_the_baseline_is_done_anew_under_its_own_lock() -> None:
    world = World(plan(wave_size=3))
    while world.runs["e1"] != "trial":
        world.step()
    world.runs["c1"] = "baseline"
    world.resume()
    asked = []
    while world.step():
        action = machine.next_action(world.state, world.plan)
        asked += [action.subject] if action and action.verb == "ask" else []
    assert asked[0] == "canary"
    assert world.state.phase == "done"
    assert set(world.runs.values()) == {"confirmed"}


_EVENTS = st.sampled_from(
    ["step"] * 8 + ["kill", "kill", "power", "rack", "down", "up", "lock", "sick", "pause", "hold"]
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=st.data(), events=st.lists(_EVENTS, max_size=80), size=st.integers(1, 3), budget=st.integers(0, 1))
def test_whatever_happens_it_can_be_resumed_and_ends_clean(
    data: st.DataObject, events: list[str], size: int, budget: int
) -> None:
    world = World(plan(wave_size=size, max_failed=budget, max_unreachable=budget))
    device = st.sampled_from(sorted(world.runs))
    for event in events:
        match event:
            case "step" | "kill":
                if not world.step(killed=event == "kill") and not world.state.is_final:
                    world.resume()
            case "power":
                world.reset(data.draw(device))
            case "rack":  # forgets even what was confirmed
                world.runs = dict.fromkeys(world.runs, "baseline")
            case "down":
                world.down.add(data.draw(device))
            case "up":
                world.down.clear()
            case "lock":
                world.answer = data.draw(st.sampled_from([OPEN, *SHUT, BLOCK]))
            case "sick":
                world.sick ^= {data.draw(device)}
            case "pause":
                world.state = machine.after_wish(world.state, "pause")
            case "hold":
                world.resume()
    world.down.clear()
    world.sick.clear()
    if world.answer is not BLOCK:
        world.answer = OPEN
    for _ in range(20):
        if world.state.is_final:
            break
        world.resume()
        run(world)
    assert world.state.is_final, world.state
    assert set(world.runs.values()) <= {"baseline", "confirmed"}
    for name, entry in world.state.devices.items():
        if entry.phase in ("failed", "reverted"):
            assert world.runs[name] == "baseline"


def test_who_was_not_looked_at_yet_is_not_booted_either() -> None:
    """Beside unknown firmware, a shut lock or an abort: who else has the device, nobody knows yet."""
    world = World(plan(wave_size=3))
    while world.state.devices["e1"].phase != "installing":
        world.step()
    surveying = world.state
    world.runs["e1"] = "unknown"
    while world.state.held is None:
        world.step()
    for after in (world.state, machine.after_wish(surveying, "abort"), machine.after_block(surveying, "early", "no")):
        assert in_phase(after.devices, "reverting") == []
        assert {after.devices[name].phase for name in ("e2", "e3")} == {"pending"}


@pytest.mark.parametrize("found", ["trial", "installing", "baseline", "failed"])
def test_a_confirmed_device_that_is_not_confirmed_any_more_is_done_anew(found: str) -> None:
    world = World(plan())
    while world.runs["e1"] != "trial":
        world.step()
    world.runs["c1"] = found
    world.resume()
    assert world.state.devices["c1"].phase == "pending"
    assert world.state.ring == 0
