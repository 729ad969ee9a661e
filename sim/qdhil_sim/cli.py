"""The command ``qdhil-sim``: serve the simulated rack, say what runs, end it, list firmware builds."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from qdhil.errors import ConfigurationError, QdhilError
from qdhil.exit_codes import ExitCode

app = typer.Typer(
    name="qdhil-sim",
    help="The simulated rack: instruments of quantum-dot sources on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RackFile = Annotated[Path | None, typer.Option("--rack", help="Rack file; default: the one shipped with qdhil.")]
Rigs = Annotated[int | None, typer.Option("--rigs", help="Generate a rack of this many rigs instead.")]
RigNames = Annotated[list[str] | None, typer.Option("--rig", help="Only this rig; may be repeated.")]
CLICK_USAGE_EXIT_CODE = 2


class Channel(StrEnum):
    """The ways in which a controller takes firmware."""

    SCPI_BLOCK = "scpi-block"
    SCPI_URL = "scpi-url"
    SMP = "smp"


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
    rigs: Rigs = None,
    rig: RigNames = None,
    scenario: Annotated[Path | None, typer.Option(help="File of faults that come and go.")] = None,
    control: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve fault switches on this port of 127.0.0.1; 0: any."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; `down` ends it.")] = False,
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
    if detach:
        _detach()
        return
    from qdhil_sim.service import Wanted, serve

    wanted = Wanted(rack, rigs, tuple(rig or ()), scenario, control, seed, allow_non_loopback, not until_stdin_closes)
    with _ended_by_signals() as ended:
        if until_stdin_closes:
            threading.Thread(target=_end_with_stdin, args=(ended,), daemon=True).start()
        with serve(wanted) as words:
            typer.echo(" ".join(["ready", *words]))
            sys.stdout.flush()
            ended.wait()


@app.command()
def rack(
    rigs: Annotated[int, typer.Option(help="How many rigs.")] = 2,
    channel: Annotated[Channel, typer.Option(help="How they take firmware.")] = Channel.SCPI_BLOCK,
) -> None:
    """Print a rack file for simulated rigs sim-a1, sim-a2, ... at 127.0.10.x, 127.0.11.x, ..."""
    from qdhil_sim.rack_text import rack_text

    typer.echo(rack_text(rigs, channel.value), nl=False)


@app.command()
def status(
    rack: RackFile = None,
    rigs: Rigs = None,
    rig: RigNames = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say of every instrument whether it answers; exit code 30 if one does not.

    Without ``--rack`` and ``--rigs`` it is the rack that runs, or else the packaged one.
    """
    from qdhil_sim.reachability import instruments_of, survey
    from qdhil_sim.running import running_racks
    from qdhil_sim.service import load_described

    running = running_racks()
    if rack is None and rigs is None and running:
        rack, rigs = Path(running[0].rack_file) if running[0].rack_file else None, running[0].generated
    rows = survey(instruments_of(load_described(rack, rigs)[0], rig or []))
    if as_json:
        typer.echo(json.dumps([row.record() for row in rows], indent=2))
    else:
        for row in rows:
            typer.echo(row.line())
    if any(row.answer is None for row in rows):
        raise typer.Exit(ExitCode.INFRA)


@app.command()
def down(
    rig: RigNames = None,
    every: Annotated[bool, typer.Option("--all", help="End every rack, where several run.")] = False,
) -> None:
    """End the rack that ``up`` started and that still runs, or those that serve the named rigs."""
    from qdhil_sim.running import end, serving

    racks = serving(rig or [])
    if not racks:
        typer.echo("no simulated rack runs")
    if len(racks) > 1 and not every:
        there = "; ".join(
            f"process {each.process}: {each.rack_file or 'no file'}, {each.rigs[0]} ..." for each in racks
        )
        raise ConfigurationError(
            f"{len(racks)} racks run, perhaps somebody else's too ({there}): say --rig NAME or --all"
        )
    for each in racks:
        end(each)
        typer.echo(f"ended process {each.process}: {', '.join(each.rigs)}")


@app.command()
def builds() -> None:
    """List the firmware builds for the simulated controller."""
    from qdhil_sim.builds import read_image, read_manifest, versions

    for version in versions():
        manifest = json.loads(read_manifest(version))
        about = read_image(version).decode().partition("\n")[0].removeprefix("# ")
        typer.echo(f"{version:<16} sequence {manifest['sequence']:<4} {about}")


def _detach() -> None:
    """Start the same command as a process of its own and wait for its first line."""
    from qdhil_sim.running import runtime_folder

    command = [sys.executable, "-m", "qdhil_sim", *(word for word in sys.argv[1:] if word != "--detach")]
    log = runtime_folder() / "detached.log"
    # messages go to a file: whoever reads this command's would otherwise wait for the rack's end
    with log.open("w") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        )
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("ready"):
        typer.echo(log.read_text(), nl=False, err=True)
        raise typer.Exit(process.wait())
    typer.echo(line, nl=False)


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
