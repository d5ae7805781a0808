"""What a person is told of windows: describe, list, check, and what is refused before it runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fstore import DeclarationError, FeatureStore
from fstore.cli import main
from fstore.compile.plans import WindowPlan
from fstore.errors import OutputError, QueryError
from tests.harness import View, make_project

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "x": "BIGINT", "y": "VARCHAR"}
META = {"entities": {"u": "k"}, "event_timestamp": "t", "event_key": "id"}
LATE = {"windows": ["1 hour"], "where": "x > 15", "name": "late", "hop": "5 minutes"}
SUM = {"column": "x", "functions": ["sum"], "windows": ["7 days"]}


def project(directory: Path, *aggregations: Any) -> Path:
    meta = META | {"aggregations": list(aggregations)}
    return make_project(directory, [View("clicks", COLUMNS, [], meta)])


def run(directory: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, [*words, "--project-dir", str(directory)])
    assert result.exit_code == code, result.output
    return result.output


def test_describe_says_of_which_events_each_feature_is(tmp_path: Path) -> None:
    directory = project(tmp_path, SUM, LATE)
    told = run(directory, "describe", "clicks")
    assert ["event_key", "id"] in [line.split() for line in told.splitlines()]
    assert "the last 7 days: sum of x" in told
    assert "the last 1 hour: count where x > 15, in hops of 5 minutes" in told
    facts = json.loads(run(directory, "describe", "clicks", "--json"))
    assert facts["features"] == {"x_sum_7d": "BIGINT", "late_count_1h": "BIGINT"}
    assert facts["windows"]["x_sum_7d"] == "the last 7 days: sum of x"


def test_check_finds_a_condition_that_duckdb_cannot_compute(tmp_path: Path) -> None:
    directory = project(tmp_path, LATE | {"where": "y > 15 and len(x) = 3"})
    told = run(directory, "check", code=1)
    assert "clicks (models/clicks.sql): a where of its aggregations cannot be computed" in told


@pytest.mark.parametrize(("text", "kind"), [("x + 1", "BIGINT"), ("y", "VARCHAR")])
def test_a_condition_is_true_or_false(tmp_path: Path, text: str, kind: str) -> None:
    directory = project(tmp_path, LATE | {"where": text})
    told = f"a where of its aggregations is {text}, which is {kind} and no condition"
    assert told in run(directory, "check", code=1)
    assert told in run(directory, "materialize", code=1)
    with FeatureStore(directory) as store, pytest.raises(QueryError, match="no condition"):
        store.get_historical_features("select 1 as k, now() as event_timestamp", ["clicks:*"])


@pytest.mark.parametrize("by_sql", [True, False])
@pytest.mark.parametrize("plan", WindowPlan)
def test_a_condition_that_fails_on_a_row_is_named(
    tmp_path: Path, plan: WindowPlan, by_sql: bool
) -> None:
    fails = LATE | {"where": "y::int = 1"}
    rows = [{"k": 1, "t": datetime(2025, 1, 1), "id": 1, "x": 3, "y": "a"}]
    view = View("clicks", COLUMNS, rows, META | {"aggregations": [SUM, fails]})
    directory = make_project(tmp_path / "p", [view])
    spine: Any = "select 1 as k, timestamp '2025-01-01 00:30:00' as event_timestamp"
    with FeatureStore(directory) as store:
        fine = store.get_historical_features(spine, ["clicks:x_sum_7d"]).to_arrow()
        assert fine["x_sum_7d"].to_pylist() == [3]
        spine = spine if by_sql else fine.select(["k", "event_timestamp"]).to_pandas()
        job = store.get_historical_features(spine, ["clicks:*"], plan=plan)
        for output in (
            job.to_df,
            job.to_arrow,
            job.to_polars,
            lambda: list(job.to_batches()),
            lambda: job.to_parquet(tmp_path / "x.parquet"),
        ):
            with pytest.raises((QueryError, OutputError)) as raised:
                output()
            assert (
                "The where 'y::int = 1' of clicks (models/clicks.yml) cannot be computed for each "
                "row of wh.main.clicks. DuckDB: Conversion Error: Could not convert string 'a' to "
                "INT32 when casting from source column y. Write one that holds for any row, as "
                "with TRY_CAST."
            ) in str(raised.value)
    assert list(tmp_path.iterdir()) == [directory]


def test_what_has_no_single_order_has_no_extremes(tmp_path: Path) -> None:
    ends = {"functions": ["min", "first"], "windows": ["1 day"]}
    types = ["DOUBLE[]", "INTEGER[2]", "STRUCT(a INTEGER)", "MAP(INTEGER, INTEGER)", "INTERVAL"]
    types += ["UNION(a INTEGER)", "BIT", "TIME WITH TIME ZONE"]
    columns = {f"c{place}": kind for place, kind in enumerate(types)}
    meta = {"entities": {"user": "k"}, "event_timestamp": "t"}
    meta |= {"aggregations": [ends | {"column": name} for name in columns]}
    view = View("v", {"k": "BIGINT", "t": "TIMESTAMP", **columns}, meta=meta)
    directory = make_project(tmp_path / "p", [view])
    told = run(directory, "check", code=1)
    for name, kind in columns.items():
        assert f"{name}_min_1d is the min of {name}, which is {kind}: min needs a number, a" in told
    assert "value that has one order; take such a part of it in the model" in told
    with FeatureStore(directory) as store:
        with pytest.raises(DeclarationError, match="c0_min_1d is the min"):
            store.materialize()
        with pytest.raises(DeclarationError, match="c0_min_1d is the min"):
            store.get_historical_features("select 1 as k, now() as event_timestamp", ["v:*"])


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (SUM | {"column": "y"}, "x|sum needs a number or a boolean; cast it in the model"),
        (SUM | {"column": "z"}, "z is not a column of the built relation"),
        (LATE | {"where": "z > 1"}, "names z, which is not a column"),
        (LATE | {"where": "x >"}, "is not SQL that can be read"),
        (LATE | {"where": "sum(x) > 1"}, "which looks at several events"),
        (LATE | {"where": "x > (select 1)"}, "holds a subquery"),
        (LATE | {"where": "unnest([x]) = 1"}, "holds UNNEST([x]), which makes several rows of one"),
        (LATE | {"where": "x in (unlist([1]))"}, "holds UNLIST([1]), which makes several rows"),
        (LATE | {"where": "t > now()"}, "which is another value each time"),
    ],
)
def test_what_the_built_relation_shows_to_be_wrong(tmp_path: Path, entry: Any, words: str) -> None:
    directory = project(tmp_path, entry)
    told = run(directory, "check", code=1)
    assert words.rpartition("|")[2] in told
    assert "Binder Error" not in told  # of DuckDB, about the same
    with FeatureStore(directory) as store, pytest.raises((DeclarationError, KeyError)):
        store.materialize()
