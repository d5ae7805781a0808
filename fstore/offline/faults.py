"""What of a user's SQL is at fault: a ``where`` that is none, or fails on a row; a spine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from fstore.compile.carried import conditions, conditions_of, each_condition
from fstore.compile.request import check_declared
from fstore.definitions import Column, FeatureView
from fstore.errors import FstoreError, OutOfMemoryError, QueryError, SpineError
from fstore.offline.stream import Connection, Stream
from fstore.offline.warehouse import columns_of_query

_TRUTHS = ("BOOLEAN", '"NULL"')  # what a condition may be, as DuckDB writes types


def check_conditions(
    connection: duckdb.DuckDBPyConnection, view: FeatureView, columns: tuple[Column, ...]
) -> None:
    """Raise QueryError where a ``where`` of the view is no condition on its built relation.

    What the declaration and the columns show to be wrong is said elsewhere.
    """
    try:
        check_declared(view, columns)
    except FstoreError:
        return
    query = conditions_of(view, columns)
    if query is None:
        return
    about = f"{view.reference} ({view.file}): a where of its aggregations"
    try:
        found = columns_of_query(connection, query)
    except duckdb.Error as error:
        raise QueryError(f"{about} cannot be computed. DuckDB: {error}") from error
    for text, column in zip(conditions(view), found, strict=True):
        if column.type not in _TRUTHS:
            raise QueryError(
                f"{about} is {text}, which is {column.type} and no condition: write one that is "
                "true or false, as in price > 10."
            )


@contextmanager
def naming_faults(
    connection: Connection, views: Mapping[FeatureView, tuple[Column, ...]], spine: str | None
) -> Iterator[None]:
    """Say what of the user's SQL it is where a query of the block fails.

    ``spine`` gives the rows of a SELECT as spine, ``views`` are those whose ``where`` is read. Only
    where something failed is each computed by itself, for every row.
    """
    try:
        yield
    except (OutOfMemoryError, duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except (QueryError, duckdb.Error) as error:
        if spine is not None and (said := _said_of(connection, spine)):
            raise SpineError(f"entity_df cannot run: {said}.") from error
        for view, columns in views.items():
            found = _failing(connection, view, columns)
            if found is not None:
                raise found from error
        raise


def _said_of(connection: Connection, query: str) -> str | None:
    """Return what the engine says where a query fails by itself, in one line."""
    try:
        for _ in Stream(connection, query, query).reader:
            pass
    except OutOfMemoryError:
        return None
    except (QueryError, pa.ArrowException, OSError) as error:
        return str(error.__cause__ or error).partition("\n")[0].rstrip(".")
    return None


def _failing(
    connection: Connection, view: FeatureView, columns: tuple[Column, ...]
) -> QueryError | None:
    """Return the error of the first condition that the engine cannot compute of every row.

    None where all can be: what failed is something else.
    """
    for text, query in each_condition(view, columns):
        about = f"The where {text!r} of {view.reference} ({view.declared_in or view.file})"
        if said := _said_of(connection, query):
            return QueryError(
                f"{about} cannot be computed for each row of {view.relation}. DuckDB: {said}. "
                "Write one that holds for any row, as with TRY_CAST."
            )
    return None
