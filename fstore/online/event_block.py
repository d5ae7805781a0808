"""A block of events: the arrays of :mod:`fstore.online.event_layout` one behind the other.

    header     magic, format, check of the layout, how many events, what is wide, heap, length
    arrays     each at a multiple of 8 bytes
    heap       what cells that are no numbers refer to

A view's block holds all its keys, one after the other, and is mapped from a file; on a server each
key has a block of its own. A sum of 32 events may cross from one key to the next: no window asks
for that one, for it asks only for those that lie wholly inside.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any
from weakref import WeakKeyDictionary
from zlib import crc32

import numpy as np

from fstore.online.event_layout import CHUNK, FAN, LEVELS, EventLayout
from fstore.online.event_levels import MeasureWriter, suffix_cells
from fstore.online.event_tiles import Tiles, tiled
from fstore.online.event_tiles import part_of as tiles_of
from fstore.online.event_widths import extremes, wide_measures, wide_tiles
from fstore.online.measures import REDUCE, Events, measured
from fstore.online.records import NEVER
from fstore.online.suffixes import suffixes

_MAGIC, _FORMAT = b"fstoreev", 3
_HEADER = struct.Struct("<8sIIQQQQ")
_START = 64

Put = Callable[[bytes | memoryview, int], None]  # bytes, and where they go
# Entries on their way into a block, and at which of them a key begins.
Chunk = tuple[Events | Tiles, np.ndarray]


class NotABlockError(ValueError):
    """The bytes are no block of this layout, or not a whole one."""


@cache
def _check(layout: EventLayout) -> int:
    return crc32(repr(layout).encode())


_Places = dict[tuple[Any, ...], tuple[np.dtype[Any], int, int]]


@lru_cache(maxsize=4096)  # most keys have few events
def _places(layout: EventLayout, count: int) -> tuple[_Places, int]:
    """Return type, offset and length of every array, and where the heap begins."""
    at, places = _START, _Places()
    for name, (dtype, length) in layout.arrays(count).items():
        places[name] = (dtype, at, length)
        at += -(-dtype.itemsize * length // 8) * 8
    return places, at


def write_block(
    layout: EventLayout, count: int, wide: int, chunks: Iterable[Chunk], put: Put
) -> int:
    """Write ``count`` entries, given in chunks of CHUNK but for the last; return the length."""
    places, heap_start = _places(layout, count)
    heap_at, done = heap_start, 0

    def store(name: tuple[Any, ...], array: np.ndarray, at: int) -> None:
        dtype, offset, _ = places[name]
        put(np.ascontiguousarray(array, dtype).view("u1").data, offset + at * dtype.itemsize)

    measures = MeasureWriter(layout, wide, store)
    for chunk, firsts in chunks:
        store(("events",), chunk.events, done)
        if isinstance(chunk, Tiles):
            measures.add(chunk, done, firsts)
            done += len(chunk.events)
            continue
        store(("arrivals",), chunk.arrivals, done)
        if chunk.ids is not None:
            store(("ids",), chunk.ids, done)
        for place, (kind, cells) in enumerate(zip(layout.kinds, chunk.cells, strict=True)):
            store(("nulls", place), chunk.nulls[place], done)
            if kind.dtype is not None:
                store(("cells", place), cells, done)
                continue
            references = np.zeros(len(cells), places["cells", place][0])
            references["length"] = [len(cell) for cell in cells]
            ends = np.cumsum(references["length"], dtype=np.uint64)
            references["offset"] = ends - references["length"] + np.uint64(heap_at - heap_start)
            store(("cells", place), references, done)
            put(b"".join(cells), heap_at)
            heap_at += int(ends[-1]) if len(ends) else 0
        for place, flags in enumerate(chunk.flags):
            store(("flags", place), flags, done)
        measures.add(chunk, done, firsts)
        done += len(chunk.events)
    measures.finish()
    if done != count:
        raise ValueError(f"{count} events were announced, and {done} came")
    header = (_MAGIC, _FORMAT, _check(layout), count, wide, heap_start, heap_at)
    put(_HEADER.pack(*header), 0)
    return heap_at


def packed_apart(layout: EventLayout, events: Events, firsts: Sequence[int]) -> Iterator[bytes]:
    """Yield the block of each key, given where the events of each begin.

    What is the same for all is computed at once: most keys have too few events for higher levels.
    """
    ends = [*firsts[1:], len(events.events)]
    arrays: dict[tuple[Any, ...], bytes] = {
        ("events",): events.events.tobytes(),
        ("arrivals",): events.arrivals.tobytes(),
    }
    if events.ids is not None:
        arrays["ids",] = events.ids.tobytes()
    for place, flags in enumerate(events.flags):
        arrays["flags", place] = flags.astype("u1").tobytes()
    for place, (kind, cells) in enumerate(zip(layout.kinds, events.cells, strict=True)):
        arrays["nulls", place] = events.nulls[place].astype("u1").tobytes()
        if kind.dtype is not None:
            arrays["cells", place] = np.ascontiguousarray(cells, kind.dtype).tobytes()
    has_heap = any(kind.dtype is None for kind in layout.kinds)
    totals: dict[tuple[Any, ...], np.ndarray] = {}
    for place in range(len(layout.measures)):
        counts, lowest = measured(layout, events, place)
        if counts is not None:
            totals["valid", place] = np.append(0, np.cumsum(counts))
        for name, level in lowest.items():
            arrays[name, place, 0] = level.tobytes()
            found = suffixes(REDUCE[name], level, np.array(firsts, np.int64))
            arrays["suffixes", name, place] = suffix_cells(layout, name, place, found).tobytes()
    wide = wide_measures(layout, FAN, extremes(layout, events))
    for first, end in zip(firsts, ends, strict=True):
        count = end - first
        if count >= FAN or has_heap or wide:
            yield bytes(packed(layout, part_of(events, first, end)))
            continue
        places, length = _places(layout, count)
        content = bytearray(length)
        header = (_MAGIC, _FORMAT, _check(layout), count, 0, length, length)
        _HEADER.pack_into(content, 0, *header)
        for array_name, array in arrays.items():
            dtype, at, _ = places[array_name]
            size = dtype.itemsize
            content[at : at + size * count] = array[first * size : end * size]
        for total_name, total in totals.items():
            dtype, at, _ = places[total_name]
            before = (total[first : end + 1] - total[first]).astype(dtype)
            content[at : at + before.nbytes] = before.tobytes()
        yield bytes(content)


def packed(layout: EventLayout, events: Events | Tiles) -> bytearray:
    """Return a block of these events."""
    if layout.tile is not None and not isinstance(events, Tiles):
        events = tiled(layout, events, (), NEVER)[0]
    count = len(events.events)
    content = bytearray(_places(layout, count)[1])

    def put(part: bytes | memoryview, offset: int) -> None:
        content[offset : offset + len(part)] = part  # a heap's comes behind all else

    at = range(0, max(count, 1), CHUNK)
    if isinstance(events, Tiles):
        wide = wide_tiles(events)
        parts: list[Any] = [tiles_of(events, first, first + CHUNK) for first in at]
    else:
        wide = wide_measures(layout, count, extremes(layout, events))
        parts = [part_of(events, first, first + CHUNK) for first in at]
    firsts = [np.zeros(1, np.int64), *[np.zeros(0, np.int64)] * (len(parts) - 1)]
    write_block(layout, count, wide, zip(parts, firsts, strict=True), put)
    return content


def part_of(events: Events, first: int, end: int) -> Events:
    """Return some of the events."""
    return Events(
        events.events[first:end],
        events.arrivals[first:end],
        None if events.ids is None else events.ids[first:end],
        [cells[first:end] for cells in events.cells],
        [nulls[first:end] for nulls in events.nulls],
        [flags[first:end] for flags in events.flags],
    )


class EventBlock:
    """A block in memory: a map of a file, or bytes. Any thread may read it."""

    __slots__ = ("_places", "content", "count", "events", "heap_at", "layout", "reads", "wide")

    def __init__(self, content: Any, layout: EventLayout) -> None:
        """Raise NotABlockError where the content is none of this layout."""
        if len(content) < _START:
            raise NotABlockError("too short")
        magic, version, check, count, wide, heap_at, length = _HEADER.unpack_from(content)
        if magic != _MAGIC or version != _FORMAT or length != len(content):
            raise NotABlockError("not a whole block of this format")
        if check != _check(layout):
            raise NotABlockError("a block of other columns")
        self.content, self.layout, self.count, self.wide = content, layout, count, wide
        self.heap_at = heap_at
        self._places = _places(layout, count)[0]
        self.events = self.view("events")
        # What plans have prepared for this block; it goes with the plan.
        self.reads: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def view(self, *name: Any) -> memoryview:
        """Return an array as a view whose items are Python numbers."""
        dtype, at, length = self._places[name]
        code: Any = dtype.char
        return memoryview(self.content)[at : at + dtype.itemsize * length].cast(code)

    def array(self, first: int, end: int, *name: Any) -> np.ndarray:
        """Return a part of an array."""
        dtype, at, _ = self._places[name]
        found: np.ndarray = np.frombuffer(
            self.content, dtype, end - first, at + first * dtype.itemsize
        )
        return found

    def levels(self, name: str, place: int) -> list[memoryview]:
        """Return the levels of a measure; where its sums are wide, the lowest alone."""
        count = 1 if name == "sums" and self.wide >> place & 1 else LEVELS
        views = [self.view(name, place, number) for number in range(count)]
        return [view for number, view in enumerate(views) if len(view) or not number]

    def raw(self, value: int, first: int, end: int) -> Any:
        """Return cells as they are kept: an array of numbers, or a list of bytes."""
        cells = self.array(first, end, "cells", value)
        if self.layout.kinds[value].dtype is not None:
            return cells
        starts = (cells["offset"] + np.uint64(self.heap_at)).tolist()
        lengths = cells["length"].tolist()
        content = self.content
        return [
            bytes(content[start : start + length])
            for start, length in zip(starts, lengths, strict=True)
        ]

    def part(self, first: int, end: int) -> Events:
        """Return events as they were packed."""
        layout = self.layout
        return Events(
            self.array(first, end, "events"),
            self.array(first, end, "arrivals"),
            self.array(first, end, "ids") if layout.identity else None,
            [self.raw(place, first, end) for place in range(len(layout.values))],
            [self.array(first, end, "nulls", place) for place in range(len(layout.values))],
            [self.array(first, end, "flags", place) for place in range(len(layout.flags))],
        )
