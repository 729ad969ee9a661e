"""The guardian of a rig: a process of its own that puts the rig right when its holder dies.

The holder starts it with ``python -m qdhil.rack.guardian``, tells it everything that it needs, and keeps
the pipe to it open. The kernel closes the pipe however the holder ends. A holder that hands the rig back
sends its guardian away; to one that lost its holder the visit's note says whether there is something left
to do. It lives in a session of its own, so that a signal for the holder's process group does not end it,
and reads no file that a cancelled job could have cleared away.
"""

from __future__ import annotations

import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from qdhil.audit import open_audit
from qdhil.errors import InfraFault, QdhilError, RecordFault
from qdhil.firmware import Bundle
from qdhil.rack import config
from qdhil.rack.lease import lease
from qdhil.rack.restoration import restore_baseline
from qdhil.rack.rig import Rig
from qdhil.rack.service_state import end_visit, has_lost_its_note, state_of, take_out_of_service
from qdhil.rack.simulated import is_served

_READY = b"ready\n"
_START_S = 60.0
_LEASE_POLL_S = 1.0
_SIMULATOR_ENDS_S = 10.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Charge:
    """What a guardian looks after.

    Parameters
    ----------
    rig, description
        The rig and its entry in the rack file.
    baseline
        The firmware in service.
    lock_dir
        Folder of locks and notes.
    visit
        Id of the visit that it guards.
    ends_with_holder
        Whether the rig's simulator ends with the holder.
    log
        Where it writes what it did; it is not made if there is nothing to do.
    audit
        The audit log, if there is one.
    """

    rig: str
    description: config.Rig
    baseline: Bundle
    lock_dir: Path
    visit: str
    ends_with_holder: bool
    log: Path
    audit: Path | None


class Guardian:
    """The holder's handle of a guardian.

    Raises
    ------
    InfraFault
        If it can't be started: then the rig must not be changed.
    """

    def __init__(self, charge: Charge) -> None:
        command = [sys.executable, "-P", "-m", "qdhil.rack.guardian"]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/"
            )
            pickle.dump(charge, self._pipe)
            self._pipe.flush()
        except OSError as error:
            raise InfraFault(charge.rig, "guardian", "start", error, "a process of its own") from error
        self._await_ready(charge.rig)

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def _pipe(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise RuntimeError("a guardian without its pipe")
        return self._process.stdin

    def send_away(self) -> None:
        """End it: the rig was handed back, or its note says what is to be done."""
        self._process.kill()
        self._process.wait()
        self.leave_to_it()

    def leave_to_it(self) -> None:
        """Let it act as if this process had died."""
        with suppress(OSError):
            self._pipe.close()

    def _await_ready(self, rig: str) -> None:
        said = b""
        if (answers := self._process.stdout) is not None:
            with answers:
                if select.select([answers], [], [], _START_S)[0]:
                    said = answers.readline()
        if said != _READY:
            self.send_away()
            raise InfraFault(rig, "guardian", "start", said or None, f"ready within {_START_S:g} s")


def main() -> None:
    """Wait until the holder is gone, then put right what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a job that is cancelled takes its rig's guardian last
    try:
        charge = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):
        return  # the holder died before it had said what for: nothing was booted yet
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(_READY)
        sys.stdout.buffer.flush()
    while sys.stdin.buffer.read(1):
        pass
    try:
        put_right(charge)
    except Exception as error:  # nobody else will tell
        _log(charge, f"failed: {type(error).__name__}: {error}; the next one to take rig {charge.rig} restores it")
        raise


def put_right(charge: Charge) -> None:
    """Take the lease that the dead holder lost and bring the rig back, unless somebody else did."""
    while _is_left(charge):
        try:
            with lease(charge.rig, charge.lock_dir, wait_s=_LEASE_POLL_S, out_of_service_too=True):
                if _is_left(charge):
                    _restore(charge)
                return
        except InfraFault as fault:
            if fault.instrument != "lease":
                raise


def _is_left(charge: Charge) -> bool:
    """Whether this visit was not ended: its note is there, or has gone, which an ending never brings about."""
    visit = state_of(charge.rig, charge.lock_dir).visit
    if visit is None:
        return has_lost_its_note(charge.rig, charge.lock_dir)
    return visit.id == charge.visit


def _restore(charge: Charge) -> None:
    if charge.ends_with_holder and _has_ended(charge.description):
        end_visit(charge.rig, charge.lock_dir)
        _say(charge, "gone", "the run died, and its simulator with it: nothing is left to restore")
        return
    rig = Rig(charge.rig, charge.description)
    try:
        restore_baseline(rig, charge.baseline)
    except QdhilError as fault:
        reason = f"its holder died, and the baseline {charge.baseline.version} could not be restored: {fault}"
        take_out_of_service(charge.rig, charge.lock_dir, reason)
        _say(charge, "out-of-service", f"{reason}; when it is put right: qdhil rigs restore {charge.rig}")
        return
    finally:
        rig.close()
    end_visit(charge.rig, charge.lock_dir)
    _say(charge, "done", f"the run died; baseline {charge.baseline.version} booted, confirmed and verified")


def _has_ended(description: config.Rig) -> bool:
    deadline = time.monotonic() + _SIMULATOR_ENDS_S
    while is_served(description):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _say(charge: Charge, outcome: str, line: str) -> None:
    _log(charge, line)
    try:
        open_audit(charge.audit).append("rig.restore", charge.rig, outcome, {"guardian": True, "reason": line})
    except RecordFault as error:  # the rig is as the line says all the same
        _log(charge, str(error))


def _log(charge: Charge, line: str) -> None:
    with suppress(OSError), charge.log.open("a") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} rig {charge.rig}: {line}\n")


if __name__ == "__main__":
    main()
