"""``qdhil rollout``: bring a firmware to a fleet, ring by ring, as far as signed verdicts allow."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import ActorKeyOption, actor_key, authority
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    from qdhil.audit import Authority
    from qdhil.audit.entry import Detail
    from qdhil.rollout.foreground import Foreground
    from qdhil.rollout.plan import Plan
    from qdhil.rollout.state import RolloutState, Wish
    from qdhil.rollout.store import Store

rollout = typer.Typer(help="Roll a firmware out, ring by ring; only a verified PASS opens one.", no_args_is_help=True)

_HEARD_WITHIN_S = 2.0

PlanArgument = Annotated[Path, typer.Argument(help="The plan.", metavar="rollout.toml")]
OnceOption = Annotated[
    bool, typer.Option("--once", "--until-idle", help="End where a wave has to bake, instead of waiting (for cron).")
]


@rollout.command()
def plan(file: PlanArgument, json: JsonOption = False) -> None:
    """Say what would happen and what is missing, all at once; 0 where the first ring could be begun now."""
    from qdhil.cli.rollout_report import plan_lines, plan_record
    from qdhil.rollout.plan import load_plan
    from qdhil.rollout.preparation import survey

    planned, found = load_plan(file), survey(file)
    _print(plan_record(planned, found), lambda: plan_lines(planned, found), json)
    raise typer.Exit(found.exit_code(planned))


@rollout.command()
def start(file: PlanArgument, once: OnceOption = False, key: ActorKeyOption = None) -> None:
    """Start a rollout in the foreground: 0 done, 10 rolled back, 20, 30 or 40 held."""
    _install(file, "rollout.start", key, lambda it: it.start(once=once))


@rollout.command()
def resume(file: PlanArgument, once: OnceOption = False, key: ActorKeyOption = None) -> None:
    """Go on with a rollout that was held, paused, interrupted or killed."""
    _install(file, "rollout.resume", key, lambda it: it.resume(once=once))


@rollout.command()
def pause(file: PlanArgument, key: ActorKeyOption = None) -> None:
    """Have a rollout stand still within a second, as it is, until it is resumed."""
    from qdhil.rollout.foreground import loaded
    from qdhil.rollout.plan import load_plan
    from qdhil.rollout.store import open_store

    planned = load_plan(file)
    with open_store(planned, file.parent) as store:
        if loaded(store, planned.name).is_final:
            raise ConfigurationError(f"rollout {planned.name} has ended")
        if store.wished() not in (None, "pause"):
            raise ConfigurationError(f"rollout {planned.name}: it was asked to abort already")
        with _authority(planned, file, key).action("releaser", "rollout.pause", planned.name):
            store.wish("pause")
        runs = store.is_held()
    typer.echo(f"rollout {planned.name}: " + ("asked to pause" if runs else "paused; no process runs it"))


@rollout.command()
def abort(
    file: PlanArgument,
    every: Annotated[bool, typer.Option("--all", help="Roll confirmed devices back as well.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave every device as it is, on trial too.")] = False,
    key: ActorKeyOption = None,
) -> None:
    """End a rollout for good; devices on trial go back to the baseline."""
    from qdhil.rollout.ending import Ending
    from qdhil.rollout.plan import load_plan
    from qdhil.rollout.store import open_store

    if every and keep:
        raise ConfigurationError("rollout abort: --all and --keep exclude each other")
    wish: Wish = "abort-all" if every else "abort-keep" if keep else "abort"
    planned = load_plan(file)
    with open_store(planned, file.parent) as store:
        runs, state = store.is_held(), store.load()
        if runs:
            with _authority(planned, file, key).action("releaser", "rollout.abort", planned.name, {"how": wish}):
                store.wish(wish)
            runs = _is_heard(store)
    if runs:
        typer.echo(f"rollout {planned.name}: asked to abort; the process that runs it ends it")
        return
    details: dict[str, Detail] = {"how": wish, "plan_sha256": planned.sha256}
    if state is not None:
        details["firmware_sha256"] = state.candidate.sha256
    releaser = _authority(planned, file, key)
    with _interruptible() as interrupted:
        ending = Ending(planned, file.parent, releaser, _say, interrupted)
        with releaser.action("releaser", "rollout.abort", planned.name, details) as progress:
            state = ending.abort(wish)
            progress.outcome = _outcome(state)
        code = _said(state, interrupted())
    raise typer.Exit(0 if state.is_final else code)


@rollout.command()
def status(
    file: PlanArgument,
    json: JsonOption = False,
    journal: Annotated[bool, typer.Option("--journal", help="Print the journal as well.")] = False,
) -> None:
    """Say where a rollout stands, whoever runs it."""
    from qdhil.cli.rollout_report import status_lines, status_record
    from qdhil.rollout.plan import load_plan
    from qdhil.rollout.store import open_store

    planned = load_plan(file)
    with open_store(planned, file.parent) as store:
        state, runs, wish = store.load(), store.is_held(), store.wished()
        entries = store.journal() if journal else []
    if state is None:
        raise ConfigurationError(f"rollout {planned.name} was never started")
    _print(status_record(state, runs, wish, entries), lambda: status_lines(planned, state, runs, wish, entries), json)


def _install(file: Path, action: str, key: str | None, run: Callable[[Foreground], RolloutState]) -> None:
    """Run a rollout as a releaser, end with its exit code, and stop between two actions at SIGINT or SIGTERM."""
    from qdhil.rollout.foreground import Foreground
    from qdhil.rollout.preparation import prepare

    prepared = prepare(file)
    releaser = _authority(prepared.plan, file, key)
    details: dict[str, Detail] = {"firmware_sha256": prepared.candidate.sha256, "plan_sha256": prepared.plan.sha256}
    with _interruptible() as interrupted:
        with releaser.action("releaser", action, prepared.plan.name, details) as progress:
            state = run(Foreground(prepared, releaser, _say, interrupted))
            progress.outcome = _outcome(state)
        code = _said(state, interrupted())
    raise typer.Exit(code)


def _outcome(state: RolloutState) -> str:
    return state.phase if state.held is None else "held"


def _said(state: RolloutState, interrupted: bool) -> int:
    """Say how a run ended, and return its exit code."""
    from qdhil.rollout.foreground import exit_code

    if state.is_final:
        _say(f"rollout {state.name}: {state.phase}: {state.outcome}")
    elif state.held is None:
        _say("interrupted; resume goes on" if interrupted else f"baking until {state.baking_until}; resume goes on")
    return exit_code(state)


def _is_heard(store: Store) -> bool:
    """Whether a process takes up what was asked, and did not end in this moment."""
    deadline = time.monotonic() + _HEARD_WITHIN_S
    while store.is_held() and store.wished() is not None:
        if time.monotonic() > deadline:
            return True  # busy with a device; it asks again before the next thing it does
        time.sleep(0.05)
    return store.wished() is None


def _authority(planned: Plan, file: Path, key: str | None) -> Authority:
    return authority(planned.roles, planned.audit, actor_key(key), beside=file.parent)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Give a question: whether somebody sent SIGINT or SIGTERM since."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        del frame
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    """Print a line of progress; where nobody can read it any more, the rollout goes on without."""
    import os

    try:
        typer.echo(line)
    except UnicodeEncodeError:
        typer.echo(line.encode("ascii", "backslashreplace").decode())
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(record: dict[str, Any], lines: Callable[[], list[str]], json: bool) -> None:
    if json:
        print_json(record)
    else:
        typer.echo("\n".join(lines()))
