"""Values over HTTP at the ends of their types: as they are asked with, answered and pushed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fstore.errors import OutOfMemoryError, QueryError
from fstore.server.refusals import refusal_of
from tests.harness import View, on_demand
from tests.online import STATS_META, Online, stats
from tests.serving import Server, serving


def view(name: str, columns: dict[str, str], rows: list[Any], **meta: Any) -> View:
    return View(name, {"k": "BIGINT", "t": "TIMESTAMP", **columns}, rows, STATS_META | meta)


# Types, and a value of each as DuckDB reads it.
ENDS = {
    "ns": ("TIMESTAMP_NS", "2024-01-01 00:00:00.123456789"),
    "us": ("TIMESTAMP", "2024-01-01 00:00:00.123456"),
    "fine": ("DECIMAL(18,10)", "0"),
    "finest": ("DECIMAL(38,38)", "0." + "0" * 37 + "1"),
    "wide": ("DECIMAL(38,0)", "9" * 38),
    "fines": ("DECIMAL(18,10)[]", "[0, 0.5]"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    now = datetime.now(UTC)
    sums = View(
        "sums",
        {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "big": "BIGINT"},
        [[1, now.replace(tzinfo=None), number, 2**62] for number in range(2)],
        STATS_META
        | {
            "event_key": ["id"],
            "features": ["big"],
            "aggregations": [
                {"column": "big", "functions": ["sum", "count"], "windows": ["1 day"]}
            ],
        },
    )
    prices = View(
        "prices",
        {"price": "DECIMAL(8,2)", "t": "TIMESTAMP", "z": "INTEGER"},
        [["1.50", "2024-01-01", 7], ["0", "2024-01-01", 8]],
        {"entities": {"price": "price"}, "event_timestamp": "t"},
    )
    days = View(
        "days",
        {"day": "TIMESTAMPTZ", "t": "TIMESTAMP", "z": "INTEGER"},
        [["2024-01-01 00:00:00+00", "2024-01-01", 7]],
        {"entities": {"day": "day"}, "event_timestamp": "t"},
    )
    ends = view("ends", {name: kind for name, (kind, _) in ENDS.items()}, [[1, "2024-01-01"]])
    ends.rows[0].extend(value for _, value in ENDS.values())
    asked = {"d": "decimal(8,2)", "at": "timestamp", "clock": "time", "l": "date[]"}
    od = on_demand(
        "od",
        "select d as same, at as seen, cast(clock as varchar) as told, len(l) as n from inputs",
        inputs=["stats:x"],
        request=asked,
    )
    views = [stats([[1, "2024-01-01", 10, "a"]]), sums, prices, days, ends, od]
    online = Online(tmp_path_factory.mktemp("values"), views)
    online.now = now
    online.materialize()
    with serving(online.directory) as server:
        yield server


def answered(server: Server, entities: dict[str, list[Any]], *features: str) -> list[Any]:
    """The results of an answer."""
    found = server.features(entities, features=list(features))
    assert found.status == 200, found.body
    results: list[Any] = found.json()["results"]
    return results


@pytest.mark.parametrize("more", [0, 1, 30])
def test_keys_beyond_64_bits_are_found_nowhere_and_text(server: Server, more: int) -> None:
    asked: list[Any] = [2**64, 2**63, -(2**63) - 1, "9" * 23, 2**63 - 1, -(2**63), None]
    shown = [*map(str, asked[:4]), *asked[4:]]
    for given, told in zip(asked, shown, strict=True):
        keys, values = answered(server, {"k": [given] + [1] * more}, "stats:x")
        assert keys["values"] == [told] + [1] * more
        assert values["statuses"] == ["NOT_FOUND"] + ["PRESENT"] * more
    keys, values = answered(server, {"k": [*asked, 1]}, "stats:x")
    assert keys["values"] == [*shown, 1]
    assert values["values"] == [None] * len(asked) + [10]


def refused(server: Server, entities: dict[str, list[Any]], *features: str) -> str:
    """What is wrong with a request that cannot be answered as asked."""
    found = server.features(entities, features=list(features))
    assert found.status == 422, found.body
    said: str = found.json()["detail"]
    return said


def test_a_sum_that_its_type_cannot_hold_is_said(server: Server) -> None:
    said = refused(server, {"k": [1]}, "sums:big_sum_1d")
    assert said == f"big_sum_1d is {2**63}, which a BIGINT cannot hold."
    assert answered(server, {"k": [1]}, "sums:big_count_1d")[1]["values"] == [2]


def test_what_the_memory_does_not_hold_is_no_mistake_of_the_caller() -> None:
    assert refusal_of(QueryError("a sum"))[0] == 422
    assert refusal_of(OutOfMemoryError("it", "1 GB", 1, "/secret"))[0] == 500


FIELDS: dict[str, Any] = {"d": 1, "at": "2024-01-01", "clock": "12:00:00", "l": ["2024-01-01"]}


@pytest.mark.parametrize(
    ("field", "feature", "value", "said"),
    [
        ("d", "same", 1e308, "give a number of at most 6 digits before the point"),
        ("d", "same", "1e999999999", "give a number of at most 6 digits before the point"),
        ("at", "seen", "0001-01-01T00:00:00+14:00", "give a time that is of the years 1 to 9999"),
        ("at", "seen", "9999-12-31T23:59:59-14:00", "give a time that is of the years 1 to 9999"),
        ("clock", "told", 2**64, "od (models/od.sql) cannot be computed for these rows"),
        ("l", "n", [2**70], "od (models/od.sql) cannot be computed for these rows"),
    ],
)
def test_fields_that_their_types_cannot_hold(
    server: Server, field: str, feature: str, value: Any, said: str
) -> None:
    fields = {name: [each] for name, each in (FIELDS | {field: value}).items()}
    assert said in refused(server, {"k": [1], **fields}, f"od:{feature}")


def test_keys_that_no_row_can_have(server: Server) -> None:
    asked = [1.5, "0e9", "1e999999999", "-1e-999999999", "1e-3"]
    found = answered(server, {"price": asked}, "prices:z")[1]["values"]
    assert found == [7, 8, None, None, None]
    for day in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert "of the years 1 to 9999 in UTC" in refused(server, {"day": [day]}, "days:z")
    shown = answered(server, {"price": asked}, "prices:z")[0]["values"]
    assert shown == ["1.5", "0", "1E+999999999", "-1E-999999999", "0.001"]


def test_decimals_have_plain_digits_and_times_all_of_theirs(server: Server) -> None:
    _, *found = answered(server, {"k": [1]}, *(f"ends:{name}" for name in ENDS))
    values = dict(zip(ENDS, (each["values"][0] for each in found), strict=True))
    assert values == {
        "ns": "2024-01-01T00:00:00.123456789Z",
        "us": "2024-01-01T00:00:00.123456Z",
        "fine": "0.0000000000",
        "finest": "0." + "0" * 37 + "1",
        "wide": "9" * 38,
        "fines": ["0.0000000000", "0.5000000000"],
    }
