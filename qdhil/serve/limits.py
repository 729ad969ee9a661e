"""What a client may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on size, time and number; every one of them ends a connection, none of them the server.

    Parameters
    ----------
    connections
        Served at once; others wait in the kernel's queue.
    head_max_bytes, body_max_bytes
        Request line with headers; body of a webhook.
    request_s
        From the accepted connection to the last byte of the request, TLS handshake included.
    answer_s
        To read the folder and verify, and again to send the answer.
    """

    connections: int = 64
    head_max_bytes: int = 16 * 1024
    body_max_bytes: int = 256 * 1024
    request_s: float = 5.0
    answer_s: float = 10.0
