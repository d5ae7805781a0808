"""Arrow's columns of numbers as numpy's arrays.

Arrow's own ways, ``to_numpy`` and ``pa.scalar``, load pandas wherever that is installed: time and
memory of every process.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.int8(): np.dtype("i1"),
    pa.int16(): np.dtype("<i2"),
    pa.int32(): np.dtype("<i4"),
    pa.int64(): np.dtype("<i8"),
    pa.uint8(): np.dtype("u1"),
    pa.uint16(): np.dtype("<u2"),
    pa.uint32(): np.dtype("<u4"),
    pa.uint64(): np.dtype("<u8"),
    pa.float32(): np.dtype("<f4"),
    pa.float64(): np.dtype("<f8"),
}


def whole_number(value: int) -> pa.Int64Scalar:
    """Return a number as a scalar of Arrow."""
    content = pa.py_buffer(struct.pack("<q", value))
    (found,) = pa.Array.from_buffers(pa.int64(), 1, [None, content])
    return found


_ZERO = whole_number(0)


def array_of(cells: pa.Array) -> np.ndarray:
    """Return numbers or truths as an array, which nobody may write to; 0 under a NULL."""
    if cells.null_count:
        cells = pc.fill_null(cells, _ZERO.cast(cells.type))
    if not len(cells):
        return np.zeros(0, _DTYPES.get(cells.type, np.dtype(bool)))
    content, first, count = cells.buffers()[1], cells.offset, len(cells)
    if not pa.types.is_boolean(cells.type):
        dtype = _DTYPES[cells.type]
        return np.frombuffer(content, dtype, count, first * dtype.itemsize)
    bits = np.unpackbits(np.frombuffer(content, "u1"), count=first + count, bitorder="little")
    return bits[first:].view(bool)


def missing(cells: pa.Array) -> np.ndarray:
    """Return which cells are NULL."""
    return array_of(cells.is_null())


def numbers_of(times: pa.Array, otherwise: int) -> np.ndarray:
    """Return times as their own numbers, and another one under a NULL."""
    numbers = times.cast(pa.int64())
    if numbers.null_count:
        numbers = pc.fill_null(numbers, whole_number(otherwise))
    return array_of(numbers)
