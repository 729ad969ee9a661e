"""The four verdicts and the refusal, and the exit code that each one ends a process with."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


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
    """A signature, digest or policy check failed."""

    @property
    def exit_code(self) -> int:
        """Exit code of a process that ends with this verdict; never 1, which is a crash's."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.BLOCK: 10,
    Verdict.INCONCLUSIVE: 20,
    Verdict.INFRA: 30,
    Verdict.REFUSED: 40,
}
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
