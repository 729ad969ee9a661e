"""``qdhil audit``: whether an audit log is whole, its end, what is in it, and who I am in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.json_output import JsonOption, print_json
from qdhil.cli.signing import KeyOption, lifetime, read_bytes, signers
from qdhil.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from qdhil.audit import Entry, Examined, Head

audit = typer.Typer(no_args_is_help=True, help="The audit log: who did what, in a chain that shows tampering.")

LogArgument = Annotated[Path, typer.Argument(help="The audit log.", metavar="FILE", envvar="QDHIL_AUDIT")]


@audit.command()
def verify(
    file: LogArgument,
    head: Annotated[list[str] | None, typer.Option(help="Head noted before.", metavar="NUMBER:HASH")] = None,
    heads: Annotated[Path | None, typer.Option(help="File with a noted head a line.", metavar="FILE")] = None,
    seal: Annotated[list[Path] | None, typer.Option(help="Sealed head; takes --trust.", metavar="FILE")] = None,
    trust: Annotated[Path | None, typer.Option(help="Whose seals count.", metavar="trust.toml")] = None,
    json: JsonOption = False,
) -> None:
    """Check every line, signature and noted head: 0 whole, 40 tampered with, 64 unreadable."""
    from qdhil.audit import verify_log

    noted = [*_noted(head or [], heads), *_sealed(seal or [], trust)]
    found = verify_log(file, heads=noted)
    _say_examined(file, found, len(noted), json)
    raise typer.Exit(0 if found.whole else RefusedError.exit_code)


@audit.command()
def head(file: LogArgument, json: JsonOption = False) -> None:
    """Print number and hash of the last entry, to be noted where the log's writers can't write."""
    import json as json_module

    found = _whole(file)
    typer.echo(json_module.dumps({"number": found.number, "sha256": found.sha256}) if json else str(found))


@audit.command()
def seal(
    file: LogArgument,
    key: KeyOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Sealed head to write.", metavar="FILE")],
) -> None:
    """Sign number and hash of the last entry."""
    from qdhil.audit.seal import seal_head
    from qdhil.record.run_folder import write_bytes

    found = _whole(file)
    write_bytes(output, seal_head(file.name, found, signers(key)))
    typer.echo(f"{output}: entry {found.number} of {file} sealed")


@audit.command("list")
def list_(
    file: LogArgument,
    actor: Annotated[str | None, typer.Option(help="Only of this actor; * stands for anything.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as 'rig.*'.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only on this subject.")] = None,
    since: Annotated[str | None, typer.Option(help="Only since a time (2026-11-23T12:00) or for 30m, 12h, 7d.")] = None,
    json: JsonOption = False,
) -> None:
    """List entries; an entry after the first that is tampered with is not listed."""
    from qdhil.audit import verify_log

    start = _start(since)
    entries: list[Entry] = []

    def take(entry: Entry) -> None:
        if _chosen(entry, actor, action, subject) and entry.time >= start:
            entries.append(entry)

    found = verify_log(file, on_entry=take)
    if json:
        print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        _table(entries)
    if not found.whole:
        raise RefusedError(f"audit log {file}: {found.problem}")


@audit.command()
def whoami(
    key: Annotated[str | None, typer.Option(help="A key that stands for you.", metavar="FILE|env:NAME|pkcs11:")] = None,
    roles: Annotated[Path | None, typer.Option(help="Roles file.", envvar="QDHIL_ROLES", metavar="FILE")] = None,
    json: JsonOption = False,
) -> None:
    """Print how an audit log and a roles file know you, and the roles that you have."""
    from qdhil.audit import ROLES, current_actor, load_roles

    known = load_roles(roles)
    who = current_actor(signers([key])[0] if key is not None else None)
    mine = [role for role in ROLES if known.allows(role, who)]
    if json:
        print_json({"identities": list(who.identities), "roles": mine})
        return
    for identity in who.identities:
        typer.echo(identity)
    typer.echo(f"roles: {', '.join(mine) or 'none'}{'' if roles else ' (no roles file: everybody may do everything)'}")


def _whole(file: Path) -> Head:
    """Return the head of a log that is whole."""
    from qdhil.audit import verify_log

    found = verify_log(file)
    if not found.whole:
        raise RefusedError(f"audit log {file}: {found.problem}")
    return found.head


def _noted(texts: list[str], file: Path | None) -> list[Head]:
    from qdhil.audit import Head

    noted = [Head.parse(text) for text in texts]
    if file is None:
        return noted
    try:
        lines = read_bytes(file, "file of heads").decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"file of heads {file}: not text") from error
    found = [Head.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise ConfigurationError(f"file of heads {file}: there is none in it")
    return noted + found


def _sealed(files: list[Path], trust: Path | None) -> list[Head]:
    if bool(files) != (trust is not None):
        raise ConfigurationError("audit verify: --seal and --trust go together")
    if trust is None:
        return []
    from qdhil.audit.seal import read_seal
    from qdhil.keys.trust import load_trust

    trusted = load_trust(trust, "audit")
    return [read_seal(read_bytes(file, "sealed head"), trusted).head for file in files]


def _say_examined(file: Path, found: Examined, heads: int, json: bool) -> None:
    if json:
        said = {
            "whole": found.whole,
            "problem": found.problem,
            "entries": found.head.number,
            "head": str(found.head),
            "heads_checked": heads,
            "signed": found.signed,
            "torn": list(found.torn),
            "tail_bytes": found.tail_bytes,
        }
        print_json(said)
        return
    if not found.whole:
        typer.echo(f"TAMPERED: {file}, {found.problem}")
        return
    typer.echo(f"{file}: whole, {found.head.number} entries, {found.signed} signed by their actors")
    if found.torn:
        typer.echo(f"  torn by a crash, as noted by: entry {', entry '.join(map(str, found.torn))}")
    if found.tail_bytes:
        typer.echo(f"  {found.tail_bytes} bytes of a torn entry at the end; the next entry will note them")
    noted = f"noted heads: {heads}, all in it" if heads else "no noted head was given: a cut off end does not show"
    typer.echo(f"  {noted}")


def _start(since: str | None) -> str:
    """Return the first time to list, as entries write it."""
    from qdhil.audit.entry import timestamp

    if since is None:
        return ""
    try:
        start = datetime.fromisoformat(since)
    except ValueError:
        try:
            start = datetime.now(UTC) - lifetime(since)
        except ConfigurationError as error:
            raise ConfigurationError("--since takes a time such as 2026-11-23T12:00, or 30m, 12h, 7d") from error
    zoned = start if start.tzinfo is not None else start.replace(tzinfo=UTC)
    return timestamp(zoned)


def _chosen(entry: Entry, actor: str | None, action: str | None, subject: str | None) -> bool:
    from fnmatch import fnmatchcase

    asked: tuple[tuple[str | None, tuple[str, ...]], ...] = (
        (actor, (entry.actor.identity, entry.actor.account)),
        (action, (entry.action,)),
        (subject, (entry.subject,)),
    )
    return all(pattern is None or any(fnmatchcase(value, pattern) for value in values) for pattern, values in asked)


def _table(entries: list[Entry]) -> None:
    for entry in entries:
        who = entry.actor.identity if entry.actor.known_by == "account" else f"{entry.actor.identity[:16]}..."
        told = " ".join(f"{key}={_short(value)}" for key, value in entry.details.items() if key not in _KEPT_BACK)
        line = (
            f"{entry.number:6} {entry.time[:19]}Z {who:22} {entry.action:20} {entry.outcome:10} {entry.subject}  {told}"
        )
        typer.echo("".join(sign if sign.isprintable() else "?" for sign in line.rstrip()))


_KEPT_BACK = ("role", "roles_sha256", "begun")
_TEXT_MAX = 80


def _short(value: Any) -> str:
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,52}\b", r"\1...", str(value))
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."
