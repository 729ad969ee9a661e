"""The interleaved blocks that compare candidate with baseline on one rig, acquired once and replayed.

A campaign is a row of quads; a quad is four visits in the order ABBA or BAAB, chosen by a seeded coin.
Each visit boots its firmware, verifies it, waits for the rig to settle, checks its health and then
acquires one block of every configuration that the selected tests want, so that a boot serves them all.
After each whole quad the evidence is judged, and the campaign ends when it decides or its budget is spent.
A fault ends the visit: the rig is brought back to the baseline, the quad's blocks are kept but
excluded, and the quad is measured again, up to the fault budget.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from qdhil.errors import InfraFault
from qdhil.gate.blocks import Arm, Block, dark_rates_hz
from qdhil.gate.faults import FaultTally
from qdhil.gate.policy import CampaignPolicy
from qdhil.metrics.coincidences import PeakCounts
from qdhil.tags.acquisition import Configuration

ORDERS: tuple[tuple[Arm, ...], tuple[Arm, ...]] = (
    ("baseline", "candidate", "candidate", "baseline"),
    ("candidate", "baseline", "baseline", "candidate"),
)


class CampaignRig(Protocol):
    """What a campaign needs of a rig; every method raises InfraFault when the rig fails."""

    @property
    def name(self) -> str:
        """Name of the rig."""

    def stage(self) -> None:
        """Have the candidate's image in the inactive slot, the verified baseline running."""

    def boot(self, arm: Arm) -> None:
        """Boot a firmware, verify that it runs, and wait until the rig has settled."""

    def check_health(self) -> dict[str, float]:
        """Return the rig's readings; raise if one is out of its band."""

    def measure(self, arm: Arm, configuration: Configuration, dwell_s: float) -> PeakCounts:
        """Acquire one block and count it."""

    def recover(self) -> None:
        """Bring the rig back to the settled, healthy baseline."""


class Journal(Protocol):
    """Where a campaign writes down what happened, as it happens."""

    def block(self, block: Block) -> None:
        """Keep a measured block."""

    def fault(self, arm: Arm, quad: int, fault: InfraFault) -> None:
        """Keep a fault of the rig."""

    def exclude(self, quad: int, reason: str) -> None:
        """Mark every block of a quad so far as not counting."""

    def complete(self, quad: int) -> None:
        """Mark a quad as whole: the blocks that are not excluded count."""


@dataclass(frozen=True)
class Progress:
    """How far a campaign is, of its budget; ``visit`` is ``None`` while dark counts are taken."""

    visit: int | None
    visits: int
    arm: Arm
    configuration: Configuration
    faults: int

    def __str__(self) -> str:
        faults = f", {self.faults} fault{'s' * (self.faults != 1)}" if self.faults else ""
        if self.visit is None:
            return f"dark counts{faults}"
        return f"visit {self.visit} of at most {self.visits}: {self.arm}, {self.configuration}{faults}"


class Campaign:
    """A lazy, memoised sequence of blocks per configuration.

    Parameters
    ----------
    rig
        The rig.
    design
        Quads, dwell and fault budget.
    wanted
        Configurations that the selected tests read; the first request acquires them all together.
    seed
        Of the order of the quads.
    journal
        Where blocks and faults are written as they come.
    on_progress
        Called before each block.
    decided
        Whether the counted blocks so far decide; asked after each whole quad from ``quads_min`` on.
    """

    def __init__(
        self,
        rig: CampaignRig,
        design: CampaignPolicy,
        wanted: Iterable[Configuration],
        *,
        seed: int,
        journal: Journal,
        on_progress: Callable[[Progress], None] = lambda _: None,
        decided: Callable[[Sequence[Block]], bool] = lambda _: False,
    ) -> None:
        self._rig = rig
        self._design = design
        self._wanted = tuple(dict.fromkeys(wanted))
        self._order = random.Random(seed)
        self._journal = journal
        self._on_progress = on_progress
        self._decided = decided
        self._row_start = 0
        self._blocks: dict[Configuration, tuple[Block, ...]] = {}
        self._dark_rates_hz: tuple[float, float] | None = None
        self._failure: Exception | None = None
        self._quads = 0
        self.faults = FaultTally()

    def blocks(self, configuration: Configuration) -> tuple[Block, ...]:
        """Return the counted blocks of a configuration in the order of time, acquiring them at first.

        Raises
        ------
        InfraFault
            If the rig failed. This, or any other error, comes again at every later call.
        """
        if self._failure is not None:
            raise self._failure
        if configuration not in self._blocks:
            missing = [name for name in (*self._wanted, configuration) if name not in self._blocks]
            try:
                self._acquire(tuple(dict.fromkeys(missing)))
            except Exception as failure:
                self._failure = failure
                raise
        return self._blocks[configuration]

    @property
    def counted(self) -> tuple[Block, ...]:
        """The counted blocks of all configurations acquired so far."""
        return tuple(block for blocks in self._blocks.values() for block in blocks)

    def dark_rates_hz(self) -> tuple[float, float] | None:
        """Return the dark count rates of both detectors, from one blanked block under the baseline."""
        if self._failure is not None:
            raise self._failure
        if self._dark_rates_hz is None:
            dwell_s = self._design.dwell_s.blanked
            try:
                self._rig.stage()
                dark = self._measure(None, None, "baseline", "blanked", dwell_s)
                self._dark_rates_hz = dark_rates_hz([dark.counts])
            except Exception as failure:
                self._failure = failure
                raise
        return self._dark_rates_hz

    def _acquire(self, configurations: tuple[Configuration, ...]) -> None:
        self._rig.stage()
        series: list[Block] = []
        self._row_start = self._quads
        for measured in range(self._design.quads_max):
            if measured >= self._design.quads_min and self._decided(series):
                break
            order = self._order.choice(ORDERS)
            series += self._quad_until_whole(self._quads, order, configurations)
            self._journal.complete(self._quads)
            self._quads += 1
        for name in configurations:
            self._blocks[name] = tuple(block for block in series if block.configuration == name)

    def _quad_until_whole(
        self, quad: int, order: tuple[Arm, ...], configurations: tuple[Configuration, ...]
    ) -> list[Block]:
        while True:
            blocks: list[Block] = []
            for position, arm in enumerate(order):
                self.faults.visits[arm] += 1
                try:
                    blocks += self._visit(quad, position, arm, configurations)
                except InfraFault as fault:
                    self._survive(fault, quad, arm)
                    break
            else:
                return blocks

    def _visit(self, quad: int, position: int, arm: Arm, configurations: tuple[Configuration, ...]) -> list[Block]:
        self._rig.boot(arm)
        return [
            self._measure(quad, position, arm, name, getattr(self._design.dwell_s, name)) for name in configurations
        ]

    def _measure(
        self, quad: int | None, position: int | None, arm: Arm, configuration: Configuration, dwell_s: float
    ) -> Block:
        visit = None if quad is None or position is None else 4 * (quad - self._row_start) + position + 1
        self._on_progress(Progress(visit, 4 * self._design.quads_max, arm, configuration, self.faults.total_faults))
        health = self._rig.check_health()
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        counts = self._rig.measure(arm, configuration, dwell_s)
        block = Block(quad, position, arm, configuration, counts, health, started)
        self._journal.block(block)
        return block

    def _survive(self, fault: InfraFault, quad: int, arm: Arm) -> None:
        """Write the fault down and bring the rig back, or give up with the fault that says why."""
        self._journal.fault(arm, quad, fault)
        self._journal.exclude(quad, str(fault))
        self._rig.recover()
        self.faults.faults[arm] += 1
        if self.faults.total_faults > self._design.fault_budget:
            raise fault
