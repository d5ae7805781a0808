"""Reads by key: from the image of what was published, and from what was pushed since."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fstore.definitions import FeatureView
from fstore.online.image import Image
from fstore.online.pushes import NOTHING, Known
from fstore.online.records import NEVER, Cells, Row
from fstore.online.visible import newest

_RANK = struct.Struct("<qq").unpack_from


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
    size, content = image.layout.size, image.content
    cells = Cells(image.layout, features)
    unpack, decode, stale = cells.unpack, cells.decode, cells.stale
    plain, no_nulls, missing = cells.plain, cells.no_nulls, cells.missing
    find = image.finder()
    ttl = None if view.ttl is None else view.ttl.seconds * 1_000_000

    def read(keys: Sequence[bytes | None], at: int) -> list[Row]:
        oldest = NEVER if ttl is None else at - ttl
        rows = []
        for key in keys:
            if key is None:
                rows.append(missing)
                continue
            record, heap = find(key), content
            if known and key in known:
                row, heap = settled(record, known[key], at)
            elif record < 0:
                rows.append(missing)
                continue
            else:
                row = unpack(content, record)
                if row[2] or row[0] > at:
                    row, heap = settled(record, NOTHING, at)
            if row is None or row[1] <= at:  # nothing yet, or a snapshot's row that has ended
                rows.append(missing)
            elif row[0] < oldest:
                rows.append(stale(row[0]))
            elif plain and row[3] == no_nulls:
                rows.append(row)
            else:
                rows.append(decode(row, heap))
        return rows

    def settled(record: int, heard: Known, at: int) -> tuple[Row | None, Any]:
        """Return the raw row to see where a key has several, or was pushed or deleted."""
        published = None
        if record >= 0 and heard.hides < generation:
            for place in range(unpack(content, record)[2] + 1):
                row = unpack(content, record + place * size)
                if row[0] > at:
                    break
                published = record + place * size
        pushed = newest(heard.versions, at)
        if pushed is not None and (published is None or pushed.rank >= _RANK(content, published)):
            block = pushed.entry.block
            return unpack(block.records, pushed.place * size), block.heap
        return (None if published is None else unpack(content, published)), content

    return read
