"""The events of a view beside its key-value file: one block, and where in it each key's are.

<view>.<generation>.events    the block (fstore.online.event_block)
<view>.<generation>.keys      an index image: by key, the first of its events and how many
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import ne
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile import keyvalue
from fstore.compile.events import event_cells
from fstore.definitions import Column, FeatureView
from fstore.online.disk import put
from fstore.online.event_block import (
    EventBlock,
    Events,
    packed,
    packed_apart,
    part_of,
    wide_measures,
    write_block,
)
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import CHUNK, EventLayout
from fstore.online.event_values import kind_of
from fstore.online.image import Image, image_in_memory, write_image
from fstore.online.key_bytes import KeyCodec
from fstore.online.records import NEVER, Cells, Layout, Rows
from fstore.online.values import to_python

_TOGETHER = 122_880  # events that are cut into blocks of keys at once
FIRST, COUNT = Column("first", "UBIGINT"), Column("count", "UBIGINT")


class Keyed(NamedTuple):
    """Some events, with the key of each as bytes."""

    keys: list[bytes]
    events: Events


@dataclass(frozen=True)
class EventFile:
    """The events of a view, and where those of a key are."""

    block: EventBlock
    directory: Image

    def finder(self) -> Callable[[bytes | None], tuple[int, int]]:
        """Return the function from a key to its events: [first, end), empty where it has none."""
        find, content = self.directory.finder(), self.directory.content
        unpack = Cells(self.directory.layout, [FIRST.name, COUNT.name]).unpack

        def events_of(key: bytes | None) -> tuple[int, int]:
            record = find(key)
            if record < 0:
                return 0, 0
            first, count = unpack(content, record)[Cells.HEAD :]
            return first, first + count

        return events_of


def directory_layout(layout: EventLayout) -> Layout:
    """Return the layout of the image that says where the events of a key are."""
    return Layout(layout.key_types, (FIRST, COUNT))


def open_events(block: Path, keys: Path, layout: EventLayout) -> EventFile:
    """Map both files; ValueError or OSError where that cannot be."""
    with block.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    return EventFile(EventBlock(content, layout), Image.open(keys, directory_layout(layout)))


def write_events(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    block: Path,
    keys: Path,
) -> None:
    """Write both files from the table of events that is open."""
    layout = EventLayout.of(view, columns)
    with block.open("w+b") as file:
        starts = _write(connection, view, columns, layout, file.fileno())
        os.fsync(file.fileno())
    directory = directory_layout(layout)
    write_image(keys, directory, [starts.rows()], len(starts.keys))


def events_in_memory(
    connection: duckdb.DuckDBPyConnection, view: FeatureView, columns: tuple[Column, ...]
) -> EventFile:
    """Return the same without files, for a folder that has none and cannot be written."""
    layout = EventLayout.of(view, columns)
    with TemporaryFile() as file:
        starts = _write(connection, view, columns, layout, file.fileno())
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    directory = image_in_memory(directory_layout(layout), [starts.rows()], len(starts.keys))
    return EventFile(EventBlock(content, layout), directory)


@dataclass(frozen=True)
class _Starts:
    """Where the events of each key begin."""

    keys: list[bytes]
    firsts: list[int]
    end: list[int]  # one number, once it is known

    def rows(self) -> Rows:
        count = len(self.keys)
        nothing = np.zeros(count, np.int64)
        counts = np.diff(np.array([*self.firsts, *self.end], np.uint64))
        cells = [pa.array(self.firsts, pa.uint64()), pa.array(counts, pa.uint64())]
        return Rows(self.keys, nothing, nothing, nothing, np.zeros(count, np.uint32), cells)


def _write(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    layout: EventLayout,
    descriptor: int,
) -> _Starts:
    count, wide = measured(connection, view, columns, layout)
    starts, last = _Starts([], [], [count]), None

    def chunks() -> Iterator[Events]:
        nonlocal last
        done = 0
        for keys, events in stored_events(connection, view, columns, layout):
            changed = np.flatnonzero(
                np.fromiter(map(ne, keys, [last, *keys[:-1]]), bool, len(keys))
            )
            starts.keys.extend(keys[place] for place in changed.tolist())
            starts.firsts.extend((changed + done).tolist())
            done, last = done + len(keys), keys[-1]
            yield events

    length = write_block(layout, count, wide, chunks(), lambda part, at: put(descriptor, part, at))
    os.ftruncate(descriptor, length)
    return starts


def measured(
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
        return int(end.scaleb(kind_of(column.type).scale))
    return end or 0


def stored_events(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    layout: EventLayout,
    size: int = CHUNK,
) -> Iterator[Keyed]:
    """Yield the table's events in their order, so many at a time."""
    connection.execute("SET arrow_lossless_conversion = false")
    key = KeyCodec(layout.key_types)
    names = [column.name for column in event_cells(view, columns)]
    width = len(view.join_keys)
    with connection.cursor() as cursor:
        reader = cursor.sql(keyvalue.scan_events(view, columns)).to_arrow_reader(size)
        for table in _of_size(reader, size):
            arrays = [column.combine_chunks() for column in table.columns]
            values = [
                to_python(pa.chunked_array([column]), kind)
                for column, kind in zip(arrays[:width], key.types, strict=True)
            ]
            keys = key.encode_columns(values, table.num_rows)
            cells = dict(zip(names, arrays[width:-2], strict=True))
            yield Keyed(
                [b"" if each is None else each for each in keys],
                events_of(layout, cells, _micros(arrays[-2]), _micros(arrays[-1])),
            )


def stored_blocks(
    connection: duckdb.DuckDBPyConnection, view: FeatureView, columns: tuple[Column, ...]
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield keys, each with a block of its own events, some at a time."""
    layout = EventLayout.of(view, columns)
    held: Keyed | None = None
    for keys, events in stored_events(connection, view, columns, layout, _TOGETHER):
        known = Keyed(keys, events) if held is None else _joined(held, Keyed(keys, events))
        firsts = [n for n, key in enumerate(known.keys) if not n or key != known.keys[n - 1]]
        last = firsts[-1]  # whose events may go on
        held = Keyed(known.keys[last:], part_of(known.events, last, len(known.keys)))
        whole = part_of(known.events, 0, last)
        blocks = packed_apart(layout, whole, firsts[:-1]) if last else ()
        yield [(known.keys[first], block) for first, block in zip(firsts, blocks, strict=False)]
    if held is not None:
        yield [(held.keys[0], packed(layout, held.events))]


def _joined(one: Keyed, two: Keyed) -> Keyed:
    def each(ones: Sequence[Any], twos: Sequence[Any]) -> list[Any]:
        return [
            [*a, *b] if isinstance(a, list) else np.concatenate([a, b])
            for a, b in zip(ones, twos, strict=True)
        ]

    first, then = one.events, two.events
    return Keyed(
        [*one.keys, *two.keys],
        Events(
            np.concatenate([first.events, then.events]),
            np.concatenate([first.arrivals, then.arrivals]),
            None
            if first.ids is None or then.ids is None
            else np.concatenate([first.ids, then.ids]),
            each(first.cells, then.cells),
            each(first.nulls, then.nulls),
            each(first.flags, then.flags),
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
        found: np.ndarray = cells[column.name].is_null().to_numpy(zero_copy_only=False)
        return found.astype("u1")

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
        [_truths(cells[column.name]) for column in layout.flags],
    )


def _truths(flags: pa.Array) -> np.ndarray:
    found: np.ndarray = pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
    return found.astype("u1")


def _micros(times: pa.Array) -> np.ndarray:
    found: np.ndarray = times.cast(pa.int64()).fill_null(NEVER).to_numpy(zero_copy_only=False)
    return found
