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
from pathlib import Path
from tempfile import TemporaryFile

import duckdb
import numpy as np
import pyarrow as pa

from fstore.definitions import Column, FeatureView
from fstore.disk import put
from fstore.online.chosen import Cells
from fstore.online.event_block import Chunk, EventBlock, write_block
from fstore.online.event_layout import CHUNK, EventLayout
from fstore.online.event_rows import Keyed, counted, stored_events
from fstore.online.event_tiles import Tiles, joined, tiled
from fstore.online.event_tiles import part_of as part_of_tiles
from fstore.online.event_widths import wide_tiles
from fstore.online.image import Image, image_in_memory, write_image
from fstore.online.instants import micros
from fstore.online.key_arrays import begins
from fstore.online.measures import nothing
from fstore.online.records import NEVER, Layout, Rows

FIRST, COUNT = Column("first", "UBIGINT"), Column("count", "UBIGINT")


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
    *,
    is_sorted: bool,
) -> None:
    """Write both files from the table of events that is open; ``is_sorted``: in their order."""
    layout = EventLayout.of(view, columns)
    with block.open("w+b") as file:
        events = stored_events(connection, view, columns, layout, is_sorted=is_sorted)
        starts = _write(connection, view, columns, layout, as_of, events, file.fileno())
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
        events = stored_events(connection, view, columns, layout)
        starts = _write(connection, view, columns, layout, as_of, events, file.fileno())
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    directory = image_in_memory(directory_layout(layout), [starts.rows()], len(starts.keys))
    return EventFile(EventBlock(content, layout), directory)


@dataclass(frozen=True)
class _Starts:
    """Where the events of each key begin."""

    keys: list[bytes]
    firsts: list[int]
    end: list[int]  # how many were noted so far: one number, in the end

    def note(self, keys: Sequence[bytes]) -> np.ndarray:
        """Take in the keys of the next entries; return at which of these a key begins."""
        done = self.end.pop() if self.end else 0
        last = self.keys[-1] if self.keys else None
        places = np.flatnonzero(begins(keys, last))
        for place in places.tolist():
            self.keys.append(keys[place])
            self.firsts.append(done + place)
        self.end.append(done + len(keys))
        return places

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
    chunks: Iterable[Keyed],
    descriptor: int,
) -> _Starts:
    def write(part: bytes | memoryview, at: int) -> None:
        put(descriptor, part, at)

    starts = _Starts([], [], [])
    if layout.tile is None:
        count, wide = counted(connection, view, columns, layout)
        length = write_block(layout, count, wide, _noting(chunks, starts), write)
    else:  # how many tiles there are is known once they are made; they are few
        parts = [*_tiles(chunks, layout, as_of, starts)]
        tiles = joined(parts) if parts else tiled(layout, nothing(layout), (), NEVER)[0]
        count = len(tiles.events)
        length = write_block(layout, count, wide_tiles(tiles), _cut(tiles, starts), write)
    starts.end[:] = [count]
    os.ftruncate(descriptor, length)
    return starts


def _noting(chunks: Iterable[Keyed], starts: _Starts) -> Iterator[Chunk]:
    """Yield the events, noting where those of each key begin."""
    for keys, events in chunks:
        yield events, starts.note(keys)


def _cut(tiles: Tiles, starts: _Starts) -> Iterator[Chunk]:
    """Yield the tiles in chunks."""
    firsts = np.array(starts.firsts, np.int64)
    for at in range(0, max(len(tiles.events), 1), CHUNK):
        low, high = np.searchsorted(firsts, [at, at + CHUNK])
        yield part_of_tiles(tiles, at, at + CHUNK), firsts[low:high] - at


def _tiles(
    chunks: Iterable[Keyed], layout: EventLayout, as_of: datetime, starts: _Starts
) -> Iterator[Tiles]:
    """Yield the tiles of the events, noting where those of each key begin."""
    last = None
    for keys, events in chunks:
        firsts = np.flatnonzero(begins(keys, last)).tolist()
        tiles, starting = tiled(layout, events, firsts, micros(as_of.astimezone(UTC)))
        starts.note([keys[place] for place in starting.tolist()])
        last = keys[-1]
        yield tiles
