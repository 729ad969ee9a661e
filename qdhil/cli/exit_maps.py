"""Exit codes in the words of the program that calls: ``--exit-map``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from qdhil.exit_codes import ExitCode

OPTION = "--exit-map"
_UNDECIDED = (ExitCode.INCONCLUSIVE, ExitCode.INFRA)


class ExitMap(StrEnum):
    """Callers with exit codes of their own."""

    MENDER = "mender"
    GIT_BISECT = "git-bisect"


def mapped(status: int, arguments: Sequence[str]) -> int:
    """Return an exit status in the words of the map that the command line names, if it names one.

    It is read from the bare arguments, so that a usage error or a crash is mapped as well.
    """
    match _named(arguments):
        case ExitMap.MENDER:
            return _mender(status)
        case ExitMap.GIT_BISECT:
            return _git_bisect(status)
    return status


def _mender(status: int) -> int:
    """0 installs, 21 asks to be tried again, 1 aborts the installation."""
    if status == ExitCode.PASS:
        return 0
    return 21 if status in _UNDECIDED else 1


def _git_bisect(status: int) -> int:
    """0 is good, 1 is bad, 125 skips the commit, and 128 or more stops the bisection."""
    if status == ExitCode.PASS:
        return 0
    if status == ExitCode.BLOCK:
        return 1
    return 125 if status in _UNDECIDED else 128 + status % 64


def _named(arguments: Sequence[str]) -> str | None:
    for argument, following in pairwise([*arguments, ""]):
        if argument == OPTION:
            return following
        if argument.startswith(f"{OPTION}="):
            return argument.partition("=")[2]
    return None
