"""What a rollout needs of the devices it installs on; every verb may be repeated without harm."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.rollout.state import Firmware

if TYPE_CHECKING:
    from pathlib import Path

    from qdhil.firmware import Bundle
    from qdhil.rollout.plan import Plan, Ring

ReportedPhase = Literal["baseline", "installing", "trial", "confirmed", "failed", "unreachable", "unknown"]
"""``baseline``, confirmed; ``installing``, not done yet; ``trial``: the candidate runs unconfirmed; ``confirmed``: the
candidate, for good; ``failed``: the device says that installing failed; ``unknown``: it runs something else."""

WISH_POLL_S = 0.2
"""How often it is asked, during a wait, whether somebody wants something else."""


class PutAsideError(Exception):
    """Somebody wants something else than to wait for a device; the state says what was being done."""


@dataclass(frozen=True)
class DeviceState:
    """What a device reports now.

    Parameters
    ----------
    phase
        Where it stands between baseline and candidate.
    digest
        Of the running firmware, as the device reports it; empty where it said nothing.
    detail
        What a person should know, in one line; never a secret.
    healthy
        Its self-test; ``None`` where it has none. A sick device stops its own installation.
    """

    phase: ReportedPhase
    digest: str
    detail: str
    healthy: bool | None


class Fleet(Protocol):
    """Devices of one kind, with the bundles of one rollout.

    Every verb but ``devices`` raises :class:`~qdhil.errors.InfraFault` where the device can't be spoken to, and no
    other error for what a device does. ``observe`` answers ``unreachable`` instead, and changes nothing. Each may wait
    for a device, and raises :class:`PutAsideError` where the wait is interrupted, before anything is done to it.
    """

    def devices(self, ring: Ring) -> list[str]:
        """Return the names of a ring's devices; ConfigurationError if one does not exist."""

    def observe(self, device: str) -> DeviceState:
        """Return what a device reports now."""

    def install(self, device: str) -> None:
        """Bring a device from the baseline to the candidate, unconfirmed where it can be.

        It may return before that is done. A device on the candidate is left alone, and so is one that runs something
        unknown.
        """

    def confirm(self, device: str) -> None:
        """Make the candidate permanent on a device that runs it; nothing to do where it is."""

    def roll_back(self, device: str) -> None:
        """Bring a device back to the confirmed baseline, whatever it runs."""


@contextmanager
def open_fleet(
    plan: Plan,
    folder: Path,
    candidate: Bundle | Firmware,
    baseline: Bundle,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Fleet]:
    """Give the fleet of a plan; what it holds is given back when the block ends.

    Parameters
    ----------
    plan
        The plan; its ``fleet.kind`` names the adapter.
    folder
        Folder of the plan file, which relative paths in it start from.
    candidate, baseline
        The verified bundles. Without the candidate's bundle, nothing but rolling back is possible.
    interrupted
        Whether somebody wants something else; asked several times a second while a device is waited for.
    """
    module = importlib.import_module(_ADAPTERS[plan.fleet.kind])
    with module.fleet(plan, folder, candidate, baseline, interrupted) as fleet:
        yield fleet


def unreachable(fault: InfraFault) -> DeviceState:
    """Return the state of a device that can't be spoken to."""
    return DeviceState("unreachable", "", f"{fault.instrument}: {fault.quantity}: {fault.last_value}", None)


def installable(candidate: Bundle | Firmware) -> Bundle:
    """Return a candidate's bundle; ConfigurationError where devices can only be rolled back from it."""
    if isinstance(candidate, Firmware):
        raise ConfigurationError(f"firmware {candidate.version}: its bundle is needed to install it")
    return candidate


def wait(seconds: float, interrupted: Callable[[], bool]) -> None:
    """Wait for a device; PutAsideError as soon as somebody wants something else."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        put_aside(interrupted)
        time.sleep(min(left, WISH_POLL_S))


def put_aside(interrupted: Callable[[], bool]) -> None:
    """Raise PutAsideError where somebody wants something else."""
    if interrupted():
        raise PutAsideError


_ADAPTERS = {"rigs": "qdhil.rollout.rigs", "goosebit": "qdhil.rollout.goosebit"}
"""Modules with a context manager ``fleet``, which takes what :func:`open_fleet` takes; imported when they are used."""
