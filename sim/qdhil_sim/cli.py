"""The command ``qdhil-sim``: serve the simulated rack, ask whether it is there, list firmware builds."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from qdhil.errors import QdhilError
from qdhil.exit_codes import ExitCode

app = typer.Typer(
    name="qdhil-sim",
    help="The simulated rack: instruments of quantum-dot sources on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RackFile = Annotated[Path | None, typer.Option("--rack", help="Rack file; default: the one shipped with qdhil.")]
RigNames = Annotated[list[str] | None, typer.Option("--rig", help="Only this rig; may be repeated.")]
CLICK_USAGE_EXIT_CODE = 2


def run() -> None:
    """Run the command; a known error is one line and its exit code."""
    try:
        app()
    except QdhilError as error:
        typer.echo(f"qdhil-sim: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as ending:
        # click ends with 2 when it is used wrongly; qdhil's commands say 64.
        raise SystemExit(ExitCode.USAGE if ending.code == CLICK_USAGE_EXIT_CODE else ending.code) from None


@app.command()
def up(
    rack: RackFile = None,
    rig: RigNames = None,
    control: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve fault switches on this port of 127.0.0.1; 0: any."),
    ] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End when standard input ends.")
    ] = False,
    allow_non_loopback: Annotated[
        bool, typer.Option("--allow-non-loopback", help="Serve addresses that others can reach.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the light instead of the rack file's; each rig adds its own."),
    ] = None,
) -> None:
    """Serve every instrument of the simulated rigs until interrupted; says ``ready`` when all listen."""
    with _ended_by_signals() as ended:
        if until_stdin_closes:
            threading.Thread(target=_end_with_stdin, args=(ended,), daemon=True).start()
        _serve(rack, rig or [], control, allow_non_loopback, seed, ended)


def _serve(
    rack: Path | None,
    rigs: list[str],
    control: int | None,
    allow_non_loopback: bool,
    seed: int | None,
    ended: threading.Event,
) -> None:
    from qdhil.rack.config import load_rack
    from qdhil_sim.control_port import ControlPort
    from qdhil_sim.rack import SimulatedRack
    from qdhil_sim.warm_up import warm_up

    with _rack_path(rack) as file:
        simulated = SimulatedRack(load_rack(file), file, rigs, allow_non_loopback=allow_non_loopback, seed=seed)
    with contextlib.closing(simulated), contextlib.ExitStack() as stack:
        words = [f"pid={os.getpid()}", f"rigs={','.join(simulated.names)}"]
        if control is not None:
            port = stack.enter_context(ControlPort(control, simulated.worlds))
            stack.callback(port.shutdown)
            port.start()
            words.append(f"control={port.address}")
        typer.echo("qdhil-sim: preparing the light (compiles on first use) ...", err=True)
        for world in simulated.worlds.values():
            warm_up(world)
        simulated.listen()
        typer.echo(" ".join(["ready", *words]))
        sys.stdout.flush()
        ended.wait()


@app.command()
def status(rack: RackFile = None, rig: RigNames = None) -> None:
    """Say of every instrument whether it answers; exit code 30 if one does not."""
    from qdhil.rack.config import load_rack
    from qdhil_sim.rack import SOCKET_PORTS, address_of, simulated_rigs
    from qdhil_sim.reachability import ask_identity

    with _rack_path(rack) as file:
        loaded = load_rack(file)
    missing = 0
    for name in simulated_rigs(loaded, rig or []):
        for role in SOCKET_PORTS:
            address = address_of(role, getattr(loaded.rigs[name].instruments, role).resource)
            identity = ask_identity(address.host, address.stream_port)
            missing += identity is None
            where = f"{address.host}:{address.stream_port}"
            typer.echo(f"{name:<12} {role:<11} {where:<22} {identity or 'no answer'}")
    if missing:
        raise typer.Exit(ExitCode.INFRA)


@app.command()
def builds() -> None:
    """List the firmware builds for the simulated controller."""
    import json

    from qdhil_sim.builds import read_image, read_manifest, versions

    for version in versions():
        manifest = json.loads(read_manifest(version))
        about = read_image(version).decode().partition("\n")[0].removeprefix("# ")
        typer.echo(f"{version:<16} sequence {manifest['sequence']:<4} {about}")


@contextlib.contextmanager
def _rack_path(rack: Path | None) -> Iterator[Path]:
    if rack is not None:
        yield rack
        return
    with resources.as_file(resources.files("qdhil.rack") / "default_rack.toml") as file:
        yield file


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Give the event that ends serving; signals before that (while compiling) end the process at once."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_stdin(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    ended.set()
