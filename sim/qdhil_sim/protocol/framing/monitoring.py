"""DeCoP's monitoring line: parameters are added to it and sent when they change."""

from __future__ import annotations

import datetime
import re
import socket
import time
from dataclasses import dataclass
from typing import Protocol

from qdhil_sim.protocol.framing.framing import LineFraming

_ADD = re.compile(r"\(?\s*add\s+'([^\s()]+)(?:\s+(\d+))?(?:\s+([^\s()]+))?\s*\)?\s*\Z")
_REMOVE = re.compile(r"\(?\s*remove\s+'([^\s()]+)\s*\)?\s*\Z")
_INTERVAL_S, _SHORTEST_S = 0.1, 0.01
_RECEIVE_BYTES = 1 << 12


class Readable(Protocol):
    """What has parameters to monitor."""

    def monitored(self, name: str) -> str:
        """Return a parameter's value as text, or the text of its error, which begins with ``Error``."""


@dataclass
class _Subscription:
    interval_s: float
    due_s: float
    sent: str | None = None


class MonitoringTransport:
    """Serves the monitoring line; values are looked at in the host's time."""

    def __init__(self, device: Readable) -> None:
        self._device = device

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until it ends."""
        framing = LineFraming()
        subscriptions: dict[str, _Subscription] = {}
        while True:
            connection.settimeout(_SHORTEST_S if subscriptions else None)
            try:
                data = connection.recv(_RECEIVE_BYTES)
            except TimeoutError:
                data = b"\n"
            if not data:
                return
            for line in framing.messages(data):
                self._change(subscriptions, line.decode("latin-1").strip())
            connection.settimeout(None)
            if lines := self._due(subscriptions):
                connection.sendall(lines)

    def _change(self, subscriptions: dict[str, _Subscription], line: str) -> None:
        if match := _ADD.match(line):
            interval_s = max(_SHORTEST_S, int(match[2]) / 1000) if match[2] else _INTERVAL_S
            subscriptions[match[1]] = _Subscription(interval_s, time.monotonic())
        elif match := _REMOVE.match(line):
            subscriptions.pop(match[1], None)

    def _due(self, subscriptions: dict[str, _Subscription]) -> bytes:
        now_s = time.monotonic()
        lines = []
        for name, subscription in subscriptions.items():
            if now_s < subscription.due_s:
                continue
            subscription.due_s = now_s + subscription.interval_s
            value = self._device.monitored(name)
            if value != subscription.sent:
                subscription.sent = value
                lines.append(_line(name, value))
        return "".join(lines).encode("latin-1", "replace")


def _line(name: str, value: str) -> str:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if value.startswith("Error: "):
        code, _, text = value.removeprefix("Error: ").partition(" ")
        return f"(Error: {code} ({stamp} '{name}) {text})\n"
    return f"({stamp} '{name} {value})\n"
