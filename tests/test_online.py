"""Online reads: the right row at an instant, its status, keys in any form, answers with types."""

from __future__ import annotations

import math
import os
import random
import threading
import uuid
from collections import UserList, deque
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fstore.errors import (
    EntityRowsError,
    NotMaterializedError,
    RequestError,
    UnknownNameError,
)
from fstore.online.keys import KeyType, NotAKeyError
from fstore.online.rows import EntityRows
from tests import oracle
from tests.harness import Service, View
from tests.online import DAY, NOW, STATS_COLUMNS, STATS_META, Online, stats

pytestmark = pytest.mark.usefixtures("store_kind")

MICROSECOND = timedelta(microseconds=1)
ROWS = [[1, "2024-01-08", 10, "a"], [2, "2024-01-02", 20, "b"], [3, "2024-01-08", None, "c"]]
WORLD = View(
    "world",
    {"t": "TIMESTAMP", "w": "DECIMAL(10,2)"},
    [["2024-01-01", "1.25"]],
    meta={"entities": {}, "event_timestamp": "t"},
)


@pytest.fixture(scope="module")
def online(store_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Online:
    """Three views: of one key, of two, of none; one that is not online."""
    routes = View(
        "routes",
        {"origin": "VARCHAR", "dest": "VARCHAR", "t": "TIMESTAMP", "flights": "BIGINT"},
        [["JFK", "LAX", "2024-01-01", 5], ["JFK", "SFO", "2024-01-01", 6]],
        meta={"entities": {"route": ["origin", "dest"]}, "event_timestamp": "t"},
    )
    weather = View(
        "weather",
        {"airport": "VARCHAR", "t": "TIMESTAMP", "temp": "DOUBLE"},
        [["JFK", "2024-01-01", 1.5], ["LAX", "2024-01-01", 20.5]],
        meta={"entities": {"airport": "airport"}, "event_timestamp": "t"},
    )
    aliased = [
        {"view": "weather", "alias": "here", "join_keys": {"airport": "origin"}},
        {"view": "weather", "alias": "there", "join_keys": {"airport": "dest"}},
    ]
    services = [
        Service("both", [*aliased, "routes:*"]),
        Service("full", ["stats:x"], full_feature_names=True),
    ]
    hidden = View("hidden", STATS_COLUMNS, meta=STATS_META | {"online": False})
    views = [stats(ROWS, ttl="7 days"), routes, weather, WORLD, hidden]
    project = Online(tmp_path_factory.mktemp("online"), views, services)
    project.materialize()
    return project


def test_statuses_each_with_its_time(online: Online) -> None:
    rows = [{"k": key} for key in (1, 2, 3, 4, None)]
    assert online.get(["stats:x"], rows).to_dict(include_metadata=True) == {
        "k": [1, 2, 3, 4, None],
        "x": [10, None, None, None, None],
        "x__status": ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND", "NOT_FOUND"],
        "x__ts": [
            datetime(2024, 1, 8, tzinfo=UTC),
            datetime(2024, 1, 2, tzinfo=UTC),
            datetime(2024, 1, 8, tzinfo=UTC),
            None,
            None,
        ],
    }


def test_the_edge_of_ttl_is_inside(online: Online) -> None:
    edge = datetime(2024, 1, 15, tzinfo=UTC)
    assert online.statuses(1, at=edge) == ["PRESENT"]
    assert online.statuses(1, at=edge + MICROSECOND) == ["OUTSIDE_MAX_AGE"]


def test_the_clock_moves_the_answer(tmp_path: Path) -> None:
    own = Online(tmp_path, [stats(ROWS, ttl="7 days")])
    own.materialize()
    own.now = NOW + 30 * DAY
    assert own.statuses(1) == ["OUTSIDE_MAX_AGE"]
    own.now = NOW - 30 * DAY  # a clock that is behind K: the read is at K
    assert own.x(1) == [10]


def test_an_instant_before_k_is_refused(online: Online) -> None:
    with pytest.raises(RequestError, match=r"at=2024-01-09T23:59:59.*before 2024-01-10T00:00:00"):
        online.x(1, at=NOW - MICROSECOND)
    assert online.x(1, at=datetime(2024, 1, 10)) == [10]  # naive is UTC


def test_rows_come_as_asked_duplicates_too(online: Online) -> None:
    assert online.x(3, 1, 9, 1, None, 1) == [None, 10, None, 10, None, 10]


def test_no_rows_give_every_column_with_its_type(online: Online) -> None:
    answer = online.get(["stats:*", "world"], [])
    assert answer.to_dict() == {"k": [], "x": [], "y": [], "w": []}
    assert [str(each) for each in answer.to_arrow().schema.types] == [
        "int64",
        "int32",
        "string",
        "decimal128(10, 2)",
    ]
    assert online.get(["stats:x"], []).to_df()["x"].dtype == "Int32"


def test_views_without_entities_answer_every_row(online: Online) -> None:
    assert online.get(["world:w"], [{}]).to_dict() == {"w": [Decimal("1.25")]}
    assert online.get(["world:w"], {}).to_dict() == {"w": [Decimal("1.25")]}
    both = online.get(["world:w", "stats:x"], [{"k": 1}, {"k": None}]).to_dict()
    assert both == {"k": [1, None], "w": [Decimal("1.25")] * 2, "x": [10, None]}
    with pytest.raises(EntityRowsError, match=r"no column k, a join key of stats. It has no col"):
        online.get(["world:w", "stats:x"], [{}])


def test_aliases_and_composite_keys(online: Online) -> None:
    rows = [{"origin": "JFK", "dest": "LAX"}, {"origin": "JFK", "dest": None}]
    assert online.get(None, rows, service="both").to_dict() == {
        "origin": ["JFK", "JFK"],
        "dest": ["LAX", None],
        "here__temp": [1.5, 1.5],
        "there__temp": [20.5, None],
        "flights": [5, None],
    }


def test_full_names_by_argument_and_by_service(online: Online) -> None:
    assert list(online.get(["stats:x"], [{"k": 1}], full=True).to_dict()) == ["k", "stats__x"]
    assert list(online.get(None, [{"k": 1}], service="full").to_dict()) == ["k", "stats__x"]
    named = online.get(None, [{"k": 1}], service="full", full=False)
    assert list(named.to_dict()) == ["k", "x"]


ASKED = {"k": [1, 2], "more": ["a", "b"]}


@pytest.mark.parametrize(
    "rows",
    [
        [{"k": 1, "more": "a"}, {"k": 2, "more": "b"}],
        ASKED,
        {"k": np.array([1, 2])},
        {"K": pd.Series([1.0, 2.0])},
        pd.DataFrame(ASKED),
        pl.DataFrame(ASKED),
        pa.table(ASKED),
        pa.table(ASKED).to_batches()[0],
    ],
    ids=["dicts", "lists", "numpy", "series", "pandas", "polars", "arrow", "batch"],
)
def test_rows_in_any_form_and_extra_columns_ignored(online: Online, rows: Any) -> None:
    assert online.get(["stats:y"], rows).to_dict() == {"k": [1, 2], "y": ["a", None]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, r"entity_rows is missing: give a list of dicts"),
        (7, r"entity_rows cannot be a int"),
        ("UA", r"entity_rows cannot be a str"),
        ([1], r"entity_rows\[0\] is a int; each row is a dict"),
        ([{"k": 1}, {}], r"entity_rows\[1\] has nothing, and entity_rows\[0\] has k"),
        ([{"k": 1}, {"k": 1, "z": 1}], r"entity_rows\[1\] has k, z, and entity_rows\[0\] has k"),
        ({"k": [1], "z": [1, 2]}, r"columns of different lengths: k 1, z 2"),
        ({"k": 1}, r"entity_rows\['k'\] is a int: give a list"),
        ([{"key": 1}], r"no column k, a join key of stats. It has: key."),
        ([{"k": 7.5}], r"entity_rows\[0\]: k is 7.5, .* stats is BIGINT: give a whole number"),
        ([{"k": 1}, {"k": True}], r"entity_rows\[1\]: k is True, .*: give a whole number"),
        ([{"k": "x"}], r"k is 'x', .*: give a whole number"),
    ],
)
def test_rows_that_cannot_be_used(online: Online, rows: Any, words: str) -> None:
    with pytest.raises(EntityRowsError, match=words):
        online.get(["stats:x"], rows)


DOUBLED = {
    "pandas": pd.DataFrame([["AA", "UA"], ["AA", "UA"]], columns=["k", "k"]),
    "odd": pd.DataFrame([["AA", "UA", 1], ["AA", "UA", 1]], columns=["k", "k", "other"]),
    "arrow": pa.Table.from_arrays([pa.array(["AA", "UA"])] * 2, ["k", "k"]),
    "batch": pa.RecordBatch.from_arrays([pa.array([1])] * 2, ["k", "k"]),
}


@pytest.mark.parametrize("form", DOUBLED)
def test_two_columns_of_one_name_are_refused(tmp_path: Path, form: str) -> None:
    view = View("v", STATS_COLUMNS | {"k": "VARCHAR"}, [["k", "2024-01-01", 1, ""]], STATS_META)
    own = Online(tmp_path, [view])
    own.materialize()
    said = "{} has more than one column named k: rename one, or leave it out."
    with pytest.raises(EntityRowsError) as caught:
        own.get(["v:x"], DOUBLED[form])
    assert str(caught.value) == said.format("entity_rows")
    with pytest.raises(EntityRowsError) as caught:
        own.push(DOUBLED[form], view="v")
    assert str(caught.value) == said.format("rows")


ONE_AND_TWO: list[Any] = [
    pd.DataFrame({0: [1, 2], "more": ["a", "b"]}),
    {0: [1, 2], "more": ["a", "b"]},
    [{0: 1}, {0: 2}],
]


@pytest.mark.parametrize("rows", ONE_AND_TWO, ids=["pandas", "lists", "dicts"])
def test_the_names_of_columns_are_text(tmp_path: Path, rows: Any) -> None:
    meta = {"entities": {"thing": "0"}, "event_timestamp": "t"}
    columns = {"0": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER"}
    own = Online(tmp_path, [View("v", columns, [[1, "2024-01-01", 10]], meta)])
    own.materialize()
    assert own.get(["v:x"], rows).to_dict() == {"0": [1, 2], "x": [10, None]}
    names = "0" if isinstance(rows, list) else "0, more"
    with pytest.raises(EntityRowsError, match=rf"no column k, .* It has: {names}\."):
        EntityRows.of(rows).column("k", "stats")


@pytest.mark.parametrize("rows", [{0: [1], "0": [1]}, [{0: 1, "0": 1}], [{0: 1, "0": 1}] * 2])
def test_two_names_of_one_text_are_refused(rows: Any) -> None:
    with pytest.raises(EntityRowsError, match=r"entity_rows has more than one column named 0: "):
        EntityRows.of(rows)


def test_partial_keys_are_refused(online: Online) -> None:
    with pytest.raises(EntityRowsError, match=r"no column dest, a join key of routes. It has: ori"):
        online.get(["routes:flights"], [{"origin": "JFK"}])


def test_names_that_are_not_online(online: Online) -> None:
    rows = [{"k": 1}]
    with pytest.raises(UnknownNameError, match=r"stat is not a feature view.*Did you mean stats\?"):
        online.get(["stat:x"], rows)
    with pytest.raises(UnknownNameError, match=r"stats:z is not a feature. stats .* has: x, y"):
        online.get(["stats:z"], rows)
    with pytest.raises(UnknownNameError, match=r"bth is not a feature service.*mean both\?"):
        online.get(None, rows, service="bth")
    with pytest.raises(RequestError, match=r"hidden \(models/hidden.sql\) has online: false"):
        online.get(["hidden:x"], rows)
    with pytest.raises(RequestError, match="neither was given"):
        online.get(None, rows)
    with pytest.raises(RequestError, match="is not a feature reference"):
        online.get([["stats:x"]], rows)


def test_a_feature_with_the_name_of_a_key_is_refused(tmp_path: Path) -> None:
    columns = {"place": "VARCHAR", "t": "TIMESTAMP", "home": "VARCHAR"}
    meta = {"entities": {"place": "place"}, "event_timestamp": "t"}
    renamed = {"view": "places", "alias": "other", "join_keys": {"place": "home"}}
    own = Online(
        tmp_path, [View("places", columns, meta=meta)], [Service("svc", ["places:home", renamed])]
    )
    own.materialize()
    with pytest.raises(RequestError, match="places:home would be named home"):
        own.get(None, [{"place": "x", "home": "y"}], service="svc")


def test_nothing_materialized_yet(tmp_path: Path) -> None:
    own = Online(tmp_path, [stats(ROWS), View("late", STATS_COLUMNS, meta=STATS_META)])
    with pytest.raises(
        NotMaterializedError, match=r"Nothing is in the online store yet. Run: fstore"
    ):
        own.x(1)
    own.materialize(views=["stats"])
    with pytest.raises(
        NotMaterializedError, match=r"late .* is not in the online store, which has"
    ):
        own.get(["late:x"], [{"k": 1}])


def test_snapshots_end(tmp_path: Path) -> None:
    columns = {
        "k": "BIGINT",
        "x": "INTEGER",
        "dbt_valid_from": "TIMESTAMP",
        "dbt_valid_to": "TIMESTAMP",
        "dbt_scd_id": "VARCHAR",
        "dbt_updated_at": "TIMESTAMP",
        "dbt_is_deleted": "VARCHAR",
    }
    rows = [
        [1, 1, "2024-01-01", "2024-01-12", "a", "2024-01-01", "False"],
        [2, 2, "2024-01-01", "2024-01-05", "b", "2024-01-01", "False"],
        [3, 3, "2024-01-01", None, "c", "2024-01-01", "False"],
        [4, 4, "2024-01-01", "2024-01-02", "d", "2024-01-01", "False"],
        [4, 4, "2024-01-02", None, "e", "2024-01-02", "True"],
    ]
    view = View("stats", columns, rows, meta={"entities": {"thing": "k"}}, snapshot=True)
    own = Online(tmp_path, [view])
    own.materialize()
    assert own.x(1, 2, 3, 4) == [1, None, 3, None]
    assert own.statuses(1, 2, 3, 4) == ["PRESENT", "NOT_FOUND", "PRESENT", "NOT_FOUND"]
    assert own.x(1, 3, at=datetime(2024, 1, 12, tzinfo=UTC)) == [None, 3]
    assert list(own.get(["stats"], [{"k": 1}]).to_dict()) == ["k", "x"]


def test_types_survive(tmp_path: Path) -> None:
    columns = {
        "k": "INTEGER",
        "t": "TIMESTAMP",
        "big": "BIGINT",
        "huge": "HUGEINT",
        "yes": "BOOLEAN",
        "price": "DECIMAL(10,2)",
        "list": "INTEGER[]",
        "tree": "STRUCT(a INTEGER)",
        "zoned": "TIMESTAMPTZ",
        "day": "DATE",
        "id": "UUID",
        "end": "TIMESTAMP",
    }
    key = "4ac7a9e9-607c-4c8a-84f3-843f0191e3fd"
    row = [1, "2024-01-01", 9007199254740993, 5, True, "1.50", "[1, NULL]", "{'a': 1}"]
    row += ["2024-01-01 02:00:00+02", "2024-01-01", key, "infinity"]
    view = View("stats", columns, [row], meta={"entities": {"thing": "k"}, "event_timestamp": "t"})
    own = Online(tmp_path, [view])
    own.materialize()
    answer = own.get(["stats:*"], [{"k": 1}, {"k": 2}])
    assert {name: cells[0] for name, cells in answer.to_dict().items()} == {
        "k": 1,
        "big": 9007199254740993,
        "huge": 5,
        "yes": True,
        "price": Decimal("1.50"),
        "list": [1, None],
        "tree": {"a": 1},
        "zoned": datetime(2024, 1, 1, tzinfo=UTC),
        "day": date(2024, 1, 1),
        "id": key,
        "end": datetime.max,
    }
    frame = answer.to_df()
    assert [frame[name].dtype.name for name in ("k", "big", "huge", "yes")] == [
        "Int32",
        "Int64",
        "Int64",
        "boolean",
    ]
    assert frame["big"].tolist() == [9007199254740993, pd.NA]
    assert answer.to_arrow()["end"].cast(pa.int64()).to_pylist() == [2**63 - 1, None]
    metadata = answer.to_arrow(include_metadata=True)
    assert metadata["big__status"].to_pylist() == ["PRESENT", "NOT_FOUND"]
    assert str(metadata.schema.field("big__ts").type) == "timestamp[us, tz=UTC]"


UUID = uuid.UUID("4ac7a9e9-607c-4c8a-84f3-843f0191e3fd")
MORNING = datetime(2024, 1, 1, 8)
MORNING_5 = pd.Timestamp("2024-01-01 08:00:00.000000005")


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        ("BIGINT", "7", 7),
        ("BIGINT", 7.0, 7),
        ("BIGINT", Decimal("7.0"), 7),
        ("BIGINT", np.int32(7), 7),
        ("BIGINT", np.float32("nan"), None),
        ("BIGINT", math.nan, None),
        ("BIGINT", pd.NA, None),
        ("BIGINT", pa.scalar(7), 7),
        ("DOUBLE", 7, 7.0),
        ("DOUBLE", "7.5", 7.5),
        ("DECIMAL(10,2)", 7.1, Decimal("7.1")),
        ("DECIMAL(10,2)", "7.10", Decimal("7.10")),
        ("VARCHAR", 7, "7"),
        ("VARCHAR", 7.0, "7"),
        ("VARCHAR", np.str_("UA"), "UA"),
        ("VARCHAR", math.nan, None),
        ("ENUM('a', 'b')", "c", "c"),
        ("BOOLEAN", np.bool_(True), True),
        ("BOOLEAN", "False", False),
        ("UUID", UUID, str(UUID)),
        ("UUID", str(UUID).upper(), str(UUID)),
        ("DATE", "2024-01-01", date(2024, 1, 1)),
        ("DATE", datetime(2024, 1, 1), date(2024, 1, 1)),
        ("DATE", pd.Timestamp("2024-01-01"), date(2024, 1, 1)),
        ("TIMESTAMP", "2024-01-01T10:00:00+02:00", MORNING),
        ("TIMESTAMP", np.datetime64("2024-01-01T08:00:00.000000001"), MORNING),
        ("TIMESTAMP", pd.Timestamp("2024-01-01 10:00", tz="+02:00"), MORNING),
        ("TIMESTAMP", pd.NaT, None),
        ("TIMESTAMP", date(2024, 1, 1), datetime(2024, 1, 1)),
        ("TIMESTAMP WITH TIME ZONE", MORNING, MORNING.replace(tzinfo=UTC)),
        ("TIMESTAMP_NS", pd.Timestamp("2024-01-01 08:00"), MORNING),
        ("TIMESTAMP_NS", pd.Timestamp("2024-01-01 08:00:00.000000005"), MORNING_5),
        ("TIMESTAMP_NS", pd.Timestamp("2024-01-01 10:00:00.000000005", tz="+02:00"), MORNING_5),
        ("TIMESTAMP_NS", np.datetime64("2024-01-01T08:00:00.000000005"), MORNING_5),
        ("TIMESTAMP_NS", pa.scalar(MORNING_5.value, pa.timestamp("ns")), MORNING_5),
        ("TIMESTAMP_NS", "2024-01-01T08:00:00.000000005", MORNING_5),
        ("TIMESTAMP_NS", "2024-01-01 10:00:00.000000005+02:00", MORNING_5),
        ("TIMESTAMP_NS", "3024-01-01T08:00:00.000000005", datetime(3024, 1, 1, 8)),
        ("TIMESTAMP_NS", pd.NaT, None),
        ("TIMESTAMP_NS", pa.scalar(None, pa.timestamp("ns")), None),
        ("TIMESTAMP_NS", np.datetime64("NaT", "ns"), None),
        ("TIMESTAMPTZ_NS", "2024-01-01T08:00:00.0000000050", MORNING_5.tz_localize(UTC)),
    ],
    ids=lambda each: f"{type(each).__name__} {each}",
)
def test_keys_are_read_by_the_type_of_the_key(kind: str, given: Any, read: Any) -> None:
    found = KeyType(kind).read(given)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("BIGINT", 7.5),
        ("BIGINT", True),
        ("BIGINT", "x"),
        ("BIGINT", math.inf),
        ("BIGINT", [1]),
        ("BIGINT", "١"),
        ("BIGINT", "1\u2003"),
        ("DOUBLE", "١.٥"),
        ("DOUBLE", "1_0"),
        ("DECIMAL(10,2)", "١"),
        ("DECIMAL(10,2)", "1_0"),
        ("UUID", "١" * 32),
        ("UUID", "1_" * 16),
        ("TIMESTAMP", "٢٠٢٤-01-01"),
        pytest.param("VARCHAR", 10**5000, id="VARCHAR-long"),
        pytest.param("ENUM('a')", -(10**5000), id="ENUM-long"),
        ("DOUBLE", "x"),
        ("DOUBLE", True),
        ("DECIMAL(10,2)", "x"),
        ("DECIMAL(10,2)", math.inf),
        ("VARCHAR", True),
        ("VARCHAR", 7.5),
        ("VARCHAR", math.inf),
        ("BOOLEAN", 1),
        ("UUID", "x"),
        ("DATE", "x"),
        ("DATE", MORNING),
        ("TIMESTAMP", 7),
        ("TIMESTAMP", "noon"),
    ],
)
def test_what_cannot_be_a_key_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(NotAKeyError, match=r"^give "):
        KeyType(kind).read(given)


@pytest.mark.parametrize(
    ("kind", "cells", "asked", "found"),
    [
        ("TINYINT", [7], [7, "7", 300, 10**30], [1, 1, None, None]),
        ("UHUGEINT", [2**100], [2**100, -1], [1, None]),
        ("DECIMAL(4,2)", ["7.10"], [7.1, "7.1", 7.101, 12345], [1, 1, None, None]),
        ("ENUM('a', 'b')", ["a"], ["a", "c"], [1, None]),
        ("UUID", [str(UUID)], [UUID, str(uuid.UUID(int=0))], [1, None]),
        ("DATE", ["2024-01-01"], [date(2024, 1, 1), "2024-01-02"], [1, None]),
        ("TIMESTAMPTZ", ["2024-01-01 08:00:00+00"], [MORNING, "2024-01-01T09:00:00+01:00"], [1, 1]),
        ("TIMESTAMP_NS", ["2024-01-01 08:00:00"], [MORNING], [1]),
        (
            "TIMESTAMP_NS",
            ["2024-01-01 08:00:00", "2024-01-01 08:00:00.000000005"],
            [MORNING, MORNING_5, MORNING_5 + pd.Timedelta(1, "ns"), str(MORNING_5)],
            [1, 2, None, 2],
        ),
        ("BOOLEAN", [True], [True, False], [1, None]),
        ("DOUBLE", [0.5], [0.5, "0.5", math.nan], [1, 1, None]),
        ("VARCHAR", ["7", "ü '$"], [7, "ü '$", ""], [1, 2, None]),
        ("BIGINT", [7], [10**5000, -(10**5000)], [None, None]),
        ("DECIMAL(10,2)", [7], [10**5000], [None]),
    ],
)
def test_keys_of_every_type_are_found(
    tmp_path: Path, kind: str, cells: list[Any], asked: list[Any], found: list[Any]
) -> None:
    rows = [[cell, "2024-01-01", place + 1, ""] for place, cell in enumerate(cells)]
    columns = STATS_COLUMNS | {"k": kind}
    own = Online(tmp_path, [View("stats", columns, rows, meta=STATS_META)])
    own.materialize()
    assert own.x(*asked) == found
    own.get(["stats:x"], [{"k": each} for each in asked]).to_df()


@pytest.mark.parametrize(
    "form", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=["pandas", "polars", "arrow", "lists"]
)
def test_nanoseconds_of_every_form_are_kept(tmp_path: Path, form: Any) -> None:
    rows = [["2024-01-01 08:00", "2024-01-01", 1, ""], [str(MORNING_5), "2024-01-01", 2, ""]]
    view = View("stats", STATS_COLUMNS | {"k": "TIMESTAMP_NS"}, rows, meta=STATS_META)
    own = Online(tmp_path, [view])
    own.materialize()
    keys = pd.Series([MORNING_5, MORNING_5.floor("us")]).dt.as_unit("ns")
    asked = form({"k": pa.array(keys) if form in (pa.table, pl.DataFrame) else keys})
    answer = own.get(["stats:x"], asked)
    assert answer.to_dict()["x"] == [2, 1]
    assert answer.to_df()["k"].tolist() == keys.tolist()
    own.push([{"k": MORNING_5, "t": "2024-01-05", "x": 3, "y": ""}])
    assert own.get(["stats:x"], asked).to_dict()["x"] == [3, 1]


def test_a_long_integer_for_a_text_key_is_refused(tmp_path: Path) -> None:
    view = View("stats", STATS_COLUMNS | {"k": "VARCHAR"}, [["1", "2024-01-01", 1, ""]], STATS_META)
    own = Online(tmp_path, [view])
    own.materialize()
    with pytest.raises(EntityRowsError) as caught:
        own.x(10**5000)
    assert str(caught.value) == (
        "entity_rows[0]: k is an integer of 16610 bits, and the join key k of stats is VARCHAR: "
        "give text."
    )


@pytest.mark.parametrize("form", [tuple, deque, UserList])
def test_features_in_any_sequence(online: Online, form: Any) -> None:
    for _ in range(2):
        assert online.get(form(["stats:x"]), [{"k": 1}]).to_dict() == {"k": [1], "x": [10]}


@pytest.mark.parametrize("form", [list, deque, UserList])
def test_features_that_are_no_text_are_refused(online: Online, form: Any) -> None:
    with pytest.raises(RequestError, match=r"\['stats:x'\] is not a feature reference"):
        online.get(form([["stats:x"]]), [{"k": 1}])


def test_odd_names(tmp_path: Path) -> None:
    columns = {'a "b': "BIGINT", "select": "TIMESTAMP", "event_time": "INTEGER", "x y": "INTEGER"}
    meta = {"entities": {"thing": 'a "b'}, "event_timestamp": "select", "ttl": "100 days"}
    own = Online(tmp_path, [View("row", columns, [[1, "2024-01-01", 5, 6]], meta=meta)])
    own.materialize()
    answer = own.get(["row:*"], [{'a "b': 1}]).to_dict()
    assert answer == {'a "b': [1], "event_time": [5], "x y": [6]}


def test_reads_from_many_threads(online: Online) -> None:
    wrong: list[Any] = []

    def read(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(20):
            keys = [chosen.choice([1, 2, 3, 4]) for _ in range(3)]
            found = online.x(*keys)
            if found != [10 if key == 1 else None for key in keys]:
                wrong.append((keys, found))

    threads = [threading.Thread(target=read, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_reads_after_a_fork(online: Online) -> None:
    assert online.x(1) == [10]
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if online.x(1, 2) == [10, None] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert online.x(1) == [10]


@pytest.mark.parametrize("seed", range(12))
def test_online_equals_the_oracle(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    start = datetime(2024, 1, 1)
    hours = range(0, 24 * 14, 12)

    def moment() -> datetime:
        return start + timedelta(hours=chosen.choice(hours))

    columns = {"k": "BIGINT", "t": "TIMESTAMP", "c": "TIMESTAMP", "x": "INTEGER", "y": "VARCHAR"}
    meta: dict[str, Any] = dict(STATS_META)
    facts: dict[str, Any] = {}
    if seed % 2:
        meta["created_timestamp"] = facts["created_timestamp"] = "c"
        if seed % 3 == 0:
            meta["known_at"] = facts["known_at"] = False
    elif seed % 4:
        meta["delay"], facts["delay"] = "12 hours", timedelta(hours=12)
    if seed % 5:
        meta["ttl"], facts["ttl"] = "4 days", timedelta(days=4)
    rows: dict[Any, list[Any]] = {}
    for _ in range(60):
        key = chosen.choice([1, 2, 3, None])
        row = [key, moment(), moment(), chosen.choice([None, 1, 2]), chosen.choice([None, "a"])]
        unique = (key, row[1], row[2] if seed % 2 else None)
        rows[unique] = row
    table = list(rows.values())
    own = Online(tmp_path, [View("stats", columns, table, meta=meta)])
    k = moment().replace(tzinfo=UTC)
    own.now = start.replace(tzinfo=UTC) + 30 * DAY
    own.materialize(as_of=k)
    dicts = [dict(zip(columns, row, strict=True)) for row in table]
    truth = oracle.View(list(columns), ["k"], "t", dicts, **facts)
    for _ in range(12):
        at = max(k, moment().replace(tzinfo=UTC) + timedelta(hours=chosen.choice([0, 24, 240])))
        keys = [1, 2, 3, 4]
        answer = own.get(["stats:x", "stats:y"], [{"k": key} for key in keys], at=at)
        found = answer.to_dict(include_metadata=True)
        for place, key in enumerate(keys):
            state, winner = truth.online([key], oracle.instant(at), oracle.instant(k))
            for name in ("x", "y"):
                value = winner[name] if winner and state == "FOUND" else None
                status = state
                if state == "FOUND":
                    status = "NULL_VALUE" if value is None else "PRESENT"
                assert found[name][place] == value
                assert found[f"{name}__status"][place] == status
                time = winner["t"].replace(tzinfo=UTC) if winner else None
                assert found[f"{name}__ts"][place] == time


def test_an_instant_that_is_none_is_refused(online: Online) -> None:
    with pytest.raises(RequestError, match=r"at '2024-01-10' is not a time"):
        online.get(["stats:x"], [{"k": 1}], at="2024-01-10")  # type: ignore[arg-type]
