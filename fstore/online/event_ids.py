"""Which rows are versions of one event: the event_key as a number of 64 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from fstore.compile.types import is_nested
from fstore.online.event_values import ValueKind

_NONE = np.uint64(0x9E3779B97F4A7C15)  # a NULL: versions without a key are of one event


def event_ids(
    kinds: Sequence[ValueKind], cells: Sequence[Any], nulls: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the id of each event; NULL is equal to NULL.

    An integer is its own id. Of anything else it is a hash: two events of one entity share one by
    chance about once in 2**64.
    """
    if len(kinds) == 1 and kinds[0].number == "integer":
        own = cells[0].astype("<i8").view("<u8")
        return np.where(nulls[0].astype(bool), _NONE, own)
    parts = [_parts(*each) for each in zip(kinds, cells, nulls, strict=True)]
    rows = map(b"".join, zip(*parts, strict=True))
    return np.fromiter(map(xxh3_64_intdigest, rows), np.uint64, len(nulls[0]))


def _parts(kind: ValueKind, cells: Any, nulls: np.ndarray) -> list[bytes]:
    """Return each cell as bytes that tell where it ends, equal ones of equal cells."""
    if kind.number == "float":
        cells = np.where(np.isnan(cells), np.nan, cells + 0.0).astype(kind.dtype)
    if is_nested(kind.type):  # whose bytes may differ under a NULL within
        cells = [repr(kind.decode(cell)).encode() if cell else b"" for cell in cells]
    if kind.dtype is None:
        whole = [len(cell).to_bytes(4, "little") + cell for cell in cells]
    else:
        size, content = kind.dtype.itemsize, np.ascontiguousarray(cells, kind.dtype).tobytes()
        whole = [content[at : at + size] for at in range(0, len(content), size)]
    return [
        b"\0" if null else b"\1" + cell for cell, null in zip(whole, nulls.tolist(), strict=True)
    ]
