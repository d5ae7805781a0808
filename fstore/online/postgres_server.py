"""How fstore talks to a PostgreSQL server: names, tables, errors, connections and locks."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fstore.errors import FstoreError, LockTimeoutError, OnlineStoreError
from fstore.online.connections import Connections
from fstore.online.lock import this_process

BATCH = 1000  # rows of a statement
SCHEMA = "fstore"
TABLES = """
CREATE SCHEMA IF NOT EXISTS fstore;
CREATE TABLE IF NOT EXISTS fstore.current (
    namespace text PRIMARY KEY,
    highest bigint NOT NULL,   -- the number of the last writer
    stamp text,                -- another one each time that another generation becomes current
    catalog bytea,             -- what online/CURRENT says on disk
    registry bytea,            -- declarations and column types of the current generation
    previous_registry bytea    -- and of the one before it
)
"""
_SECONDS = 5.0  # that an answer to a read may take
# Seconds and milliseconds that connecting and a lost packet may take, unless the url says others.
_LIMITS = {"connect_timeout": 5, "tcp_user_timeout": 5000, "keepalives_idle": 5}
_BETWEEN_TRIES = 0.05
_LONGEST = 2**31 - 1  # milliseconds that a lock_timeout of the server's may last
_WRITER, _PUSHES = 1, 2  # which advisory lock
_COPY_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_PAIR, _LENGTH = struct.Struct(">hi"), struct.Struct(">i")


class _SilentError(psycopg.OperationalError):
    """The server has not answered in time."""


class _Bounded(psycopg.Connection[Any]):
    """A connection that waits no longer for an answer than :attr:`patience`, in seconds."""

    patience = _SECONDS

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        return super().wait(self._in_time(gen), *args, **options)

    def _in_time(self, gen: Any) -> Any:
        deadline = time.monotonic() + self.patience
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() >= deadline:
                raise _SilentError(f"no answer within {self.patience:g} s")
            try:
                state = gen.send(ready)
            except StopIteration as done:
                return done.value


class PostgresServer:
    """A server, and the names of one project's target on it. Any thread may use it."""

    def __init__(self, url: str, project: str, target: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:  # its words may hold the password
            raise OnlineStoreError(
                "online_store.url is no address of a PostgreSQL server. Write it as in "
                "postgresql://user:password@host:5432/database?sslmode=require."
            ) from None
        host = given.get("host") or given.get("hostaddr") or "localhost"
        self.where = f"PostgreSQL at {host}:{given.get('port', 5432)}"
        self.namespace = f"{project}.{target}"
        self._conninfo = make_conninfo(url, **{k: v for k, v in _LIMITS.items() if k not in given})
        digest = sha256(self.namespace.encode()).digest()
        self._lock = int.from_bytes(digest[:4], "big", signed=True)
        self._tables = f"rows_{digest[:6].hex()}_"
        connect = partial(_reading, self._conninfo)  # which does not hold the server: it may go
        self._idle: Connections[_Bounded] = Connections(connect, lambda each: each.close())

    def __repr__(self) -> str:
        return f"PostgresServer({self.where}, {self.namespace})"

    def table(self, reference: str, number: int) -> str:
        """Return the name of the table for a view's rows of a generation."""
        return f"{self._tables}{sha256(reference.encode()).hexdigest()[:12]}_{number}"

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the client's errors inside the block into OnlineStoreError."""
        try:
            yield
        except (psycopg.Error, OSError) as error:
            if isinstance(error, FstoreError):
                raise
            raise self._said(doing, error) from error

    def _said(self, doing: str, error: Exception) -> OnlineStoreError:
        words = " ".join(str(error).split()) or type(error).__name__
        return OnlineStoreError(f"{self.where} {doing}: {words}")

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection that commits each statement.

        Its transactions see what was committed while they waited for a lock, whatever the server's
        default is.
        """
        connection = psycopg.connect(self._conninfo, autocommit=True, application_name=_this_name())
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection

    def ask(self, query: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query that reads, in one round trip.

        What may be a broken connection from before is tried once more, on a new one.
        """

        def question(connection: _Bounded) -> list[tuple[Any, ...]]:
            return connection.execute(query, values, prepare=True, binary=True).fetchall()

        try:
            return self._idle.ask(question, _is_broken)
        except (psycopg.Error, OSError) as error:
            raise self._said("cannot be read", error) from error

    @contextmanager
    def pushing(self, seconds: float) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection in a transaction that a publish waits for, and which waits for one."""
        connection, _ = self._idle.take()
        connection.patience = seconds + _SECONDS
        try:
            with connection.transaction():
                self._set_lock_timeout(connection, seconds)
                try:
                    connection.execute(
                        "SELECT pg_advisory_xact_lock_shared(%s, %s)", (self._lock, _PUSHES)
                    )
                except psycopg.errors.LockNotAvailable:
                    raise self.pushes_held(seconds) from None
                yield connection
        except BaseException:
            self._idle.drop(connection)
            raise
        connection.patience = _SECONDS
        self._idle.give(connection)

    def hold_pushes(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        """Have pushes and deletions wait until the transaction's end."""
        self._set_lock_timeout(connection, seconds)
        try:
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (self._lock, _PUSHES))
        except psycopg.errors.LockNotAvailable:
            raise self._timed_out(seconds, "pushes") from None

    def _set_lock_timeout(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        milliseconds = str(min(max(1, int(seconds * 1000)), _LONGEST))  # 0 would be for ever
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (milliseconds,))

    def pushes_held(self, seconds: float) -> LockTimeoutError:
        """Return what to raise where a push has waited for that long."""
        return self._timed_out(seconds, "a materialize that is about to be done")

    def _timed_out(self, seconds: float, holder: str) -> LockTimeoutError:
        remedy = "Let it finish, or set a longer lock_timeout in fstore.yml."
        return LockTimeoutError(f"The online store ({self.where})", seconds, holder, remedy)

    @contextmanager
    def writing(self, seconds: float) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection that holds the writer's lock for the block.

        The lock goes with the connection, and so with the process.
        """
        with self.errors("cannot be written"):
            connection = self.connect()
        try:
            with self.errors("cannot be written"):
                self._acquire(connection, seconds)
                found = connection.execute("SELECT to_regclass('fstore.current')").fetchone()
                if found is None or found[0] is None:
                    connection.execute(TABLES)
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.close()

    def _acquire(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        deadline, lock = time.monotonic() + seconds, (self._lock, _WRITER)
        while True:
            got = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock).fetchone()
            if got and got[0]:
                return
            if time.monotonic() >= deadline:
                held = connection.execute(
                    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    " WHERE locktype = 'advisory' AND classid = %s::int::oid AND objid = %s"
                    " AND granted",
                    lock,
                ).fetchone()
                raise self._timed_out(seconds, (held and held[0]) or "another process")
            time.sleep(_BETWEEN_TRIES)

    def tables_of_rows(self, connection: psycopg.Connection[Any]) -> list[str]:
        """Return the names of all tables of rows of this namespace."""
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)",
            (SCHEMA, self._tables),
        )
        return [name for (name,) in found]


def _reading(conninfo: str) -> _Bounded:
    return _Bounded.connect(conninfo, autocommit=True, application_name=_this_name())


def _is_broken(error: BaseException) -> bool:
    return isinstance(error, psycopg.OperationalError) and not isinstance(error, _SilentError)


def _this_name() -> str:
    """Return what others are told of this process; PostgreSQL cuts names at 63 bytes."""
    about = this_process()
    who = f" (PID {about['pid']}, since {about['since']})"
    return str(about["command"])[: 63 - len(who)] + who


def statement(text: LiteralString, **tables: str) -> sql.Composed:
    """Return a statement with the names of tables of the schema in their places."""
    names: Mapping[str, sql.Identifier] = {
        place: sql.Identifier(SCHEMA, name) for place, name in tables.items()
    }
    return sql.SQL(text).format(**names)


def copied(rows: Iterable[Sequence[tuple[bytes, bytes]]]) -> Iterator[bytes]:
    """Yield keys and values in PostgreSQL's binary COPY format."""
    yield _COPY_START
    for some in rows:
        yield b"".join(
            part
            for key, value in some
            for part in (_PAIR.pack(2, len(key)), key, _LENGTH.pack(len(value)), value)
        )
    yield _COPY_END
