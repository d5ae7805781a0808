"""Engines with nothing in them, for the SQL that is asked of rows at hand.

They are kept: one serves one thread at a time, and none from before a fork. No file is read, and no
row stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa

from fstore.online.connections import Connections

_MOST_STATEMENTS = 256
_BREAKING = (duckdb.FatalException, duckdb.InternalException)  # DuckDB answers nothing any more


class _Engine:
    """An engine, and the statements that it has read already."""

    def __init__(self) -> None:
        # Little room: it is set aside, and a process with much of it cannot fork.
        self.connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "1GB"})
        self.connection.execute("SET TimeZone = 'UTC'")
        self._statements: dict[str, duckdb.Statement] = {}

    def read(self, sql: str) -> duckdb.Statement:
        """Return a statement, read once."""
        statement = self._statements.get(sql)
        if statement is None:
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            (statement,) = self.connection.extract_statements(sql)
            self._statements[sql] = statement
        return statement

    def close(self) -> None:
        self.connection.close()


_engines: Connections[_Engine] = Connections(_Engine, _Engine.close)


@contextmanager
def _engine() -> Iterator[_Engine]:
    engine, _ = _engines.take()
    is_whole = False
    try:
        yield engine
        is_whole = True
    except Exception as error:
        is_whole = not isinstance(error, _BREAKING)
        raise
    finally:  # also where a signal came amid a query
        (_engines.give if is_whole else _engines.drop)(engine)


def one(sql: str, row: Sequence[Any]) -> tuple[Any, ...]:
    """Return the one row of a statement's result, its parameters bound. Raises duckdb.Error."""
    with _engine() as engine:
        (found,) = engine.connection.execute(engine.read(sql), list(row)).fetchall()
        return tuple(found)


def many(sql: str, name: str, rows: pa.Table) -> pa.Table:
    """Return the result of a query that knows the rows by a name. Raises duckdb.Error."""
    with _engine() as engine:
        engine.connection.register(name, rows)
        try:
            return engine.connection.sql(sql).to_arrow_table()
        finally:
            with suppress(duckdb.Error):  # of an engine that broke: what broke it is to be said
                engine.connection.unregister(name)


def types_of(sql: str) -> list[str]:
    """Return the types of a query's columns, as DuckDB writes them. Raises duckdb.Error."""
    with _engine() as engine:
        return [row[1] for row in engine.connection.execute(f"DESCRIBE {sql}").fetchall()]
