"""One measurement of a commit by a command of the user's: what its output and its exit code say.

A line of JSON with ``effect`` and ``error`` is a quad. Without such lines the exit code is a test: 0 good, 10
bad. What failed without saying anything about the firmware is a skip, never "bad".
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.exit_codes import ExitCode
from qdhil.model_files import Strict

UNTESTABLE = (ExitCode.REFUSED, 125)
"""Exit codes of a commit that can't be measured: refused, or git's own "cannot be tested"."""
BROKEN = (ExitCode.USAGE, ExitCode.INTERNAL, 2, 126, 127)
"""Exit codes of a command that would fail for every commit."""
_VERDICTS = (ExitCode.PASS, ExitCode.BLOCK, ExitCode.INCONCLUSIVE)

Kind = Literal["quads", "good", "bad", "skip", "untestable"]


class Measurement(Strict):
    """What one run of the command gave."""

    commit: Annotated[int, Field(ge=0)]
    started: str
    kind: Kind
    effects: tuple[float, ...] = ()
    """Effect of each quad, on the scale of the effect looked for."""
    errors: tuple[Annotated[float, Field(gt=0)], ...] = ()
    exit_code: int
    note: str = ""
    """Why it was skipped."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.effects) != len(self.errors) or bool(self.effects) != (self.kind == "quads"):
            raise ValueError("a measurement by quads has an effect and an error for each, any other has none")
        return self


def measure(command: Sequence[str], name: str, index: int, quads: int, folder: Path) -> Measurement:
    """Run the command for a commit and read what it said.

    Parameters
    ----------
    command
        Words in which ``{commit}`` and ``{quads}`` are replaced. Both are in the environment as well, as
        ``QDHIL_BISECT_COMMIT`` and ``QDHIL_BISECT_QUADS``.
    name, index
        The commit, and its place in the search.
    quads
        How many quads are asked for.
    folder
        Where the command is started.

    Raises
    ------
    ConfigurationError
        If the command can't be started, or says that it would fail for every commit.
    """
    words = [word.replace("{commit}", name).replace("{quads}", str(quads)) for word in command]
    environment = dict(os.environ, QDHIL_BISECT_COMMIT=name, QDHIL_BISECT_QUADS=str(quads))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        raise ConfigurationError(f"bisect: {words[0]} can't be started: {error.strerror}") from error
    output = _output(process)
    if process.returncode in BROKEN:
        raise ConfigurationError(f"bisect: {' '.join(words)} ended with {process.returncode}: the command itself fails")
    kind, effects, errors, note = judge(output.decode(errors="replace"), process.returncode)
    return Measurement(
        commit=index,
        started=started,
        kind=kind,
        effects=tuple(effects),
        errors=tuple(errors),
        exit_code=process.returncode,
        note=note,
    )


def _output(process: subprocess.Popen[bytes]) -> bytes:
    """Return what a process printed; an interrupted one is waited for, because it hands its rig back."""
    try:
        return process.communicate()[0]
    except KeyboardInterrupt:
        process.communicate()
        raise


def judge(output: str, exit_code: int) -> tuple[Kind, list[float], list[float], str]:
    """Return what output and exit code mean: kind, effects, errors, and the reason of a skip."""
    if exit_code in UNTESTABLE:
        return "untestable", [], [], f"the command ended with {exit_code}"
    if exit_code not in _VERDICTS:
        return "skip", [], [], f"the command ended with {exit_code}, which says nothing about the firmware"
    try:
        quads = [quad for line in output.splitlines() if (quad := _quad(line)) is not None]
    except ValueError as error:
        return "skip", [], [], str(error)
    if quads:
        return "quads", [effect for effect, _ in quads], [error for _, error in quads], ""
    if exit_code == ExitCode.INCONCLUSIVE:
        return "skip", [], [], "the command was undecided"
    return ("bad" if exit_code == ExitCode.BLOCK else "good"), [], [], ""


def _quad(line: str) -> tuple[float, float] | None:
    """Return effect and error of a line of JSON that has them; ValueError if they can't be used."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    if not isinstance(data, dict) or not {"effect", "error"} & data.keys():
        return None
    effect, error = _number(data, "effect"), _number(data, "error")
    if error <= 0:
        raise ValueError(f"error {error}: must be positive")
    return effect, error


def _number(data: dict[str, object], name: str) -> float:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} {value}: must be a finite number")
    return float(value)
