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
from tests.serving import Answer, Server, serving


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
SHAPES = [
    ("DOUBLE", "NaN"),
    ("FLOAT", "-Infinity"),
    ("HUGEINT", str(-(2**100))),
    ("UBIGINT", str(2**64 - 1)),
    ("BIGINT", str(-(2**63))),
    ("DECIMAL(18,10)", "-0.5"),
    ("TIME", "12:00:00.5"),
    ("TIMESTAMPTZ", "2024-01-01 00:00:00.5+00"),
    ("DATE", "2024-01-31"),
    ("BLOB", "\\x00\\xFF"),
    ("BIT", "10101"),
    ("INTERVAL", "1 month 2 days 3 seconds"),
    ("UUID", "00000000-0000-0000-0000-000000000001"),
    ("ENUM('x', 'y')", "x"),
    ("INTEGER[2]", "[1, NULL]"),
    ("DOUBLE[]", "[1.5, NaN, NULL]"),
    ("DECIMAL(4,2)[]", "[1.50]"),
    ("HUGEINT[][]", f"[[{2**100}], NULL, []]"),
    ("TIMESTAMP_NS[]", "[2024-01-01 00:00:00.123456789]"),
    ("TIMESTAMPTZ[]", "[2024-01-01 00:00:00.123456+00]"),
    ("STRUCT(a INTEGER, b TIMESTAMP, c BLOB)", "{'a': 1, 'b': '2024-01-01', 'c': '\\xFF'}"),
    ("STRUCT(a INTEGER)[]", "[{'a': 1}, NULL]"),
    ("MAP(VARCHAR, DATE)", "{a=2024-01-31}"),
    ("MAP(DOUBLE, TIME)", "{1.5=12:00:00}"),
    ("MAP(BOOLEAN, FLOAT)", "{true=Infinity}"),
    ("MAP(INTEGER, INTEGER)", "{1=2}"),
    ("ENUM('x', 'y')[]", "[y, NULL]"),
    ("STRUCT(a ENUM('x'), b MAP(VARCHAR, ENUM('x')))", "{'a': x, 'b': {k=x}}"),
]


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
    blobs = View(
        "blobs",
        {"b": "BLOB", "t": "TIMESTAMP", "z": "BLOB"},
        [["a", "2024-01-01", "a"]],
        {"entities": {"blob": "b"}, "event_timestamp": "t"},
    )
    days = View(
        "days",
        {"day": "TIMESTAMPTZ", "t": "TIMESTAMP", "z": "INTEGER"},
        [["2024-01-01 00:00:00+00", "2024-01-01", 7]],
        {"entities": {"day": "day"}, "event_timestamp": "t"},
    )
    ends = view("ends", {name: kind for name, (kind, _) in ENDS.items()}, [[1, "2024-01-01"]])
    ends.rows[0].extend(value for _, value in ENDS.values())
    shapes = view("shapes", {f"c{place}": kind for place, (kind, _) in enumerate(SHAPES)}, [[]])
    shapes.rows[0].extend([1, "2024-01-01", *(value for _, value in SHAPES)])
    asked = {"d": "decimal(8,2)", "at": "timestamp", "clock": "time", "l": "date[]"}
    od = on_demand(
        "od",
        "select d as same, at as seen, cast(clock as varchar) as told, len(l) as n from inputs",
        inputs=["stats:x"],
        request=asked,
    )
    views = [stats([[1, "2024-01-01", 10, "a"]]), sums, prices, blobs, days, ends, shapes, od]
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
    assert said == (
        "sums:big_sum_1d is a sum of big that leaves the 64 bits of BIGINT: cast big to DOUBLE in "
        "models/sums.sql."
    )
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


def pushed(server: Server, name: str, **columns: Any) -> Answer:
    """The answer to a push of a row of a view."""
    row = {"t": "2024-01-02T00:00:00Z", **columns}
    df = {column: [value] for column, value in row.items()}
    return server.ask("POST", "/push", {"push_source_name": name, "df": df})


def test_what_is_answered_can_be_pushed(server: Server) -> None:
    names = [f"c{place}" for place in range(len(SHAPES))]
    features = [f"shapes:{name}" for name in names]
    _, *found = answered(server, {"k": [1]}, *features)
    values = {name: each["values"][0] for name, each in zip(names, found, strict=True)}
    assert None not in values.values()
    assert pushed(server, "shapes", k=2, **values).json() == {"rows": 1, "refused": 0}
    _, *again = answered(server, {"k": [2]}, *features)
    assert [each["values"][0] for each in again] == [*values.values()]
    assert pushed(server, "shapes", k=3, **dict.fromkeys(names)).status == 200
    shouted = {name.upper(): value for name, value in values.items()}
    assert pushed(server, "shapes", k=4, **shouted).status == 200
    assert answered(server, {"k": [4]}, *features)[1:] == again


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (0, "Nan", "c0 is 'Nan', and c0 of shapes is DOUBLE"),
        (2, "١", "c2 is '١', and c2 of shapes is HUGEINT"),
        (3, "1.5", "c3 is '1.5', and c3 of shapes is UBIGINT"),
        (5, "0.٥", "c5 is '0.٥', and c5 of shapes is DECIMAL(18,10)"),
        (6, "12:00:00+02:00", "c6 is '12:00:00+02:00', and c6 of shapes is TIME"),
        (9, "AP8=", "rows[0]: c9 is 'AP8=', and c9 of shapes is BLOB: give its bytes in hexadecim"),
        (9, "0 0", "give its bytes in hexadecimal, as in 00ff."),
        (11, [1, 2], "c11 of shapes is INTERVAL"),
        (20, {"a": 1, "b": None, "c": "x"}, "give its bytes in hexadecimal, as in 00ff."),
    ],
)
def test_text_that_is_no_value_is_refused(
    server: Server, place: int, value: Any, said: str
) -> None:
    row = dict.fromkeys(f"c{each}" for each in range(len(SHAPES))) | {f"c{place}": value}
    found = pushed(server, "shapes", k=5, **row)
    assert found.status == 422
    assert said in found.json()["detail"]


def test_nanoseconds_are_pushed_within_their_years(server: Server) -> None:
    row: dict[str, Any] = dict.fromkeys(ENDS)
    assert (
        pushed(server, "ends", k=2, **row | {"ns": "2024-01-01T00:00:00.123456789Z"}).status == 200
    )
    found = answered(server, {"k": [2]}, "ends:ns")[1]["values"]
    assert found == ["2024-01-01T00:00:00.123456789Z"]
    refused = pushed(server, "ends", k=2, **row | {"ns": "9999-12-31T23:59:59Z"})
    assert (refused.status, "of the years 1678 to 2261" in refused.json()["detail"]) == (422, True)


def test_a_blob_that_is_a_key_is_text_as_where_it_is_asked_for(server: Server) -> None:
    assert pushed(server, "blobs", b="key", z="6b6579").status == 200
    assert answered(server, {"b": ["a", "key"]}, "blobs:z")[1]["values"] == ["61", "6b6579"]
