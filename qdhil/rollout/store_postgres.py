"""Rollouts in PostgreSQL: an advisory lock for whoever runs one, and a fence that shuts out whoever lost it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from qdhil.errors import ConfigurationError, RecordFault, RefusedError
from qdhil.rollout.state import USED, JournalEntry, RolloutState, Wish

if TYPE_CHECKING:
    from psycopg import Connection

_TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.rollout (
    name text PRIMARY KEY, fence bigint NOT NULL DEFAULT 0, revision bigint, state text, wish text);
CREATE TABLE IF NOT EXISTS {schema}.rollout_journal (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, entry text NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.rollout_nonce (nonce text PRIMARY KEY, rollout text NOT NULL);
"""
_MAKING_KEY = 7231950464
"""Advisory lock of whoever makes the tables: two at a time would collide."""

_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Of libpq: a network that went silent is a fault within half a minute, not something to wait for."""


class PostgresStore:
    """A rollout's rows.

    Parameters
    ----------
    connection
        An open connection in autocommit mode.
    schema
        Schema of the three tables, made at the first write.
    name
        Name of the rollout.
    """

    def __init__(self, connection: Connection[Any], schema: str, name: str) -> None:
        self._connection = connection
        self._schema = schema
        self._name = name
        self._key = int.from_bytes(hashlib.sha256(f"qdhil {schema} {name}".encode()).digest()[:8], "big", signed=True)
        self._fence: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the rollout; the server frees it when the connection ends, however that happens."""
        if not self._one("SELECT pg_try_advisory_lock(%s)", self._key)[0]:
            raise ConfigurationError(f"rollout {self._name}: another process runs it")
        try:
            self._make_tables()
            self._fence = self._one(
                "INSERT INTO {schema}.rollout (name, fence) VALUES (%s, 1)"
                " ON CONFLICT (name) DO UPDATE SET fence = rollout.fence + 1 RETURNING fence",
                self._name,
            )[0]
            yield
        finally:
            self._fence = None
            if not self._connection.closed:
                self._one("SELECT pg_advisory_unlock(%s)", self._key)

    def is_held(self) -> bool:
        """Whether some process runs the rollout now; asked without touching the lock."""
        query = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND ((classid::bigint << 32) | objid::bigint) = %s"
        )
        return bool(self._one(query, self._key)[0])

    def load(self) -> RolloutState | None:
        """Return the state, or ``None`` for a rollout that was never started."""
        if not self._exists():
            return None
        rows = self._all("SELECT state FROM {schema}.rollout WHERE name = %s AND state IS NOT NULL", self._name)
        if not rows:
            return None
        try:
            return RolloutState.model_validate_json(rows[0][0])
        except ValidationError as error:
            raise ConfigurationError(f"rollout {self._name}: the database holds no state of a rollout") from error

    def save(self, state: RolloutState, entry: JournalEntry) -> None:
        """Keep state and journal line in one transaction, as long as nobody took over."""
        with self._faults(), self._connection.transaction():
            self._insert(entry)
            done = self._connection.execute(
                self._sql(
                    "UPDATE {schema}.rollout SET state = %s, revision = %s WHERE name = %s AND fence = %s"
                    " AND coalesce(revision, -1) < %s"
                ),
                (state.model_dump_json(), state.revision, self._name, self._fence, state.revision),
            )
            if done.rowcount != 1:
                raise RecordFault(f"rollout {self._name}: another process has taken it over; this one stops")

    def note(self, entry: JournalEntry) -> None:
        """Keep a line of the journal."""
        with self._faults():
            self._insert(entry)

    def journal(self) -> list[JournalEntry]:
        """Return the journal."""
        if not self._exists():
            return []
        rows = self._all("SELECT entry FROM {schema}.rollout_journal WHERE name = %s ORDER BY number", self._name)
        try:
            return [JournalEntry.model_validate_json(row[0]) for row in rows]
        except ValidationError as error:
            raise ConfigurationError(f"rollout {self._name}: the database holds no journal of a rollout") from error

    def wish(self, wish: Wish | None) -> None:
        """Keep what is asked, or take it back."""
        self._make_tables()
        self._one(
            "INSERT INTO {schema}.rollout (name, wish) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET wish = excluded.wish RETURNING name",
            self._name,
            wish,
        )

    def wished(self) -> Wish | None:
        """Return what is asked; what nobody understands is a pause."""
        if not self._exists():
            return None
        rows = self._all("SELECT wish FROM {schema}.rollout WHERE name = %s AND wish IS NOT NULL", self._name)
        wishes: dict[str, Wish] = {wish: wish for wish in get_args(Wish)}
        return wishes.get(rows[0][0], "pause") if rows else None

    def claim_nonce(self, nonce: str, rollout: str) -> None:
        """Keep an attestation for a rollout."""
        self._make_tables()
        owner = self._one(
            "INSERT INTO {schema}.rollout_nonce (nonce, rollout) VALUES (%s, %s)"
            " ON CONFLICT (nonce) DO UPDATE SET nonce = excluded.nonce RETURNING rollout",
            nonce,
            rollout,
        )[0]
        if owner != rollout:
            raise RefusedError(USED)

    def check_unused(self, nonce: str) -> None:
        """Raise RefusedError where a rollout used an attestation."""
        if self._exists() and self._all("SELECT 1 FROM {schema}.rollout_nonce WHERE nonce = %s", nonce):
            raise RefusedError(USED)

    def _insert(self, entry: JournalEntry) -> None:
        self._connection.execute(
            self._sql("INSERT INTO {schema}.rollout_journal (name, entry) VALUES (%s, %s)"),
            (self._name, entry.model_dump_json()),
        )

    def _exists(self) -> bool:
        return self._one("SELECT to_regclass(%s)", f"{self._schema}.rollout_nonce")[0] is not None

    def _make_tables(self) -> None:
        if self._exists():
            return
        with self._faults(), self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING_KEY,))
            for statement in _TABLES.strip().split(";")[:-1]:
                self._connection.execute(self._sql(statement))

    def _one(self, query: str, *parameters: Any) -> Any:
        return self._all(query, *parameters)[0]

    def _all(self, query: str, *parameters: Any) -> list[Any]:
        with self._faults():
            return self._connection.execute(self._sql(query), parameters).fetchall()

    def _sql(self, query: str) -> Any:
        from psycopg import sql

        return sql.SQL(query).format(schema=sql.Identifier(self._schema))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise RecordFault(f"rollout {self._name}: database: {_first_line(error)}") from error


@contextmanager
def connected(conninfo: str, schema: str, name: str) -> Iterator[PostgresStore]:
    """Give the store of a rollout in a database; the connection ends with the block.

    Raises
    ------
    ConfigurationError
        If the driver isn't installed, or the database can't be reached.
    """
    try:
        psycopg = importlib.import_module("psycopg")
    except ImportError as error:
        raise ConfigurationError(
            "rollouts in PostgreSQL take psycopg, which isn't installed: pip install 'qdhil[postgres]'"
        ) from error
    try:
        connection = psycopg.connect(conninfo, autocommit=True, application_name="qdhil rollout", **_PATIENCE)
    except psycopg.Error as error:
        raise ConfigurationError(f"rollout {name}: database: {_first_line(error)}") from error
    with connection:
        yield PostgresStore(connection, schema, name)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
