"""Serve one image over HTTP for as long as one controller fetches it.

Nothing is served but that image, at a path that can't be guessed, on one address of this host.
"""

from __future__ import annotations

import re
import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_PIECE_BYTES = 1 << 16
_PATIENCE_S = 30.0
_TOKEN_BYTES = 24


class ImageServer(ThreadingHTTPServer):
    """The server of one image."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, image: bytes, name: str) -> None:
        self.image = image
        self.path = f"/{secrets.token_urlsafe(_TOKEN_BYTES)}/{quote(name, safe='')}"
        self.ended = False
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self._host = f"[{host}]" if ":" in host else host

    def url(self, reached_as: str | None = None) -> str:
        """Return the URL of the image, at the server's own address or at another ``host:port``."""
        return f"http://{reached_as or f'{self._host}:{self.server_port}'}{self.path}"

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "qdhil", self.server_address[1]

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that hangs up shows in the controller's state."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the one path, whole or from a byte on."""

    server: ImageServer
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        """Send the image or a part of it."""
        part = self._begin()
        if part is None:
            return
        first, last = part
        for start in range(first, last, _PIECE_BYTES):
            if self.server.ended:
                return
            self.wfile.write(self.server.image[start : min(start + _PIECE_BYTES, last)])

    def do_HEAD(self) -> None:
        """Send what GET would begin with."""
        self._begin()

    def version_string(self) -> str:
        """Return the name of the server without versions."""
        return "qdhil"

    def log_message(self, *_: Any) -> None:
        """Log nothing: the path is a secret as long as it is served."""

    def _begin(self) -> tuple[int, int] | None:
        """Send the status and headers; return the first byte of the part and the one behind its last."""
        if not secrets.compare_digest(self.path.encode(), self.server.path.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
            return None
        size = len(self.server.image)
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        first, last = (int(match[1]), int(match[2] or size - 1) + 1) if match else (0, size)
        last = min(last, size)
        if first >= last and match is not None:
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return None
        self.close_connection = True
        self.send_response(HTTPStatus.PARTIAL_CONTENT if match else HTTPStatus.OK)
        if match:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first))
        self.send_header("Connection", "close")
        self.end_headers()
        return first, last

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(host: str, port: int, image: bytes, name: str) -> Iterator[ImageServer]:
    """Serve an image until the block ends; gives the server, which knows its URL.

    Parameters
    ----------
    host, port
        Where to listen, and what the URL names; port 0 takes one that is free.
    name
        Last part of the path.

    Raises
    ------
    OSError
        If the address can't be used.
    """
    with ImageServer(host, port, image, name) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="image server", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended = True
            server.shutdown()
            thread.join()
