"""The events of a view as its table holds them, on their way into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from fstore.compile import keyvalue
from fstore.compile.events import event_cells
from fstore.definitions import Column, FeatureView
from fstore.online.arrays import array_of, missing, numbers_of
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import CHUNK, EventLayout
from fstore.online.event_values import kind_of
from fstore.online.event_widths import wide_measures
from fstore.online.key_arrays import keys_of
from fstore.online.key_bytes import KeyCodec
from fstore.online.measures import Events
from fstore.online.records import NEVER
from fstore.online.values import EXACT


class Keyed(NamedTuple):
    """Some events, with the key of each as bytes."""

    keys: Sequence[bytes]
    events: Events


def counted(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    layout: EventLayout,
) -> tuple[int, int]:
    """Return how many events the table has, and which measures are wide."""
    row = connection.execute(keyvalue.measure_events(view, columns)).fetchone()
    assert row is not None, "an aggregate has one row"
    count, *found = row
    names = [column.name for column in event_cells(view, columns)]
    ends = dict(zip(names, zip(found[::2], found[1::2], strict=True), strict=True))
    least_and_greatest = [
        (_unscaled(ends[each.name][0], each), _unscaled(ends[each.name][1], each))
        for each in layout.values
    ]
    return count, wide_measures(layout, count, least_and_greatest)


def _unscaled(end: Decimal | int | None, column: Column) -> int:
    if isinstance(end, Decimal):
        return int(EXACT.scaleb(end, kind_of(column.type).scale))
    return end or 0


def stored_events(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    layout: EventLayout,
    size: int = CHUNK,
    *,
    is_sorted: bool = False,
) -> Iterator[Keyed]:
    """Yield the table's events in their order, so many at a time.

    ``is_sorted`` says that they lie in it.
    """
    connection.execute("SET arrow_lossless_conversion = false")
    query = keyvalue.scan_events(view, columns, is_sorted=is_sorted)
    key = KeyCodec(layout.key_types)
    names = [column.name for column in event_cells(view, columns)]
    width = len(view.join_keys)
    with connection.cursor() as cursor:
        reader = cursor.sql(query).to_arrow_reader(size)
        for table in _of_size(reader, size):
            arrays = [column.combine_chunks() for column in table.columns]
            cells = dict(zip(names, arrays[width:-2], strict=True))
            yield Keyed(
                keys_of(key, arrays[:width], table.num_rows),
                events_of(
                    layout, cells, numbers_of(arrays[-2], NEVER), numbers_of(arrays[-1], NEVER)
                ),
            )


def _of_size(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Yield the rows in tables of one size, but for the last."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        while rows >= size:
            table = pa.Table.from_batches(held)
            yield table.slice(0, size)
            held = table.slice(size).to_batches()
            rows -= size
    if rows:
        yield pa.Table.from_batches(held)


def events_of(
    layout: EventLayout, cells: dict[str, pa.Array], events: np.ndarray, arrivals: np.ndarray
) -> Events:
    """Return events whose columns are Arrow's as what is packed."""

    def nulls(column: Column) -> np.ndarray:
        return missing(cells[column.name]).astype("u1")

    kinds = [kind_of(column.type) for column in layout.identity]
    ids = None
    if layout.identity:
        raw = [
            kind.encode(cells[column.name])
            for kind, column in zip(kinds, layout.identity, strict=True)
        ]
        ids = event_ids(kinds, raw, [nulls(column) for column in layout.identity])
    return Events(
        events,
        arrivals,
        ids,
        [
            kind.encode(cells[column.name])
            for kind, column in zip(layout.kinds, layout.values, strict=True)
        ],
        [nulls(column) for column in layout.values],
        [array_of(cells[column.name]).astype("u1") for column in layout.flags],
    )
