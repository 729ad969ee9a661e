"""Run all cases of the operating characteristics over the machine's cores, seeded and in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qdhil.gate.operating import (
    SCAN,
    TOLERATED,
    TRUTHS,
    Case,
    Cell,
    Ending,
    RigEnding,
    cell_of,
    family_ending,
    rigs_of,
    single_streams,
)
from qdhil.gate.operating_light import DRIFTS
from qdhil.gate.operating_plan import RIGS, Plan, cost_variants, fixed_size, metrics_of
from qdhil.gate.operating_rivals import RULES, RivalCell, rival_alarms
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context

CHUNK = 50
_SHARES = {"no change": 5, "margin": 5, "half margin": 1, "twice margin": 1, TOLERATED: 3}
"""Campaigns of a true change, relative to each other: the two that the rates speak of need most."""
_COST_SHARE, _SCAN_SHARE = 40, 100
"""Of so many campaigns of single streams, one for each cell of the cost, and of the picture."""


@dataclass
class Characteristics:
    """Everything found.

    Parameters
    ----------
    single, family
        Cells of one stream, and of all metrics on all rigs.
    cost
        Cells at the design points without drift, with the name of what was compared.
    rivals
        Alarms of other rules on the same traces.
    scan
        Cells over true changes, without drift.
    """

    single: list[Cell] = field(default_factory=list)
    family: list[Cell] = field(default_factory=list)
    cost: list[tuple[str, float, Cell]] = field(default_factory=list)
    rivals: list[RivalCell] = field(default_factory=list)
    scan: list[Cell] = field(default_factory=list)

    @property
    def campaigns(self) -> int:
        """Campaigns of the gate in all cells."""
        cells = [*self.single, *self.family, *self.scan, *(cell for _, _, cell in self.cost)]
        return sum(cell.campaigns for cell in cells)

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {
            "campaigns": self.campaigns,
            "single": [cell.record() for cell in self.single],
            "family": [cell.record() for cell in self.family],
            "cost": [{"compared": name, "fixed_quads": fixed, **cell.record()} for name, fixed, cell in self.cost],
            "rivals": [cell.record() for cell in self.rivals],
            "scan": [cell.record() for cell in self.scan],
        }


@dataclass(frozen=True)
class _Task:
    kind: str
    case: Case
    chunk: int
    count: int
    policy: Policy
    context: Context


def _work(task: _Task) -> Any:
    arguments = (task.case, task.chunk, task.count, task.policy, task.context)
    if task.kind == "single":
        return single_streams(*arguments)
    if task.kind == "rivals":
        return rival_alarms(*arguments)
    return rigs_of(*arguments, RIGS, harmed=task.kind == "harmed")


def simulate(plan: Plan, *, workers: int, on_progress: Callable[[int, int], None]) -> Characteristics:
    """Simulate everything.

    Parameters
    ----------
    plan
        What to simulate; its seed fixes every number.
    workers
        Processes.
    on_progress
        Called with the tasks done and their number.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    tasks = [*_family_tasks(plan), *_cost_tasks(plan), *_single_tasks(plan), *_scan_tasks(plan)]
    found: dict[_Key, dict[int, Any]] = defaultdict(dict)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_work, task): (key, task.chunk) for key, task in tasks}
        for done, future in enumerate(as_completed(running), start=1):
            key, chunk = running[future]
            found[key][chunk] = future.result()
            on_progress(done, len(tasks))
    return _assembled(plan, {key: [parts[chunk] for chunk in sorted(parts)] for key, parts in found.items()})


_Key = tuple[str, str, str, str]
"""Kind (or what a cost is compared for), metric, drift and truth."""


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(chunk, min(CHUNK, count - CHUNK * chunk)) for chunk in range(-(-count // CHUNK))]


def _single_cases(plan: Plan) -> list[tuple[Case, int]]:
    cases: list[tuple[Case, int]] = []
    for metric in metrics_of(plan.policy):
        for drift in DRIFTS:
            for truth, share in _SHARES.items():
                if truth == TOLERATED and plan.policy.metrics[metric].tolerated_ratio == 1:
                    continue
                cases.append((Case(metric, drift, truth, plan.source, 10 * plan.seed), share))
    every = sum(share for _, share in cases)
    return [(case, max(round(plan.campaigns * share / every), 1)) for case, share in cases]


def _single_tasks(plan: Plan) -> list[tuple[_Key, _Task]]:
    tasks: list[tuple[_Key, _Task]] = []
    for case, count in _single_cases(plan):
        for chunk, size in _chunks(count):
            for kind in ("single", "rivals") if case.truth in ("no change", "margin") else ("single",):
                key = (kind, case.metric, case.drift, case.truth)
                tasks.append((key, _Task(kind, case, chunk, size, plan.policy, plan.context)))
    return tasks


def _family_tasks(plan: Plan) -> list[tuple[_Key, _Task]]:
    """Sound rigs serve every true change; a harmed one takes the place of one of them."""
    tasks: list[tuple[_Key, _Task]] = []
    metric = metrics_of(plan.policy)[0]
    count = plan.family_campaigns
    for drift in DRIFTS if count else ():
        for truth in TRUTHS:
            kind, rigs = ("sound", RIGS * count) if truth == "no change" else ("harmed", count)
            # a harmed rig's session is not one of the sound ones'
            case = Case(metric, drift, truth, plan.family_source, 10 * plan.seed + (2 if kind == "harmed" else 1))
            for chunk, size in _chunks(rigs):
                tasks.append(((kind, metric, drift, truth), _Task(kind, case, chunk, size, plan.policy, plan.context)))
    return tasks


def _scan_cases(plan: Plan) -> list[Case]:
    return [
        Case(metric, "none", truth, plan.source, 10 * plan.seed + 4)
        for metric in metrics_of(plan.policy)
        for truth in SCAN
    ]


def _scan_tasks(plan: Plan) -> list[tuple[_Key, _Task]]:
    return [
        (("scan", case.metric, case.drift, case.truth), _Task("single", case, chunk, size, plan.policy, plan.context))
        for case in _scan_cases(plan)
        for chunk, size in _chunks(max(plan.campaigns // _SCAN_SHARE, 1))
    ]


def _cost_tasks(plan: Plan) -> list[tuple[_Key, _Task]]:
    tasks: list[tuple[_Key, _Task]] = []
    for name, metric, policy, source in cost_variants(plan):
        for truth in ("no change", "margin"):
            case = Case(metric, "none", truth, source, 10 * plan.seed + 3)
            for chunk, size in _chunks(max(plan.campaigns // _COST_SHARE, 1)):
                task = _Task("single", case, chunk, size, policy, plan.context)
                tasks.append(((name, metric, "none", truth), task))
    return tasks


def _assembled(plan: Plan, found: dict[_Key, list[Any]]) -> Characteristics:
    all_found = Characteristics()
    for case, _ in _single_cases(plan):
        endings: list[Ending] = [e for part in found["single", case.metric, case.drift, case.truth] for e in part]
        fixed = fixed_size(case.metric, plan.policy, plan.source)
        all_found.single.append(cell_of(case, plan.policy, endings, fixed, 1))
        parts = found.get(("rivals", case.metric, case.drift, case.truth), [])
        for rule in RULES if parts else ():
            alarms = sum(part[rule] for part in parts)
            all_found.rivals.append(RivalCell(rule, case.metric, case.drift, case.truth, alarms, len(endings)))
    for name, metric, policy, source in cost_variants(plan):
        for truth in ("no change", "margin"):
            endings = [e for part in found[name, metric, "none", truth] for e in part]
            case = Case(metric, "none", truth, source, 10 * plan.seed + 3)
            fixed = fixed_size(metric, policy, source)
            all_found.cost.append((name, fixed, cell_of(case, policy, endings, fixed, 1)))
    for case in _scan_cases(plan):
        endings = [e for part in found["scan", case.metric, case.drift, case.truth] for e in part]
        fixed = fixed_size(case.metric, plan.policy, plan.source)
        all_found.scan.append(cell_of(case, plan.policy, endings, fixed, 1))
    all_found.family = _families(plan, found)
    return all_found


def _families(plan: Plan, found: dict[_Key, list[Any]]) -> list[Cell]:
    metric = metrics_of(plan.policy)[0]
    streams = RIGS * len(plan.policy.metrics)
    cells: list[Cell] = []
    for drift in DRIFTS if plan.family_campaigns else ():
        sound: list[RigEnding] = [r for part in found["sound", metric, drift, "no change"] for r in part]
        groups: list[Sequence[RigEnding]] = [sound[n : n + RIGS] for n in range(0, len(sound), RIGS)]
        for truth in TRUTHS:
            members = groups
            if truth != "no change":
                harmed: list[RigEnding] = [r for part in found["harmed", metric, drift, truth] for r in part]
                members = [[bad, *group[1:]] for bad, group in zip(harmed, groups, strict=True)]
            case = Case(metric, drift, truth, plan.family_source, plan.seed)
            endings = [family_ending(group, plan.policy) for group in members]
            cells.append(cell_of(case, plan.policy, endings, None, streams))
    return cells
