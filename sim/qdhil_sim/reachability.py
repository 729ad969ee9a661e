"""Asking an instrument over a plain socket whether it is there."""

from __future__ import annotations

import socket

_TIMEOUT_S = 2.0


def ask_identity(host: str, port: int) -> str | None:
    """Return the answer to ``*IDN?``, or None if there is none within 2 s."""
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(b"*IDN?\n")
            with connection.makefile("rb") as lines:
                return lines.readline().decode("ascii", "replace").strip() or None
    except OSError:
        return None
