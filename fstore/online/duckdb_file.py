"""One key-value file: a DuckDB database with the rows of one view of one generation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from fstore.compile import keyvalue
from fstore.compile.session import LIMITS, attach
from fstore.definitions import Column, FeatureView
from fstore.errors import OnlineStoreError, OutOfMemoryError
from fstore.online.protocol import Batch, Key, Row
from fstore.online.values import to_python


def write(
    connection: duckdb.DuckDBPyConnection, batch: Batch, previous: Path | None
) -> tuple[int, int]:
    """Fill the empty database that is open, streaming; return how many rows and keys it holds.

    The file is whole once the connection is closed; where this raises, the caller removes it.
    """
    try:
        return _write(connection, batch, previous)
    except duckdb.OutOfMemoryException as error:
        limits = connection.execute(LIMITS).fetchone()
        assert limits is not None
        name = f"{batch.view.reference} ({batch.view.file}), being written for online reads,"
        disk_full = "max_temp_directory_size" in str(error)
        raise OutOfMemoryError(name, *limits, disk_full=disk_full, words=str(error)) from error


def _write(
    connection: duckdb.DuckDBPyConnection, batch: Batch, previous: Path | None
) -> tuple[int, int]:
    view, columns = batch.view, batch.columns
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(keyvalue.create(view, columns))
    connection.register("incoming", batch.rows)
    connection.execute(keyvalue.fill(view, columns, "incoming"))
    connection.unregister("incoming")
    if previous is not None:
        connection.execute(attach(str(previous), "previous", read_only=True))
        connection.execute(keyvalue.keep_absent(view, columns, "previous"))
        connection.execute("DETACH previous")
    counted = connection.execute(keyvalue.counts(view)).fetchone()
    connection.execute("CHECKPOINT")
    assert counted is not None, "an aggregate has one row"
    return int(counted[0]), int(counted[1])


class Files:
    """The files of one generation, open for reading; any thread may use it.

    One session in memory with each file attached read-only when it is first asked for. One thread
    a query: a point query has nothing to share, and a session without threads survives a fork.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._attached: set[str] = set()
        self._lock = threading.Lock()

    def cursor(self, file: str) -> duckdb.DuckDBPyConnection:
        """Return a cursor of the session with ``file`` attached under its own name.

        Raises FileNotFoundError where the file is gone: the generation is no longer kept.
        """
        with self._lock:
            if file not in self._attached:
                path = self._folder / file
                if not path.exists():
                    raise FileNotFoundError(path)
                try:
                    self._connection.execute(attach(str(path), file, read_only=True))
                except duckdb.Error as error:
                    if not path.exists():
                        raise FileNotFoundError(path) from error
                    raise OnlineStoreError(f"{path} cannot be read: {error}") from error
                self._attached.add(file)
            return self._connection.cursor()


class FileLookup:
    """Reads features of one view from its file, by one query for all keys asked together."""

    def __init__(
        self,
        files: Files,
        file: str,
        view: FeatureView,
        columns: tuple[Column, ...],
        features: tuple[str, ...],
    ) -> None:
        self._files, self._file = files, file
        self._sql = keyvalue.point_query(view, columns, features, file)
        self._width = len(view.join_keys)
        types = {column.name: column.type for column in columns}
        self._types = [types[feature] for feature in features]

    def read(self, keys: Sequence[Key], at: datetime) -> Sequence[Row | None]:
        """Return the row of each key as of ``at``, in order; None where there is none."""
        places: dict[Key, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        found: list[Row | None] = [None] * len(keys)
        if not places:
            return found
        distinct = list(places)
        parameters: dict[str, Any] = {keyvalue.AT: at.astimezone(UTC).replace(tzinfo=None)}
        for number in range(self._width):
            parameters[keyvalue.key_parameter(number)] = [key[number] for key in distinct]
        for position, row in self._rows(parameters):
            for place in places[distinct[position]]:
                found[place] = row
        return found

    def _rows(self, parameters: dict[str, Any]) -> list[tuple[int, Row]]:
        with self._files.cursor(self._file) as cursor:
            try:
                table = cursor.sql(self._sql, params=parameters).to_arrow_table()
            except duckdb.Error as error:
                raise OnlineStoreError(f"{self._file} cannot be read: {error}") from error
        columns = [
            to_python(column, kind)
            for column, kind in zip(table.columns[4:], self._types, strict=True)
        ]
        cells = list(zip(*columns, strict=True)) if columns else [()] * table.num_rows
        head = [
            column.to_pylist() if number != 1 else to_python(column, "TIMESTAMP")
            for number, column in enumerate(table.columns[:4])
        ]
        rows = []
        for place, (position, event_time, fresh, valid) in enumerate(zip(*head, strict=True)):
            if valid:
                known = Row(event_time.replace(tzinfo=UTC), cells[place] if fresh else None)
                rows.append((position, known))
        return rows
