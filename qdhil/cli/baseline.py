"""``qdhil baseline``: the golden firmware of each hardware, and the ledger of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import ActorKeyOption, AuditOption, RolesOption, actor_key, authority
from qdhil.cli.json_output import JsonOption, print_json
from qdhil.keys.secrets import withheld

if TYPE_CHECKING:
    from qdhil.gate.baseline import BaselineLock

baseline = typer.Typer(
    help="The golden firmware of each hardware (baselines.lock.toml), and the ledger of runs.", no_args_is_help=True
)
_LOCK = Path("baselines.lock.toml")
_Lock = Annotated[Path, typer.Option(help="Lock file.")]
_Repository = Annotated[Path, typer.Option(help="Checkout that keeps the ledger.")]
_Remote = Annotated[str, typer.Option(help="Git remote of the ledger.")]
_By = Annotated[str | None, typer.Option(help="Who does it (default: git's user).")]


@baseline.command("list")
def list_(lock: _Lock = _LOCK, json: JsonOption = False) -> None:
    """List the golden firmware of every hardware revision."""
    from qdhil.gate.baseline import load_lock

    known = load_lock(lock)
    if json:
        print_json(known.model_dump(mode="json")["hardware"])
        return
    for name, golden in sorted(known.hardware.items()):
        kinds = "" if "physical" in golden.rigs.values() else "  (simulated rigs only)"
        typer.echo(f"{name:16} {golden.version:14} {golden.sha256[:12]}  policy {golden.policy}  "
                   f"{golden.promoted_at:%Y-%m-%d} {golden.promoted_by}{kinds}")  # fmt: skip
    for entry in known.retired:
        typer.echo(f"{entry.hardware:16} {entry.version:14} {entry.sha256[:12]}  retired: {entry.reason}")


@baseline.command()
def show(
    hardware: Annotated[str, typer.Argument(help="Hardware revision.")],
    lock: _Lock = _LOCK,
    repository: _Repository = Path(),
    remote: _Remote = "origin",
    json: JsonOption = False,
) -> None:
    """Show the golden firmware of a hardware revision, and the runs in the ledger that measured it."""
    from qdhil.errors import ConfigurationError
    from qdhil.gate.baseline import load_lock

    known = load_lock(lock).hardware
    if hardware not in known:
        raise ConfigurationError(f"no firmware is golden on hardware {hardware!r}; known: {', '.join(known) or 'none'}")
    golden = known[hardware].model_dump(mode="json")
    runs, why = _runs_of(repository, remote, hardware, golden["sha256"])
    if json:
        print_json({"hardware": hardware, **golden, "runs": runs})
        return
    typer.echo(hardware)
    for key, value in golden.items():
        text = ", ".join(f"{k} ({v})" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"  {key:18} {'-' if text is None else text}")
    typer.echo(f"  runs in the ledger {why or len(runs)}")
    for run in runs[-5:]:
        typer.echo(f"    {run['finished']}  {run['rig']}  {run['verdict']} of {run['candidate']}")


@baseline.command()
def promote(
    folder: Annotated[Path, typer.Argument(help="Run folder with a PASS of the firmware.", metavar="RUN")],
    lock: _Lock = _LOCK,
    attestation: Annotated[Path | None, typer.Option(help="Attestation of the same run.")] = None,
    trust: Annotated[Path | None, typer.Option(help="trust.toml: whose signatures count.")] = None,
    new_policy: Annotated[bool, typer.Option("--new-policy", help="Put the run's policy up for review too.")] = False,
    by: _By = None,
    key: ActorKeyOption = None,
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Write the candidate of a PASS into the lock file as golden; committing it is yours.

    The verdict is recomputed from its counts. Whatever is not a PASS against the golden firmware, by the policy
    that guards it, is refused (exit 40).
    """
    from qdhil.cli.promotion import attested, promotable
    from qdhil.errors import ConfigurationError
    from qdhil.gate.baseline import BaselineLock, load_lock

    if (attestation is None) != (trust is None):
        raise ConfigurationError("baseline promote: --attestation and --trust go together")
    name, who = folder.resolve().name, _who(by)
    with authority(roles, audit, actor_key(key)).action("releaser", "baseline.promote", name, {"by": who}) as progress:
        known = load_lock(lock) if lock.exists() else BaselineLock(hardware={})
        run = promotable(folder, who)
        found = run.goldens
        digest = None if attestation is None or trust is None else attested(attestation, trust, folder, found)
        for hardware, (golden, compared) in found.items():
            accepted = golden.model_copy(update={"attestation_sha256": digest})
            known = known.promoted(hardware, accepted, baseline_sha256=compared, new_policy=new_policy)
            progress.details[f"golden on {hardware}"] = golden.sha256
        _write(lock, known)
    for entry in run.quarantined:
        typer.echo(f"did not decide: {entry}")
    for hardware, (golden, _) in found.items():
        typer.echo(f"{lock}: {golden.version} is golden on {hardware}; review and commit it")


@baseline.command()
def retire(
    hardware: Annotated[str, typer.Argument(help="Hardware revision.")],
    reason: Annotated[str, typer.Option(help="Why: it stands in the file.")],
    lock: _Lock = _LOCK,
    by: _By = None,
    key: ActorKeyOption = None,
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Take the golden firmware of a hardware revision out of use; it can't be promoted there again."""
    from datetime import UTC, datetime

    from qdhil.errors import ConfigurationError
    from qdhil.gate.baseline import load_lock

    if not reason.strip():
        raise ConfigurationError("baseline retire: --reason is empty")
    now, who = datetime.now(UTC).replace(microsecond=0), _who(by)
    said = {"by": who, "reason": reason}
    with authority(roles, audit, actor_key(key)).action("releaser", "baseline.retire", hardware, said):
        _write(lock, load_lock(lock).without(hardware, reason=reason, by=who, at=now))
    typer.echo(f"{lock}: nothing is golden on {hardware} now; review and commit it")


@baseline.command()
def record(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN...")],
    repository: _Repository = Path(),
    remote: _Remote = "origin",
    json: JsonOption = False,
) -> None:
    """Hand the records of finished runs in to the ledger, after recomputing their verdicts."""
    from qdhil.record.ledger import Ledger
    from qdhil.record.ledger_entry import entries_of
    from qdhil.record.recheck import recheck

    for folder in folders:
        recheck(folder)
    entries = [entry for folder in folders for entry in entries_of(folder)]
    with Ledger(repository, remote) as ledger:
        for entry in entries:
            ledger.put(entry)
        ledger.send()
    _say([f"{it.rig}  {it.run}  {it.sha256}" for it in entries], {"recorded": [it.sha256 for it in entries]}, json)


@baseline.command()
def sync(repository: _Repository = Path(), remote: _Remote = "origin", json: JsonOption = False) -> None:
    """Send what this checkout has not sent, and fetch the ledger, which a clone does not do by itself."""
    from qdhil.record.ledger import Ledger

    with Ledger(repository, remote) as ledger:
        contents = ledger.sync()
    _skipped(contents.problems)
    said = f"{len(contents.entries)} records, {len(contents.problems)} skipped"
    _say([said], {"records": len(contents.entries), "skipped": contents.problems}, json)


@baseline.command()
def compact(repository: _Repository = Path(), remote: _Remote = "origin", json: JsonOption = False) -> None:
    """Fold the references of single runs into the ledger, in one atomic push."""
    from qdhil.record.ledger import Ledger
    from qdhil.record.ledger_compactor import compact as fold

    with Ledger(repository, remote) as ledger:
        folded = fold(ledger)
    _skipped(folded.problems)
    _say([f"{folded.runs} runs folded, {len(folded.problems)} left"],
         {"folded": folded.runs, "left": folded.problems, "retries": folded.retries}, json)  # fmt: skip


def _say(lines: list[str], data: dict[str, Any], json: bool) -> None:
    if json:
        print_json(data)
        return
    for line in lines:
        typer.echo(line)


def _skipped(problems: list[str]) -> None:
    for problem in problems:
        typer.echo(withheld(f"qdhil: skipped {problem}"), err=True)


def _write(file: Path, lock: BaselineLock) -> None:
    from qdhil.gate.baseline import lock_text
    from qdhil.record.run_folder import write_bytes

    write_bytes(file, lock_text(lock).encode())


def _who(given: str | None) -> str:
    """Return who acts: as given, or as git knows the user."""
    from qdhil.errors import ConfigurationError

    if given is not None and given.strip():
        return given
    try:
        import git

        with git.Repo(Path.cwd(), search_parent_directories=True) as repository, repository.config_reader() as reader:
            name, mail = (str(reader.get_value("user", key, "")) for key in ("name", "email"))
    except Exception:  # no git, no checkout, no name: all the same to the caller
        name = mail = ""
    if not name:
        raise ConfigurationError("say who with --by, or set git's user.name")
    return f"{name} <{mail}>" if mail else name


def _runs_of(repository: Path, remote: str, hardware: str, sha256: str) -> tuple[list[dict[str, Any]], str]:
    """Return the ledger's runs in which a firmware was the baseline, or why there are none."""
    from qdhil.errors import ConfigurationError
    from qdhil.record.ledger import Ledger

    try:
        with Ledger(repository, remote) as ledger:
            contents = ledger.read()
    except ConfigurationError as error:
        return [], withheld(str(error))
    _skipped(contents.problems)
    return [
        {"finished": it.finished.isoformat(), "rig": it.rig, "run": it.run, "verdict": str(it.verdict),
         "candidate": it.candidate.version}
        for it in contents.entries
        if (it.hardware, it.baseline.sha256) == (hardware, sha256)
    ], ""  # fmt: skip
