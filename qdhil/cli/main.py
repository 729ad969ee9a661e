"""The ``qdhil`` command: one function per verb, exit codes as documented, errors in one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qdhil import __version__
from qdhil.cli.agent import agent
from qdhil.cli.analyze import analyze
from qdhil.cli.audit import audit
from qdhil.cli.baseline import baseline
from qdhil.cli.bisect import bisect
from qdhil.cli.compare import compare
from qdhil.cli.convert import convert
from qdhil.cli.exit_maps import mapped
from qdhil.cli.explain import explain
from qdhil.cli.firmware import firmware
from qdhil.cli.gate import gate
from qdhil.cli.info import info
from qdhil.cli.oc import oc
from qdhil.cli.override import override
from qdhil.cli.plan import plan
from qdhil.cli.quarantine import quarantine
from qdhil.cli.rigs import rigs
from qdhil.cli.rollout import rollout
from qdhil.cli.schema import schema
from qdhil.cli.serve import serve
from qdhil.cli.sign import key, sign, verify
from qdhil.cli.trend import trend
from qdhil.errors import ConfigurationError, QdhilError
from qdhil.keys.secrets import refuse_secrets, withheld

_STATUS: dict[int | str | None, int] = {1: QdhilError.exit_code, 2: ConfigurationError.exit_code, None: 0}
"""What the command line parser ends with (1 aborted, 2 usage), as the exit codes documented."""

app = typer.Typer(
    name="qdhil",
    help="Firmware gate for quantum-dot single-photon sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 PASS, 10 BLOCK, 20 INCONCLUSIVE, 30 INFRA, 40 REFUSED, 64 usage, 70 internal error.",
)
app.add_typer(agent, name="agent")
app.command()(analyze)
app.add_typer(audit, name="audit")
app.add_typer(baseline, name="baseline")
app.add_typer(bisect, name="bisect")
app.command()(compare)
app.command()(convert)
app.command()(explain)
app.add_typer(firmware, name="firmware")
app.command()(gate)
app.command()(info)
app.command()(key)
app.command()(oc)
app.command()(plan)
app.add_typer(rigs, name="rigs")
app.add_typer(rollout, name="rollout")
app.command()(schema)
app.command()(serve)
app.command()(trend)
app.command()(sign)
app.command()(verify)
app.add_typer(override, name="override")
app.add_typer(quarantine, name="quarantine")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Firmware gate for quantum-dot single-photon sources."""
    del version


def run() -> None:
    """Run the command and end the process with its documented exit code."""
    try:
        refuse_secrets(sys.argv[1:])
        app(prog_name="qdhil")
    except SystemExit as ended:
        status = _STATUS.get(ended.code, ended.code)
    except QdhilError as error:
        typer.echo(withheld(f"qdhil: {error}"), err=True)
        status = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        status = QdhilError.exit_code
    except Exception as error:
        typer.echo(withheld(f"qdhil: internal error: {type(error).__name__}: {error}"), err=True)
        status = QdhilError.exit_code
    code = status if isinstance(status, int) else QdhilError.exit_code
    sys.exit(mapped(code, sys.argv[1:]))
