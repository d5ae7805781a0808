"""One key-value file: a DuckDB database with the rows of one view of one generation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from fstore.compile import keyvalue
from fstore.compile.session import LIMITS, attach
from fstore.definitions import Column, FeatureView
from fstore.errors import OnlineStoreError, OutOfMemoryError
from fstore.online.arrays import numbers_of
from fstore.online.event_file import EventFile, events_in_memory, write_events
from fstore.online.generation import block_file, image_file, keys_file
from fstore.online.image import Image, image_in_memory, write_image
from fstore.online.key_arrays import keys_of
from fstore.online.protocol import Batch
from fstore.online.records import NEVER, Layout, Rows

_BATCH_ROWS = 16_384  # whose records a processor's cache holds while they are made


def write(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    previous: Path | None,
    hidden: pa.Table,
    path: Path,
) -> tuple[int, int]:
    """Fill the empty database that is open, streaming, then write its image and its events.

    ``previous`` is the file whose other keys stay, but for those in ``hidden``; ``path`` is that of
    the database. Returns how many rows and keys there are. The file is whole once the connection
    is closed; where this raises, the caller removes all of them.
    """
    with memory_errors(connection, batch):
        return _write(connection, batch, previous, hidden, path)


@contextmanager
def memory_errors(connection: duckdb.DuckDBPyConnection, batch: Batch) -> Iterator[None]:
    """Say of which view the rows were that the limits do not suffice for."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        limits = connection.execute(LIMITS).fetchone()
        assert limits is not None
        name = f"{batch.view.reference} ({batch.view.file}), being written for online reads,"
        disk_full = "max_temp_directory_size" in str(error)
        raise OutOfMemoryError(name, *limits, disk_full=disk_full, words=str(error)) from error


def _write(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    previous: Path | None,
    hidden: pa.Table,
    path: Path,
) -> tuple[int, int]:
    view, columns = batch.view, batch.columns
    fill(connection, batch)
    if previous is not None:
        connection.execute(attach(str(previous), "previous", read_only=True))
        connection.register("hidden", hidden)
        if batch.events is not None:
            connection.execute(keyvalue.keep_absent_events(view, columns, "previous", "hidden"))
        connection.execute(keyvalue.keep_absent(view, columns, "previous", "hidden"))
        connection.unregister("hidden")
        connection.execute("DETACH previous")
    rows, layout = count(connection), Layout.of(view, columns)
    image, block, directory = (
        path.with_name(name(path.name)) for name in (image_file, block_file, keys_file)
    )
    # The engine writes its file while its rows are read for the others.
    with connection.cursor() as reading, ThreadPoolExecutor(1) as beside:
        written = beside.submit(connection.execute, "CHECKPOINT")
        keys = write_image(image, layout, stored_rows(reading, view, columns, layout), rows)
        if batch.events is not None:
            alone = previous is None  # nothing was added behind the events that came in order
            write_events(reading, view, columns, batch.as_of, block, directory, is_sorted=alone)
        written.result()
    return rows, keys


def fill(connection: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Put the rows into the empty database that is open, in order of key and E."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(keyvalue.create(batch.view, batch.columns))
    connection.register("incoming", batch.rows)
    connection.execute(keyvalue.fill(batch.view, batch.columns, "incoming"))
    connection.unregister("incoming")
    if batch.events is not None:
        connection.execute(keyvalue.create_events(batch.view, batch.columns))
        connection.register("incoming", batch.events())
        connection.execute(keyvalue.fill_events("incoming"))
        connection.unregister("incoming")


def rebuilt_image(path: Path, view: FeatureView, columns: tuple[Column, ...]) -> Image:
    """Return the image of a file that lies there without one; OnlineStoreError where it cannot be.

    Raises FileNotFoundError where the file is gone, too.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            layout = Layout.of(view, columns)
            batches = stored_rows(connection, view, columns, layout)
            return image_in_memory(layout, batches, count(connection))
    except duckdb.Error as error:
        raise OnlineStoreError(f"{path} cannot be read: {error}") from error


def rebuilt_events(
    path: Path, view: FeatureView, columns: tuple[Column, ...], as_of: datetime
) -> EventFile:
    """Return the events of a file that lies there without their block; errors as for the image."""
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return events_in_memory(connection, view, columns, as_of)
    except duckdb.Error as error:
        raise OnlineStoreError(f"{path} cannot be read: {error}") from error


def count(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many rows the table has."""
    counted = connection.execute(keyvalue.count()).fetchone()
    assert counted is not None, "an aggregate has one row"
    return int(counted[0])


def stored_rows(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    layout: Layout,
) -> Iterator[Rows]:
    """Yield the table's rows in its order."""
    connection.execute("SET arrow_lossless_conversion = false")
    width = len(view.join_keys)
    with connection.cursor() as cursor:
        for batch in cursor.sql(keyvalue.scan(view, columns)).to_arrow_reader(_BATCH_ROWS):
            *cells, events, settles, ends = batch.columns
            yield Rows(
                keys=keys_of(layout.key, cells[:width], batch.num_rows),
                events=numbers_of(events, NEVER),
                arrivals=numbers_of(settles, NEVER),
                ends=numbers_of(ends, NEVER),
                followers=np.zeros(batch.num_rows, np.uint32),
                cells=cells[width:],
            )
