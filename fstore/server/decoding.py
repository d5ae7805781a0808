"""Cells of JSON as values of their columns' types: what answers hold can be pushed again.

It is the other way of :mod:`fstore.server.encoding`. Text of what JSON has no form for becomes that
value, at any depth; a text that is none stays as it is, and is refused where rows are typed. What
is read there from text in any case (clocks, days, decimals and UUIDs of their own) is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from fstore.definitions import Column, FeatureView
from fstore.errors import EntityRowsError
from fstore.online.keys import shown
from fstore.online.values import arrow_types

Read = Callable[[Any], Any]

_WHOLE = re.compile(r"[+-]?[0-9]{1,50}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,80}(\.[0-9]{0,80})?")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_ENDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_TRUTHS = {"true": True, "false": False}


def rows_of(
    view: FeatureView, columns: Sequence[Column], given: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Return pushed columns with values in place of their texts; EntityRowsError for a bad BLOB.

    A BLOB that is a join key is left alone: it is text where it is asked for, too.
    """
    kinds = {column.name.casefold(): column.type for column in columns}
    keys = {key.casefold() for key in view.join_keys}
    found = {}
    for name, values in given.items():
        kind = kinds.get(name.casefold())
        read = None if kind is None else reader(kind)
        if read is None or (kind == "BLOB" and name.casefold() in keys):
            found[name] = values
        else:
            found[name] = [
                _one(view, name, kind, place, read, value) for place, value in enumerate(values)
            ]
    return found


def _one(view: FeatureView, name: str, kind: str | None, place: int, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as reason:
        raise EntityRowsError(
            f"rows[{place}]: {name} is {shown(value)}, and {name} of {view.reference} is {kind}: "
            f"{reason}."
        ) from None


@lru_cache(1024)
def reader(kind: str) -> Read | None:
    """Return the function from JSON to a value of a DuckDB type; None where that is the same.

    It raises ValueError for text that is no BLOB, which would be taken for its own bytes, and for
    a time that has no nanoseconds.
    """
    (arrow,) = arrow_types((kind,))
    if kind == "TIMESTAMP_NS":
        return _within
    if kind.startswith("DECIMAL(") and not kind.endswith("]"):
        return None
    if pa.types.is_timestamp(arrow) or pa.types.is_date(arrow):
        return None
    return _reader(arrow)


def _reader(kind: pa.DataType) -> Read | None:
    if isinstance(kind, pa.BaseExtensionType):
        return _reader(kind.storage_type)
    if pa.types.is_floating(kind):
        return lambda value: _ENDS.get(value, value) if type(value) is str else value
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and not kind.scale):
        return lambda value: int(value) if _is_text(value, _WHOLE) else value
    if pa.types.is_decimal(kind):
        return lambda value: Decimal(value) if _is_text(value, _DECIMAL) else value
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _bytes
    if pa.types.is_timestamp(kind):
        return _instant(kind)
    if pa.types.is_date(kind):
        return _from_iso(date.fromisoformat)
    if pa.types.is_time(kind):
        return _from_iso(_time)
    if pa.types.is_interval(kind):
        return _interval
    return _nested(kind)


def _nested(kind: pa.DataType) -> Read | None:
    if pa.types.is_map(kind):
        key, item = _key_reader(kind.key_type), _reader(kind.item_type) or _same
        return _of(dict, lambda value: [(key(k), item(each)) for k, each in value.items()])
    if pa.types.is_struct(kind):
        known = {field.name: _reader(field.type) for field in kind}
        fields = {name: read for name, read in known.items() if read}
        if not fields:
            return None
        return _of(dict, lambda value: {k: fields.get(k, _same)(v) for k, v in value.items()})
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        each = _reader(kind.value_type)
        return each and _of(list, lambda value: [each(cell) for cell in value])
    return None


def _key_reader(kind: pa.DataType) -> Read:
    """Of a MAP's keys, which are text in JSON whatever they are."""
    if pa.types.is_floating(kind):
        return _from_iso(float)
    if pa.types.is_boolean(kind):
        return lambda text: _TRUTHS.get(text, text)
    return _reader(kind) or _same


def _same(value: Any) -> Any:
    return value


def _of(kind: type, read: Read) -> Read:
    return lambda value: read(value) if type(value) is kind else value


def _is_text(value: Any, form: re.Pattern[str]) -> bool:
    return type(value) is str and form.fullmatch(value) is not None


def _from_iso(read: Callable[[str], Any]) -> Read:
    def from_iso(value: Any) -> Any:
        try:
            return read(value) if type(value) is str else value
        except (ValueError, OverflowError):
            return value

    return from_iso


def _time(text: str) -> time:
    found = time.fromisoformat(text)
    if found.tzinfo is not None:  # which nobody would keep
        raise ValueError
    return found


def _instant(kind: pa.TimestampType) -> Read:
    def instant(text: str) -> Any:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        if kind.unit == "ns":
            return np.datetime64(text.removesuffix("Z") if text.endswith("Z") else found, "ns")
        return found if kind.tz else found.replace(tzinfo=None)

    return _from_iso(instant)


def _within(value: Any) -> Any:
    """Check that 64 bits of nanoseconds hold a time; rows are typed from its text."""
    try:
        far = type(value) is str and not 1678 <= datetime.fromisoformat(value.strip()).year <= 2261
    except ValueError:  # which is said where rows are typed
        return value
    if far:
        raise ValueError("give a time of the years 1678 to 2261")
    return value


def _bytes(value: Any) -> Any:
    if type(value) is str:
        if not _HEX.fullmatch(value):
            raise ValueError("give its bytes in hexadecimal, as in 00ff")
        return bytes.fromhex(value)
    return value


def _interval(value: Any) -> Any:
    if type(value) is list and [*map(type, value)] == [int] * 3:
        return pa.MonthDayNano(value)
    return value
