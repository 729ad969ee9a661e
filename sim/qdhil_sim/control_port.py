"""The fault switches: one JSON line in, one out, on a loopback port of its own.

``{"rig": "sim-a1", "instrument": "tagger", "fault": "crc", "value": null}`` is answered with
``{"ok": true}`` or ``{"ok": false, "error": "..."}``. Every instrument has ``silent`` (value false ends it) and
``wrong_identity`` (value: the answer); the tagger has ``crc``, ``sequence`` (value: the gap) and ``drop`` (value: how
many tags), which hit its next block that holds tags; the cryostat has ``warm`` (value: watts).
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Mapping
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil_sim.world import RigWorld

_DEFAULT_INSTRUMENT = {"crc": "tagger", "sequence": "tagger", "drop": "tagger", "warm": "cryostat"}
_HOST = "127.0.0.1"
_POLL_S = 0.05
_KEYS = {"rig", "instrument", "fault", "value"}


def inject(worlds: Mapping[str, RigWorld], request: Any) -> None:
    """Switch one fault.

    Raises
    ------
    ValueError
        If the request names what there is not.
    """
    if not isinstance(request, dict) or not {"rig", "fault"} <= request.keys() <= _KEYS:
        raise ValueError("a request has the keys rig, fault and, as needed, instrument and value")
    world = worlds.get(request["rig"])
    if world is None:
        raise ValueError(f"no rig {request['rig']!r}; there are: {', '.join(worlds)}")
    role = str(request.get("instrument") or _DEFAULT_INSTRUMENT.get(request["fault"]))
    instrument = world.instruments.get(role)
    if instrument is None:
        raise ValueError(f"no instrument {role!r}; there are: {', '.join(world.instruments)}")
    with world.lock:
        instrument.inject(request["fault"], request.get("value"))


class _Handler(socketserver.StreamRequestHandler):
    server: ControlPort

    def handle(self) -> None:
        for line in self.rfile:
            try:
                inject(self.server.worlds, json.loads(line))
                answer: dict[str, Any] = {"ok": True}
            except (ValueError, TypeError) as error:
                answer = {"ok": False, "error": str(error)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class ControlPort(socketserver.ThreadingTCPServer):
    """Serves the fault switches of some rigs in threads of its own.

    Raises
    ------
    ConfigurationError
        If the port is in use.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, worlds: Mapping[str, RigWorld]) -> None:
        self.worlds = worlds
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            raise ConfigurationError(f"control: can't listen on {_HOST} port {port}: {error.strerror}") from error

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{_HOST}:{self.server_address[1]}"

    def start(self) -> None:
        """Serve from now on."""
        threading.Thread(target=self.serve_forever, args=(_POLL_S,), name="control", daemon=True).start()
