"""What the push log holds: accepted pushes and deletions, as bytes and back."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa

from fstore.definitions import Column
from fstore.errors import OnlineStoreError
from fstore.online.chosen import Cells
from fstore.online.records import Block, Layout, Rows
from fstore.online.values import arrow_types, to_arrow

_FRAME = struct.Struct("<II")  # length and CRC-32 of what follows
_HEAD = b'{"kind": '  # how every entry begins, see encoded
PUSH, DELETE = "push", "delete"


@dataclass(frozen=True)
class Entry:
    """One accepted push or deletion of rows of a view.

    A deletion's features are the join keys. It hides what the files of a generation up to
    ``hides`` hold of them, and refuses pushes that arrived before it.
    """

    kind: str
    view: str  # FeatureView.reference
    received: int
    layout: Layout
    count: int
    block: Block
    hides: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def encoded(entry: Entry) -> bytes:
    """Return an entry as it stands in the log."""
    head = {
        "kind": entry.kind,
        "view": entry.view,
        "received": entry.received,
        "keys": entry.layout.key_types,
        "features": [[column.name, column.type] for column in entry.layout.features],
        "count": entry.count,
        "records": len(entry.block.records),
        "hides": entry.hides,
        "id": entry.id,
    }
    body: bytes = json.dumps(head).encode() + b"\n" + entry.block.records + entry.block.heap
    return _FRAME.pack(len(body), crc32(body)) + body


def decoded(content: bytes, log: Path, first: int = 0) -> tuple[list[Entry], int]:
    """Return the whole entries at the start of ``content``, and how many bytes they take.

    It is what ``log`` holds from byte ``first`` on. OnlineStoreError where an entry is damaged and
    others follow it: that is no torn tail.
    """
    entries, at = [], 0
    while at + _FRAME.size <= len(content):
        length, check = _FRAME.unpack_from(content, at)
        end = at + _FRAME.size + length
        body = content[at + _FRAME.size : end]
        if len(body) < length:
            if _has_a_whole_entry(body):
                raise _damaged(log, first + at, "its length is that of other bytes")
            break
        # No entry is empty: zeros are what a file was made longer by before the power was lost.
        if not length and not content[at:].strip(b"\0"):
            break
        if crc32(body) != check:
            if end < len(content):
                raise _damaged(log, first + at, "its checksum is that of other bytes")
            break
        try:
            entries.append(_entry(body))
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(log, first + at, repr(error)) from error
        at = end
    return entries, at


def _has_a_whole_entry(content: bytes) -> bool:
    """Whether an entry is somewhere within: a torn tail is one entry, and not all of it."""
    at = content.find(_HEAD)
    while at >= 0:
        if at >= _FRAME.size:
            length, check = _FRAME.unpack_from(content, at - _FRAME.size)
            if at + length <= len(content) and crc32(content[at : at + length]) == check:
                return True
        at = content.find(_HEAD, at + 1)
    return False


def _damaged(log: Path, at: int, why: str) -> OnlineStoreError:
    return OnlineStoreError(
        f"{log} is damaged from byte {at} on ({why}): restore it, or move it away to go on without "
        "what was pushed since the last materialize."
    )


def _entry(body: bytes) -> Entry:
    line = body.index(b"\n")
    head = json.loads(body[:line])
    features = tuple(Column(name, kind) for name, kind in head["features"])
    records = line + 1 + head["records"]
    return Entry(
        kind=head["kind"],
        view=head["view"],
        received=head["received"],
        layout=Layout(tuple(head["keys"]), features),
        count=head["count"],
        block=Block(body[line + 1 : records], body[records:]),
        hides=head["hides"],
        id=head["id"],
    )


def converted(entry: Entry, layout: Layout) -> Block:
    """Return the entry's rows in another layout, whose keys must be the same bytes.

    A feature of another type has the values that this one holds; the others are NULL, and so is a
    feature that was not pushed.
    """
    wanted = {column.name for column in layout.features}
    known = [column for column in entry.layout.features if column.name in wanted]
    cells = Cells(entry.layout, [column.name for column in known])
    rows = [
        cells.decode(cells.unpack(entry.block.records, place * entry.layout.size), entry.block.heap)
        for place in range(entry.count)
    ]
    before = {
        column.name: to_arrow([row[place] for row in rows], kind)
        for place, (column, kind) in enumerate(_with_arrow_types(known), start=Cells.HEAD)
    }
    columns = [
        _as(before[column.name], kind) if column.name in before else pa.nulls(entry.count, kind)
        for column, kind in _with_arrow_types(layout.features)
    ]
    times = [entry.layout.times_of(entry.block, place) for place in range(entry.count)]
    events, arrivals, ends, followers = np.array(times, np.int64).reshape(-1, 4).T
    keys = entry.layout.keys_of(entry.block, entry.count)
    return layout.pack(Rows(keys, events, arrivals, ends, followers, columns))


def _with_arrow_types(columns: Sequence[Column]) -> Iterable[tuple[Column, pa.DataType]]:
    return zip(columns, arrow_types(tuple(column.type for column in columns)), strict=True)


def _as(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return cells in another type, NULL where it does not hold them."""
    if cells.type == kind:
        return cells
    try:
        return cells.cast(kind)
    except pa.ArrowNotImplementedError:
        return pa.nulls(len(cells), kind)
    except pa.ArrowInvalid:
        if len(cells) == 1:
            return pa.nulls(1, kind)
        return pa.concat_arrays([_as(cells.slice(place, 1), kind) for place in range(len(cells))])


def subset(entry: Entry, places: Sequence[int]) -> Entry:
    """Return the entry with these of its rows only."""
    size = entry.layout.size
    records = b"".join(entry.block.records[place * size : (place + 1) * size] for place in places)
    return replace(entry, count=len(places), block=Block(records, entry.block.heap))
