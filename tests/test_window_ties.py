"""First and last among events of one time: settled by all columns, by every plan, and read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import fstore
from fstore.compile import window_tiles
from fstore.compile.plans import WindowPlan
from tests import harness
from tests.test_plans import make

# Columns in whose order rows of one key and time differ: text, nested values, a NaN, a zero's sign.
TYPES = {
    "a": "VARCHAR",
    "b": "INTEGER[]",
    "c": "STRUCT(x INTEGER, y VARCHAR)",
    "d": "DOUBLE",
    "e": "MAP(INTEGER, INTEGER)",
    "f": "ENUM('z', 'a')",
}
VALUES = {
    "a": ["NULL", "''", "'a'", "'B'", "'é'"],
    "b": ["NULL", "[]", "[1]", "[NULL]", "[1, NULL]", "[1, 2]"],
    "c": ["NULL", "{'x': 1, 'y': NULL}", "{'x': NULL, 'y': 'a'}", "{'x': 1, 'y': 'a'}"],
    "d": ["NULL", "'nan'", "'-inf'", "0.0", "-0.0", "1.5"],
    "e": ["NULL", "map {1: 2}", "map {1: NULL}", "map {}"],
    "f": ["NULL", "'z'", "'a'"],
}
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "loaded": "TIMESTAMP", **TYPES, "id": "BIGINT"}
WINDOWS = {"1h": "1 hour", "1d": "1 day", "400d": "400 days"}
ENDS: dict[str, Any] = {"functions": ["last", "first"], "windows": [*WINDOWS.values()]}
META: dict[str, Any] = {"entities": {"user": "k"}, "event_timestamp": "t"}
META |= {"aggregations": [ENDS | {"column": name} for name in ("id", "a")]}


def picked(number: int, name: str) -> str:
    """SQL of one of the values, by some digits of a row's hash."""
    values = VALUES[name]
    cases = " ".join(f"WHEN {at} THEN {value}::{TYPES[name]}" for at, value in enumerate(values))
    return f"CASE hash(i, {number}) % {len(values)} {cases} END"


def rows(count: int) -> str:
    """Events of four keys at 45 times, each of several rows; what tells all apart comes last."""
    cells = ", ".join(picked(number, name) for number, name in enumerate(TYPES))
    return (
        "SELECT nullif(hash(i, 'k') % 5, 4), "
        "TIMESTAMP '2024-01-01' + to_minutes((40 * (hash(i, 't') % 45))::BIGINT), "
        f"TIMESTAMP '2024-01-01' + to_hours((hash(i, 'l') % 2)::BIGINT), {cells}, i "
        f"FROM range({count}) AS rows(i)"
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metas: dict[str, dict[str, Any]] = {
        "plain": {},
        "arrived": {"created_timestamp": "loaded"},
        "keyed": {"event_key": "id"},
        "keyless": {"entities": {}},
    }
    views = [harness.View(name, COLUMNS, meta=META | more) for name, more in metas.items()]
    filled = {name: rows(1_500) for name in metas}
    return make(tmp_path_factory.mktemp("ties") / "project", views, **filled)


@pytest.mark.parametrize("plan", WindowPlan)
@pytest.mark.parametrize("view", ["plain", "arrived", "keyed", "keyless"])
def test_all_columns_settle_ties(
    project: Path, view: str, plan: WindowPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_tiles, "HOT_ROWS", 300)  # so that mixed has keys of both kinds
    with duckdb.connect(str(project / harness.WAREHOUSE), read_only=True) as connection:
        spine = connection.sql(
            "SELECT i AS place, i % 5 AS k, TIMESTAMP '2024-01-01 00:01:00' + to_minutes(i * 37) "
            "AS event_timestamp FROM range(50) AS rows(i)"
        ).to_arrow_table()
        with fstore.FeatureStore(project) as store:
            found = store.get_historical_features(spine, [view], plan=plan).to_arrow()
        for short, window in WINDOWS.items():
            wanted = by_whole_rows(connection, spine, view, window)
            names = [f"{it}_{end}_{short}" for it in ("id", "a") for end in ("last", "first")]
            got = found.select(names).to_pydict()
            assert list(zip(*got.values(), strict=True)) == wanted
            assert any(row[0] is not None for row in wanted)


def by_whole_rows(
    connection: duckdb.DuckDBPyConnection, spine: pa.Table, view: str, window: str
) -> list[Any]:
    """The same by comparing all of each event, as the contract says it."""
    recorded = "v.loaded IS NOT NULL, v.loaded, " if view == "arrived" else ""
    apart = ["k", "t", "loaded"] if recorded else ["k", "t"]
    if view == "keyless":
        apart = ["t"]
    rest = [name for name in COLUMNS if name not in apart]
    order = ", ".join(f"v.{name} IS NOT NULL, v.{name}" for name in rest)
    ends = ", ".join(
        f"{function}(v.{name}, ROW(v.t, {recorded}{order}))"
        for name in ("id", "a")
        for function in ("arg_max_null", "arg_min_null")
    )
    same = "true" if view == "keyless" else "v.k = spine.k"
    known = "AND v.loaded <= spine.event_timestamp" if recorded else ""
    connection.register("spine", spine)
    return connection.execute(
        f"SELECT {ends} FROM spine LEFT JOIN {view} AS v ON {same} {known} "
        f"AND v.t < spine.event_timestamp AND v.t >= spine.event_timestamp - INTERVAL '{window}' "
        "GROUP BY place ORDER BY place"
    ).fetchall()


def test_a_wide_table_is_compared_once_for_all_features(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(400)]
    columns = {"k": "BIGINT", "t": "TIMESTAMP", **dict.fromkeys(names, "BIGINT")}
    windows = ["1 hour", "1 day"]
    entries = [{"column": it, "functions": ["last"], "windows": windows} for it in names[:60]]
    meta = META | {"aggregations": entries}
    cells = ", ".join(f"i // 2 + {place}" for place in range(399))
    wide = (
        "SELECT i % 2, TIMESTAMP '2024-01-01' + to_hours((i // 4)::BIGINT), "
        f"{cells}, -i FROM range(40) AS rows(i)"
    )
    project = make(tmp_path / "project", [harness.View("wide", columns, meta=meta)], wide=wide)
    spine = "SELECT 1 AS k, TIMESTAMP '2024-01-01 09:30:00' AS event_timestamp"
    asked = [f"wide:{it}_last_{window}" for it in names[:60] for window in ("1h", "1d")]
    with fstore.FeatureStore(project) as store:
        for plan in WindowPlan:
            one = store.get_historical_features(spine, asked[:2], plan=plan).to_sql()
            job = store.get_historical_features(spine, asked, plan=plan)
            assert job.to_sql().count('"c399"') == one.count('"c399"')
            assert job.to_sql().count('MAX("row"."place_in_time")') == one.count(
                'MAX("row"."place_in_time")'
            )
            row = job.to_arrow().to_pylist()[0]
            assert [row[f"c{place}_last_1d"] for place in range(60)] == [
                19 + place for place in range(60)
            ]
