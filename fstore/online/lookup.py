"""Reads by key: from the image of what was published, and from what was pushed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from fstore.definitions import FeatureView
from fstore.online.chosen import Cells
from fstore.online.gather import gatherer
from fstore.online.image import Image
from fstore.online.known import Known, KnownKeys
from fstore.online.protocol import Columns, Lookup
from fstore.online.records import RANK, Layout, Row
from fstore.online.visible import newest, plainly_seen

_MANY = 32  # keys from which on it pays to find and read them all at once

# What is at hand of a key: where its first published record is (-1: nowhere), the bytes that hold
# it and its heap, and what was pushed and deleted (None: nothing).
Found = tuple[int, Any, Known | None]


def index_lookup(
    view: FeatureView,
    features: Sequence[str],
    image: Image,
    generation: int,
    known: KnownKeys,
) -> Lookup:
    """Return what reads features of a view.

    ``generation`` is the image's, which deletions name; ``known`` is what the log says, now and
    when it has grown.
    """
    cells = Cells(image.layout, features)
    see = _sight(view, cells, image.layout, generation)
    find, content, gather = image.finder(), image.content, gatherer(image)
    heard, pushed = known.get, known.table
    no_key = bytes(image.layout.key.size or 0)
    ttl, first, size = _ttl(view), image.offset_of(0), image.layout.size

    def row(key: bytes | None, at: int) -> Row:
        return see(find(key), content, heard(key) if pushed else None, at)

    def columns(keys: Sequence[bytes | None], at: int) -> Columns:
        if gather is None or len(keys) < _MANY:
            return one_by_one(keys, map(find, keys), at)
        is_null = None in keys
        asked = [no_key if key is None else key for key in keys] if is_null else keys
        records, numbers = gather(asked)  # type: ignore[arg-type]  # no None among them
        if is_null:
            numbers[[key is None for key in keys]] = -1
        unknown = numbers < 0  # which are nowhere: there is nothing to look at
        others = unknown | ~plainly_seen(records, at, ttl)
        if pushed:
            told = np.array([key in pushed for key in keys])
            others, unknown = others | told, unknown & ~told
        if unknown.all():
            return [[None] * len(keys) for _ in cells.missing]
        places = (others & ~unknown).nonzero()[0].tolist()
        if 2 * len(places) > len(keys):
            return one_by_one(keys, map(offset_of, numbers.tolist()), at)
        found = cells.columns(records, content, others)
        for place in unknown.nonzero()[0].tolist():
            for column in found:
                column[place] = None
        for place in places:
            said = heard(keys[place]) if pushed else None
            seen = see(offset_of(numbers.item(place)), content, said, at)
            for column, cell in zip(found, seen, strict=True):
                column[place] = cell
        return found

    def one_by_one(keys: Sequence[bytes | None], offsets: Iterable[int], at: int) -> Columns:
        said = map(heard, keys) if pushed else repeat(None)
        rows = map(see, offsets, repeat(content), said, repeat(at))
        return [*zip(*rows, strict=True)]

    def offset_of(number: int) -> int:
        return first + number * size if number >= 0 else -1

    return Lookup(row, columns)


def row_reader(
    view: FeatureView, features: Sequence[str], layout: Layout, generation: int
) -> Callable[[Sequence[Found], int], list[Row]]:
    """Return the function that chooses what to see: (what is at hand of each key, instant) to rows.

    ``generation`` is that of the published records: a deletion may hide them.
    """
    see = _sight(view, Cells(layout, features), layout, generation)
    return lambda found, at: [see(record, content, heard, at) for record, content, heard in found]


def _ttl(view: FeatureView) -> int | None:
    return None if view.ttl is None else view.ttl.seconds * 1_000_000


def _sight(
    view: FeatureView, cells: Cells, layout: Layout, generation: int
) -> Callable[[int, Any, Known | None, int], Row]:
    """Return the function from what is at hand of a key, and an instant, to the row to see."""
    size = layout.size
    unpack, decode, stale = cells.unpack, cells.decode, cells.stale
    plain, no_nulls, missing = cells.plain, cells.no_nulls, cells.missing
    ttl = _ttl(view)

    def see(record: int, content: Any, heard: Known | None, at: int) -> Row:
        row: Row | None
        if heard is not None:
            row, content = settled(record, content, heard, at)
        elif record < 0:
            return missing
        else:
            row = unpack(content, record)
            if row[2] or row[0] > at:
                row, content = settled(record, content, None, at)
        if row is None or row[1] <= at:  # nothing yet, or a snapshot's row that has ended
            return missing
        if ttl is not None and row[0] < at - ttl:
            return stale(row[0])
        if plain and row[3] == no_nulls:
            return row
        return decode(row, content)

    def settled(record: int, content: Any, heard: Known | None, at: int) -> tuple[Row | None, Any]:
        """Return the raw row to see where a key has several, or was pushed or deleted.

        A key is read as of its last push at the earliest: what was seen before that is forgotten,
        and another process's push may be taken in after the read's instant was.
        """
        if heard and heard.versions:
            at = max(at, max(version.entry.received for version in heard.versions))
        published = None
        if record >= 0 and (heard is None or heard.hides < generation):
            for place in range(unpack(content, record)[2] + 1):
                row = unpack(content, record + place * size)
                if row[0] > at:
                    break
                published = record + place * size
        pushed = newest(heard.versions, at) if heard else None
        if pushed is not None and (
            published is None or pushed.rank >= RANK.unpack_from(content, published)
        ):
            block = pushed.entry.block
            return unpack(block.records, pushed.place * size), block.heap
        return (None if published is None else unpack(content, published)), content

    return see
