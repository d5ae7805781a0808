"""Values and instants at the edges of what Python, Arrow and DuckDB hold: no silent mistakes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import fstore
from tests.harness import View, make_project

SPINE = pa.table({"k": [1], "event_timestamp": [datetime(2024, 1, 2)]})
BEFORE_TIME = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    select = (
        "SELECT 1::BIGINT AS k, TIMESTAMP '2024-01-01' AS t, 'infinity'::DATE AS forever, "
        "7::UHUGEINT AS small"
    )
    huge = f"{select}, 340282366920938463463374607431768211455::UHUGEINT AS huge"
    meta = {"entities": {"user": "k"}, "event_timestamp": "t"}
    view = View("v", {"k": "BIGINT", "t": "TIMESTAMP"}, meta=meta, select=select)
    offline = meta | {"online": False}
    big = View("big", {"k": "BIGINT", "t": "TIMESTAMP"}, meta=offline, select=huge)
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("edges") / "p", [view, big]))


@pytest.mark.parametrize("output", ["to_df", "to_arrow", "to_polars"])
def test_an_integer_that_arrow_cannot_hold_is_an_error(
    store: fstore.FeatureStore, output: str
) -> None:
    job = store.get_historical_features(SPINE, ["big:huge"])
    with pytest.raises(fstore.QueryError, match=r"out of range|Could not cast"):
        getattr(job, output)()


def test_one_that_fits_is_an_integer(store: fstore.FeatureStore, tmp_path: Path) -> None:
    job = store.get_historical_features(SPINE, ["v:small"])
    assert job.to_df()["small"].dtype == "Int64"
    assert job.to_df()["small"].tolist() == [7]
    assert job.to_parquet(tmp_path / "a.parquet").exists()


def test_an_infinite_date_is_the_end_of_the_calendar(store: fstore.FeatureStore) -> None:
    frame = store.get_historical_features(SPINE, ["v:forever"]).to_df()
    assert frame["forever"].tolist() == [date.max]


def test_the_script_of_a_spine_that_ends_in_a_comment(store: fstore.FeatureStore) -> None:
    spine = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t -- end"
    text = store.get_historical_features(spine, ["v:small"]).to_sql()
    with duckdb.connect() as connection:
        assert len(connection.extract_statements(text)) == 2


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_range_outside_the_calendar(store: fstore.FeatureStore, name: str) -> None:
    given: dict[str, Any] = {name: BEFORE_TIME}
    with pytest.raises(fstore.RequestError, match=f"{name} is .* outside the years 1 to 9999"):
        store.get_historical_features(features=["v:small"], **given)


def test_instants_outside_the_calendar_online(store: fstore.FeatureStore) -> None:
    with pytest.raises(fstore.RequestError, match=r"as_of is .* outside the years"):
        store.materialize(as_of=BEFORE_TIME)
    store.materialize(as_of=datetime(2024, 1, 3, tzinfo=UTC))
    with pytest.raises(fstore.RequestError, match=r"at is .* outside the years"):
        store.get_online_features(["v:small"], [{"k": 1}], at=BEFORE_TIME)
