"""The events of a view beside its key-value file: one block, and where in it each key's are.

<view>.<generation>.events    the block (fstore.online.event_block)
<view>.<generation>.keys      an index image: by key, the first of its events and how many
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
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
    packed,
    packed_apart,
    part_of,
    wide_measures,
    write_block,
)
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import CHUNK, EventLayout
from fstore.online.event_tiles import Tiles, joined, tiled
from fstore.online.event_tiles import part_of as part_of_tiles
from fstore.online.event_values import kind_of
from fstore.online.image import Image, image_in_memory, write_image
from fstore.online.instants import micros
from fstore.online.key_bytes import KeyCodec
from fstore.online.measures import Events
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
    as_of: datetime,
    block: Path,
    keys: Path,
) -> None:
    """Write both files from the table of events that is open."""
    layout = EventLayout.of(view, columns)
    with block.open("w+b") as file:
        starts = _write(connection, view, columns, layout, as_of, file.fileno())
        os.fsync(file.fileno())
    directory = directory_layout(layout)
    write_image(keys, directory, [starts.rows()], len(starts.keys))


def events_in_memory(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    as_of: datetime,
) -> EventFile:
    """Return the same without files, for a folder that has none and cannot be written."""
    layout = EventLayout.of(view, columns)
    with TemporaryFile() as file:
        starts = _write(connection, view, columns, layout, as_of, file.fileno())
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    directory = image_in_memory(directory_layout(layout), [starts.rows()], len(starts.keys))
    return EventFile(EventBlock(content, layout), directory)


@dataclass(frozen=True)
class _Starts:
    """Where the events of each key begin."""

    keys: list[bytes]
    firsts: list[int]
    end: list[int]  # how many were noted so far: one number, in the end

    def note(self, keys: list[bytes]) -> None:
        """Take in the keys of the next entries."""
        done = self.end.pop() if self.end else 0
        before = [self.keys[-1] if self.keys else None, *keys[:-1]]
        for place in np.flatnonzero(np.fromiter(map(ne, keys, before), bool, len(keys))).tolist():
            self.keys.append(keys[place])
            self.firsts.append(done + place)
        self.end.append(done + len(keys))

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
    as_of: datetime,
    descriptor: int,
) -> _Starts:
    def write(part: bytes, at: int) -> None:
        put(descriptor, part, at)

    chunks = stored_events(connection, view, columns, layout)
    starts = _Starts([], [], [])
    if layout.tile is None:
        count, wide = counted(connection, view, columns, layout)
        length = write_block(layout, count, wide, _noting(chunks, starts), write)
    else:  # how many tiles there are is known once they are made; they are few
        parts = [*_tiles(chunks, layout, as_of, starts)]
        tiles = joined(parts) if parts else tiled(layout, nothing(layout), (), NEVER)[0]
        count = len(tiles.events)
        some = (part_of_tiles(tiles, at, at + CHUNK) for at in range(0, max(count, 1), CHUNK))
        length = write_block(layout, count, 0, some, write)
    starts.end[:] = [count]
    os.ftruncate(descriptor, length)
    return starts


def _noting(chunks: Iterable[Keyed], starts: _Starts) -> Iterator[Events]:
    """Yield the events, noting where those of each key begin."""
    for keys, events in chunks:
        starts.note(keys)
        yield events


def _tiles(
    chunks: Iterable[Keyed], layout: EventLayout, as_of: datetime, starts: _Starts
) -> Iterator[Tiles]:
    """Yield the tiles of the events, noting where those of each key begin."""
    last = None
    for keys, events in chunks:
        before = [last, *keys[:-1]]
        firsts = np.flatnonzero(np.fromiter(map(ne, keys, before), bool, len(keys))).tolist()
        tiles, begins = tiled(layout, events, firsts, micros(as_of.astimezone(UTC)))
        starts.note([keys[place] for place in begins.tolist()])
        last = keys[-1]
        yield tiles


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
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    as_of: datetime,
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
        blocks = _blocks(layout, whole, firsts[:-1], as_of) if last else iter(())
        yield [(known.keys[first], block) for first, block in zip(firsts, blocks, strict=False)]
    if held is not None:
        yield [(held.keys[0], next(_blocks(layout, held.events, [0], as_of)))]


def _blocks(
    layout: EventLayout, events: Events, firsts: list[int], as_of: datetime
) -> Iterator[bytes]:
    if layout.tile is None:
        yield from packed_apart(layout, events, firsts)
        return
    for first, end in pairwise([*firsts, len(events.events)]):
        own = part_of(events, first, end)
        yield packed(layout, tiled(layout, own, (0,), micros(as_of.astimezone(UTC)))[0])


def nothing(layout: EventLayout) -> Events:
    """Return no events."""
    none = np.zeros(0, np.int64)
    cells: list[Any] = [none.astype(kind.dtype) if kind.dtype else [] for kind in layout.kinds]
    ids = none.astype(np.uint64) if layout.identity else None
    flags = [none.astype("u1") for _ in layout.flags]
    return Events(none, none, ids, cells, [none.astype("u1") for _ in layout.values], flags)


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
