"""What the verbs that sign and verify share: reading files, digests and times, and asking for keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.json_output import print_json
from qdhil.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from qdhil.keys.envelope import Envelope
    from qdhil.keys.extra import Signer

KeyOption = Annotated[
    list[str],
    typer.Option(
        "--key",
        help="Private key in PEM: a file, a variable; or pkcs11:token=T;id=%01?module-path=LIB.",
        metavar="FILE|env:NAME|pkcs11:",
    ),
]
TrustOption = Annotated[Path, typer.Option("--trust", help="Whose signatures count.", metavar="trust.toml")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_bytes(file: Path, what: str) -> bytes:
    """Return a file's content.

    Raises
    ------
    ConfigurationError
        If it can't be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{what} {file}: {error.strerror}") from error


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder.

    Raises
    ------
    ConfigurationError
        If that can't be told: the name is too long, or there is no permission to look.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def write_signed(file: Path, envelope: Envelope) -> None:
    """Write an envelope beside its place and rename it there."""
    from qdhil.record.run_folder import write_bytes

    write_bytes(file, envelope.encode())


def signers(where: list[str]) -> list[Signer]:
    """Return the signers of the keys given; messages number the keys and never repeat them."""
    from qdhil.keys.signers import load_signer

    return [load_signer(key, f"--key number {number}") for number, key in enumerate(where, start=1)]


def lifetime(text: str) -> timedelta:
    """Read a time such as ``30m``, ``12h`` or ``7d``.

    Raises
    ------
    ConfigurationError
        If it is none, or is nothing.
    """
    match = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if match is None or int(match[1]) == 0:
        raise ConfigurationError("--expires takes a time such as 30m, 12h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def digest(text: str, option: str) -> str:
    """Read a SHA-256 digest, with or without ``sha256:`` before it.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    found = text.removeprefix("sha256:").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise ConfigurationError(f"{option} takes a SHA-256 digest of 64 hexadecimal digits (sha256sum FILE)")
    return found


def names(option: str, values: list[str]) -> tuple[str, ...]:
    """Return names given on the command line; refuse an empty one."""
    if not all(value.strip() for value in values):
        raise ConfigurationError(f"{option} is empty")
    return tuple(values)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def refused(error: RefusedError, json: bool) -> typer.Exit:
    """Print a refusal where results go, as a verdict of its own."""
    if json:
        print_json({"verdict": "REFUSED", "accepted": False, "reason": str(error)})
    else:
        typer.echo(f"REFUSED: {error}")
    return typer.Exit(error.exit_code)
