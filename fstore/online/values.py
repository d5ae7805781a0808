"""Cells between Arrow and Python, without loss: what the answers are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Context
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from fstore.compile.keyvalue import typed_nulls

# Decimals are computed with by this: Python's own context rounds to 28 digits. Those that there are
# in a window, each of 38 digits, add up to fewer.
EXACT = Context(prec=100)

# A UHUGEINT is handed over as a HUGEINT.
HUGE_RANGE = {"HUGEINT": (-(2**127), 2**127 - 1), "UHUGEINT": (0, 2**127 - 1)}
HUGE = frozenset(HUGE_RANGE)
_HUGE_CELLS = pa.decimal128(38, 0)  # of which a HUGEINT may have one digit more
_EPOCH, _EPOCH_DAY = datetime(1970, 1, 1), date(1970, 1, 1)  # noqa: DTZ001 - zones come later
_EPOCH_ORDINAL = _EPOCH_DAY.toordinal()
_FIRST, _LAST = datetime.min, datetime.max
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": _MICROSECOND}
_INFINITE, _INFINITE_DAY = 2**63 - 1, 2**31 - 1  # how DuckDB writes infinity, and -infinity


def to_python(column: pa.ChunkedArray, kind: str) -> list[Any]:
    """Return the cells of a column whose DuckDB type is ``kind``.

    HUGEINT gives integers. A time beyond Python's calendar gives the end of it, as in DuckDB's own
    client: infinity is ``datetime.max``.
    """
    if kind in HUGE:
        return [None if cell is None else int(cell) for cell in column.to_pylist()]
    if pa.types.is_map(column.type):
        return column.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        if pa.types.is_timestamp(column.type):
            return [clamped_time(cell, column.type) for cell in _raw(column, pa.int64())]
        if pa.types.is_date32(column.type):
            return [clamped_day(cell) for cell in _raw(column, pa.int32())]
        raise


def _raw(column: pa.ChunkedArray, kind: pa.DataType) -> list[int | None]:
    return column.cast(kind).to_pylist()  # type: ignore[no-any-return]


def clamped_time(cell: int | None, kind: pa.TimestampType) -> datetime | None:
    """Return the time that a timestamp's own number means; the calendar's end beyond it."""
    return None if cell is None else time_reader(kind)(cell)


@lru_cache(maxsize=64)
def time_reader(kind: pa.TimestampType) -> Callable[[int], datetime]:
    """Return what :func:`clamped_time` does for timestamps of one type, for many cells."""
    zone = UTC if kind.tz else None
    epoch, unit = _EPOCH.replace(tzinfo=zone), _UNITS.get(kind.unit, _MICROSECOND)
    first, last = _FIRST.replace(tzinfo=zone), _LAST.replace(tzinfo=zone)

    def read(cell: int) -> datetime:
        try:
            return epoch + cell * unit
        except OverflowError:
            return last if cell > 0 else first

    if kind.unit == "ns":  # of which Python has none
        return lambda cell: read(cell // 1_000)
    return read


def clamped_day(cell: int | None) -> date | None:
    """Return the day of this number since 1970; the calendar's end beyond it."""
    if cell is None:
        return None
    try:
        return date.fromordinal(cell + _EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        return date.max if cell > 0 else date.min


def to_arrow(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return cells that :func:`to_python` made as an array of their own type again."""
    if not cells:
        return pa.nulls(0, kind)
    if pa.types.is_timestamp(kind) and any(_is_end(cell) for cell in cells):
        numbers = [_time_number(cell, kind) for cell in cells]
        return pa.array(numbers, pa.int64()).cast(kind)
    if pa.types.is_date32(kind) and any(cell in (date.max, date.min) for cell in cells):
        return pa.array([_day_number(cell) for cell in cells], pa.int32()).cast(kind)
    try:
        return pa.array(cells, kind)
    except pa.ArrowInvalid:
        if kind != _HUGE_CELLS or any(type(cell) not in (int, type(None)) for cell in cells):
            raise
        return _huge_array(cells)


def _huge_array(cells: Sequence[Any]) -> pa.Array:
    """Return integers of 39 digits as DuckDB hands them over; OverflowError beyond a HUGEINT."""
    is_there = np.array([cell is not None for cell in cells])
    content = b"".join(int(cell or 0).to_bytes(16, "little", signed=True) for cell in cells)
    validity = np.packbits(is_there, bitorder="little").tobytes()
    buffers = [pa.py_buffer(validity), pa.py_buffer(content)]
    return pa.Array.from_buffers(_HUGE_CELLS, len(cells), buffers)


def _is_end(cell: datetime | None) -> bool:
    return cell is not None and cell.replace(tzinfo=None) in (_FIRST, _LAST)


def _time_number(cell: datetime | None, kind: pa.TimestampType) -> int | None:
    if cell is None:
        return None
    if _is_end(cell):
        return _INFINITE if cell.year > 1 else -_INFINITE
    return int(pa.scalar(cell, kind).value)


def _day_number(cell: date | None) -> int | None:
    if cell is None:
        return None
    if cell in (date.max, date.min):
        return _INFINITE_DAY if cell == date.max else -_INFINITE_DAY
    return (cell - _EPOCH_DAY).days


# What DuckDB would say of the types that most columns have: to start an engine takes a while.
WELL_KNOWN = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}


def arrow_types(kinds: tuple[str, ...]) -> tuple[pa.DataType, ...]:
    """Return the Arrow types as which DuckDB hands over columns of these types.

    But for an ENUM within another type, which is text: Arrow's messages and Python's values of such
    a type have no dictionary.
    """
    if all(kind in WELL_KNOWN for kind in kinds):
        return tuple(WELL_KNOWN[kind] for kind in kinds)
    return asked_arrow_types(kinds)


@lru_cache(maxsize=256)
def asked_arrow_types(kinds: tuple[str, ...]) -> tuple[pa.DataType, ...]:
    """Return what DuckDB says when it is asked for :func:`arrow_types`."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(typed_nulls(kinds)).to_arrow_table().schema.types
    return tuple(each if pa.types.is_dictionary(each) else _with_text(each) for each in found)


def _with_text(kind: pa.DataType) -> pa.DataType:
    """Return a type with text in place of dictionaries."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_map(kind):
        return pa.map_(_with_text(kind.key_type), _with_text(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_with_text(each.type)) for each in kind.fields])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_with_text(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_with_text(kind.value_type)), kind.list_size)
    return kind
