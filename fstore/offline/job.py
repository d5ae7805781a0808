"""A training set that is compiled and checked, and runs when an output is asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from fstore.compile.plans import Taken
from fstore.compile.request import Join
from fstore.compile.spine import SPINE_ROWS
from fstore.compile.training_set import TrainingSet
from fstore.definitions import Column
from fstore.errors import (
    FstoreWarning,
    OutOfMemoryError,
    OutputError,
    QueryError,
    RequestError,
    SpineError,
)
from fstore.frames import arrow_to_pandas, handed_over
from fstore.offline.assembly import put_together, whole
from fstore.offline.faults import naming_faults
from fstore.offline.output import whole_file, write_batches
from fstore.offline.places import unchanged
from fstore.offline.progress import run
from fstore.offline.spine import Frame
from fstore.offline.stream import batches
from fstore.offline.warehouse import columns_of_query, open_warehouse
from fstore.project import Project

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

BATCH_ROWS = 100_000
MAKING = "Making the training set"  # what who watches is told
COUNTING = "Counting the rows withheld"
WITHHELD_SHARE = 0.2  # a job warns where created_timestamp withholds rows from more of the spine


@dataclass(frozen=True)
class RetrievalJob:
    """A training set, made by ``FeatureStore.get_historical_features``.

    Nothing has run yet but DESCRIBE and a look at a sample of each view: each ``to_`` method opens
    the warehouse, runs the query and closes it. The rows are those of the spine, each once and in
    its order, with the spine's own columns first and then the features as asked.
    """

    project: Project = field(repr=False)
    training_set: TrainingSet = field(repr=False)
    spine_sql: str | None = field(default=None, repr=False)
    frame: Frame | None = field(default=None, repr=False)
    registered: pa.Table | None = field(default=None, repr=False)

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns behind those of a table given as spine; all, where it is SQL."""
        return self.training_set.outputs

    @property
    def plans(self) -> Mapping[str, Taken]:
        """How each join's rows are found, and why, by its name."""
        return self.training_set.plans

    @property
    def hugeints(self) -> frozenset[str]:
        """The columns that are 128-bit integers, which are decimals in Arrow and in Parquet."""
        return frozenset(it.name for it in self.features if it.type in ("HUGEINT", "UHUGEINT"))

    @property
    def _types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.features}

    def to_sql(self) -> str:
        """Return the training set as one script for DuckDB with the warehouse attached.

        Of a table given as spine, ``to_arrow``, ``to_df`` and ``to_polars`` run the same view by
        view, and put the rows in order themselves.
        """
        query = self.training_set.query
        if self.spine_sql is not None:
            spine = self.spine_sql.strip().rstrip(";")
            return f"CREATE TEMP VIEW entity_df AS\n{spine}\n;\n\n{query}"
        assert self.registered is not None
        columns = ", ".join(self.registered.column_names)
        return f"-- entity_df is the table given, as a temporary view of: {columns}\n{query}"

    def explain(self) -> str:
        """Return how each view's rows are found and why, then DuckDB's plan of :meth:`to_sql`."""
        taken = [line for name, plan in self.plans.items() for line in _told(name, plan)]
        with self._opened() as connection:
            rows = connection.execute(f"EXPLAIN {self.training_set.query}").fetchall()
        return "\n".join([*taken, "", *(row[1] for row in rows)])

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the training set as Arrow record batches, holding one at a time.

        The warehouse stays open (read-only) until the last batch is taken or the iterator closed.
        """
        yield from self._batches(self.training_set.query)

    def _batches(self, query: str) -> Iterator[pa.RecordBatch]:
        with self._opened() as connection:
            spine = None if self.frame is None else self.frame.to_arrow()
            done = 0
            for batch in batches(connection, query, MAKING, BATCH_ROWS):
                yield batch if spine is None else _beside(spine.slice(done, len(batch)), batch)
                done += len(batch)
            self._warn_of_withheld(connection, done)

    def to_arrow(self) -> pa.Table:
        """Return the training set as an Arrow table."""
        features = self._table()
        if self.frame is None:
            return features
        return _table_beside(self.frame.to_arrow(), features)

    def to_df(self) -> pd.DataFrame:
        """Return the training set as a pandas frame.

        Integers and booleans of features are the nullable types, decimals ``Decimal``, lists
        ``list``, structs ``dict``. A pandas spine's own columns and index come back untouched.
        """
        import pandas as pd

        table = self._table()
        pandas_spine = self.frame is not None and self.frame.kind == "pandas"
        if self.frame is not None and not pandas_spine:
            table = _table_beside(self.frame.to_arrow(), table)
        convert = partial(arrow_to_pandas, hugeints=self.hugeints)
        features = handed_over(table, convert, "to_df", self._types)
        if self.frame is None or not pandas_spine:
            return features
        given = self.frame.given.copy(deep=False)  # with an index that the caller may rename
        features.index = given.index
        both: pd.DataFrame = pd.concat([given, features], axis="columns")
        return both

    def to_polars(self) -> pl.DataFrame:
        """Return the training set as a polars frame; needs the ``polars`` extra."""
        try:
            import polars as pl
        except ImportError as error:
            raise RequestError("to_polars needs polars: install it, or use to_arrow.") from error

        def convert(table: pa.Table) -> pl.DataFrame:
            frame = pl.from_arrow(table)
            assert isinstance(frame, pl.DataFrame)
            return frame

        refusals = pl.exceptions.PolarsError, pl.exceptions.PanicException
        return handed_over(self.to_arrow(), convert, "to_polars", self._types, *refusals)

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Write the training set to one Parquet file, whole or not at all, and return its path.

        A SQL spine is written by the engine and never passes through Python. A symlink stays, and
        what it leads to is written; what is there and is no file, such as a pipe, is refused.

        Raises OutputError; OutOfMemoryError where it is the query that lacks room.
        """
        with whole_file(path) as partial:
            try:
                self._write(partial)
            except OutOfMemoryError:
                raise
            except (OSError, QueryError) as error:
                raise OutputError(os.fspath(path), error) from error
        return Path(path)

    def _write(self, path: Path) -> None:
        if self.frame is not None:
            rows = self._batches(self.training_set.parquet_query)
            write_batches(path, rows, self.to_arrow, self._types)
            return
        with self._opened() as connection:
            copy = self.training_set.written_to(str(path))
            run(MAKING, lambda: connection.execute(copy), connection)
            ((count,),) = connection.fetchall()
            self._warn_of_withheld(connection, count)

    def _table(self) -> pa.Table:
        """Run the query: spine and features for a SQL spine, the features alone for a frame."""
        with self._opened() as connection:
            if self.registered is None:
                table = whole(connection, self.training_set, MAKING)
            else:
                count = self.registered.num_rows
                table = put_together(connection, self.training_set, count, MAKING)
            self._warn_of_withheld(connection, table.num_rows)
        return table

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(self.project) as connection:
            put_spine(connection, self.spine_sql, self.registered)
            spine = None if self.spine_sql is None else SPINE_ROWS
            with (
                unchanged(self._files_by_number, self.project.directory),
                naming_faults(connection, self.training_set.of_events, spine),
            ):
                yield connection

    @property
    def _files_by_number(self) -> list[str]:
        """The files that the query reads by the numbers of their rows."""
        places = [taken.places for taken in self.plans.values() if taken.places]
        return sorted({place.file for place in places if place.file is not None})

    def _warn_of_withheld(self, connection: duckdb.DuckDBPyConnection, count: int) -> None:
        for join, sql in self.training_set.withheld(count):
            late, total = run(COUNTING, partial(_first_row, connection, sql), connection)
            if late > WITHHELD_SHARE * total:
                sentence = _withheld_sentence(join, late, total, some=total < count)
                warnings.warn(sentence, FstoreWarning, stacklevel=4)


def _told(name: str, taken: Taken) -> Iterator[str]:
    """Yield a line for each plan of a join."""
    if taken.rows:
        yield f"{name}: {taken.plan} ({taken.reason})"
    if taken.windows is not None:
        yield f"{name}, windows: {taken.windows.plan} ({taken.windows.reason})"


def _first_row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(sql).fetchall()[0]
    return row


def _withheld_sentence(join: Join, late: int, total: int, *, some: bool) -> str:
    view = join.view
    rows = "spine rows looked at" if some else "spine rows"
    return (
        f"{join.name}: for {late} of {total} {rows} ({late / total:.0%}) the newest row was "
        f"withheld, for its {view.created_timestamp} (created_timestamp in {view.declared_in}) is "
        "NULL or after the spine row's time. Where a history was loaded in one go, set "
        "backfilled_until to the time of that load."
    )


def put_spine(
    connection: duckdb.DuckDBPyConnection, sql: str | None, table: pa.Table | None
) -> tuple[Column, ...]:
    """Make the spine the temporary view ``entity_df``, and return its columns."""
    if table is not None:
        connection.register("entity_df", table)
    else:
        try:
            connection.execute(f"CREATE TEMP VIEW entity_df AS\n{sql}")
        except duckdb.Error as error:
            raise SpineError(f"entity_df cannot run: {error}") from error
    return columns_of_query(connection, SPINE_ROWS)


def _beside(spine: pa.Table, features: pa.RecordBatch) -> pa.RecordBatch:
    table = _table_beside(spine, pa.Table.from_batches([features])).combine_chunks()
    return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)


def _table_beside(spine: pa.Table, features: pa.Table) -> pa.Table:
    arrays = [*spine.columns, *features.columns]
    return pa.table(arrays, names=[*spine.column_names, *features.column_names])
