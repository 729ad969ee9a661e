"""``qdhil agent verify``: the last check on the device, called by whatever installs firmware there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdhil.cli.exit_maps import OPTION, ExitMap
from qdhil.cli.json_output import JsonOption
from qdhil.cli.signing import now, refused
from qdhil.errors import RefusedError

agent = typer.Typer(help="On the device that installs: may this image be installed here?", no_args_is_help=True)


@agent.callback()
def _root() -> None:
    """Answer on the device whether an image may be installed there."""


@agent.command()
def verify(
    image: Annotated[str, typer.Argument(help="File to install (its digest is computed), or a SHA-256 digest.")],
    device: Annotated[
        Path, typer.Option(help="What this device is, and whom it believes.", metavar="agent.toml")
    ] = Path("/etc/qdhil/agent.toml"),
    attestation: Annotated[
        Path | None, typer.Option(help="The attestation, instead of where the device file says.", metavar="FILE")
    ] = None,
    override: Annotated[Path | None, typer.Option(help="An override of two people.", metavar="FILE")] = None,
    exit_map: Annotated[ExitMap | None, typer.Option(OPTION, help="Exit codes of another program.")] = None,
    json: JsonOption = False,
) -> None:
    """End with 0 only for a verified PASS of exactly this image for this device; 20 and 30 ask to try again later."""
    from qdhil.agent.device_file import load_device
    from qdhil.agent.install_check import Image, check_install
    from qdhil.cli.sign import override_files, say_verified

    del exit_map  # the entry point maps, so that errors are mapped too
    known = load_device(device)
    signed = None if override is None else override_files(override)
    try:
        verified = check_install(
            known, device.parent, Image.named(image), now(), attestation=attestation, override=signed
        )
    except RefusedError as error:
        raise refused(error, json) from error
    say_verified(verified, json)
    raise typer.Exit(0 if verified.accepted else verified.verdict.exit_code)
