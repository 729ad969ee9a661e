"""A fleet of rigs: each is leased while a rollout works on it, and its notes say what may run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError, InfraFault, RefusedError
from qdhil.firmware.slots import FirmwareChannel, confirm_running, run_candidate, stage
from qdhil.rack.config import Rack, load_rack
from qdhil.rack.lease import lease, refuse_out_of_service
from qdhil.rack.restoration import restore_baseline
from qdhil.rack.rig import Rig
from qdhil.rack.rig_bundles import remember_confirmed, rig_bundles
from qdhil.rack.selection import select_rigs
from qdhil.rack.service_state import begin_visit, end_visit, state_of
from qdhil.rollout.fleet import DeviceState, installable, put_aside, unreachable
from qdhil.rollout.plan import RigsSettings
from qdhil.rollout.state import Firmware

if TYPE_CHECKING:
    from qdhil.firmware import Bundle
    from qdhil.rollout.plan import Plan, Ring


class RigFleet:
    """The rigs of a rack file.

    Parameters
    ----------
    plan
        The plan; its ``fleet`` names the rack file.
    rack_file
        Where the rack was read.
    settings
        The plan's ``fleet``.
    candidate, baseline
        The verified bundles; without the candidate's, rigs can only be rolled back.
    interrupted
        Whether to stop waiting for a rig that somebody else holds.
    """

    def __init__(
        self,
        plan: Plan,
        rack_file: Path,
        settings: RigsSettings,
        candidate: Bundle | Firmware,
        baseline: Bundle,
        interrupted: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._rack_file = rack_file
        self._lease_wait_s = settings.lease_wait_s
        self._interrupted = interrupted
        self._candidate = candidate
        self._baseline = baseline
        self._rack: Rack = load_rack(rack_file)
        self._lock_dir = Path(self._rack.lock_dir)
        self._leases: dict[str, ExitStack] = {}

    def devices(self, ring: Ring) -> list[str]:
        """Return a ring's rigs, each checked to take both bundles."""
        found = select_rigs(self._rack, [*ring.devices, *ring.select])
        for name in found:
            self._check(name)
        return list(found)

    def observe(self, device: str) -> DeviceState:
        """Return what a rig's controller reports; a rig that somebody else holds is not asked."""
        try:
            with self._rig(device) as rig:
                return self._seen(rig)
        except InfraFault as fault:
            return unreachable(fault)

    def install(self, device: str) -> None:
        """Test-boot the candidate; the rig stays leased until it is confirmed or rolled back."""
        with self._rig(device, keep=True) as rig:
            if self._seen(rig).phase in ("trial", "confirmed", "unknown"):
                return
            candidate = installable(self._candidate)
            begin_visit(device, self._lock_dir, self._baseline, candidate)
            stage(rig.firmware, candidate)
            run_candidate(rig.firmware, candidate, device)
            rig.settle()

    def confirm(self, device: str) -> None:
        """Make the candidate permanent, and give the rig back."""
        candidate = installable(self._candidate)
        with self._rig(device, keep=True) as rig:
            confirm_running(rig.firmware, candidate, device)
        remember_confirmed(device, rig.description, self._rack_file, candidate)
        self._give_back(device)

    def roll_back(self, device: str) -> None:
        """Boot the confirmed baseline, and install it where the candidate was confirmed; then give the rig back."""
        with self._rig(device, keep=True, out_of_service_too=True) as rig:
            channel = rig.firmware
            begin_visit(device, self._lock_dir, self._baseline, self._candidate)
            try:
                restore_baseline(rig, self._baseline)
            except InfraFault:
                running = channel.running()
                if not running.confirmed or not self._is(channel, self._candidate):
                    raise
                stage(channel, self._baseline)
                run_candidate(channel, self._baseline, device)
                confirm_running(channel, self._baseline, device)
                remember_confirmed(device, rig.description, self._rack_file, self._baseline)
            rig.settle()
        self._give_back(device)

    def close(self) -> None:
        """Give every lease back; what runs goes on running, and the notes say so."""
        for device in list(self._leases):
            self._leases.pop(device).close()

    def _check(self, name: str) -> None:
        """Raise unless the rig takes exactly the two bundles of the plan, and its hardware is in the plan."""
        rig = self._rack.rigs[name]
        if rig.firmware.hardware not in self._plan.hardware:
            raise RefusedError(
                f"rig {name} has hardware {rig.firmware.hardware}, the plan is for {', '.join(self._plan.hardware)}"
            )
        wanted = self._plan.baseline, self._plan.candidate
        for found, planned in zip(
            rig_bundles(name, rig, self._rack_file, *wanted), (self._baseline, self._candidate), strict=True
        ):
            if found.sha256 != planned.sha256:
                raise RefusedError(f"rig {name}: its bundle {found.version} is not the plan's of that name")

    @contextmanager
    def _rig(self, device: str, *, keep: bool = False, out_of_service_too: bool = False) -> Iterator[Rig]:
        """Give a rig under its lease; connections end with the block, the lease stays where it is to be kept.

        A rig that goes out of service while it is on trial is only brought back.
        """
        if device not in self._rack.rigs:
            raise ConfigurationError(f"rig {device}: not in {self._rack_file}")
        with ExitStack() as stack:
            if device in self._leases:
                if not out_of_service_too:
                    refuse_out_of_service(state_of(device, self._lock_dir))
            else:
                heard = partial(put_aside, self._interrupted)
                stack.enter_context(lease(device, self._lock_dir, wait_s=self._lease_wait_s, on_poll=heard))
                if keep:
                    self._leases[device] = stack.pop_all()
            rig = Rig(device, self._rack.rigs[device])
            try:
                yield rig
            finally:
                rig.close()

    def _give_back(self, device: str) -> None:
        end_visit(device, self._lock_dir)
        if device in self._leases:
            self._leases.pop(device).close()

    def _seen(self, rig: Rig) -> DeviceState:
        running = rig.firmware.running()
        said = f"{running.version}, {'confirmed' if running.confirmed else 'unconfirmed'}"
        if self._is(rig.firmware, self._candidate):
            healthy, detail = _self_test(rig)
            return DeviceState("confirmed" if running.confirmed else "trial", running.digest, detail or said, healthy)
        if not self._is(rig.firmware, self._baseline):
            return DeviceState("unknown", running.digest, f"{said}, digest {running.digest[:12]}", None)
        if not running.confirmed:
            return DeviceState("installing", running.digest, f"{said}: on its way back", None)
        healthy, detail = _self_test(rig)
        return DeviceState("baseline", running.digest, detail or said, healthy)

    def _is(self, channel: FirmwareChannel, firmware: Bundle | Firmware) -> bool:
        running = channel.running()
        if isinstance(firmware, Firmware):
            return running.digest in (firmware.sha256, firmware.boot_digest)
        expected = channel.expected(firmware)
        facts = (running.version, running.digest, running.fpga_build)
        return facts == (expected.version, expected.digest, expected.fpga_build)


@contextmanager
def fleet(
    plan: Plan, folder: Path, candidate: Bundle | Firmware, baseline: Bundle, interrupted: Callable[[], bool]
) -> Iterator[RigFleet]:
    """Give the rigs of a plan; leases end with the block."""
    settings = plan.fleet
    if not isinstance(settings, RigsSettings):
        raise ConfigurationError("rollout plan: fleet.kind is not rigs")
    rigs = RigFleet(plan, folder / settings.rack, settings, candidate, baseline, interrupted)
    try:
        yield rigs
    finally:
        rigs.close()


def _self_test(rig: Rig) -> tuple[bool, str]:
    """Return whether the controller is well, and what it said if not; raises if it is out of reach."""
    try:
        rig.settle()
        rig.controller.check()
    except InfraFault as fault:
        rig.firmware.running()  # raises where it is the connection, not the controller
        return False, f"{fault.quantity}: {fault.last_value}"
    return True, ""
