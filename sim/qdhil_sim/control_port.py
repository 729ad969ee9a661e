"""The fault switches: one JSON line in, one out, on a loopback port of its own.

``{"verb": "set", "rig": "sim-a1", "instrument": "tagger", "kind": "slow", "severity": 0.3}``
    Sets a fault with the keys of a scenario's ``[[fault]]`` table, its onset counting from now; the answer
    carries its ``numbers``, one for each rig.
``{"verb": "clear", "rig": "sim-a1", "number": 3}``
    Clears the faults that match every key given of ``number``, ``instrument`` and ``kind``; the answer says
    how many were ``cleared``. Without a rig it clears on every one.
``{"verb": "list"}``
    Lists ``faults`` with their rig, number and severity now.
``{"verb": "undefined", "rig": "sim-a1"}``
    Says how many commands each instrument of the rig met that it does not know: ``undefined_headers`` by role.

A request without a verb strikes once: ``{"rig": "sim-a1", "instrument": "tagger", "fault": "crc", "value": null}``.
Every instrument has ``silent`` (value false ends it) and ``wrong_identity`` (value: the answer); the tagger has
``crc``, ``sequence`` (value: the gap) and ``drop`` (value: how many tags), which hit its next block that holds tags;
the cryostat has ``warm`` (value: watts). Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from qdhil.errors import ConfigurationError
from qdhil.model_files import describe
from qdhil_sim.scenario import Fault, Scenario
from qdhil_sim.world import RigWorld

_DEFAULT_INSTRUMENT = {"crc": "tagger", "sequence": "tagger", "drop": "tagger", "warm": "cryostat"}
_HOST = "127.0.0.1"
_POLL_S = 0.05
_INJECT_KEYS = {"rig", "instrument", "fault", "value"}
_CLEAR_KEYS = {"rig", "number", "instrument", "kind"}

Worlds = Mapping[str, RigWorld]


def answer(worlds: Worlds, request: Any) -> dict[str, Any]:
    """Do what a request asks and return what it is answered with.

    Raises
    ------
    ValueError, TypeError, ConfigurationError
        If the request names what there is not.
    """
    if not isinstance(request, dict):
        raise TypeError("a request is an object")
    facts = dict(request)
    verb = facts.pop("verb", "inject")
    if verb not in _VERBS:
        raise ValueError(f"no verb {verb!r}; there are: {', '.join(_VERBS)}")
    return {"ok": True, **_VERBS[verb](worlds, facts)}


def _inject(worlds: Worlds, request: dict[str, Any]) -> dict[str, Any]:
    if not {"rig", "fault"} <= request.keys() <= _INJECT_KEYS:
        raise ValueError("a request has the keys rig, fault and, as needed, instrument and value")
    world = _world(worlds, request["rig"])
    role = str(request.get("instrument") or _DEFAULT_INSTRUMENT.get(request["fault"]))
    instrument = world.instruments.get(role)
    if instrument is None:
        raise ValueError(f"no instrument {role!r}; there are: {', '.join(world.instruments)}")
    with world.lock:
        instrument.inject(request["fault"], request.get("value"))
    return {}


def _set(worlds: Worlds, request: dict[str, Any]) -> dict[str, Any]:
    try:
        scenario = Scenario(schema_version=1, fault=(Fault.model_validate(request),))
    except ValidationError as error:
        raise ValueError(describe(error).strip()) from error
    roles = {name: tuple(world.instruments) for name, world in worlds.items()}
    return {"numbers": {rig: worlds[rig].faults.add(fault) for rig, fault in scenario.for_rigs(roles)}}


def _clear(worlds: Worlds, request: dict[str, Any]) -> dict[str, Any]:
    if unknown := request.keys() - _CLEAR_KEYS:
        raise ValueError(f"clear knows {', '.join(sorted(_CLEAR_KEYS))}, not {', '.join(sorted(unknown))}")
    rig = request.pop("rig", None)
    chosen = worlds.values() if rig is None else [_world(worlds, rig)]
    return {"cleared": sum(world.faults.clear(**request) for world in chosen)}


def _list(worlds: Worlds, request: dict[str, Any]) -> dict[str, Any]:
    if request:
        raise ValueError("list takes no further keys")
    return {
        "faults": [
            {**entry.fault.model_dump(), "rig": name, "number": entry.number, "severity_now": entry.severity_now}
            for name, world in worlds.items()
            for entry in world.faults.entries()
        ]
    }


def _undefined(worlds: Worlds, request: dict[str, Any]) -> dict[str, Any]:
    if request.keys() != {"rig"}:
        raise ValueError("undefined takes the key rig")
    instruments = _world(worlds, request["rig"]).instruments
    return {"undefined_headers": {role: each.undefined_headers for role, each in instruments.items()}}


def _world(worlds: Worlds, rig: Any) -> RigWorld:
    world = worlds.get(rig)
    if world is None:
        raise ValueError(f"no rig {rig!r}; there are: {', '.join(worlds)}")
    return world


_VERBS: dict[str, Callable[[Worlds, dict[str, Any]], dict[str, Any]]] = {
    "inject": _inject,
    "set": _set,
    "clear": _clear,
    "list": _list,
    "undefined": _undefined,
}


class _Handler(socketserver.StreamRequestHandler):
    server: ControlPort

    def handle(self) -> None:
        for line in self.rfile:
            try:
                said = answer(self.server.worlds, json.loads(line))
            except (ValueError, TypeError, OverflowError, RecursionError, ConfigurationError) as error:
                said = {"ok": False, "error": str(error)}
            self.wfile.write(json.dumps(said).encode() + b"\n")


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
