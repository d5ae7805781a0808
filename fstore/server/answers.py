"""Online answers in Feast's JSON: one result a column, join keys first, times as RFC 3339."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import orjson

from fstore.online.instants import moment
from fstore.online.response import NOT_FOUND, PRESENT, FeatureCells, OnlineResponse

NO_TIME = "1970-01-01T00:00:00Z"  # what Feast sends where there is none
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_ENDS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_WHOLE_JSON = 2**64  # beyond it orjson has no number


def answer(response: OnlineResponse, features: Mapping[str, FeatureCells]) -> bytes:
    """Return the body of the answer to get-online-features; ``features`` are the response's own."""
    times: dict[int, Any] = {}  # the features of one view share their times
    results = [
        {
            "values": encodable(kind, values),
            "statuses": _statuses_of_keys(values),
            "event_timestamps": [NO_TIME] * response.row_count,
        }
        for kind, values in response.keys.values()
    ]
    for cells in features.values():
        shared = times.get(id(cells.times))
        if shared is None:
            shared = times[id(cells.times)] = _stamps(cells.times)
        results.append(
            {
                "values": encodable(cells.type, cells.values),
                "statuses": _statuses(cells),
                "event_timestamps": shared,
            }
        )
    names = [*response.keys, *features]
    body = {"metadata": {"feature_names": names}, "results": results}
    return orjson.dumps(body)


def _statuses_of_keys(values: Sequence[Any]) -> list[str]:
    return [NOT_FOUND if value is None else PRESENT for value in values]


def _statuses(cells: FeatureCells) -> list[str]:
    if None not in cells.values:
        return [PRESENT] * len(cells.values)
    return cells.statuses


def _stamps(times: Sequence[int | None]) -> orjson.Fragment:
    """Return the times as JSON; none is 1970, as Feast sends it."""
    counts = np.array([each or 0 for each in times], "<i8")
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
    try:
        return orjson.Fragment(orjson.dumps(counts.view("<M8[us]"), option=option))
    except TypeError:  # an infinity, which has no date
        stamps = [NO_TIME if each is None else stamp(moment(each)) for each in times]
        return orjson.Fragment(orjson.dumps(stamps))


def stamp(instant: datetime) -> str:
    """Return an instant as RFC 3339 with microseconds; a naive one is in UTC.

    >>> stamp(datetime(2024, 1, 2, 3, 4, 5, 6))
    '2024-01-02T03:04:05.000006Z'
    """
    if instant.tzinfo is not None and instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def encodable(kind: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return values of a DuckDB type as what JSON has: text for what it has no form for."""
    if kind in _FLOATS:
        return values if _all_finite(values) else [_finite(value) for value in values]
    if kind in ("BIGINT", "INTEGER", "VARCHAR", "BOOLEAN"):
        return values
    return [_plain_or_none(value) for value in values]


def _all_finite(values: Sequence[float | None]) -> bool:
    try:
        return math.isfinite(math.fsum(values))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):  # a NULL; both infinities; a sum too big
        return False


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
        return value if abs(value) < _WHOLE_JSON // 2 else str(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
