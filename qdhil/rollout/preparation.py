"""Bring together what a rollout needs before anything is done: plan, bundles, devices, and a state to start from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qdhil.errors import ConfigurationError, InfraFault, QdhilError, RefusedError
from qdhil.exit_codes import ExitCode
from qdhil.rollout.fleet import DeviceState, open_fleet
from qdhil.rollout.lock import Answer, Opening, ask_lock
from qdhil.rollout.plan import Plan, load_plan
from qdhil.rollout.state import Device, Firmware, RolloutState

if TYPE_CHECKING:
    from qdhil.firmware import Bundle
    from qdhil.rollout.fleet import Fleet

_T = TypeVar("_T")


@dataclass(frozen=True)
class Prepared:
    """A plan with its verified bundles.

    Parameters
    ----------
    plan, folder
        The plan, and the folder that its relative paths start from.
    candidate, baseline
        The bundle to roll out and the one to roll back to.
    """

    plan: Plan
    folder: Path
    candidate: Bundle
    baseline: Bundle


@dataclass
class Survey:
    """What a plan would find, asked without changing anything.

    Parameters
    ----------
    problems
        What makes it impossible to start, with the exit code of each.
    devices
        What each device reports, by ring.
    locks
        What the lock of each ring answers.
    """

    problems: list[tuple[str, int]] = field(default_factory=list)
    devices: dict[str, dict[str, DeviceState]] = field(default_factory=dict)
    locks: dict[str, Opening] = field(default_factory=dict)

    def exit_code(self, plan: Plan) -> int:
        """Return 0 where the first ring could be begun now, else what stands in the way."""
        if self.problems:
            return self.problems[0][1]
        first = plan.rings[0]
        if self.locks[first.name].answer is not Answer.OPEN:
            return int(self.locks[first.name].exit_code)
        seen = self.devices[first.name].values()
        unfit = [it for it in seen if it.phase == "unreachable" or it.healthy is False]
        strange = [it for it in seen if it.phase == "unknown"]
        return int(ExitCode.INFRA if strange or len(unfit) > first.health.max_unreachable else ExitCode.PASS)


def prepare(file: Path) -> Prepared:
    """Read a plan and verify its bundles.

    Raises
    ------
    ConfigurationError
        If a file can't be read.
    RefusedError
        If one of the bundles must not be installed.
    """
    plan = load_plan(file)
    return Prepared(plan, file.parent, *_bundles(plan, file.parent))


def survey(file: Path) -> Survey:
    """Find everything that is missing or wrong for a plan, all at once; nothing is changed, no nonce is kept.

    Raises
    ------
    ConfigurationError
        If the plan itself can't be read.
    """
    from qdhil.audit import open_authority
    from qdhil.keys.trust import load_trust
    from qdhil.rollout.store import open_store

    plan, folder, found = load_plan(file), file.parent, Survey()

    def tried(step: Callable[[], _T]) -> _T | None:
        try:
            return step()
        except InfraFault as fault:
            found.problems.append((str(fault), int(fault.exit_code)))
        except QdhilError as error:
            found.problems.append((str(error), int(error.exit_code)))
        return None

    def state_is_free() -> None:
        with open_store(plan, folder) as store:
            if store.load() is not None:
                raise ConfigurationError(f"rollout {plan.name} was started already: see qdhil rollout status")

    def check_unused(nonce: str) -> None:
        with open_store(plan, folder) as store:
            store.check_unused(nonce)

    tried(lambda: open_authority(plan.roles, plan.audit, beside=folder))
    tried(lambda: load_trust(folder / plan.trust))
    tried(state_is_free)
    bundles = tried(lambda: _bundles(plan, folder))
    if bundles is None:
        return found
    prepared = Prepared(plan, folder, *bundles)
    for ring in plan.rings:
        opening = tried(partial(ask_lock, plan, ring, folder, bundles[0].sha256, _now(), claim_nonce=check_unused))
        if opening is not None:
            found.locks[ring.name] = opening
    tried(lambda: _observe(prepared, found))
    return found


def first_state(prepared: Prepared, fleet: Fleet) -> RolloutState:
    """Return the state that a rollout starts from.

    Raises
    ------
    ConfigurationError
        If a device does not exist or is in two rings.
    """
    plan = prepared.plan
    return RolloutState(
        rollout=secrets.token_hex(16),
        name=plan.name,
        plan_sha256=plan.sha256,
        candidate=_noted(prepared.candidate),
        baseline=_noted(prepared.baseline),
        updated=_now().isoformat(timespec="seconds"),
        devices={name: Device(ring=ring) for name, ring in rings_of(plan, fleet).items()},
    )


def check_same(prepared: Prepared, state: RolloutState) -> None:
    """Refuse to go on with another plan or other bundles than the rollout was started with."""
    if prepared.plan.sha256 != state.plan_sha256:
        raise RefusedError(f"rollout {state.name}: the plan was changed since it was started; abort it, or undo that")
    if state.ring >= len(prepared.plan.rings):
        raise ConfigurationError(f"rollout {state.name}: its state is damaged: the plan has no ring {state.ring}")
    for found, started in ((prepared.candidate, state.candidate), (prepared.baseline, state.baseline)):
        if found.sha256 != started.sha256:
            raise RefusedError(f"rollout {state.name}: bundle {found.version} is not the one it was started with")


def rings_of(plan: Plan, fleet: Fleet) -> dict[str, str]:
    """Return the ring of each device, in the order of the rollout.

    Raises
    ------
    ConfigurationError
        If a ring has fewer devices than must be healthy, or a device is in two.
    """
    owner: dict[str, str] = {}
    for ring in plan.rings:
        devices = fleet.devices(ring)
        if len(devices) < ring.health.min_healthy:
            raise ConfigurationError(
                f"rollout plan: ring {ring.name} has {len(devices)} devices, min_healthy is {ring.health.min_healthy}"
            )
        for device in devices:
            if device in owner:
                raise ConfigurationError(f"rollout plan: device {device} is in rings {owner[device]} and {ring.name}")
            owner[device] = ring.name
    return owner


def _observe(prepared: Prepared, found: Survey) -> None:
    with open_fleet(prepared.plan, prepared.folder, prepared.candidate, prepared.baseline) as fleet:
        for device, ring in rings_of(prepared.plan, fleet).items():
            found.devices.setdefault(ring, {})[device] = fleet.observe(device)


def _noted(bundle: Bundle) -> Firmware:
    return Firmware(version=bundle.version, sha256=bundle.sha256, boot_digest=bundle.boot_digest)


def _bundles(plan: Plan, folder: Path) -> tuple[Bundle, Bundle]:
    """Return candidate and baseline, each checked for every hardware revision of the plan."""
    from qdhil.firmware.bundle import find_bundle
    from qdhil.firmware.history import NOTHING_INSTALLED
    from qdhil.keys.trust import load_trust
    from qdhil.rack.selection import named_folder

    where = named_folder(plan.bundles, folder, "bundles")
    trust = None if plan.unsigned_bundles else load_trust(folder / plan.trust, "firmware")
    candidate = baseline = None
    for hardware in plan.hardware:
        baseline = find_bundle(plan.baseline, where, hardware=hardware, trust=trust, in_service=True)
        installed = NOTHING_INSTALLED if trust is None else NOTHING_INSTALLED.then(baseline.manifest)
        candidate = find_bundle(plan.candidate, where, hardware=hardware, trust=trust, installed=installed)
    if candidate is None or baseline is None or candidate.sha256 == baseline.sha256:
        raise ConfigurationError("rollout plan: candidate and baseline are the same firmware")
    return candidate, baseline


def _now() -> datetime:
    return datetime.now(UTC)
