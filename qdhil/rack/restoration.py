"""Bring a rig back to its confirmed baseline, whatever state it was left in, and verify that.

It works on a controller that answers nothing, and waits for one that is just coming back from a power
failure. What it can't bring back is somebody's to look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qdhil.errors import InfraFault
from qdhil.firmware import run_confirmed
from qdhil.rack.service_state import end_visit, take_out_of_service

if TYPE_CHECKING:
    from pathlib import Path

    from qdhil.firmware import Bundle
    from qdhil.rack import config
    from qdhil.rack.rig import Rig
    from qdhil.rack.service_state import Visit
    from qdhil.rack.simulated import Served

_PAUSE_S = 0.5


def restore_baseline(
    rig: Rig, baseline: Bundle, *, patience_s: float | None = None, gone: Callable[[], bool] = lambda: False
) -> None:
    """Boot the confirmed image and verify that it is the baseline.

    Parameters
    ----------
    rig
        The rig, whose connections may be broken.
    baseline
        The firmware in service.
    patience_s
        How long a controller that can't be reached is waited for; by default as long as a boot may take.
    gone
        Whether it is known by now that the controller never comes back.

    Raises
    ------
    InfraFault
        If the baseline does not run, confirmed: what came instead.
    """
    if patience_s is None:
        patience_s = rig.description.instruments.controller.boot_timeout_s
    deadline = time.monotonic() + patience_s
    while True:
        rig.firmware.close()
        try:
            run_confirmed(rig.firmware, baseline, rig.name)
        except InfraFault:
            # one that answers runs something else: to wait would not change that
            if _answers(rig) or gone() or time.monotonic() + _PAUSE_S > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def restore_left(
    rig: str, description: config.Rig, baseline: Bundle, lock_dir: Path, left: Visit, served: Served
) -> str:
    """Put right what a holder that died left behind, and return a line that says so.

    The caller holds the rig's lease. Nothing but the controller is spoken to.

    Raises
    ------
    InfraFault
        If the baseline could not be restored: the rig is out of service now, unless its last holder found another
        one in service.
    """
    from qdhil.rack.rig import Rig

    there = Rig(rig, description)
    try:
        restore_baseline(there, baseline, gone=lambda: served.has_ended)
    except InfraFault as fault:
        if left.baseline.sha256 != baseline.sha256:  # a mistake of this run takes nobody's rig away
            raise _other_baseline(rig, baseline, left, fault) from fault
        died = f"{left.holder} died with candidate {left.candidate.version} on it"
        reason = f"{died}, and baseline {baseline.version} could not be restored: {fault}"
        take_out_of_service(rig, lock_dir, reason)
        raise
    finally:
        there.close()
    end_visit(rig, lock_dir)
    return (
        f"{left.holder} died with candidate {left.candidate.version} on it (since {left.since}); "
        f"baseline {baseline.version} booted, confirmed and verified"
    )


def _other_baseline(rig: str, baseline: Bundle, left: Visit, fault: InfraFault) -> InfraFault:
    return InfraFault(
        rig,
        "controller",
        f"firmware after {left.holder} died",
        f"unknown ({fault.quantity}: {fault.last_value})",
        f"{baseline.version}, confirmed",
        f"{left.baseline.version} was in service when it was left: name that as --rig-baseline, or qdhil rigs restore "
        f"{rig}",
    )


def _answers(rig: Rig) -> bool:
    rig.firmware.close()
    try:
        rig.firmware.running()
    except InfraFault:
        return False
    return True
