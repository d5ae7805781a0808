"""The row of a view as bytes: what index images, the push log and other servers' values hold.

A record has one size for all rows of a view, so that any choice of features is one call of struct:

    E, A, ends    microseconds since 1970 in UTC; from ``ends`` on the row, a snapshot's, has ended
    followers     how many later rows of the same key come right behind it
    nulls         a bit for each feature
    key, cells    numbers, or (offset, length) of bytes in a heap beside the records
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fstore.compile.carried import carried
from fstore.compile.types import find_column
from fstore.definitions import Column, FeatureView
from fstore.online.arrays import array_of, missing
from fstore.online.cells import Codec, codec_of
from fstore.online.key_arrays import together
from fstore.online.key_bytes import KeyCodec, bytes_of

ALWAYS = 2**63 - 1  # DuckDB's infinity: an end that never comes
NEVER = -ALWAYS  # its -infinity, which orders below every time: an A that is NULL

RANK = struct.Struct("<qq")  # how a record begins: (E, A)
_TIMES = struct.Struct("<qqqI")  # E, A, ends, followers
REFERENCE = struct.Struct("<QI")  # offset and length in the heap

# What a read gives of a key: (E, ends, followers, nulls, cells ...). All are None where nothing was
# found; all but E where the row is older than the ttl.
Row = tuple[Any, ...]


class Rows(NamedTuple):
    """Rows of a view as columns, about to be packed. Times are arrays of int64."""

    keys: Sequence[bytes]
    events: np.ndarray
    arrivals: np.ndarray
    ends: np.ndarray
    followers: np.ndarray
    cells: Sequence[pa.Array]  # one for each feature


class Block(NamedTuple):
    """Records one behind the other, and the heap that their references point into."""

    records: Any  # bytes, or what can be sliced to bytes
    heap: Any


@dataclass(frozen=True)
class Layout:
    """Where things are in the records of a view: its key's types, and what is carried."""

    key_types: tuple[str, ...]
    features: tuple[Column, ...]

    @classmethod
    def of(cls, view: FeatureView, columns: tuple[Column, ...]) -> Layout:
        """Return the layout for a view whose built relation has these columns."""
        keys = [find_column(columns, key) for key in view.join_keys]
        return cls(tuple(key.type for key in keys if key), carried(view, columns))

    @cached_property
    def key(self) -> KeyCodec:
        return KeyCodec(self.key_types)

    @cached_property
    def codecs(self) -> tuple[Codec, ...]:
        return tuple(codec_of(column.type) for column in self.features)

    @cached_property
    def null_bytes(self) -> int:
        return len(self.features) // 8 + 1

    @cached_property
    def formats(self) -> tuple[str, ...]:
        key = "QI" if self.key.size is None else f"{self.key.size}s"
        return ("q", "q", "q", "I", f"{self.null_bytes}s", key) + tuple(
            codec.code or "QI" for codec in self.codecs
        )

    def formats_size(self, first: int, end: int) -> int:
        """Return how many bytes these of the record's parts take."""
        return struct.calcsize("<" + "".join(self.formats[first:end]))

    @cached_property
    def size(self) -> int:
        """How many bytes a record is long."""
        return self.formats_size(0, len(self.formats))

    @cached_property
    def followers_at(self) -> int:
        """Where in a record the number of followers is."""
        return self.formats_size(0, 3)

    @cached_property
    def key_at(self) -> int:
        """Where in a record the key is."""
        return self.formats_size(0, 5)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """A record as numpy sees it, with a field for each part: E, A, nulls, ``cell 0``, ..."""
        fields: list[tuple[str, Any]] = [("E", "<i8"), ("A", "<i8"), ("ends", "<i8")]
        fields += [("followers", "<u4"), ("nulls", f"({self.null_bytes},)u1")]
        reference = np.dtype([("offset", "<u8"), ("length", "<u4")])
        fields.append(("key", reference if self.key.size is None else f"V{self.key.size}"))
        for place, codec in enumerate(self.codecs):
            fields.append((f"cell {place}", reference if codec.code is None else f"<{codec.code}"))
        return np.dtype(fields)

    def structured(self, records: bytes) -> np.ndarray:
        """Return records as an array of :attr:`dtype`."""
        return np.frombuffer(records, self.dtype)

    def pack(self, rows: Rows, heap_start: int = 0) -> Block:
        """Return the rows as records and heap, for a heap that has ``heap_start`` bytes before."""
        records = np.zeros(len(rows.keys), self.dtype)
        records["E"], records["A"], records["ends"] = rows.events, rows.arrivals, rows.ends
        records["followers"] = rows.followers
        heap: list[bytes] = []
        if self.key.size is None:
            heap_start += _refer(records["key"], rows.keys, heap, heap_start)
        elif self.key.size:  # 0: of no entity
            records["key"] = np.frombuffer(together(rows.keys), f"V{self.key.size}")
        for place, (codec, cells) in enumerate(zip(self.codecs, rows.cells, strict=True)):
            if cells.null_count:
                records["nulls"][:, place >> 3] |= missing(cells).astype("u1") << (place & 7)
            target, encoded = records[f"cell {place}"], codec.encode(cells)
            if codec.code is None:
                heap_start += _refer_column(target, encoded, heap, heap_start)
            else:
                target[:] = array_of(encoded)
        return Block(records.tobytes(), b"".join(heap))

    @cached_property
    def _references(self) -> tuple[str, ...]:
        """The parts of a record that refer to the heap, but for the key."""
        codecs = enumerate(self.codecs)
        return tuple(f"cell {place}" for place, codec in codecs if codec.code is None)

    def apart(self, block: Block, count: int) -> list[bytes]:
        """Return each row by itself: its record, then its heap; references count from its start.

        A key that is not of fixed size is left out: such rows are held under their key.
        """
        records = np.frombuffer(block.records, self.dtype, count).copy()
        if self.key.size is None:
            records["key"] = 0
        if not self._references:
            return _sliced(records.tobytes(), self.size)
        starts = [records[name]["offset"].tolist() for name in self._references]
        lengths = [records[name]["length"] for name in self._references]
        at = np.full(count, self.size, np.uint64)
        for name, length in zip(self._references, lengths, strict=True):
            records[name]["offset"] = at
            at += length
        heap, listed = block.heap, [length.tolist() for length in lengths]
        rows = zip(*starts, *listed, strict=True)
        width = len(self._references)
        return [
            record + b"".join([heap[row[n] : row[n] + row[n + width]] for n in range(width)])
            for record, row in zip(_sliced(records.tobytes(), self.size), rows, strict=True)
        ]

    def together(self, rows: Sequence[bytes]) -> bytes:
        """Return the rows of one key, each as :meth:`apart` gave it, as one such block."""
        if len(rows) == 1:
            return rows[0]
        size, count = self.size, len(rows)
        records = np.frombuffer(b"".join(row[:size] for row in rows), self.dtype).copy()
        records["followers"] = np.arange(count - 1, -1, -1)
        heaps = [row[size:] for row in rows]
        before = np.array(list(accumulate(map(len, heaps), initial=0))[:-1], np.uint64)
        for name in self._references:
            records[name]["offset"] += before + np.uint64((count - 1) * size)
        return records.tobytes() + b"".join(heaps)

    def rows_in(self, rows: bytes) -> int:
        """Return how many rows there are in what :meth:`together` gave."""
        followers: int = _TIMES.unpack_from(rows, 0)[3]
        return followers + 1

    def has_keys_of(self, other: Layout) -> bool:
        """Whether keys of the other layout, as bytes, are those that equal values have in this."""
        return [*map(bytes_of, self.key_types)] == [*map(bytes_of, other.key_types)]

    def rank_seen(self, content: Any, instant: int, at: int = 0) -> tuple[int, int] | None:
        """Return (E, A) of the row to see at an instant, of the key whose first record is there.

        ``at`` is the offset of that record; the rows of a key are in the order of E.
        """
        seen = None
        for place in range(_TIMES.unpack_from(content, at)[3] + 1):
            rank: tuple[int, int] = RANK.unpack_from(content, at + place * self.size)
            if rank[0] > instant:
                break
            seen = rank
        return seen

    def keys_of(self, block: Block, count: int) -> list[bytes]:
        """Return the keys of the first so many records, as bytes."""
        if self.key.size == 0:  # of no entity
            return [b""] * count
        keys = self.structured(block.records[: count * self.size])["key"]
        if self.key.size is not None:
            found: list[bytes] = keys.tolist()
            return found
        ends = (keys["offset"] + keys["length"]).tolist()
        starts = keys["offset"].tolist()
        return [bytes(block.heap[start:end]) for start, end in zip(starts, ends, strict=True)]

    def ranks_of(self, block: Block, count: int) -> tuple[list[int], list[int]]:
        """Return E of the first so many records, and A."""
        records = self.structured(block.records[: count * self.size])
        return records["E"].tolist(), records["A"].tolist()

    def times_of(self, block: Block, place: int) -> tuple[int, int, int, int]:
        """Return E, A, ends and followers of the record at a place."""
        return _TIMES.unpack_from(block.records, place * self.size)


def _sliced(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def _refer(target: np.ndarray, texts: Sequence[bytes], heap: list[bytes], start: int) -> int:
    lengths = [len(text) for text in texts]
    target["offset"] = list(accumulate(lengths, initial=start))[:-1]
    target["length"] = lengths
    heap.extend(texts)
    return sum(lengths)


def _refer_column(target: np.ndarray, cells: pa.Array, heap: list[bytes], start: int) -> int:
    """Refer to the cells of a column of large_binary or large_string; NULLs are of length 0."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, "<i8")[cells.offset : cells.offset + len(cells) + 1]
    first, last = (int(ends[0]), int(ends[-1])) if len(cells) else (0, 0)
    target["offset"] = ends[:-1] - first + start
    target["length"] = np.diff(ends)
    if last > first:
        heap.append(data[first:last].to_pybytes())
    return last - first
