"""Cells as JSON: text for what JSON has no form for, times as RFC 3339."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import repeat
from operator import is_
from typing import Any

import numpy as np
import orjson

from fstore.online.instants import moment

NO_TIME = b'"1970-01-01T00:00:00Z"'  # what Feast sends where there is none
NUMBERS = frozenset({"BIGINT", "INTEGER", "FLOAT", "DOUBLE", "BOOLEAN"})  # as JSON has them
_PLAIN = NUMBERS | {"VARCHAR"}
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_ENDS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_INTEGERS = frozenset({"BIGINT", "INTEGER"})  # of NUMBERS
_LEAST, _BEYOND = -(2**63), 2**63  # of integers that are numbers in an answer: many readers' most
_DIGITS = len(str(_BEYOND))
_LONG = 100  # digits, more than a decimal has: of a key that no row has
_TIMES = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_FEW = 8  # times, from which on an array of them is made sooner than they are one by one


def values_as_json(kind: str, values: Sequence[Any]) -> bytes:
    """Return values of a DuckDB type as JSON, with commas between them.

    NaN and the infinities are null in it: see :func:`with_infinities`.
    """
    plain = values if kind in _PLAIN else [_plain_or_none(value) for value in values]
    return orjson.dumps(plain)[1:-1]


def keys_as_json(kind: str, values: Sequence[Any]) -> bytes:
    """Return the same for keys as they were asked: integers beyond 63 bits, which no row has, too.

    Their length tells most of the time that there are none.
    """
    try:
        text = values_as_json(kind, values)
    except TypeError:  # beyond 64 bits
        return orjson.dumps([_plain(value) for value in values])[1:-1]
    if (
        kind in _INTEGERS
        and len(text) >= _DIGITS + 2 * (len(values) - 1)
        and max(filter(None, values), default=0) >= _BEYOND
    ):
        return orjson.dumps([_plain(value) for value in values])[1:-1]
    return text


def may_have_null(text: bytes) -> bool:
    """Whether JSON may have a null: no other word of it has an n, which is found at once."""
    return b"n" in text


def nones(values: Sequence[Any]) -> bytes:
    """Return a byte for each value: 1 where it is None, else 0."""
    return bytes(map(is_, values, repeat(None)))


def with_infinities(kind: str, values: Sequence[Any], text: bytes, nulls: int) -> bytes:
    """Return the values as JSON, whole: ``text`` is that by values_as_json, ``nulls`` are None."""
    if kind in _FLOATS and text.count(b"n") > nulls:
        return orjson.dumps([_finite(value) for value in values])[1:-1]
    return text


def times_as_json(times: Sequence[int | None]) -> bytes:
    """Return microseconds since 1970 as a JSON list; none is 1970, as Feast sends it."""
    if len(times) < _FEW:
        return orjson.dumps([moment(each or 0) for each in times], option=_TIMES)
    counts = np.array([each or 0 for each in times], "<i8")
    try:
        return orjson.dumps(counts.view("<M8[us]"), option=_TIMES)
    except TypeError:  # an infinity, which has no date
        return orjson.dumps([moment(each or 0) for each in times], option=_TIMES)


def stamp(instant: datetime) -> str:
    """Return an instant as RFC 3339 with microseconds, or all it has; a naive one is in UTC.

    >>> stamp(datetime(2024, 1, 2, 3, 4, 5, 6))
    '2024-01-02T03:04:05.000006Z'
    """
    if instant.tzinfo is not None and instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    # What pandas has for nanoseconds knows of them.
    unit = "nanoseconds" if hasattr(instant, "nanosecond") else "microseconds"
    return instant.replace(tzinfo=None).isoformat(timespec=unit) + "Z"


def _finite(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return _ENDS[str(value)]


def _plain_or_none(value: Any) -> Any:
    if value is None or type(value) in (str, bool):
        return value
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return a value that JSON has no form for, at any depth, as one that it has."""
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int):
        return value if _LEAST <= value < _BEYOND else str(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) < _LONG else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {_as_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _as_key(key: Any) -> str:
    """Return a MAP's key, which JSON has as text only."""
    plain = _plain(key)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()
