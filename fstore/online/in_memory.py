"""A DuckDB of this thread's own, for the little that SQL is asked of rows at hand."""

from __future__ import annotations

import os
import threading

import duckdb
import pyarrow as pa

_local = threading.local()


def evaluated(query: str, rows: pa.Table) -> pa.Table:
    """Return what a query makes of the table ``rows``. No file is read, and nothing is kept.

    Raises duckdb.Error.
    """
    held = getattr(_local, "held", None)
    if held is None or held[0] != os.getpid():
        connection = duckdb.connect(":memory:", config={"threads": 1})
        connection.execute("SET TimeZone = 'UTC'")
        held = _local.held = (os.getpid(), connection)
    connection = held[1]
    connection.register("rows", rows)
    try:
        return connection.sql(query).to_arrow_table()
    finally:
        connection.unregister("rows")
