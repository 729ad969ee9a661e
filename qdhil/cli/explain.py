"""``qdhil explain``: what decided, in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.json_output import JsonOption
from qdhil.cli.signing import now, read_bytes
from qdhil.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from qdhil.gate.statement import Claim

_NO_RING = "-"
"""Stands for the ring of a run that is for none: it is explained, not signed."""


def explain(
    source: Annotated[Path, typer.Argument(help="Run folder, or attestation.", metavar="RUN|ATTESTATION")],
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Check an attestation's signatures.", metavar="trust.toml")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a run's evidence against time (PNG).", metavar="FILE")] = None,
    json: JsonOption = False,
) -> None:
    """Say in plain words what decided. Ends with 0 whatever the verdict: only `qdhil verify` opens a gate."""
    from qdhil.report.explanation import explanation

    if source.is_dir():
        claim, about = _of_run(source), "recomputed from the run's counts"
    else:
        claim, about = _of_attestation(source, trust)
    if plot is not None:
        if not source.is_dir():
            raise ConfigurationError("--plot takes a run folder: an attestation holds the last look only")
        from qdhil.report.evidence_plot import write_plot

        write_plot(source, plot)
    if json:
        typer.echo(claim.model_dump_json(indent=2))
        return
    for line in explanation(claim):
        typer.echo(line.rstrip())
    typer.echo(f"  ({about})")


def _of_run(folder: Path) -> Claim:
    from datetime import timedelta

    from qdhil.record.claim import run_claim

    return run_claim(folder, rings=(_NO_RING,), lifetime=timedelta(hours=1), now=now())


def _of_attestation(file: Path, trust: Path | None) -> tuple[Claim, str]:
    from qdhil.gate.attestation import authenticate
    from qdhil.gate.statement import read_statement
    from qdhil.keys.envelope import read_envelope

    data = read_bytes(file, "attestation")
    if trust is None:
        claim, checked = read_statement(read_envelope(data, "attestation").payload, "attestation"), "NOT CHECKED"
    else:
        from qdhil.keys.trust import load_trust

        try:
            signed = authenticate(data, load_trust(trust))
        except RefusedError as error:
            raise RefusedError(f"{error}; what it says is not worth explaining") from error
        claim, checked = signed.claim, f"by {', '.join(signed.signers)}"
    scope = f"hardware {', '.join(claim.scope.hardware)}, rings {', '.join(claim.scope.rings)}"
    return claim, f"attested for {scope}, until {claim.expires}; signatures: {checked}"
