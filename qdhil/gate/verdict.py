"""The four verdicts and the refusal, and the exit code that each one ends a process with."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from qdhil.exit_codes import ExitCode


class Verdict(StrEnum):
    """What a comparison or a whole run says about the candidate."""

    PASS = "PASS"
    """Harm of the margin is ruled out."""
    BLOCK = "BLOCK"
    """Harm is proven."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Neither, with the blocks that were measured."""
    INFRA = "INFRA"
    """The rig or the tools failed, which says nothing about the firmware."""
    REFUSED = "REFUSED"
    """A digest, hardware or record check failed."""

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of a process that ends with this verdict; never 1, which is a crash's."""
        return ExitCode[self.name]


_PRECEDENCE = (Verdict.REFUSED, Verdict.BLOCK, Verdict.INFRA, Verdict.INCONCLUSIVE)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of the whole: PASS only if every part passes, and there is a part.

    Proven harm on one rig stands, whatever happened on another; after it a failed rig weighs more
    than too few photons.
    """
    seen = set(verdicts)
    for verdict in _PRECEDENCE:
        if verdict in seen:
            return verdict
    return Verdict.PASS if seen else Verdict.INCONCLUSIVE
