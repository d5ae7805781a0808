"""A choice of features of a view, read from records: one row, or many as columns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fstore.online.records import Layout, Row

# One of the features: its part of Layout.dtype, its place among all of the layout, whether it
# refers to the heap, and what decodes it. A bare tuple, which a loop takes apart at half the cost.
_Chosen = tuple[str, int, bool, Callable[[Any], Any] | None]


class Cells:
    """Reads a choice of features from records, the features in the order of the layout.

    One row is one call of struct: :attr:`unpack` (records, offset) gives (E, ends, followers,
    nulls, raw cells ...). Where :attr:`plain`, and without a NULL, that is the row already; else
    :meth:`decode` makes the row of it. :meth:`columns` reads many rows at once.
    """

    HEAD = 4  # what comes before the cells of a row

    def __init__(self, layout: Layout, features: Sequence[str]) -> None:
        formats = ["q", "8x", "q", "I", *layout.formats[4:5], f"{layout.formats_size(5, 6)}x"]
        wanted = set(features)
        self._chosen: list[_Chosen] = []
        for place, (column, codec) in enumerate(zip(layout.features, layout.codecs, strict=True)):
            if column.name in wanted:
                formats.append(layout.formats[6 + place])
                refers = codec.code is None
                self._chosen.append((f"cell {place}", place, refers, codec.decode))
            else:
                formats.append(f"{layout.formats_size(6 + place, 7 + place)}x")
        self.unpack = struct.Struct("<" + "".join(formats)).unpack_from
        self.no_nulls = bytes(layout.null_bytes)
        self.plain = all(not refers and not decode for _, _, refers, decode in self._chosen)
        self._cells_at = {  # by bit of NULL
            1 << place: at for at, (_, place, *_) in enumerate(self._chosen, start=self.HEAD)
        }
        self._null_bits = sum(self._cells_at)
        self.missing: Row = (None,) * (self.HEAD + len(self._chosen))

    def stale(self, event: int) -> Row:
        """Return the row of which only E is told."""
        return (event, *self.missing[1:])

    def decode(self, raw: Row, heap: Any) -> Row:
        """Return a row with its values, from what :attr:`unpack` gave."""
        nulls = int.from_bytes(raw[3], "little") & self._null_bits
        cells: list[Any]
        if self.plain:
            cells = [*raw]
            while nulls:
                bit = nulls & -nulls
                cells[self._cells_at[bit]] = None
                nulls -= bit
            return tuple(cells)
        cells = []
        at = self.HEAD
        for _, place, refers, decode in self._chosen:
            if nulls >> place & 1:
                cells.append(None)
            elif refers:
                content = heap[raw[at] : raw[at] + raw[at + 1]]
                cells.append(content if decode is None else decode(content))
            else:
                cells.append(raw[at] if decode is None else decode(raw[at]))
            at += 2 if refers else 1
        return (*raw[: self.HEAD], *cells)

    def columns(self, records: np.ndarray, heap: Any, others: np.ndarray) -> list[Any]:
        """Return the rows of records of Layout.dtype as columns, which are lists.

        Of ends only that there is one is told, and nothing of followers and nulls, which nobody
        reads. ``others`` tells by row which ones the caller replaces: what they refer to is not
        decoded.
        """
        events, nothing = records["E"].tolist(), [None] * len(records)
        columns: list[Any] = [events, events.copy(), nothing, nothing]
        nulls, anywhere = records["nulls"], 0
        bits = nulls
        if np.count_nonzero(nulls):
            anywhere = int.from_bytes(np.bitwise_or.reduce(nulls).tobytes(), "little")
            bits = np.unpackbits(nulls, axis=1, bitorder="little")
        for part, place, refers, decode in self._chosen:
            gone = bits[:, place] if anywhere >> place & 1 else None
            if refers:
                unread = others if gone is None else others | gone
                cells = _referred(records[part], heap, decode or bytes, unread)
            else:
                cells = records[part].tolist()
                if decode is not None:
                    cells = list(map(decode, cells))
                if gone is not None:
                    for row in gone.nonzero()[0].tolist():
                        cells[row] = None
            columns.append(cells)
        return columns


def _referred(
    found: np.ndarray, heap: Any, decode: Callable[[Any], Any], unread: np.ndarray
) -> list[Any]:
    offsets, lengths = found["offset"].tolist(), found["length"].tolist()
    return [
        None if skipped else decode(heap[offset : offset + length])
        for offset, length, skipped in zip(offsets, lengths, unread.tolist(), strict=True)
    ]
