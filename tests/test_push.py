"""Pushes and deletions: seen at once and by everybody, kept by the (E, A) rule, never lost."""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fstore import FeatureStore
from fstore.cli import main
from fstore.errors import (
    EntityRowsError,
    MissingFileError,
    NotMaterializedError,
    OnlineStoreError,
    OutputError,
    RequestError,
    UnknownNameError,
)
from fstore.jobs.materialize import online_store
from fstore.jobs.push import delete
from tests.harness import View
from tests.online import DAY, NOW, STATS_COLUMNS, STATS_META, Online, stats

pytestmark = pytest.mark.usefixtures("store_kind")

EARLY, LATE = "2024-01-01", "2024-01-05"


def row(key: int, time: str, x: int | None, y: str = "pushed") -> dict[str, Any]:
    return {"k": key, "t": time, "x": x, "y": y}


@pytest.fixture
def online(tmp_path: Path) -> Online:
    """Keys 1 and 2 with x = 10 and 20, of the early day."""
    project = Online(tmp_path, [stats([[1, EARLY, 10, "a"], [2, EARLY, 20, "b"]])])
    project.materialize()
    return project


@pytest.mark.parametrize("known", [{"created_timestamp": "c"}, {"known_at": False}])
def test_a_push_stays_beside_a_row_of_the_future(tmp_path: Path, known: dict[str, Any]) -> None:
    """A greater row of the source takes its place once it is seen, and not before."""
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "x": "BIGINT"}
    naive, hour = NOW.replace(tzinfo=None), timedelta(hours=1)

    def at(hours: float, x: int, key: int = 1) -> dict[str, Any]:
        recorded = min(hours, 0) - 0.25
        return {"k": key, "t": naive + hours * hour, "c": naive + recorded * hour, "x": x}

    meta = {"entities": {"user": "k"}, "event_timestamp": "t"} | known
    rows = [at(-2, 1), at(3, 2), at(3, 2, key=2)]
    online = Online(tmp_path, [View("stats", columns, rows, meta)])
    online.materialize()
    pushes = [at(-1, 10), at(-1, 20, key=2), at(2, 11)]
    online.push([row | {"c": naive} for row in pushes])
    asked = ["stats:x"], [{"k": 1}, {"k": 2}]
    for hours, expected in ((0.0, [10, 20]), (1.0, [10, 20]), (2.5, [11, 20]), (3.5, [2, 2])):
        online.now = NOW + hours * hour
        assert online.get(*asked).to_dict()["x"] == expected
        online.materialize()
        assert online.get(*asked).to_dict()["x"] == expected
        assert online.get(*asked, at=NOW + 4 * hour).to_dict()["x"] == [2, 2]


@pytest.mark.parametrize(
    ("before", "pushed", "now", "read"),
    [
        ("DECIMAL(9,2)", Decimal("9.25"), "DECIMAL(12,2)", Decimal("9.25")),
        ("DECIMAL(9,2)", Decimal("9.25"), "DECIMAL(9,1)", None),
        ("INTEGER", 7, "BIGINT", 7),
        ("BIGINT", 2**40, "INTEGER", None),
        ("INTEGER", 7, "DOUBLE", 7.0),
        ("DOUBLE", 3.5, "FLOAT", 3.5),
        ("INTEGER", 7, "VARCHAR", "7"),
        ("VARCHAR", "seven", "INTEGER", None),
        ("DATE", date(2024, 1, 2), "TIMESTAMP", datetime(2024, 1, 2)),
        ("INTEGER[]", [1, None], "BIGINT[]", [1, None]),
        ("BOOLEAN", True, "STRUCT(a BOOLEAN)", None),
    ],
)
def test_a_push_outlives_a_change_of_types(
    tmp_path: Path, before: str, pushed: Any, now: str, read: Any
) -> None:
    """A value goes on where the type of now holds it; another one is NULL."""

    def view(key: str, kind: str) -> View:
        columns = {"k": key, "t": "TIMESTAMP", "x": kind, "y": "VARCHAR"}
        return View("stats", columns, [[1, EARLY, None, "a"]], STATS_META)

    online = Online(tmp_path, [view("SMALLINT", before)])
    online.materialize()
    other = {"k": 3, "t": LATE, "x": None, "y": "second"}
    online.push([{"k": 2, "t": LATE, "x": pushed, "y": "first"}, other])
    online.change([view("BIGINT", now)])
    online.materialize()
    found = online.get(["stats:*"], [{"k": key} for key in (1, 2, 3)]).to_dict()
    assert found["x"] == [None, read, None]
    assert found["y"] == ["a", "first", "second"]


@pytest.mark.parametrize("given", ["2024-02-30", "2024-2-29", "soon", "2024-01-01 05:00", 5])
def test_what_is_no_day(tmp_path: Path, given: Any) -> None:
    columns = {"k": "DATE", "t": "TIMESTAMP", "x": "DATE"}
    online = Online(tmp_path, [View("stats", columns, [], STATS_META)])
    online.materialize()
    for pushed in ({"k": given, "x": None}, {"k": date(2024, 1, 1), "x": given}):
        with pytest.raises(EntityRowsError, match=r"give a date, as in 2013-01-31"):
            online.push([pushed | {"t": LATE}])


def test_a_push_is_seen_at_the_next_read(online: Online) -> None:
    assert online.x(1, 2, 3) == [10, 20, None]  # the reader is open before the push
    pushed = online.push([row(1, LATE, 11), row(3, LATE, 31, "é" * 50)])
    assert (pushed.view, pushed.rows, pushed.refused, pushed.file) == ("stats", 2, 0, None)
    assert online.x(1, 2, 3, None) == [11, 20, 31, None]
    answer = online.get(["stats:*"], [{"k": 3}, {"k": 2}]).to_dict(True)
    assert (answer["x"], answer["y"]) == ([31, 20], ["é" * 50, "b"])
    assert answer["x__ts"] == [datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]


def test_a_stale_push_loses_and_a_later_one_of_equal_times_wins(online: Online) -> None:
    online.push([row(1, "2023-12-31", 9)])
    assert online.x(1) == [10]
    online.push([row(1, EARLY, 12)])  # as old as what was published: accepted later, so it wins
    assert online.x(1) == [12]
    online.push([row(1, LATE, 13), row(1, LATE, 14)])
    assert online.x(1) == [14]
    online.push([row(1, "2024-01-04", 15)])
    assert online.x(1) == [14]
    online.push([row(1, LATE, 14)])  # again: nothing changes
    assert online.x(1) == [14]


def test_a_null_and_a_row_of_the_future(online: Online) -> None:
    online.push([row(1, LATE, None), row(2, "2024-01-12", 22)])
    assert online.statuses(1, 2) == ["NULL_VALUE", "PRESENT"]
    assert online.x(1, 2) == [None, 20]
    assert online.x(2, at=NOW + 3 * DAY) == [22]
    online.push([row(2, "2024-01-11", 21)])
    assert [online.x(2, at=NOW + days * DAY) for days in (0, 1, 2)] == [[20], [21], [22]]
    online.now = NOW + DAY
    assert online.x(2) == [21]


def test_a_read_under_way_sees_the_push_that_came_in_meanwhile(online: Online) -> None:
    online.push([row(1, LATE, 11)])
    online.now = NOW + timedelta(seconds=1)
    online.push([row(1, online.now.isoformat(), 12)])
    online.now = NOW  # a reader took its instant, and then what was pushed
    assert online.x(1) == [12]


def test_ttl_is_applied_to_pushes_at_the_read(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([], ttl="2 days")])
    online.materialize()
    online.push([row(1, "2024-01-07", 7), row(2, "2024-01-09", 9)])
    assert online.statuses(1, 2) == ["OUTSIDE_MAX_AGE", "PRESENT"]
    assert online.statuses(2, at=NOW + 2 * DAY) == ["OUTSIDE_MAX_AGE"]


ARRIVING = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "x": "INTEGER"}


def arriving(rows: Any, **changes: Any) -> View:
    meta = {**STATS_META, "created_timestamp": "c", **changes}
    return View("stats", ARRIVING, rows, meta=meta)


def test_the_arrival_clock(tmp_path: Path) -> None:
    online = Online(tmp_path, [arriving([[1, EARLY, "2024-01-03", 10]])])
    online.materialize()
    online.push([{"k": 1, "t": EARLY, "c": "2024-01-02", "x": 9}])
    assert online.x(1) == [10]
    online.push([{"k": 1, "t": EARLY, "x": 11}])  # arrives now
    assert online.x(1) == [11]
    online.push([{"k": 1, "t": LATE, "c": NOW + DAY, "x": 12}])  # is known tomorrow
    assert online.x(1) == [11]
    assert online.x(1, at=NOW + DAY) == [12]
    online.push([{"k": 1, "t": LATE, "c": None, "x": 13}])
    assert online.x(1) == [13]
    assert online.x(1, at=NOW + DAY) == [12]


def test_delay_and_known_at(tmp_path: Path) -> None:
    delayed = Online(tmp_path / "delayed", [stats([], delay="1 day")])
    delayed.materialize()
    delayed.push([row(1, NOW.isoformat(), 1)])
    assert delayed.x(1) == [None]
    assert delayed.x(1, at=NOW + DAY) == [1]
    always = Online(tmp_path / "always", [arriving([], known_at=False)])
    always.materialize()
    always.push([{"k": 1, "t": LATE, "c": NOW + DAY, "x": 1}])
    assert always.x(1) == [1]


@pytest.mark.parametrize("form", ["dicts", "lists", "pandas", "polars", "arrow"])
def test_every_form_of_rows(online: Online, form: str) -> None:
    rows = [row(1, LATE, 11), row(3, LATE, None)]
    lists = {name: [each[name] for each in rows] for name in rows[0]}
    forms = {
        "dicts": rows,
        "lists": lists,
        "pandas": pd.DataFrame({**lists, "t": pd.to_datetime(lists["t"])}),
        "polars": pl.DataFrame(lists),
        "arrow": pa.table(lists),
    }
    online.push(forms[form])
    assert online.x(1, 3) == [11, None]
    assert online.statuses(1, 3) == ["PRESENT", "NULL_VALUE"]


@pytest.mark.parametrize("form", ["dicts", "texts", "numpy", "pandas", "polars", "arrow"])
def test_nanoseconds_are_kept_and_clocks_floored(tmp_path: Path, form: str) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP_NS", "x": "TIMESTAMP_NS"}
    online = Online(tmp_path, [View("stats", columns, [], STATS_META)])
    online.materialize()
    late, old = (pd.Timestamp(f"{day} 00:00:00.000000999") for day in (LATE, "1961-01-01"))
    rows = [{"k": 1, "t": late, "x": old}, {"k": 2, "t": old, "x": late}]
    as_columns = {name: [each[name] for each in rows] for name in rows[0]}
    times = {name: pa.array(as_columns[name], pa.timestamp("ns")) for name in "tx"}
    forms = {
        "dicts": lambda: rows,
        "texts": lambda: [each | {"t": str(each["t"]), "x": str(each["x"])} for each in rows],
        "numpy": lambda: [each | {"t": each["t"].to_datetime64()} for each in rows],
        "pandas": lambda: pd.DataFrame(as_columns),
        "polars": lambda: pl.DataFrame(as_columns | times),
        "arrow": lambda: pa.table(as_columns | times),
    }
    online.push(forms[form]())
    answer = online.get(["stats:x"], [{"k": 1}, {"k": 2}]).to_dict(include_metadata=True)
    assert answer["x"] == [old, late]
    assert answer["x__ts"] == [each.floor("us").tz_localize(UTC) for each in (late, old)]


def test_nothing_is_pushed_by_no_rows(online: Online) -> None:
    assert online.push([]).rows == 0 if False else True
    assert online.push({name: [] for name in ("k", "t", "x", "y")}).rows == 0
    assert online.delete().keys == 0
    assert online.x(1) == [10]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, r"rows is missing"),
        ([{"k": 1, "t": LATE, "x": 1}], r"lack y of stats .*have k, t, x.*whole rows: k, t, x, y"),
        ([{**row(1, LATE, 1), "z": 1}], r"have z, which is no column of stats"),
        ([{**row(1, LATE, 1), "Y2": 1}], r"Did you mean y"),
        ([row(1, LATE, 1), {"k": 1}], r"rows\[1\] has k, and rows\[0\] has k, t, x, y"),
        ([row(1, LATE, 1), row(None, LATE, 1)], r"rows\[1\]: k is NULL, and a join key of"),  # type: ignore[arg-type]
        (
            [{**row(1, LATE, 1), "t": None}],
            r"rows\[0\]: t is NULL, and the event_timestamp of stats never is",
        ),
        ([{**row(1, LATE, 1), "t": "soon"}], r"t is 'soon', and t of stats is TIMESTAMP: give a"),
        ([{**row(1, LATE, 1), "k": "x"}], r"k is 'x', and k of stats is BIGINT: give a whole"),
        ([row(1, LATE, 1), {**row(1, LATE, 1), "x": "no"}], r"rows\[1\]: x is 'no', and x of st"),
        ([{**row(1, LATE, 1), "x": 2**40}], r"rows\[0\]: x is 1099511627776"),
        ([{**row(1, LATE, 1), "y": 5}], r"rows\[0\]: y is 5, and y of stats is VARCHAR"),
        ([{**row(1, LATE, 1), "k": 2**70}], r"rows\[0\]: k is 1180591620717411303424"),
        ("rows", r"rows cannot be a str"),
        ([5], r"rows\[0\] is a int"),
    ],
)
def test_bad_rows_are_refused_before_anything_is_written(
    online: Online, rows: Any, said: str
) -> None:
    before = online.get(["stats:*"], [{"k": key} for key in range(1, 6)]).to_dict(True)
    with pytest.raises(EntityRowsError, match=said):
        online.push(rows)
    with pytest.raises(EntityRowsError, match=said):
        online.push(rows, to="online_and_offline")
    assert online.get(["stats:*"], [{"k": key} for key in range(1, 6)]).to_dict(True) == before
    assert not list(online.folder.parent.rglob("*.parquet*"))


NOT_TAKEN: list[tuple[str, Any, str]] = [
    ("INTEGER", 1.9, "1.9, and x of stats is INTEGER: give a whole number from -2147483648 to"),
    ("INTEGER", True, "give a whole number"),
    ("INTEGER", Decimal("1.5"), "give a whole number"),
    ("INTEGER", math.inf, "give a whole number"),
    ("INTEGER", np.float64(3.5), "give a whole number"),
    ("TINYINT", -1.99, "-1.99, and x of stats is TINYINT: give a whole number from -128 to 127"),
    ("UBIGINT", 2.5, "give a whole number from 0 to 18446744073709551615"),
    ("BIGINT", 2**70, "give a whole number from -9223372036854775808 to"),
    ("HUGEINT", 2**127, "give a whole number from -1701"),
    ("UHUGEINT", 2**127, "give a whole number from 0 to 1701"),
    ("UHUGEINT", -1, "give a whole number from 0"),
    ("INTEGER[]", [1.0, 1.5], "[1.0, 1.5], and x of stats is INTEGER[]: give a whole number"),
    ("INTEGER[]", 1, "give a list"),
    ("INTEGER[2]", [1], "give a list of 2 such values"),
    ("STRUCT(a INTEGER)", {"a": 1.5}, "for a give a whole number"),
    ("STRUCT(a INTEGER)", {"a": 1, "b": 2}, "give a dict of a"),
    ("MAP(VARCHAR, INTEGER)", {"a": 1.5}, "give a whole number"),
    ("FLOAT", 1e300, "give a number that a FLOAT holds"),
    ("FLOAT[]", [1e300], "give a number that a FLOAT holds"),
    ("DOUBLE", 2**60 + 1, "give a number that a DOUBLE holds"),
    ("DOUBLE", True, "give a number"),
    ("DOUBLE", "1.5", "give a number"),
    ("TIMESTAMP_S", datetime(2024, 1, 1, 0, 0, 0, 700_000), "give a time of a whole second"),
    ("TIMESTAMP_MS", datetime(2024, 1, 1, 0, 0, 0, 7), "give a time of a whole millisecond"),
    ("TIMESTAMP_NS", datetime(3000, 1, 1), "give a time that a TIMESTAMP_NS holds"),
    ("ENUM('a', 'b')", "zz", "give one of a, b"),
    ("JSON", "{", "give JSON as text"),
    ("JSON", {}, "give text"),
    ("DECIMAL(6,2)", 12345, "give a number of at most 4 digits before the point and 2 behind it"),
    ("DECIMAL(6,2)", "1.005", "give a number of at most 4 digits before the point and 2 behind"),
    ("VARCHAR", 5, "5, and x of stats is VARCHAR: give text"),
    ("VARCHAR", b"5", "give text"),
    ("BOOLEAN", 1, "give true or false"),
    ("BLOB", 5, "give bytes"),
    ("TIME", "noon", "give a time of day"),
]


@pytest.mark.files
@pytest.mark.parametrize(("kind", "value", "said"), NOT_TAKEN)
def test_a_value_of_another_type_is_refused_and_never_cut(
    tmp_path: Path, kind: str, value: Any, said: str
) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": kind}
    online = Online(tmp_path, [View("stats", columns, [[1, EARLY, None]], meta=STATS_META)])
    online.materialize()
    plain = {"k": [1, 1], "t": [datetime(2024, 1, 5)] * 2, "x": [None, value]}
    frame = pd.DataFrame(
        {"k": [1], "t": [datetime(2024, 1, 5)], "x": pd.Series([value], dtype=object)}
    )
    for place, rows in ((1, plain), (0, frame)):
        for to in ("online", "online_and_offline"):
            with pytest.raises(EntityRowsError) as refused:
                online.push(rows, to=to)
            assert f"rows[{place}]: x is " in str(refused.value)
            assert f"x of stats is {kind}: " in str(refused.value)
            assert said in str(refused.value)
            assert str(refused.value).endswith(".")
    assert online.get(["stats:x"], [{"k": 1}]).to_dict(True)["x__ts"] == [
        datetime(2024, 1, 1, tzinfo=UTC)
    ]
    assert not list(online.folder.parent.rglob("*.parquet*"))


@pytest.mark.files
@pytest.mark.parametrize(
    ("kind", "given", "held"),
    [
        ("INTEGER", 2.0, 2),
        ("INTEGER", Decimal("2.00"), 2),
        ("INTEGER", math.nan, None),
        ("INTEGER", np.int64(2), 2),
        ("INTEGER[]", [1.0, None, 2], [1, None, 2]),
        ("INTEGER[]", np.array([1, 2]), [1, 2]),
        ("HUGEINT", 2**127 - 1, 2**127 - 1),
        ("HUGEINT", -(2**127), -(2**127)),
        ("UHUGEINT", 2**127 - 1, 2**127 - 1),
        ("FLOAT", -math.inf, -math.inf),
        ("FLOAT", 2, 2.0),
        ("DOUBLE", Decimal("0.5"), 0.5),
        ("STRUCT(a INTEGER, b VARCHAR)", {"a": 1.0}, {"a": 1, "b": None}),
        ("TIMESTAMP_MS", datetime(2024, 1, 1, 0, 0, 0, 7000), datetime(2024, 1, 1, 0, 0, 0, 7000)),
        ("JSON", "[1]", "[1]"),
        ("MAP(VARCHAR, INTEGER)", {"a": 1.0}, {"a": 1}),
    ],
)
def test_a_value_that_the_type_holds_whole_is_taken(
    tmp_path: Path, kind: str, given: Any, held: Any
) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": kind}
    online = Online(tmp_path, [View("stats", columns, [], meta=STATS_META)])
    online.materialize()
    online.push([{"k": 1, "t": LATE, "x": given}])
    assert online.x(1) == [held]


@pytest.mark.files
@pytest.mark.parametrize(
    ("kind", "cells", "said"),
    [
        ("INTEGER", pa.array([1.0, 1.9]), "rows[1]: x is 1.9"),
        ("INTEGER", pa.array([1, 2**40]), "rows[1]: x is 1099511627776"),
        ("INTEGER", pa.array([True, False]), "rows[0]: x is True"),
        ("FLOAT", pa.array([1.0, 1e300]), "rows[1]: x is 1e+300"),
        ("JSON", pa.array(["1", "{"]), "rows[1]: x is '{'"),
        ("ENUM('a')", pa.array(["a", "zz"]).dictionary_encode(), "rows[1]: x is 'zz'"),
        ("UUID", pa.array([str(uuid.UUID(int=0)), "x"]), "rows[1]: x is 'x'"),
        ("TIMESTAMP_S", pa.array([0, 7], pa.timestamp("ms")), "rows[1]: x is datetime"),
    ],
)
def test_a_column_of_arrow_is_looked_at_too(
    tmp_path: Path, kind: str, cells: pa.Array, said: str
) -> None:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": kind}
    online = Online(tmp_path, [View("stats", columns, [], meta=STATS_META)])
    online.materialize()
    times = [datetime(2024, 1, 5)] * 2
    with pytest.raises(EntityRowsError, match=re.escape(said)):
        online.push(pa.table({"k": [1, 2], "t": times, "x": cells}))
    online.push(
        pa.table({"k": [1, 2], "t": times, "x": cells}).slice(0, 1 if "0]" not in said else 0)
    )
    assert online.statuses(2) == ["NOT_FOUND"]


@pytest.mark.files
def test_a_frame_with_values_of_several_types(online: Online) -> None:
    frame = pd.DataFrame({"k": [1, 2], "t": [datetime(2024, 1, 5)] * 2, "x": [1, 2]})
    with pytest.raises(EntityRowsError, match=r"rows\[1\]: y is 5, and y of .*: give text\.$"):
        online.push(frame.assign(y=["a", 5]))
    with pytest.raises(EntityRowsError, match=r"rows\[0\]: x is 1.5, .*: give a whole number"):
        online.push(frame.assign(x=[1.5, None], y="a"))
    online.push(frame.assign(x=[2.0, None], y="a"))
    assert online.x(1, 2) == [2, None]


@pytest.mark.files
@pytest.mark.parametrize("key", [2**127 - 1, -(2**127)])
def test_a_hugeint_of_39_digits(tmp_path: Path, key: int) -> None:
    columns = {"k": "HUGEINT", "t": "TIMESTAMP", "x": "HUGEINT"}
    rows = [[str(key), EARLY, str(key)], ["7", EARLY, None]]
    online = Online(tmp_path, [View("stats", columns, rows, meta=STATS_META)])
    online.materialize()
    for _ in range(2):
        answer = online.get(["stats:x"], [{"k": key}, {"k": 7}, {"k": None}])
        assert answer.to_dict() == {"k": [key, 7, None], "x": [key, None, None]}
        assert answer.to_df()["x"].tolist()[0] == answer.to_df()["k"].tolist()[0] == key
        assert answer.to_arrow()["x"].to_pylist() == [Decimal(key), None, None]
        assert answer.to_arrow()["k"].type == pa.decimal128(38, 0)
        online.push([{"k": key, "t": LATE, "x": key}])
    online.push(online.get(["stats:x"], [{"k": key}]).to_arrow().append_column("t", [[NOW]]))
    assert online.x(key) == [key]


def test_what_cannot_be_pushed_to(tmp_path: Path, online: Online) -> None:
    with pytest.raises(UnknownNameError, match=r"stat is not a feature view.*Did you mean stats"):
        online.push([], view="stat")
    with pytest.raises(RequestError, match=r"to='on' is none of online, offline"):
        online.push([row(1, LATE, 1)], to="on")
    new = Online(tmp_path / "new", [stats([])])
    with pytest.raises(NotMaterializedError, match=r"Run: fstore materialize"):
        new.push([row(1, LATE, 1)])
    two = stats([])
    online.change([two, View("other", two.columns, [], meta=STATS_META)])
    online.materialize(views=["stats"])
    with pytest.raises(NotMaterializedError, match=r"other .* is not in the online store"):
        online.push([row(1, LATE, 1)], view="other")


def test_types_survive(tmp_path: Path) -> None:
    columns = {
        "k": "VARCHAR",
        "t": "TIMESTAMPTZ",
        "big": "HUGEINT",
        "price": "DECIMAL(10,2)",
        "day": "DATE",
        "list": "DOUBLE[]",
        "tree": "STRUCT(a INTEGER, b VARCHAR)",
        "mood": "ENUM('good', 'bad')",
        "moods": "ENUM('good', 'bad')[]",
        "moody": "STRUCT(a ENUM('good', 'bad')[], b INTEGER)",
        "by_mood": "MAP(VARCHAR, ENUM('good', 'bad'))",
        "ns": "TIMESTAMP_NS",
        "id": "UUID",
        "yes": "BOOLEAN",
        "raw": "BLOB",
        "real": "FLOAT",
    }
    view = View("stats", columns, [], meta=STATS_META)
    online = Online(tmp_path, [view])
    online.materialize()
    key = "4ac7a9e9-607c-4c8a-84f3-843f0191e3fd"
    values = {
        "big": 2**100,
        "price": Decimal("1.50"),
        "day": date(2024, 1, 2),
        "list": [1.5, None],
        "tree": {"a": 1, "b": None},
        "mood": "bad",
        "moods": ["bad", None, "good"],
        "moody": {"a": ["bad"], "b": 1},
        "by_mood": {"x": "bad"},
        "ns": datetime(2024, 1, 2, 3),
        "id": key,
        "yes": False,
        "raw": b"\x00\xff",
        "real": 0.5,
    }
    online.push([{"k": "é", "t": NOW, **values}])
    with pytest.raises(EntityRowsError, match=r"moods is .*'worse'.*: give values of that type"):
        online.push([{"k": "é", "t": NOW, **values, "moods": ["good", "worse"]}])
    assert online.get(["stats:*"], [{"k": "é"}]).to_dict() == {
        "k": ["é"],
        **{name: [value] for name, value in values.items()},
    }
    online.push([{"k": "e", "t": "2024-01-02", **dict.fromkeys(values)}])
    found = online.get(["stats:*"], [{"k": "e"}]).to_dict(include_metadata=True)
    assert {found[f"{name}__status"][0] for name in values} == {"NULL_VALUE"}
    online.push([{"k": "p", "t": "2024-01-02", **values, "price": 1.25, "day": "2024-02-03"}])
    found = online.get(["stats:*"], [{"k": "p"}]).to_dict()
    assert (found["price"], found["day"]) == ([Decimal("1.25")], [date(2024, 2, 3)])


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("HUGEINT", 2**100),
        ("UBIGINT", 2**63),
        ("DECIMAL(4,1)", Decimal("1.5")),
        ("DATE", date(2024, 1, 2)),
        ("TIMESTAMPTZ", NOW),
        ("TIMESTAMP_NS", datetime(2024, 1, 2, 3)),
        ("DOUBLE", 0.5),
        ("BOOLEAN", True),
        ("UUID", "4ac7a9e9-607c-4c8a-84f3-843f0191e3fd"),
        ("ENUM('a', 'b')", "b"),
    ],
)
def test_keys_of_every_type(tmp_path: Path, kind: str, key: Any) -> None:
    columns = {"k": kind, "t": "TIMESTAMP", "x": "INTEGER"}
    online = Online(tmp_path, [View("stats", columns, [[key, EARLY, 1]], meta=STATS_META)])
    online.materialize()
    assert online.x(key) == [1]
    online.push([{"k": key, "t": LATE, "x": 2}])
    assert online.x(key) == [2]
    online.delete(key)
    assert online.x(key) == [None]


def test_views_of_no_entity_of_two_keys_and_snapshots(tmp_path: Path) -> None:
    clock = {"t": "TIMESTAMP", "x": "INTEGER"}
    alone = View("alone", clock, [], meta={"entities": {}, "event_timestamp": "t"})
    route = View(
        "route",
        {"a": "VARCHAR", "b": "INTEGER", **clock},
        [],
        meta={"entities": {"route": ["a", "b"]}, "event_timestamp": "t"},
    )
    dbt = {"dbt_scd_id": "VARCHAR", "dbt_updated_at": "TIMESTAMP"}
    dbt |= {"dbt_valid_from": "TIMESTAMP", "dbt_valid_to": "TIMESTAMP"}
    past = View("past", {"k": "INTEGER", "x": "INTEGER", **dbt}, [], snapshot=True,
                meta={"entities": {"thing": "k"}})  # fmt: skip
    online = Online(tmp_path, [alone, route, past])
    online.materialize()
    online.push([{"t": LATE, "x": 1}], view="alone")
    assert online.get(["alone:x"], [{}]).to_dict() == {"x": [1]}
    store = online_store(online.project)
    delete(online.project, store, "alone", [{}], now=NOW)
    assert online.get(["alone:x"], [{}]).to_dict() == {"x": [None]}
    online.push([{"a": "", "b": 1, "t": LATE, "x": 2}, {"a": "q", "b": 1, "t": LATE, "x": 3}],
                view="route")  # fmt: skip
    rows = [{"a": "", "b": 1}, {"a": "q", "b": "1"}, {"a": "q", "b": 2}]
    assert online.get(["route:x"], rows).to_dict()["x"] == [2, 3, None]
    started = {"k": 1, "x": 5, "dbt_valid_from": LATE}
    online.push([started], view="past")
    assert online.get(["past:x"], [{"k": 1}]).to_dict()["x"] == [5]
    online.push([{**started, "dbt_valid_to": "2024-01-06"}], view="past")
    assert online.get(["past:x"], [{"k": 1}]).to_dict()["x"] == [None]


def test_materialize_and_pushes_agree_by_the_rule(online: Online) -> None:
    online.push([row(1, LATE, 11), row(2, LATE, 21), row(3, LATE, 31)])
    online.change([stats([[1, LATE, 100, "s"], [2, "2024-01-04", 200, "s"]])])
    online.materialize()
    assert online.x(1, 2, 3) == [100, 21, 31]  # the source has key 1's time, and not the others'
    online.change([stats([[1, LATE, 100, "s"], [2, "2024-01-06", 201, "s"]])])
    online.materialize()
    assert online.x(1, 2, 3) == [100, 201, 31]
    online.now = NOW + timedelta(days=7, seconds=1)  # push_retention
    online.materialize()
    assert online.x(1, 2, 3) == [100, 201, None]


def test_pushes_are_kept_for_ever(tmp_path: Path) -> None:
    """As longer durations than the calendar has years before now; any lock_timeout, too."""
    durations = {"push_retention": "1000000 days", "lock_timeout": "1000000 days"}
    online = Online(tmp_path, [stats([[1, EARLY, 10, "a"]])], settings=durations)
    online.materialize()
    online.push([row(2, LATE, 21)])
    online.now = NOW + timedelta(days=10_000)
    online.materialize()
    assert online.x(1, 2) == [10, 21]


def test_pushes_outlive_rollback_and_other_views(online: Online) -> None:
    other = View("other", {"k": "BIGINT", "t": "TIMESTAMP", "z": "INTEGER"}, [], meta=STATS_META)
    online.push([row(1, LATE, 11)])
    online.change([stats([[1, "2024-01-06", 12, "s"]]), other])
    online.materialize()
    online.push([row(2, LATE, 21)])
    online.materialize(views=["other"])
    assert online.x(1, 2) == [12, 21]
    online.rollback()
    assert online.x(1, 2) == [12, 21]
    online.materialize()
    online.rollback()
    assert online.x(1, 2) == [12, 21]


def test_rollback_brings_back_a_push_that_was_folded(online: Online) -> None:
    online.push([row(1, LATE, 11)])
    online.change([stats([[1, "2024-01-06", 12, "s"]])])
    online.materialize()
    assert online.x(1) == [12]
    online.rollback()
    assert online.x(1) == [11]


def test_changed_features(online: Online) -> None:
    online.push([row(3, LATE, 31, "kept")])
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "y": "VARCHAR", "x": "BIGINT", "new": "DOUBLE"}
    online.change([View("stats", columns, [], meta=STATS_META)])
    online.materialize()
    found = online.get(["stats:*"], [{"k": 3}]).to_dict()
    assert found == {"k": [3], "y": ["kept"], "x": [31], "new": [None]}


def test_delete(online: Online) -> None:
    online.push([row(3, LATE, 31)])
    assert online.delete(1, 3, 99).keys == 3
    assert online.x(1, 2, 3) == [None, 20, None]
    assert online.statuses(1, 2, 3) == ["NOT_FOUND", "PRESENT", "NOT_FOUND"]
    assert online.push([row(1, LATE, 11), row(2, LATE, 21)]).refused == 1  # of before the deletion
    assert online.x(1, 2) == [None, 21]
    online.now = NOW + DAY
    assert online.push([row(1, online.now.isoformat(), 12)]).refused == 0
    assert online.x(1) == [12]


def test_a_later_materialize_brings_back_what_the_source_has(online: Online) -> None:
    online.delete(1, 2)
    online.change([stats([[1, EARLY, 10, "a"]])])
    online.materialize(incremental=True)
    assert online.x(1, 2) == [10, None]  # 2 is gone from the source: incremental keeps no dead key
    online.rollback()
    assert online.x(1, 2) == [None, None]


def test_a_deletion_during_a_materialize_holds(online: Online) -> None:
    def delete(view: str, done: int, total: int) -> None:
        if done == 0:
            online.delete(1)

    online.materialize(progress=delete)
    assert online.x(1, 2) == [None, 20]
    online.materialize()
    assert online.x(1, 2) == [10, 20]


def test_a_deletion_during_a_materialize_that_failed_hides_nothing_later(online: Online) -> None:
    def delete(view: str, done: int, total: int) -> None:
        online.delete(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        online.materialize(progress=delete)
    assert online.x(1, 2) == [None, 20]
    online.materialize()
    assert online.x(1, 2) == [10, 20]


def test_deletions_that_are_wrong(online: Online) -> None:
    with pytest.raises(EntityRowsError, match=r"rows\[0\]: k is 'x'"):
        online.delete("x")
    with pytest.raises(EntityRowsError, match=r"rows\[1\]: k is NULL, and a join key of"):
        online.delete(1, None)


PUSHER = """
import sys
from pathlib import Path
from tests.online import Online
online = Online.at(Path(sys.argv[1]))
online.push([{"k": 5, "t": "2024-01-05", "x": int(sys.argv[2]), "y": "other"}])
"""


def test_a_push_of_another_process(online: Online) -> None:
    assert online.x(5) == [None]
    command = [sys.executable, "-c", PUSHER, str(online.directory), "51"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.getcwd()})  # noqa: PTH109
    assert online.x(5) == [51]


@pytest.mark.files
def test_a_torn_tail_is_cut_and_a_damaged_entry_is_said(online: Online) -> None:
    online.push([row(1, LATE, 11)])
    log = online.folder / "pushes.1.log"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    online._reader = None
    assert online.x(1) == [11]
    online.push([row(1, "2024-01-06", 12)])
    assert online.x(1) == [12]
    flipped = bytearray(log.read_bytes())
    flipped[len(whole) - 1] ^= 1
    log.write_bytes(flipped)
    online._reader = None
    with pytest.raises(OnlineStoreError, match=r"pushes.1.log is damaged from byte 0 on"):
        online.x(1)


@pytest.mark.files
def test_a_length_that_is_damaged_is_no_torn_tail(online: Online) -> None:
    """Else what was pushed after it would be cut off."""
    for x in (11, 12, 13):
        online.push([row(1, LATE, x)])
    log = online.folder / "pushes.1.log"
    content = bytearray(log.read_bytes())
    content[3] = 0x7F
    log.write_bytes(content)
    other = Online.at(online.directory)
    with pytest.raises(OnlineStoreError, match=r"damaged from byte 0 on \(its length is that of"):
        other.x(1)
    with pytest.raises(OnlineStoreError, match=r"damaged from byte 0 on"):
        other.push([row(1, LATE, 14)])
    assert log.read_bytes() == content


@pytest.mark.files
@pytest.mark.parametrize("more", [1, 8, 4096])
def test_zeros_at_the_end_of_the_log_are_a_torn_tail(online: Online, more: int) -> None:
    other = Online.at(online.directory)
    online.push([row(1, LATE, 11)])
    assert other.x(1) == [11]
    log = online.folder / "pushes.1.log"
    whole = log.read_bytes()
    log.write_bytes(whole + bytes(more))  # as a file is that was made longer as the power was lost
    online._reader = None
    assert online.x(1) == other.x(1) == [11]
    assert online.status().generation == 1
    online.push([row(1, "2024-01-06", 12)])
    assert online.x(1) == other.x(1) == [12]
    assert Online.at(online.directory).x(1) == [12]
    log.write_bytes(log.read_bytes() + bytes(more))
    online.materialize()
    assert online.x(1) == other.x(1) == [12]
    log.write_bytes(log.read_bytes() + bytes(more))
    online.rollback()
    assert online.x(1) == other.x(1) == [12]


@pytest.mark.files
def test_zeros_amid_the_log_are_damage(online: Online) -> None:
    online.push([row(1, LATE, 11)])
    log = online.folder / "pushes.1.log"
    whole = log.read_bytes()
    log.write_bytes(whole + bytes(64) + whole)
    online._reader = None
    with pytest.raises(OnlineStoreError, match=rf"damaged from byte {len(whole)} on \(.*\): rest"):
        online.x(1)


@pytest.mark.files
@pytest.mark.parametrize("body", [b"no JSON\n", b"[]\n", b"{}\n", b"no line"])
def test_a_log_whose_entries_are_none_is_said_by_all(online: Online, body: bytes) -> None:
    online.push([row(1, LATE, 11)])
    log = online.folder / "pushes.1.log"
    damaged = struct.pack("<II", len(body), crc32(body)) + body
    whole = log.read_bytes()
    log.write_bytes(whole + damaged)
    said = re.escape(f"{log} is damaged from byte {len(whole)} on (")
    for work in (lambda: online.x(1), lambda: online.push([row(1, LATE, 12)]), online.materialize):
        online._reader = None
        with pytest.raises(OnlineStoreError, match=said):
            work()


@pytest.mark.files
def test_a_rollback_onto_a_damaged_log_says_so_and_changes_nothing(online: Online) -> None:
    online.push([row(1, LATE, 11)])
    online.materialize()
    log = online.folder / "pushes.1.log"
    whole = log.read_bytes()
    log.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:] + whole)
    with pytest.raises(OnlineStoreError) as caught:
        online.rollback()
    assert str(caught.value) == (
        f"{log} is damaged from byte 0 on (its checksum is that of other bytes): restore it, or "
        "move it away to go on without what was pushed since the last materialize."
    )
    assert online.status().generation == 2
    assert online.x(1) == [11]
    log.unlink()
    assert online.rollback().generation == 1
    assert online.x(1, 2) == [11, 20]  # the push came with the newer log


def test_offline_rows_lie_in_parquet(online: Online) -> None:
    pushed = online.push([row(1, LATE, 11)], to="offline")
    assert pushed.file.parent == online.project.state_directory / "pushed" / "stats"
    assert online.x(1) == [10]
    assert pq.read_table(pushed.file).to_pylist() == [
        {"k": 1, "t": datetime(2024, 1, 5), "x": 11, "y": "pushed"}
    ]
    both = online.push([row(2, LATE, 21)], to="online_and_offline")
    assert online.x(2) == [21]
    assert both.file.exists()
    told = pq.read_metadata(both.file).row_group(0)
    assert [told.column(place).is_stats_set for place in range(4)] == [True] * 4
    assert len(list(pushed.file.parent.iterdir())) == 2


@pytest.mark.parametrize("to", ["offline", "online_and_offline"])
@pytest.mark.parametrize("step", ["replace", "sync"])
def test_a_file_for_dbt_that_gets_no_name(
    online: Online, monkeypatch: pytest.MonkeyPatch, to: str, step: str
) -> None:
    folder = online.project.state_directory / "pushed" / "stats"

    def fails(path: Path, *_: Any) -> None:
        if step == "sync" and path != folder:
            return
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        if step == "replace":
            replace = Path.replace
            broken.setattr(
                Path,
                "replace",
                lambda path, to: (fails if path.parent == folder else replace)(path, to),
            )
        else:
            broken.setattr("fstore.jobs.push.sync", fails)
        with pytest.raises(OutputError) as caught:
            online.push([row(1, LATE, 11)], to=to)
    assert caught.value.path.parent == folder
    sentence = f"{caught.value.path} cannot be written: [Errno 5] Input/output error"
    if to == "online_and_offline":
        sentence += (
            ". The rows are online already. Push them again once it can be written, which is safe: "
            "a row counts once, however often it is pushed."
        )
    assert str(caught.value) == sentence
    assert not [*folder.iterdir()]
    assert online.x(1) == [10 if to == "offline" else 11]
    again = online.push([row(1, LATE, 11)], to=to)
    assert [*folder.iterdir()] == [again.file]
    assert online.x(1) == [10 if to == "offline" else 11]


@pytest.mark.files
def test_a_copied_folder_serves_and_takes_pushes(online: Online, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    shutil.copytree(online.project.state_directory, copied)
    for name in ("dbt_project.yml", "wh.duckdb", "target"):
        path = online.directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with FeatureStore(copied, clock=lambda: NOW) as store:
        rows = [{"k": 1}, {"k": 9}]
        assert store.get_online_features(["stats:x"], rows).to_dict()["x"] == [10, None]
        store.push("stats", [row(9, LATE, 91)])
        assert store.get_online_features(["stats:x"], rows).to_dict()["x"] == [10, 91]
        assert store.delete("stats", [{"k": 1}]).keys == 1
        status = store.status()
        assert status is not None
        assert status.generation == 1
        for needs_a_project in (store.materialize, store.check, store.feature_views):
            with pytest.raises(MissingFileError, match=r"This is a copied online folder"):
                needs_a_project()
        with pytest.raises(MissingFileError, match=r"This is a copied online folder"):
            store.get_historical_features("select 1", ["stats:x"])


@pytest.fixture
def run(online: Online) -> Callable[..., Any]:
    def run(*arguments: str, given: str | None = None) -> Any:
        where = ["--project-dir", str(online.directory)]
        return CliRunner().invoke(main, [*arguments, *where], input=given)

    return run


def test_the_command_pushes_what_files_hold(
    online: Online, tmp_path: Path, run: Callable[..., Any]
) -> None:
    table = pa.table({"k": [1], "t": [datetime(2024, 1, 5)], "x": [1], "y": ["file"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("k,t,x,y\n1,2024-01-06 00:00:00,2,file\n")
    (tmp_path / "rows.json").write_text(json.dumps([row(1, "2024-01-07", 3)]))
    for place, name in enumerate(("rows.parquet", "rows.csv", "rows.json"), start=1):
        done = run("push", "stats", str(tmp_path / name), "--json")
        assert json.loads(done.stdout) == {"view": "stats", "rows": 1, "refused": 0, "file": None}
        assert online.x(1) == [place]
    lines = "\n".join(json.dumps(row(key, "2024-01-08", 4)) for key in (1, 3))
    done = run("push", "stats", "--to", "online_and_offline", given=lines)
    assert done.exit_code == 0, done.output
    assert "rows" in done.stdout
    assert "pushed/stats/" in done.stdout
    assert online.x(1, 3) == [4, 4]


def test_the_command_deletes(online: Online, run: Callable[..., Any]) -> None:
    assert json.loads(run("delete", "stats", "-e", "k=1", "--json").stdout) == {
        "view": "stats",
        "keys": 1,
    }
    assert online.x(1, 2) == [None, 20]
    done = run("delete", "stats", "--entity-rows", '[{"k": 2}]')
    assert done.stdout.split() == ["view", "stats", "keys", "1"]
    done = run("push", "stats", given=json.dumps(row(1, LATE, 5)))
    assert "1 rows arrived before their key was deleted, and were refused." in done.stderr


def test_files_that_are_not_what_they_say(tmp_path: Path, run: Callable[..., Any]) -> None:
    for name in ("a.parquet", "a.csv", "a.json"):
        (tmp_path / name).write_text('"\x00,\n{')
        done = run("push", "stats", str(tmp_path / name))
        assert done.exit_code != 0
        assert "Traceback" not in done.output
    assert "cannot be read" in done.output


@pytest.mark.parametrize("runs", [True, False])
def test_the_collector_is_as_it_was_after_rows_were_taken_in(tmp_path: Path, runs: bool) -> None:
    online = Online(tmp_path, [stats([(1, EARLY, 1, "a")])])
    online.materialize()
    was = gc.isenabled()
    try:
        (gc.enable if runs else gc.disable)()
        online.push([{"k": key, "t": LATE, "x": key, "y": "b"} for key in range(2000)])
        assert online.x(1999) == [1999]
        assert gc.isenabled() is runs
    finally:
        (gc.enable if was else gc.disable)()


def test_what_a_push_has_is_told(tmp_path: Path) -> None:
    online = Online(tmp_path, [stats([[1, "2024-01-01", 1, "a"]])])
    store = FeatureStore(tmp_path)
    with pytest.raises(NotMaterializedError):
        store.published("stats")
    online.materialize()
    view, columns = store.published("stats")
    assert view.join_keys == ("k",)
    assert {column.name: column.type for column in columns} == STATS_COLUMNS
    with pytest.raises(UnknownNameError, match="Did you mean stats"):
        store.published("stat")
