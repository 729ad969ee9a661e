"""The sockets of the endpoint: bounded in number, time and size, with TLS where there is a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError
from qdhil.serve.limits import Limits
from qdhil.serve.messages import BadRequest, Reply, Request, encode_reply, parser, read_request

if TYPE_CHECKING:
    from qdhil.serve.routes import Routes

_BACKLOG = 512
_log = logging.getLogger(__name__)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server's TLS settings.

    Raises
    ------
    ConfigurationError
        If certificate or key can't be used; the message does not repeat them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # an encrypted key must not ask for its password at a terminal
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError("the TLS certificate and key can't be read, or do not belong together") from error
    return context


class VerdictServer:
    """Serve routes on one address.

    Parameters
    ----------
    routes
        What answers.
    limits
        What a client may ask.
    tls
        Settings of TLS; ``None`` speaks plain HTTP.
    """

    def __init__(self, routes: Routes, limits: Limits | None = None, tls: ssl.SSLContext | None = None) -> None:
        parser()  # a missing one is said before the socket opens
        self._routes = routes
        self._limits = limits or Limits()
        self._tls = tls
        self._serving: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(self._limits.connections)

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until told to stop, then let the answers under way finish."""
        listener.setblocking(False)
        accepting = asyncio.create_task(self._accept(listener))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({accepting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await accepting
            listener.close()
            if self._serving:
                await asyncio.wait(self._serving, timeout=self._limits.request_s + self._limits.answer_s)

    async def _accept(self, listener: socket.socket) -> None:
        """Take a connection when there is room for one; until then it waits in the kernel's queue."""
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:  # such as too many open files
                self._free.release()
                _log.warning("accept: %s", error.strerror)
                await asyncio.sleep(0.1)
                continue
            except BaseException:
                self._free.release()
                raise
            task = asyncio.create_task(self._serve(connection, str(peer[0])))
            self._serving.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("connection ended by %s", type(error).__name__)

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        """Read one request, answer it, close."""
        began = time.monotonic()
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._limits.request_s):
                reader, writer = await self._open(connection)
                request = await self._read(reader)
            reply = request if isinstance(request, Reply) else await self._reply(request)
            head_only = isinstance(request, Request) and request.method == "HEAD"
            async with asyncio.timeout(self._limits.answer_s):
                writer.write(encode_reply(reply, head_only=head_only))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            name = self._routes.name_of(request.path) if isinstance(request, Request) else "unreadable"
            took_ms = 1e3 * (time.monotonic() - began)
            _log.info("%s %s %d %s %.1f ms", peer, name, reply.status, reply.said or "-", took_ms)
        except TimeoutError:
            _log.info("%s timed out", peer)
        except OSError as error:  # reset, or a TLS handshake that failed
            _log.info("%s went away (%s)", peer, type(error).__name__)
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _open(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limits.head_max_bytes)
        protocol = asyncio.StreamReaderProtocol(reader)
        timeout = self._limits.request_s if self._tls is not None else None
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._tls,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=1.0 if self._tls is not None else None,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _read(self, reader: asyncio.StreamReader) -> Request | Reply:
        try:
            return await read_request(reader, self._limits)
        except BadRequest as error:
            return Reply.of(error.status, {"error": str(error)}, said="unreadable")

    async def _reply(self, request: Request) -> Reply:
        try:
            return await self._routes.reply(request)
        except Exception as error:
            _log.error("%s: %s", self._routes.name_of(request.path), type(error).__name__)
            return Reply.of(500, {"error": "internal error"})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    ConfigurationError
        If the address can't be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=found[0][0], backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"can't listen on {host} port {port}: {reason}") from error
