"""What DuckDB says when a query fails, and what to do where memory or disk ran out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import duckdb

from fstore.compile.session import LIMITS
from fstore.errors import OutOfMemoryError, QueryError

# Arrow hands DuckDB's errors on as text, so its words decide, whatever the class.
_NO_MEMORY = re.compile("Out of Memory Error")
_NO_DISK = re.compile("max_temp_directory_size|duckdb_temp_.*No space left on device")

_SECRET = 4  # characters; a shorter text is no secret, and may be part of any word


def query_error(
    connection: duckdb.DuckDBPyConnection, error: Exception, name: str | None = None
) -> QueryError:
    """Return the error to raise for one of DuckDB, or of Arrow while it reads from DuckDB.

    ``name`` says what was read, where that is more than the query itself.
    """
    words = str(error)
    disk_full = bool(_NO_DISK.search(words))
    if disk_full or _NO_MEMORY.search(words):
        try:
            found = connection.execute(LIMITS).fetchone()
        except duckdb.Error:  # not even that fits
            found = None
        if found is not None:
            what = "The query" if name is None else name
            return OutOfMemoryError(what, *found, disk_full=disk_full, words=words)
    return QueryError(
        f"DuckDB: {words}" if name is None else f"{name} cannot be read. DuckDB: {words}"
    )


def without_secrets(error: Exception, hidden: Iterable[str]) -> str:
    """Return what DuckDB says, which may quote a statement, without the texts that are hidden."""
    words = str(error)
    for text in sorted(hidden, key=len, reverse=True):
        if len(text) >= _SECRET:
            words = words.replace(text, "...").replace(text.replace("'", "''"), "...")
    return words
