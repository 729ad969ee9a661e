"""``qdhil bisect``: which firmware commit brought an effect, from noisy measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.json_output import JsonOption, print_json

if TYPE_CHECKING:
    from qdhil.firmware.bisect import Answer, BisectState

bisect = typer.Typer(
    help="Find the firmware commit that brought an effect, from noisy measurements.",
    no_args_is_help=True,
    epilog="Exit codes: 0 there is an answer (it may be: no culprit), 20 undecided, 30 the rig fails, 64 usage.",
)
_STATE = Path("bisect.json")
_State = Annotated[Path, typer.Option(help="File of the search.")]


@bisect.command()
def start(
    command: Annotated[
        list[str] | None, typer.Argument(help="Command that measures {commit} by {quads} quads.", metavar="COMMAND")
    ] = None,
    good: Annotated[str, typer.Option(help="Commit without the effect.")] = "",
    bad: Annotated[str, typer.Option(help="Commit with it.")] = "",
    repository: Annotated[Path, typer.Option(help="Checkout of the firmware.")] = Path(),
    commits: Annotated[Path | None, typer.Option(help="File of commits instead, a line each, good end first.")] = None,
    effect: Annotated[float | None, typer.Option(help="Effect to be found, with its sign.")] = None,
    rig: Annotated[str | None, typer.Option(help="Measure by campaigns on this rig instead of a command.")] = None,
    metric: Annotated[str, typer.Option(help="Metric of these campaigns.")] = "brightness.detected",
    bundle: Annotated[str, typer.Option(help="Bundle of a commit in these campaigns.")] = "{commit}",
    baseline: Annotated[str | None, typer.Option(help="Bundle they compare with (default: the rack file's).")] = None,
    rack: Annotated[Path | None, typer.Option(help="Rack file of these campaigns.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy of these campaigns.")] = None,
    confidence: Annotated[float, typer.Option(help="Probability that ends the search.")] = 0.95,
    batch: Annotated[int, typer.Option(help="Quads of one measurement, at least 4.")] = 4,
    quads_max: Annotated[int, typer.Option(help="Budget in quads.")] = 2000,
    state: _State = _STATE,
) -> None:
    """Begin a search: write its file. Nothing is measured yet.

    COMMAND prints a line of JSON with "effect" and "error" for each quad, or says by its exit code: 0 good, 10 bad.
    30 and whatever else fails is a skip; 125 and 40 set the commit aside.
    """
    from pydantic import ValidationError

    from qdhil.errors import ConfigurationError
    from qdhil.firmware.bisect import BisectState, history, save_state
    from qdhil.model_files import describe

    if state.exists():
        raise ConfigurationError(f"{state} holds a search already: go on with it, name another --state, or remove it")
    if (rig is None) == (not command):
        raise ConfigurationError("bisect: give a command that measures, or --rig (and not both)")
    if commits is not None:
        names = _lines(commits)
    elif good and bad:
        names = history(repository, good, bad)
    else:
        raise ConfigurationError("bisect: give --good and --bad, or --commits FILE")
    if rig is not None:
        command = _campaign_command(rig, metric, bundle, baseline, rack, policy)
        effect = _margin(metric, policy) if effect is None else effect
    if effect is None:
        raise ConfigurationError("bisect: give --effect: what is to be found, with its sign, as the command prints it")
    try:
        begun = BisectState(
            schema_version=1, commits=names, effect=effect, confidence=confidence, batch=batch, quads_max=quads_max,
            command=command or [], folder=str(Path.cwd()),
        )  # fmt: skip
    except ValidationError as error:
        raise ConfigurationError(f"bisect:\n{describe(error)}") from error
    save_state(state, begun)
    typer.echo(f"{state}: {len(names)} commits from {names[0]} to {names[-1]}, effect {effect:+g}")


@bisect.command()
def run(state: _State = _STATE, json: JsonOption = False) -> None:
    """Measure until there is an answer; what was killed goes on from its file."""
    from qdhil.firmware.bisect import search

    def say(now: BisectState) -> None:
        last = now.measurements[-1]
        place = now.posterior().likeliest(now.set_aside())
        likeliest = now.commits[place.first] if place.first < len(now.commits) else "no culprit"
        outcome = last.note or last.kind
        typer.echo(f"{now.commits[last.commit]}: {outcome}; likeliest {likeliest} {place.probability:.3f}", err=True)

    _tell(search(state, say), json=json)


@bisect.command()
def report(state: _State = _STATE, json: JsonOption = False) -> None:
    """Say what the measurements so far answer, without measuring."""
    from qdhil.firmware.bisect import answer, load_state

    _tell(answer(load_state(state)), json=json)


@bisect.command(hidden=True)
def campaign(
    candidate: Annotated[str, typer.Option(help="Bundle that is measured.")],
    rig: Annotated[str, typer.Option(help="Rig.")],
    metric: Annotated[str, typer.Option(help="Metric whose change is the effect.")],
    baseline: Annotated[str | None, typer.Option(help="Bundle that it is compared with.")] = None,
    rack: Annotated[Path | None, typer.Option(help="Rack file.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file.")] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs/bisect"),
) -> None:
    """Measure a bundle by one campaign and print effect and error, as ``run`` reads them."""
    from qdhil.cli.bisect_campaign import measure_by_campaign

    code, line = measure_by_campaign(
        candidate, rig=rig, metric=metric, baseline=baseline, rack=rack, policy=policy, runs=runs
    )
    if line:
        typer.echo(line)
    raise typer.Exit(code)


def _lines(file: Path) -> list[str]:
    from qdhil.errors import ConfigurationError

    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"commits {file}: {error}") from error


def _campaign_command(
    rig: str, metric: str, bundle: str, baseline: str | None, rack: Path | None, policy: Path | None
) -> list[str]:
    words = ["qdhil", "bisect", "campaign", "--candidate", bundle, "--rig", rig, "--metric", metric]
    for option, value in (("--baseline", baseline), ("--rack", rack), ("--policy", policy)):
        words += [] if value is None else [option, str(value)]
    return words


def _margin(metric: str, policy: Path | None) -> float:
    """Return the policy's margin of a metric, as an effect: the logarithm of its ratio."""
    import math

    from qdhil.errors import ConfigurationError
    from qdhil.gate.policy import default_policy_file, load_policy

    metrics = load_policy(policy or default_policy_file()).metrics
    if metric not in metrics:
        raise ConfigurationError(f"bisect: the policy has no metric {metric}; it has {', '.join(metrics)}")
    return math.log(metrics[metric].margin_ratio)


def _tell(found: Answer, *, json: bool) -> None:
    if json:
        print_json(found.record())
    else:
        for line in _answer_lines(found):
            typer.echo(line)
    raise typer.Exit(found.exit_code)


def _answer_lines(found: Answer) -> list[str]:
    names = found.commits[0] if len(found.commits) == 1 else f"one of {', '.join(found.commits)}"
    said = {
        "culprit": f"culprit: {names}",
        "already-bad": f"no culprit: the good end, {names}, has the effect already",
        "no-culprit": "no culprit: the bad end is fine",
        "undecided": f"undecided: {found.reason}; likeliest {names if found.commits else 'no culprit'}",
    }[found.kind]
    lines = [
        f"{said} (probability {found.probability:.3f}, effect {found.effect:+.4g})",
        f"{found.quads} quads, {found.boots} boots, {found.skips} skips; scatter x{found.dispersion:.2f} of the errors",
        f"P(good end already bad) {found.p_already_bad:.3f}, P(no culprit) {found.p_no_culprit:.3f}",
    ]
    if found.set_aside:
        lines.append(f"can't be measured: {', '.join(found.set_aside)}")
    return lines
