"""Blocks drawn from Poisson laws, and a rig that is a script: what the gate's tests measure on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from qdhil.errors import InfraFault
from qdhil.gate.blocks import Arm, Block, Configuration
from qdhil.gate.campaign import ORDERS, Campaign, Progress
from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.judge import Comparison, compare
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context
from qdhil.gate.quarantine import QuarantineEntry, add_entry, quarantine_effect
from qdhil.metrics import PeakCounts
from qdhil.rack.config import load_rack
from qdhil.rack.selection import default_rack_file
from qdhil.record.run_folder import (
    POLICY_NAME,
    QUARANTINE_NAME,
    RACK_NAME,
    RUN_NAME,
    VERDICT_NAME,
    BlockJournal,
    write_json,
)
from qdhil.record.schemas import CalibrationRecord, FirmwareRecord, RunRecord, SoftwareRecord
from qdhil.record.verdict import verdict_record

CONTEXT = Context(exclude_lags=2, dead_time_ps=20_000, confidence=0.95, dark_rate_hz=(100.0, 110.0))
TRIGGERS = 8_000_000
RNG = np.random.Generator

POLICY_TEXT = """
schema_version = 2
name = "made"
miss_rate = 0.05
false_block_rate = 0.05

[campaign]
quads_min = 3
quads_max = 3
fault_budget = 2

[campaign.dwell_s]
hbt = 0.1
hom_parallel = 0.1
hom_orthogonal = 0.1
blanked = 1.0

[window]
window_ps = 6000
max_lag = 3

[metrics."g2.pulsed.area"]
margin_ratio = 1.5
tolerated_ratio = 1.0

[metrics."hom.v_unc"]
margin_ratio = 1.25
tolerated_ratio = 1.0

[metrics."hom.v_co_cross"]
margin_ratio = 1.25
tolerated_ratio = 1.0

[metrics."brightness.detected"]
margin_ratio = 0.97
tolerated_ratio = 0.99
"""


def made_policy(**changes: Any) -> Policy:
    """The policy of POLICY_TEXT; keyword arguments replace campaign values, ``quads`` both of its limits."""
    import tomllib

    data = tomllib.loads(POLICY_TEXT)
    if "quads" in changes:
        quads = changes.pop("quads")
        changes = {"quads_min": quads, "quads_max": quads, **changes}
    data["campaign"].update(changes)
    return Policy.model_validate(data)


def counts(central: int, far: Sequence[int], *, singles: tuple[int, int] = (200_000, 200_000)) -> PeakCounts:
    """Counts with four far peaks (lags -3, -2, 2, 3); the two next to the centre are raised by dead time."""
    a, b, c, d = far
    near = round(sum(far) / 4 * (1 + sum(singles) / (2 * TRIGGERS)))
    return PeakCounts(
        peaks=(a, b, near, central, near, c, d),
        singles_a=singles[0],
        singles_b=singles[1],
        triggers=TRIGGERS,
        dwell_s=0.1,
        window_ps=6000,
        period_ps=12_500.0,
        delay_ps=1250,
    )


@dataclass
class Light:
    """Mean counts of one block by configuration, and what the candidate multiplies.

    Parameters
    ----------
    worse
        Factor of the candidate's central counts by configuration.
    dimmer
        Factor of the candidate's singles.
    drift
        Log brightness at the block of this number.
    scatter
        Log-sd of the central counts from block to block, beyond counting.
    """

    seed: int
    worse: Mapping[str, float] = field(default_factory=dict)
    dimmer: float = 1.0
    drift: Callable[[int], float] = lambda _: 0.0
    scatter: float = 0.0
    central: Mapping[str, float] = field(
        default_factory=lambda: {"hbt": 60.0, "hom_parallel": 250.0, "hom_orthogonal": 3000.0}
    )
    far_per_peak: float = 15_000.0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._measured = 0

    def measure(self, arm: Arm, configuration: Configuration) -> PeakCounts:
        """Draw one block."""
        if configuration == "blanked":
            return PeakCounts((0,) * 7, 100, 110, 10 * TRIGGERS, 1.0, 6000, 12_500.0, 1250)
        harm, dim = (self.worse.get(configuration, 1.0), self.dimmer) if arm == "candidate" else (1.0, 1.0)
        brightness = dim * np.exp(self.drift(self._measured))
        self._measured += 1
        # coincidences go with the square of the brightness, in the centre and far away alike
        far = self._rng.poisson(self.far_per_peak * brightness**2, 4)
        wild = np.exp(self._rng.normal(0.0, self.scatter)) if self.scatter else 1.0
        central = self._rng.poisson(self.central[configuration] * harm * wild * brightness**2)
        a, b = self._rng.poisson(200_000 * brightness, 2)
        return counts(int(central), [int(n) for n in far], singles=(int(a), int(b)))


def row(light: Light, configurations: Sequence[Configuration], quads: int, *, first: int = 0) -> list[Block]:
    """The blocks of a campaign without faults, ABBA and BAAB in turn, from the quad of number ``first`` on."""
    return [
        Block(quad, position, arm, name, light.measure(arm, name), {}, "2026-01-01T00:00:00.000+00:00")
        for quad in range(first, first + quads)
        for position, arm in enumerate(ORDERS[quad % 2])
        for name in configurations
    ]


class ScriptedBench:
    """A rig in memory: it does what it is told, fails where the script says so, and notes every call.

    ``faults`` maps the number of a call of ``boot``, ``check_health``, ``measure``, ``stage`` or
    ``recover`` (from 0) to the error that it raises.
    """

    def __init__(self, light: Light | None = None, **faults: Mapping[int, Exception]) -> None:
        self._light = light or Light(seed=1)
        self._faults = faults
        self.calls: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        return "made-1"

    def stage(self) -> None:
        self._call("stage")

    def boot(self, arm: Arm) -> None:
        self._call("boot", arm)

    def check_health(self) -> dict[str, float]:
        self._call("check_health")
        return {"temperature_k": 4.0}

    def measure(self, arm: Arm, configuration: Configuration, dwell_s: float) -> PeakCounts:
        self._call("measure", arm, configuration, f"{dwell_s:g}")
        return self._light.measure(arm, configuration)

    def recover(self) -> None:
        self._call("recover")

    def called(self, method: str) -> list[tuple[str, ...]]:
        return [call[1:] for call in self.calls if call[0] == method]

    def _call(self, method: str, *arguments: str) -> None:
        number = len(self.called(method))
        self.calls.append((method, *arguments))
        error = self._faults.get(method, {}).get(number)
        if error is not None:
            raise error


@dataclass
class ListJournal:
    """A journal as a list of lines."""

    lines: list[tuple[Any, ...]] = field(default_factory=list)

    def block(self, block: Block) -> None:
        self.lines.append(("block", block.quad, block.position, block.arm, block.configuration))

    def fault(self, arm: Arm, quad: int, fault: InfraFault) -> None:
        self.lines.append(("fault", quad, arm, fault.quantity))

    def exclude(self, quad: int, reason: str) -> None:
        self.lines.append(("exclude", quad, reason))

    def complete(self, quad: int) -> None:
        self.lines.append(("complete", quad))


def fault(quantity: str = "temperature") -> InfraFault:
    return InfraFault("made-1", "cryostat", quantity, "9 K", "3.9 to 4.3 K")


def campaign(
    bench: ScriptedBench,
    wanted: Sequence[Configuration] = ("hbt",),
    *,
    seed: int = 7,
    journal: Any = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    **changes: Any,
) -> Campaign:
    return Campaign(
        bench,
        made_policy(**changes).campaign,
        wanted,
        seed=seed,
        journal=ListJournal() if journal is None else journal,
        on_progress=on_progress,
    )


def decide(policy: Policy, blocks: Sequence[Block], *, rigs: int = 1, rig: str = "made-1") -> Iterator[Comparison]:
    """Compare every metric of a policy."""
    for name in policy.metrics:
        yield compare(name, blocks, policy, rig=rig, rigs=rigs, context=CONTEXT)


def write_run(
    root: Path,
    lights: Mapping[str, Light],
    *,
    quarantined: Sequence[QuarantineEntry] = (),
    **faults: Mapping[int, Exception],
) -> Path:
    """Measure, judge and record a run of scripted rigs with the classes that a session uses."""
    root.mkdir()
    (root / POLICY_NAME).write_text(POLICY_TEXT)
    (root / RACK_NAME).write_text(default_rack_file().read_text())
    for entry in quarantined:
        add_entry(root / QUARANTINE_NAME, entry)
    policy = made_policy()
    baseline, candidate = (FirmwareRecord(version=v, sha256=s * 64) for v, s in (("1.4.0", "a"), ("1.5.0", "b")))
    outcomes: dict[str, RigOutcome] = {}
    for rig, light in lights.items():
        (root / rig).mkdir()
        run = RunRecord(
            schema_version=1,
            rig=rig,
            kind="simulated",
            tags={},
            started="2026-01-01T00:00:00+00:00",
            host="here",
            baseline=baseline,
            candidate=candidate,
            policy_sha256=policy.sha256,
            order_seed=7,
            simulator_seed=None,
            calibration=CalibrationRecord.of(load_rack(root / RACK_NAME).rigs[rig]),
            software=SoftwareRecord(qdhil="0", python="3", numpy="2", git_commit=None, git_dirty=None),
        )
        write_json(root / rig / RUN_NAME, run.model_dump(mode="json"))
        journal = BlockJournal(root / rig)
        wanted: list[Configuration] = ["hbt", "hom_parallel", "hom_orthogonal"]
        measured = campaign(ScriptedBench(light, **faults), wanted, journal=journal)
        blocks = [block for name in wanted for block in measured.blocks(name)]
        assert measured.dark_rates_hz() == (100.0, 110.0)
        journal.close()
        decided = {c.definition: c for c in decide(policy, blocks, rigs=len(lights), rig=rig)}
        outcomes[rig] = RigOutcome(comparisons=decided, faults=measured.faults)
    finished = datetime.now(UTC)
    quarantine = quarantine_effect(quarantined, policy.metrics, lights, finished.date())
    conclusion = conclude(policy, outcomes, quarantine=quarantine)
    record = verdict_record(
        policy,
        (baseline, candidate),
        dict.fromkeys(lights, "simulated"),
        outcomes,
        conclusion,
        dark_rate_hz=dict.fromkeys(lights, CONTEXT.dark_rate_hz),
        started="2026-01-01T00:00:00+00:00",
        finished=finished,
        quarantine=quarantine,
    )
    write_json(root / VERDICT_NAME, record.model_dump(mode="json"))
    return root


ALL_METRICS = tuple(DEFINITIONS)
