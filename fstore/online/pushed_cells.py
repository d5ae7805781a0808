"""The values that callers push, as arrays of their columns' own types: never cut, never guessed.

A value of another type is refused, and so is one that the type cannot hold whole: 1.9 for an
INTEGER, 1e300 for a FLOAT, a time between the milliseconds of a TIMESTAMP_MS, 'zz' for an ENUM
without it. A number that is whole is an integer however it is written: 2.0 is 2. A column is looked
at once, and value by value only where that look finds another kind of value in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile.handed import for_storage
from fstore.compile.keyvalue import cast_of
from fstore.compile.types import decimal_of
from fstore.online import in_memory
from fstore.online.enums import members_of
from fstore.online.keys import NotAKeyError
from fstore.online.pushed_values import Reader, reader_of
from fstore.online.values import HUGE, WELL_KNOWN, arrow_types, to_arrow

_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)
_TEXT_OF_A_KIND = re.compile(r"\b(ENUM|JSON|UUID)\b")  # which Arrow takes for any text


class NotTakenError(ValueError):
    """A value is not of its column's type; ``place`` says which, the text what to give."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place = place


def cells_of(kind: str, values: Sequence[Any]) -> pa.Array:
    """Return the values of a column of a DuckDB type; NotTakenError for the first that is not."""
    (arrow,) = arrow_types((kind,))
    reader = reader_of(kind)
    if not reader.fine(values):
        values = [*_read(reader, values)]
    try:
        cells = _array(kind, arrow, values)
    except _ERRORS:
        _refuse_one(kind, arrow, reader, values)
    if _TEXT_OF_A_KIND.search(kind):
        _check_texts(kind, arrow, cells, values)
    return cells.cast(arrow)


def _array(kind: str, arrow: pa.DataType, values: Sequence[Any]) -> pa.Array:
    if kind in HUGE:
        return to_arrow(values, arrow)
    if kind == "TIMESTAMP_NS":
        cells = pa.array(values, pa.timestamp("us")).cast(arrow)  # refuses years that it has not
        is_finer = any(getattr(value, "nanosecond", 0) for value in values)
        return pa.array(values, arrow) if is_finer else cells
    return pa.array(values, pa.string() if pa.types.is_dictionary(arrow) else arrow)


def same_cells(kind: str, cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return cells of Arrow as ones of a DuckDB type where each stays what it is; else None.

    None says that the values have to be looked at one by one.
    """
    (arrow,) = arrow_types((kind,))
    if _TEXT_OF_A_KIND.search(kind) or for_storage(kind) is not None:
        return None
    if cells.type == arrow:
        return cells
    ours, theirs = _class_of(arrow), _class_of(cells.type)
    if kind not in WELL_KNOWN or ours is None or (theirs, ours) not in _CONVERTED:
        return None
    try:
        found = cells.cast(arrow)
    except pa.ArrowInvalid:  # something would be lost
        return None
    if pa.types.is_float32(arrow) and _overflows(cells, found):
        return None
    return found


# What becomes what, where Arrow's safe cast refuses to lose anything.
_CONVERTED = {("int", "int"), ("float", "int"), ("int", "float"), ("float", "float")}
_CONVERTED |= {("text", "text"), ("time", "time")}


def _class_of(kind: pa.DataType) -> str | None:
    if pa.types.is_integer(kind):
        return "int"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_timestamp(kind) and kind.tz in (None, "UTC"):
        return "time"
    return None


def _overflows(cells: pa.ChunkedArray, found: pa.ChunkedArray) -> bool:
    both = (pc.sum(pc.is_inf(each)).as_py() for each in (cells, found))
    return len({*both}) > 1


def _read(reader: Reader, values: Sequence[Any]) -> list[Any]:
    found = []
    for place, value in enumerate(values):
        try:
            found.append(reader.read(value))
        except NotAKeyError as reason:
            raise NotTakenError(place, str(reason)) from None
    return found


def _refuse_one(kind: str, arrow: pa.DataType, reader: Reader, values: Sequence[Any]) -> NoReturn:
    for place, value in enumerate(values):
        try:
            _array(kind, arrow, _read(reader, [value]))
        except NotTakenError as error:
            raise NotTakenError(place, str(error)) from None
        except _ERRORS:
            raise NotTakenError(place, _wanted(kind, arrow)) from None
    raise AssertionError("each value alone is of the type, and all together are not")


def _wanted(kind: str, arrow: pa.DataType) -> str:
    """Return what to give for a type."""
    if decimal := decimal_of(kind):
        width, scale = decimal
        return (
            f"give a number of at most {width - scale} digits before the point and {scale} behind "
            "it"
        )
    for holds, words in (
        (pa.types.is_integer, "a whole number that it holds"),
        (pa.types.is_floating, "a number that it holds exactly"),
        (pa.types.is_boolean, "true or false"),
        (pa.types.is_string, "text"),
        (pa.types.is_timestamp, f"a time that a {kind} holds"),
        (pa.types.is_date32, "a date, as in 2013-01-31"),
        (pa.types.is_time64, "a time of day, as Python's datetime.time"),
        (pa.types.is_binary, "bytes"),
        (pa.types.is_interval, "a duration, as Python's timedelta"),
        (pa.types.is_list, "a list of such values"),
        (pa.types.is_fixed_size_list, f"a list of {getattr(arrow, 'list_size', 0)} such values"),
        (pa.types.is_struct, "a dict with values of the fields' types"),
        (pa.types.is_map, "a dict with such keys and values"),
    ):
        if holds(arrow):
            return f"give {words}"
    return "give a value of that type"


def _check_texts(kind: str, arrow: pa.DataType, cells: pa.Array, values: Sequence[Any]) -> None:
    """Raise NotTakenError for the first text that is none of an ENUM, no JSON, or no UUID."""
    if _converts(kind, cells):
        return
    for place, value in enumerate(values):
        if not _converts(kind, _array(kind, arrow, [value])):
            raise NotTakenError(place, _text_wanted(kind))
    raise AssertionError("each text alone converts, and all together do not")


def _converts(kind: str, cells: pa.Array) -> bool:
    if members := members_of(kind):
        return {*members, None}.issuperset(pc.unique(cells).to_pylist())
    try:
        in_memory.many(cast_of(kind), "given", pa.table({"value": cells}))
    except duckdb.Error:
        return False
    return True


def _text_wanted(kind: str) -> str:
    if members := members_of(kind):
        shown = sorted(members)
        return f"give one of {', '.join(shown[:10])}{', ...' if len(shown) > 10 else ''}"
    if kind == "JSON":
        return "give JSON as text"
    return "give values of that type"
