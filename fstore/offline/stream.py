"""A query's rows as a stream of Arrow batches, for whoever takes them without knowing DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from fstore.errors import QueryError
from fstore.offline.failure import query_error
from fstore.offline.progress import run

Connection = duckdb.DuckDBPyConnection

_BATCH_ROWS = 122_880  # a row group of DuckDB


def batches(connection: Connection, sql: str, name: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query, so many at a time; ``name`` is for who watches.

    Raises QueryError for what goes wrong after the first batch; before it, DuckDB's own.
    """
    reader = run(name, lambda: connection.sql(sql).to_arrow_reader(rows), connection)
    while True:
        try:
            batch = run(name, lambda: next(reader, None), connection)
        except (pa.ArrowException, OSError) as error:
            raise query_error(connection, error) from error
        if batch is None:
            return
        yield batch


class Stream:
    """The rows of a query. ``failure`` is the engine's error where the stream broke off.

    A consumer that is itself an engine reports that as an error of its own; the owner of the
    stream can tell them apart.
    """

    def __init__(self, connection: Connection, sql: str, name: str) -> None:
        """Start the query; QueryError, naming ``name``, where the engine refuses it."""
        self._connection, self._name = connection, name
        self.failure: QueryError | None = None
        # Types that Arrow lacks (HUGEINT, UUID, BIT, ...) travel as DuckDB's own.
        connection.execute("SET arrow_lossless_conversion = true")
        try:
            self._source = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
        except duckdb.Error as error:
            raise self._failed(error) from error

    @property
    def reader(self) -> pa.RecordBatchReader:
        """The batches, to be read once."""
        return pa.RecordBatchReader.from_batches(self._source.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._source
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self.failure = self._failed(error)
            raise

    def _failed(self, error: Exception) -> QueryError:
        return query_error(self._connection, error, self._name)
