"""Start the simulator of a simulated rig as a process of its own, then treat it like hardware.

The provider is named by an entry point in the group ``qdhil.sims`` and run as ``python -m MODULE up``;
nothing of it is imported here.
"""

from __future__ import annotations

import importlib.metadata
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.instruments.config import tcp_address
from qdhil.rack.config import Rig

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Served:
    """How a rig is there.

    Parameters
    ----------
    simulator
        The simulator that was started for it, which ends with this process; ``None`` for a physical rig and
        for one that somebody else serves.
    """

    simulator: subprocess.Popen[str] | None = None

    @property
    def ends_with_holder(self) -> bool:
        """Whether the rig, with what its controller holds, is gone when this process is."""
        return self.simulator is not None

    @property
    def has_ended(self) -> bool:
        """Whether its simulator is known to have ended."""
        return self.simulator is not None and self.simulator.poll() is not None


@contextmanager
def simulator(
    name: str,
    rig: Rig,
    *,
    rack_file: Path,
    seed: int | None,
    log: Path,
    on_start: Callable[[str], None] = lambda _: None,
    on_death: Callable[[str], None] = lambda _: None,
) -> Iterator[Served]:
    """Serve a simulated rig until the block ends; a rig that is served already is left to its server.

    A physical rig is there by itself.

    Parameters
    ----------
    name, rig
        The rig and its description.
    rack_file
        Handed to the simulator, which reads the same description.
    seed
        Seed of the light instead of the rack file's.
    log
        Where the simulator's messages go.
    on_start
        Called with a line that says which process serves the rig.
    on_death
        Called with a line that says so, if that process ended before the block did.

    Raises
    ------
    InfraFault
        If the simulator does not come up.
    ConfigurationError
        If a rig that is served already was to have another seed.
    """
    if rig.simulation is None:
        yield Served()
        return
    if is_served(rig):
        if seed is not None:
            raise ConfigurationError(
                f"rig {name} is served already, with a seed of its own: stop that rack or leave --rig-seed out"
            )
        yield Served()
        return
    command = [sys.executable, "-m", provider_module(rig.simulation.provider), "up", "--until-stdin-closes"]
    command += ["--rack", str(rack_file), "--rig", name]
    command += [] if seed is None else ["--seed", str(seed)]
    with log.open("ab") as stderr:
        # a session of its own: Ctrl-C reaches the tests alone, which still need the rig to hand it back
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
    try:
        _await_ready(process, name, log)
        on_start(f"simulator: process {process.pid}, log {log}")
        yield Served(process)
    finally:
        status = process.poll()
        _stop(process)
        if status is not None:
            on_death(
                f"the simulator of rig {name}, process {process.pid}, ended by itself (status {status}); see {log}"
            )


def provider_module(provider: str) -> str:
    """Return the module that an entry point of the group ``qdhil.sims`` names.

    Raises
    ------
    ConfigurationError
        If there is no such entry point.
    """
    for entry in importlib.metadata.entry_points(group="qdhil.sims"):
        if entry.name == provider:
            return entry.module
    raise ConfigurationError(f"simulation.provider = {provider!r}: no such entry point in the group qdhil.sims")


def is_served(rig: Rig) -> bool:
    """Return whether something listens where a simulated rig's controller should be."""
    host, port, _ = tcp_address(rig.instruments.controller.resource)
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def _await_ready(process: subprocess.Popen[str], name: str, log: Path) -> None:
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        if process.stdout is not None:
            for line in process.stdout:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            line = ""
        if line.startswith("ready"):
            return
        if not line:
            reason = _last_line(log) or "no message"
            raise InfraFault(name, "simulator", "start", reason, f"ready within {_START_TIMEOUT_S:g} s", f"see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
