"""A query's rows as a stream of Arrow batches, for whoever takes them without knowing DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from fstore.errors import QueryError

Connection = duckdb.DuckDBPyConnection

_BATCH_ROWS = 122_880  # a row group of DuckDB


class Stream:
    """The rows of a query. ``failure`` is the engine's error where the stream broke off.

    A consumer that is itself an engine reports that as an error of its own; the owner of the
    stream can tell them apart.
    """

    def __init__(self, connection: Connection, sql: str, name: str) -> None:
        """Start the query; QueryError, naming ``name``, where the engine refuses it."""
        self._name = name
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
        return QueryError(f"{self._name} cannot be read. DuckDB: {error}")
