"""Asking the instruments of a rack over plain sockets whether they are there."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from qdhil.rack.config import Rack
from qdhil_sim.catalogue import find_model
from qdhil_sim.rack import addresses_of, simulated_rigs

_TIMEOUT_S = 2.0
_AT_ONCE = 16
LISTENING = "listening"


@dataclass(frozen=True)
class Place:
    """An instrument and where its stream transport is."""

    rig: str
    role: str
    model: str
    host: str
    port: int
    asks_identity: bool


@dataclass(frozen=True)
class Row:
    """An instrument and what it said: its identity, that it listens, or nothing (None)."""

    place: Place
    answer: str | None

    def record(self) -> dict[str, Any]:
        """Return the row as plain data."""
        facts = asdict(self.place)
        del facts["asks_identity"]
        return {**facts, "answer": self.answer}

    def line(self) -> str:
        """Return the row of a table."""
        place = self.place
        where = f"{place.host}:{place.port}"
        return f"{place.rig:<12} {place.role:<18} {where:<22} {self.answer or 'no answer'}"


def instruments_of(rack: Rack, rigs: Sequence[str]) -> list[Place]:
    """Return the instruments of simulated rigs; of every one if none is named.

    Raises
    ------
    ConfigurationError
        If a rig or one of its models is unknown.
    """
    return [
        Place(name, role, described.model, address.host, address.stream_port, asks)
        for name in simulated_rigs(rack, rigs)
        for role, address in addresses_of(name, rack.rigs[name]).items()
        for described in [rack.rigs[name].instruments.by_role()[role]]
        for asks in [find_model(described.model, role).asks_identity]
    ]


def survey(places: Sequence[Place]) -> list[Row]:
    """Ask every instrument, some at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda place: Row(place, _ask(place)), places))


def _ask(place: Place) -> str | None:
    try:
        with socket.create_connection((place.host, place.port), timeout=_TIMEOUT_S) as connection:
            if not place.asks_identity:
                return LISTENING
            connection.sendall(b"*IDN?\n")
            with connection.makefile("rb") as lines:
                return lines.readline().decode("ascii", "replace").strip() or None
    except OSError:
        return None
