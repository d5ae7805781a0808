"""A training set held in memory: run as one statement, or put together from its parts."""

from __future__ import annotations

from functools import partial

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile.training_set import TrainingSet
from fstore.offline.progress import run


def whole(connection: duckdb.DuckDBPyConnection, training_set: TrainingSet, name: str) -> pa.Table:
    """Return the columns, in the order of the spine, as the engine puts them; ``name`` is told."""
    return run(name, partial(_table, connection, training_set.query), connection)


def put_together(
    connection: duckdb.DuckDBPyConnection, training_set: TrainingSet, count: int, name: str
) -> pa.Table:
    """Return the same, of a spine of ``count`` rows, from parts that are put in order here."""
    parts = training_set.parts
    columns: dict[int, tuple[str, pa.ChunkedArray]] = {}
    for number, part in enumerate(parts, start=1):
        told = name if len(parts) == 1 else f"{name}, view {number} of {len(parts)}"
        found = run(told, partial(_table, connection, part.query), connection)
        try:
            found = in_order(found, count)
        except pa.ArrowInvalid:  # of text beyond 2 GB, which Arrow does not move in one piece
            return whole(connection, training_set, name)
        columns |= zip(
            part.columns, zip(found.column_names, found.columns, strict=True), strict=True
        )
    ordered = [columns[number] for number in range(len(columns))]
    return pa.table([column for _, column in ordered], names=[name for name, _ in ordered])


def in_order(table: pa.Table, count: int) -> pa.Table:
    """Return rows, whose first column is the place of each, in this order: ``count`` of them.

    A place that no row has gets NULLs.
    """
    places, values = table.column(0).to_numpy(), table.remove_column(0)
    if len(places) == count and bool((places == np.arange(count)).all()):
        return values
    rows = np.full(count, -1, np.int64)
    rows[places] = np.arange(len(places))
    return pc.take(values, pa.array(rows, mask=rows < 0), boundscheck=False)


def _table(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return connection.sql(query).to_arrow_table()
