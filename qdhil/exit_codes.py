"""The exit codes of every qdhil process. Never 1: a traceback, a shell error, a crash all exit 1."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a process ends with; the first five are verdicts."""

    PASS = 0
    BLOCK = 10
    INCONCLUSIVE = 20
    INFRA = 30
    REFUSED = 40
    USAGE = 64
    """A wrong option, file or configuration."""
    INTERNAL = 70
    """A mistake of qdhil itself."""
