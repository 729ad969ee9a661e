"""The ``qdhil`` command: one function per verb, exit codes as documented, errors in one line."""

from __future__ import annotations

import sys

import click
import typer

from qdhil.cli.analyze import analyze
from qdhil.cli.gate import gate
from qdhil.cli.rigs import rigs
from qdhil.cli.schema import schema
from qdhil.errors import ConfigurationError, QdhilError

app = typer.Typer(
    name="qdhil",
    help="Firmware gate for quantum-dot single-photon sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 PASS, 10 BLOCK, 20 INCONCLUSIVE, 30 INFRA, 40 REFUSED, 64 usage, 70 internal error.",
)
app.command()(analyze)
app.command()(gate)
app.command()(rigs)
app.command()(schema)


@app.callback()
def _root() -> None:
    """Firmware gate for quantum-dot single-photon sources."""


def run() -> None:
    """Run the command and end the process with its documented exit code."""
    try:
        status = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = ConfigurationError.exit_code
    except click.Abort:
        status = QdhilError.exit_code
    except QdhilError as error:
        click.echo(f"qdhil: {error}", err=True)
        status = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        status = QdhilError.exit_code
    except Exception as error:
        click.echo(f"qdhil: internal error: {type(error).__name__}: {error}", err=True)
        status = QdhilError.exit_code
    sys.exit(status if isinstance(status, int) else 0)
