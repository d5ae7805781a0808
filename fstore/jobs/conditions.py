"""Which ``where`` of a view fails on its rows, where a publish failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from fstore.compile.carried import each_condition
from fstore.definitions import Column, FeatureView
from fstore.errors import OutOfMemoryError, QueryError
from fstore.offline.stream import Connection, Stream


@contextmanager
def naming_conditions(
    connection: Connection, view: FeatureView, columns: tuple[Column, ...]
) -> Iterator[None]:
    """Name the ``where`` that is at fault where a query of the block fails."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except QueryError as error:
        found = _failing(connection, view, columns)
        if found is None:
            raise
        raise found from error


def _failing(
    connection: Connection, view: FeatureView, columns: tuple[Column, ...]
) -> QueryError | None:
    """Return the error of the first condition that the engine cannot compute of every row.

    None where all can be: what failed is something else.
    """
    for text, query in each_condition(view, columns):
        about = f"The where {text!r} of {view.reference} ({view.declared_in or view.file})"
        try:
            stream = Stream(connection, query, about)
            stream.reader.read_all()
        except OutOfMemoryError:
            return None
        except (QueryError, pa.ArrowException, OSError) as error:
            said = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
            return QueryError(
                f"{about} cannot be computed for each row of {view.relation}. DuckDB: {said}. "
                "Write one that holds for any row, as with TRY_CAST."
            )
    return None
