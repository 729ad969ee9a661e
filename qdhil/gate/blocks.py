"""A measured block reduced to its counts, as the campaign keeps it and the run folder stores it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Literal, Self, get_args

from qdhil.metrics.coincidences import PeakCounts
from qdhil.tags.acquisition import Configuration

Arm = Literal["baseline", "candidate"]
ARMS: tuple[Arm, Arm] = ("baseline", "candidate")


@dataclass(frozen=True)
class Block:
    """One acquisition of fixed dwell under one firmware and one configuration.

    Parameters
    ----------
    quad, position
        Which ABBA group, and which of its four visits; ``None`` for the blanked block, which stands outside.
    arm
        Firmware that ran, verified by its hash.
    configuration
        How the light was routed.
    counts
        Coincidences, singles and exposure.
    health
        Readings of the rig just before the block, by name with unit.
    started
        Wall-clock time, ISO 8601 with zone.
    excluded
        Why the block does not count (a fault later in its quad), or ``None``.
    """

    quad: int | None
    position: int | None
    arm: Arm
    configuration: Configuration
    counts: PeakCounts
    health: Mapping[str, float]
    started: str
    excluded: str | None = None

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {**asdict(self), "counts": self.counts.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; refuse (ValueError) what it would not return."""
        try:
            block = cls(**{**record, "counts": PeakCounts.from_record(record["counts"])})
        except (TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"not a block record: {error}") from error
        if block.arm not in ARMS or block.configuration not in get_args(Configuration):
            raise ValueError(f"not a block record: {block.arm!r}, {block.configuration!r}")
        if not isinstance(block.quad, int | None) or not isinstance(block.position, int | None):
            raise ValueError(f"not a block record: quad {block.quad!r}, position {block.position!r}")  # noqa: TRY004
        return block


def total(blocks: Iterable[Block], arm: Arm, configuration: Configuration) -> PeakCounts:
    """Return the added counts of one arm in one configuration.

    Raises
    ------
    ValueError
        If there is no such block.
    """
    counts = [block.counts for block in blocks if (block.arm, block.configuration) == (arm, configuration)]
    if not counts:
        raise ValueError(f"no {configuration} block of the {arm}")
    return reduce(add, counts)


def dark_rates_hz(blanked: Iterable[PeakCounts]) -> tuple[float, float] | None:
    """Return the dark count rates of both detectors from the last blanked block, ``None`` without one."""
    *_, counts = (None, *blanked)
    return None if counts is None else (counts.singles_a / counts.dwell_s, counts.singles_b / counts.dwell_s)
