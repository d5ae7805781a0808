"""The rows of a view on their way to a server, gathered by key in a DuckDB file of their own.

A server is sent nothing before the view's query has given all its rows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from fstore.errors import OnlineStoreError
from fstore.online.duckdb_file import count, fill, memory_errors, stored_rows
from fstore.online.generation import storage_errors
from fstore.online.held import PLAIN
from fstore.online.key_blocks import stored_blocks
from fstore.online.protocol import Batch
from fstore.online.records import Layout

Values = list[tuple[bytes, bytes]]  # keys, each with its value


class Spool:
    """Gathers the rows of one view after the other. Another thread may interrupt it."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = dict(settings)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """Make what is under way fail soon."""
        self._interrupted.set()
        if self._connection is not None:
            with suppress(duckdb.ConnectionException):  # closed already
                self._connection.interrupt()

    @contextmanager
    def gathered(self, batch: Batch) -> Iterator[tuple[int, Iterator[Values], Iterator[Values]]]:
        """Take all rows in; give how many there are, and their values by key, some at a time.

        Of a view of events also their blocks by key, which are to be taken after the values.
        """
        where = self._settings.get("temp_directory")
        name = f"{batch.view.reference} ({batch.view.file})"
        if where is not None:
            with storage_errors(f"{where} cannot be written"):
                Path(where).mkdir(parents=True, exist_ok=True)
        with (
            storage_errors(f"{name} cannot be gathered for the online store"),
            TemporaryDirectory(prefix="fstore-", dir=where) as folder,
            duckdb.connect(
                str(Path(folder) / "rows.duckdb"), config=dict(self._settings)
            ) as opened,
        ):
            self._connection = opened
            with memory_errors(opened, batch):
                fill(opened, batch)
                blocks = stored_blocks(opened, batch.view, batch.columns, batch.as_of)
                yield (
                    count(opened),
                    self._values(opened, batch),
                    blocks if batch.events else iter(()),
                )
            self._connection = None

    def _values(self, connection: duckdb.DuckDBPyConnection, batch: Batch) -> Iterator[Values]:
        layout = Layout.of(batch.view, batch.columns)
        key, rows = b"", list[bytes]()
        for some in stored_rows(connection, batch.view, batch.columns, layout):
            if self._interrupted.is_set():
                raise OnlineStoreError(f"{batch.view.reference} was interrupted.")
            done: Values = []
            contents = layout.apart(layout.pack(some), len(some.keys))
            for each, content in zip(some.keys, contents, strict=True):
                if rows and each != key:
                    done.append((key, layout.together(rows) + PLAIN))
                    rows = []
                key = each
                rows.append(content)
            yield done
        if rows:
            yield [(key, layout.together(rows) + PLAIN)]
