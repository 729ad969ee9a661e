"""Faults of the rig by firmware arm: excluded from the evidence, counted, and tested for association.

Excluding faulty visits must not hide a firmware that causes them. Only faults after which the rig
recovered on the baseline are counted here: a rig that does not come back is broken under either firmware.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qdhil.gate.blocks import ARMS, Arm
from qdhil.gate.verdict import Verdict


@dataclass
class FaultTally:
    """Visits and faults of each arm on one rig.

    Parameters
    ----------
    visits
        Boots of each arm, with or without a fault.
    faults
        Visits that a fault ended, after which the rig recovered.
    """

    visits: dict[Arm, int] = field(default_factory=lambda: dict.fromkeys(ARMS, 0))
    faults: dict[Arm, int] = field(default_factory=lambda: dict.fromkeys(ARMS, 0))

    @property
    def total_faults(self) -> int:
        """Faults of both arms."""
        return sum(self.faults.values())

    @property
    def p_association(self) -> float:
        """P(so many faults in the candidate's visits | faults don't depend on the firmware), Fisher's exact test."""
        from scipy.stats import hypergeom

        if not self.total_faults:
            return 1.0
        visits = sum(self.visits.values())
        law = hypergeom(visits, self.total_faults, self.visits["candidate"])
        return float(min(1.0, law.sf(self.faults["candidate"] - 1)))

    def verdict(self, block_level: float) -> Verdict:
        """BLOCK where the candidate provably causes faults, PASS where there is no sign of it."""
        return Verdict.BLOCK if self.p_association <= block_level else Verdict.PASS

    def harm_log10(self, block_level: float) -> float:
        """Return the e-value of harm by faults: 1/level or nothing, of mean 1 at most without association."""
        return -math.log10(block_level) if self.verdict(block_level) is Verdict.BLOCK else -300.0

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {"visits": dict(self.visits), "faults": dict(self.faults), "p_association": self.p_association}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FaultTally:
        """Restore what :meth:`record` returned; refuse (ValueError) anything else."""
        try:
            return cls(
                visits={arm: int(record["visits"][arm]) for arm in ARMS},
                faults={arm: int(record["faults"][arm]) for arm in ARMS},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a fault record: {error}") from error
