"""Which relations have rows that are numbered, and whether a file stays as it was meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from fstore.compile.places import FILE_ROW_NUMBER, ROW_ID, Places, file_of_view
from fstore.compile.request import Columns
from fstore.compile.types import find_column
from fstore.definitions import FeatureView
from fstore.errors import QueryError

# A table of another engine that is attached is in duckdb_tables() too.
_RELATIONS = """
SELECT database_name, schema_name, table_name, NULL FROM duckdb_tables()
WHERE database_name IN (SELECT database_name FROM duckdb_databases() WHERE type = 'duckdb')
UNION ALL
SELECT database_name, schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal
"""


def places_of(
    connection: duckdb.DuckDBPyConnection,
    views: Iterable[FeatureView],
    columns: Columns,
    directory: Path,
) -> dict[FeatureView, Places]:
    """Return how the rows of each view are numbered; views whose rows are not are left out.

    ``directory`` is the project's, from which a file's relative path starts.
    """
    relations = {
        (database, schema, name): sql
        for database, schema, name, sql in connection.execute(_RELATIONS).fetchall()
    }
    found = {}
    for view in views:
        relation = view.relation
        name = (relation.database, relation.schema, relation.identifier)
        if name not in relations:
            continue
        sql = relations[name]
        places = Places(ROW_ID) if sql is None else _of_file(sql, directory)
        if places and find_column(columns[view.reference], places.number) is None:
            found[view] = places
    return found


def _of_file(sql: str, directory: Path) -> Places | None:
    file = file_of_view(sql)
    if file is None or not (directory / file).is_file():  # far away, or no file by itself
        return None
    return Places(FILE_ROW_NUMBER, file)


@contextmanager
def unchanged(files: Iterable[str], directory: Path) -> Iterator[None]:
    """Raise QueryError after the block where a file is no longer the one that it was before.

    A query that reads a file by the numbers of its rows opens it twice: were it replaced between
    the two, the numbers would be those of other rows.
    """
    before = [(directory / file, _version(directory / file)) for file in files]
    yield
    for path, version in before:
        if _version(path) != version:
            raise QueryError(f"{path} was written to while it was read. Run it again.")


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns, told.st_size
