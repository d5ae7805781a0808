"""Reads by key: from the image of what was published, and from what was pushed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from fstore.definitions import FeatureView
from fstore.online.image import Image
from fstore.online.pushes import Known
from fstore.online.records import NEVER, RANK, Cells, Layout, Row
from fstore.online.visible import newest

# What is at hand of a key: where its first published record is (-1: nowhere), the bytes that hold
# it and its heap, and what was pushed and deleted (None: nothing).
Found = tuple[int, Any, Known | None]


def index_lookup(
    view: FeatureView,
    features: Sequence[str],
    image: Image,
    generation: int,
    known: Mapping[bytes, Known],
) -> Callable[[Sequence[bytes | None], int], list[Row]]:
    """Return the function that reads features of a view: (keys, instant) to a row for each key.

    ``generation`` is the image's, which deletions name; ``known`` is what the log says by key, now
    and when it has grown. Rows have their cells in the order of the relation.
    """
    find, content, nothing = image.finder(), repeat(image.content), repeat(None)
    rows = row_reader(view, features, image.layout, generation)

    def read(keys: Sequence[bytes | None], at: int) -> list[Row]:
        heard: Iterable[Known | None] = map(known.get, keys) if known else nothing  # type: ignore[arg-type]
        return rows(zip(map(find, keys), content, heard, strict=False), at)

    return read


def row_reader(
    view: FeatureView, features: Sequence[str], layout: Layout, generation: int
) -> Callable[[Iterable[Found], int], list[Row]]:
    """Return the function that chooses what to see: (what is at hand of each key, instant) to rows.

    ``generation`` is that of the published records: a deletion may hide them.
    """
    size = layout.size
    cells = Cells(layout, features)
    unpack, decode, stale = cells.unpack, cells.decode, cells.stale
    plain, no_nulls, missing = cells.plain, cells.no_nulls, cells.missing
    ttl = None if view.ttl is None else view.ttl.seconds * 1_000_000

    def read(found: Iterable[Found], at: int) -> list[Row]:
        oldest = NEVER if ttl is None else at - ttl
        rows = []
        for record, content, heard in found:
            if heard is not None:
                row, content = settled(record, content, heard, at)
            elif record < 0:
                rows.append(missing)
                continue
            else:
                row = unpack(content, record)
                if row[2] or row[0] > at:
                    row, content = settled(record, content, None, at)
            if row is None or row[1] <= at:  # nothing yet, or a snapshot's row that has ended
                rows.append(missing)
            elif row[0] < oldest:
                rows.append(stale(row[0]))
            elif plain and row[3] == no_nulls:
                rows.append(row)
            else:
                rows.append(decode(row, content))
        return rows

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

    return read
