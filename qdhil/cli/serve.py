"""``qdhil serve``: what a folder of attestations says, over HTTP, read-only."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.cli.signing import TrustOption
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    import socket
    import ssl

    from qdhil.serve.folder import AttestationFolder
    from qdhil.serve.github import GithubRule
    from qdhil.serve.server import VerdictServer


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder with *.attestation.json.", metavar="FOLDER")],
    trust: TrustOption,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8023,
    token_file: Annotated[
        Path | None, typer.Option(help="Tokens that open it, one a line (or QDHIL_SERVE_TOKEN).", metavar="FILE")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain in PEM.", metavar="FILE")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key in PEM.", metavar="FILE")] = None,
    behind_tls_proxy: Annotated[bool, typer.Option(help="Plain HTTP beyond loopback: a proxy does TLS.")] = False,
    github: Annotated[
        Path | None, typer.Option(help="Deployment protection rule of GitHub.", metavar="github.toml")
    ] = None,
    github_every: Annotated[float, typer.Option(help="Seconds between looks at deployments that wait.", min=0.1)] = 30,
) -> None:
    """Answer who asks for the verdict of a firmware, from attestations that are verified at every question."""
    import asyncio

    from qdhil.serve.folder import AttestationFolder
    from qdhil.serve.routes import Routes
    from qdhil.serve.server import VerdictServer, listen
    from qdhil.serve.tokens import Tokens

    tls = _tls(tls_cert, tls_key)
    tokens = Tokens(token_file)
    tokens.check()
    if not _is_loopback(host):
        if not tokens.required:
            raise ConfigurationError(f"--host {host} is not this machine alone: it takes a token (--token-file)")
        if tls is None and not behind_tls_proxy:
            raise ConfigurationError(f"--host {host}: a token must not travel in clear: --tls-cert, --tls-key")
    known = AttestationFolder(folder, trust)
    known.check()
    rule = _github(github, known, github_every)
    server = VerdictServer(Routes(known, tokens, rule), tls=tls)
    scheme = "http" if tls is None else "https"
    asyncio.run(_serve(server, listen(host, port), scheme, rule))


async def _serve(server: VerdictServer, listener: socket.socket, scheme: str, rule: GithubRule | None) -> None:
    import asyncio
    import contextlib
    import logging
    import signal

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = listener.getsockname()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    typer.echo(f"serving {scheme}://{host}:{address[1]}")
    callbacks = asyncio.create_task(rule.run()) if rule is not None else None
    try:
        await server.run(listener, stop)
    finally:
        if callbacks is not None:
            callbacks.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await callbacks


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    from qdhil.serve.server import tls_context

    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together")
    return None if certificate is None or key is None else tls_context(certificate, key)


def _github(file: Path | None, known: AttestationFolder, every_s: float) -> GithubRule | None:
    from functools import partial

    from qdhil.keys.trust import load_trust
    from qdhil.serve.bundles import firmware_of
    from qdhil.serve.github import GithubRule
    from qdhil.serve.github_api import GithubApi
    from qdhil.serve.github_settings import load_github

    if file is None:
        return None
    settings = load_github(file)
    trust = None if settings.bundle_trust is None else load_trust(settings.bundle_trust, "firmware")
    rule = GithubRule(
        settings,
        partial(firmware_of, folder=settings.bundles, trust=trust),
        GithubApi(settings),
        known.ask,
        every_s,
    )
    rule.check()
    return rule


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
