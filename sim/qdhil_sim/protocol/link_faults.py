"""Instrument faults: what can be wrong between an instrument and who speaks to it.

=================  ============================================================================
``silent``         an answer is left out, with the severity as its chance
``slow``           an answer comes after severity x 10 s of the host's time
``garbled``        the top bit of a share of the answer's bytes is flipped, of one byte at least
``truncated``      a share of the answer is missing at its end, one byte at least
``reconnect``      the connection ends in the middle of an answer, with the severity as its chance
``half_open``      connections are taken and nothing that comes over them is read
``wrong_identity`` another instrument answers ``*IDN?``
``error_burst``    each message leaves up to sixteen device errors in the queue
=================  ============================================================================
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

Buffer = bytes | memoryview
LINK_FAULTS = (
    "silent", "slow", "garbled", "truncated", "reconnect", "half_open", "wrong_identity", "error_burst",
)  # fmt: skip
SLOWEST_S = 10.0
LONGEST_BURST = 16
WRONG_IDENTITY = "ACME,UNKNOWN,0,0"


class LinkFaults:
    """The faults of one instrument's link.

    Parameters
    ----------
    seed
        Seeds what happens by chance.
    """

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._level: Callable[[str], float] = lambda _: 0.0

    def follow(self, level: Callable[[str], float]) -> None:
        """Take the severity of a kind of fault, 0 to 1, from ``level`` from now on."""
        self._level = level

    def severity(self, kind: str) -> float:
        """Return how bad a fault is now, 0 to 1."""
        return self._level(kind)

    def happens(self, kind: str) -> bool:
        """Return whether a fault strikes this time."""
        severity = self._level(kind)
        return severity > 0 and self._random.random() < severity

    @property
    def half_open(self) -> bool:
        """Whether connections lead nowhere."""
        return self._level("half_open") > 0

    @property
    def wrong_identity(self) -> bool:
        """Whether another instrument answers."""
        return self._level("wrong_identity") > 0

    @property
    def delay_s(self) -> float:
        """How long an answer is held back, in seconds of the host."""
        return SLOWEST_S * self._level("slow")

    @property
    def errors(self) -> int:
        """How many errors a message leaves in the queue."""
        return math.ceil(LONGEST_BURST * self._level("error_burst"))

    def damage(self, answer: list[Buffer]) -> list[Buffer]:
        """Return an answer as it arrives; there is nothing to damage in none."""
        if not any(answer):
            return answer
        if severity := self._level("garbled"):
            answer = [self._garbled(answer, severity)]
        if severity := self._level("truncated"):
            answer = [_cut(answer, severity)]
        return answer

    def _garbled(self, answer: Sequence[Buffer], severity: float) -> bytes:
        data = bytearray(b"".join(answer))
        for at in self._random.sample(range(len(data)), max(1, round(severity * len(data)))):
            data[at] ^= 0x80
        return bytes(data)


def _cut(answer: Sequence[Buffer], severity: float) -> bytes:
    data = b"".join(answer)
    return data[: len(data) - max(1, round(severity * len(data)))]


def first_half(answer: Sequence[Buffer]) -> list[Buffer]:
    """Return what of an answer arrives before its connection ends."""
    data = b"".join(answer)
    return [data[: (len(data) + 1) // 2]]
