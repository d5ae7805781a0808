"""Keys of one type against a spine of another: equal where the values are, and never an error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fstore
from fstore.compile.keys import comparable
from fstore.compile.plans import Plan, WindowPlan
from fstore.compile.sql import quoted, render
from tests.harness import WAREHOUSE, View, make_project, on_demand

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
NUMBERS = [
    *("TINYINT", "UTINYINT", "INTEGER", "BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"),
    *("DECIMAL(38,0)", "DECIMAL(38,10)", "DECIMAL(38,30)", "DECIMAL(18,2)", "DECIMAL(4,1)"),
]
VALUES = [
    *("0", "1", "-3", "127", "128", "-128", "255", "1.25", "2.5", "9.9", "999.9", "99999999"),
    *(str(2**63 - 1), str(-(2**63)), str(2**64 - 1), str(2**127 - 1), str(2**128 - 1)),
    *("9" * 38, "9" * 28, "9" * 28 + ".5", "0." + "0" * 29 + "1"),
]


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def held(duck: duckdb.DuckDBPyConnection, kind: str) -> dict[str, Decimal]:
    """Those of the values, as text, that the type holds, as it does."""
    casts = [f"TRY_CAST('{value}' AS {kind})::VARCHAR" for value in VALUES]
    row = duck.execute(f"SELECT {', '.join(casts)}").fetchone()
    assert row is not None
    return {text: Decimal(text) for text in row if text is not None}


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("given", NUMBERS)
def test_numbers_are_equal_where_their_values_are(
    duck: duckdb.DuckDBPyConnection, given: str, key: str
) -> None:
    spine, view = held(duck, given), held(duck, key)
    value = render(comparable(quoted("a"), given, key))
    rows = duck.execute(
        f"SELECT a::VARCHAR, b::VARCHAR FROM (SELECT unnest({list(spine)})::{given} AS a) "
        f"JOIN (SELECT unnest({list(view)})::{key} AS b) ON {value} = b"
    ).fetchall()
    assert sorted(rows) == sorted(
        (ours, theirs) for ours in spine for theirs in view if spine[ours] == view[theirs]
    )


@pytest.mark.parametrize(
    ("key", "text", "found"),
    [
        ("TIMESTAMP", "2024-01-01T02:00:00+02:00", "2024-01-01 00:00:00"),
        ("TIMESTAMP", "2024-01-01 02:00", "2024-01-01 02:00:00"),
        ("TIMESTAMP_S", "2024-01-01T02:00:00+02:00", "2024-01-01 00:00:00"),
        ("TIMESTAMP_S", "2024-01-01 02:00:00.5", None),
        ("TIMESTAMP_MS", "2024-01-01 02:00:00.5", "2024-01-01 02:00:00.5"),
        ("DATE", "2024-01-01", "2024-01-01"),
        ("DATE", "2024-01-01T02:00:00+02:00", "2024-01-01"),
        ("DATE", "2024-01-01T00:00:00+02:00", None),
        ("DATE", "2024-01-01 05:00", None),
        ("DATE", "20240101", None),
        ("UUID", "x", None),
    ],
)
def test_text_of_a_select_is_the_time_that_it_is_online(
    duck: duckdb.DuckDBPyConnection, key: str, text: str, found: str | None
) -> None:
    value = render(comparable(quoted("a"), "VARCHAR", key))
    assert duck.execute(f"SELECT ({value})::VARCHAR FROM (SELECT ? AS a)", [text]).fetchone() == (
        found,
    )


def test_a_number_beyond_a_decimal_key_matches_nothing(tmp_path: Path) -> None:
    columns = {"k": "DECIMAL(38,30)", "t": "TIMESTAMP", "x": "BIGINT"}
    view = View("v", columns, [(1, "2024-01-01 00:00:00", 10)], META)
    store = fstore.FeatureStore(make_project(tmp_path / "p", [view]))
    keys = [1, 2**63 - 1, None]
    table = pa.table({"k": keys, "event_timestamp": [datetime(2024, 1, 2)] * 3})
    sql = f"SELECT unnest([1, {2**63 - 1}, NULL]) AS k, TIMESTAMP '2024-01-02' AS event_timestamp"
    for spine in (table, sql):
        found = store.get_historical_features(spine, ["v:x"]).to_arrow()
        assert found.column("x").to_pylist() == [10, None, None]


@pytest.mark.parametrize(
    ("given", "value", "key", "held", "equal"),
    [
        ("FLOAT", "12345678.9", "DECIMAL(10,2)", "12345678.90", False),
        ("FLOAT", "12345678.9", "DECIMAL(10,2)", "12345679", True),
        ("DOUBLE", "0.1", "DECIMAL(10,2)", "0.10", True),
        ("DOUBLE", "0.101", "DECIMAL(10,2)", "0.10", False),
        ("DOUBLE", "1e300", "DECIMAL(10,2)", "0.10", False),
    ],
)
def test_floats_beside_decimal_keys(
    duck: duckdb.DuckDBPyConnection, given: str, value: str, key: str, held: str, equal: bool
) -> None:
    asked = render(comparable(quoted("v"), given, key))
    equals = f"coalesce({asked} = '{held}'::{key}, false)"
    found = duck.execute(f"SELECT {equals} FROM (SELECT '{value}'::{given} AS v)").fetchall()
    assert found == [(equal,)]


NAN = float("nan")
ZONES = pa.table({"zone": [1.0, NAN, 2.0], "fee": [1.0, NAN, 2.0], "x": [1, 2, 3]})


@pytest.mark.parametrize("in_file", [True, False])
def test_nan_is_no_key_in_a_file_whose_statistics_leave_it_out(
    tmp_path: Path, in_file: bool
) -> None:
    """Other writers leave NaN out of them, as the format says, and DuckDB then sees none."""
    at = datetime(2024, 1, 1)
    rows = ZONES.append_column("t", pa.array([at] * 3))
    columns = {"zone": "DOUBLE", "t": "TIMESTAMP", "x": "BIGINT"}
    meta = {"entities": {"zone": "zone"}, "event_timestamp": "t"}
    counted = [{"windows": ["7 days"], "functions": ["count"]}]
    views = [
        View("plain", columns, [], meta),
        View("visits", columns, [], meta | {"aggregations": counted}),
        on_demand("fees", "select fee is null as none from inputs", request={"fee": "double"}),
    ]
    project = make_project(tmp_path / "p", views)
    pq.write_table(rows, project / "rows.parquet")
    with duckdb.connect(str(project / WAREHOUSE)) as connection:
        for name in ("plain", "visits"):
            connection.execute(f"DROP TABLE {name}")
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{project}/rows.parquet')")
    spine: Any = rows.set_column(2, "event_timestamp", pa.array([datetime(2024, 1, 2)] * 3))
    spine = spine.select(["zone", "fee", "event_timestamp"])
    if in_file:
        pq.write_table(spine, project / "spine.parquet")
        spine = "FROM 'spine.parquet'"
    with fstore.FeatureStore(project) as store:
        for plan in Plan:
            if plan is Plan.BUCKETED:
                continue
            found = store.get_historical_features(spine, ["plain:x", "fees:none"], plan=plan)
            assert found.to_arrow()["x"].to_pylist() == [1, None, 3]
            assert found.to_arrow()["none"].to_pylist() == [False, True, False]
        for windows in WindowPlan:
            found = store.get_historical_features(spine, ["visits:*"], plan=windows)
            assert found.to_arrow()["count_7d"].to_pylist() == [1, None, 1]
        every = store.get_historical_features(None, ["plain:x"], start=at).to_arrow()
        assert every["zone"].to_pylist() == [1.0, 2.0]
        assert [view.keys for view in store.materialize().views] == [2, 2]
        online = store.get_online_features(["plain:x"], [{"zone": zone} for zone in (1.0, NAN, 2)])
        assert online.to_dict()["x"] == [1, None, 3]
