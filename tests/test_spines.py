"""Tables as spines: as they were when they were given, and the values in them that are no keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fstore
from tests.harness import View, make_project

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
T = datetime(2024, 1, 2)
SELECT = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS event_timestamp"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    rows = [(k, "2024-01-01 00:00:00", k * 10) for k in (1, 2, 3)]
    view = View("v", {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}, rows, META)
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("spines") / "p", [view]))


def test_a_column_of_arrays_comes_back(store: fstore.FeatureStore, tmp_path: Path) -> None:
    embeddings = [None, np.array([1.0, 2.0]), np.array([])]
    frame = pd.DataFrame({"k": [1, 2, 3], "event_timestamp": [T] * 3, "embedding": embeddings})
    job = store.get_historical_features(frame, ["v:x"])
    assert job.to_df()["embedding"].tolist()[1] is embeddings[1]
    lists = [None, [1.0, 2.0], []]
    assert job.to_arrow()["embedding"].to_pylist() == lists
    assert job.to_polars()["embedding"].to_list() == lists
    written = job.to_parquet(tmp_path / "x.parquet")
    assert pd.read_parquet(written)["x"].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ("'p' AS site, 'q' AS Site", "two columns of one name, site and Site: call one of them"),
        ("1 AS a, 2 AS a", "two columns of one name, a and a: call one of them something else"),
        ("nosuch AS a", "cannot run: Binder Error: Referenced column"),
    ],
)
def test_a_select_that_is_no_table(store: fstore.FeatureStore, select: str, told: str) -> None:
    with pytest.raises(fstore.SpineError, match=told):
        store.get_historical_features(f"{SELECT}, {select}", ["v:x"])


@pytest.mark.parametrize("output", ["to_df", "to_arrow", "to_batches", "to_parquet"])
def test_a_select_that_fails_as_it_runs_is_named(
    store: fstore.FeatureStore, tmp_path: Path, output: str
) -> None:
    fails = f"{SELECT}, CAST('x' || i AS INT) AS z FROM range(3) AS rows(i) -- ;"
    job = store.get_historical_features(fails, ["v:x"])
    given = [tmp_path / "a.parquet"] if output == "to_parquet" else []
    with pytest.raises(fstore.FstoreError) as caught:
        list(getattr(job, output)(*given))
    assert str(caught.value) == (
        "entity_df cannot run: Conversion Error: Could not convert string 'x0' to INT32."
    )


def reversed_rows(frame: pd.DataFrame) -> None:
    frame.sort_values("k", ascending=False, inplace=True)


def fewer_rows(frame: pd.DataFrame) -> None:
    frame.drop(index=20, inplace=True)


def more_rows(frame: pd.DataFrame) -> None:
    frame.loc[40] = [4, pd.Timestamp(T), "d"]


def other_values(frame: pd.DataFrame) -> None:
    frame.loc[10, "k"] = 3
    frame["label"] = "other"


def other_names(frame: pd.DataFrame) -> None:
    frame.columns = pd.Index(["a", "b", "c"])
    frame.index.name = "renamed"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # that of pandas 4, which lacks it
@pytest.mark.parametrize(
    "change", [reversed_rows, fewer_rows, more_rows, other_values, other_names]
)
def test_a_pandas_spine_is_as_it_was_when_it_was_given(
    store: fstore.FeatureStore, change: Callable[[pd.DataFrame], None]
) -> None:
    labels = list("abc")
    frame = pd.DataFrame({"k": [1, 2, 3], "event_timestamp": T, "label": labels}, [10, 20, 30])
    given = frame.copy(deep=True)
    job = store.get_historical_features(frame, ["v:x"])
    change(frame)
    answer = job.to_df()
    pd.testing.assert_frame_equal(answer[["k", "event_timestamp", "label"]], given)
    assert answer["x"].tolist() == [10, 20, 30]
    assert job.to_arrow().select(["k", "label", "x"]).to_pydict() == {
        "k": [1, 2, 3],
        "label": labels,
        "x": [10, 20, 30],
    }


def test_what_becomes_of_an_answer_does_not_reach_the_next(store: fstore.FeatureStore) -> None:
    job = store.get_historical_features(
        pd.DataFrame({"k": [1, 2, 3], "event_timestamp": T}), ["v:x"]
    )
    first = job.to_df()
    first.loc[0, "k"] = 7
    first.index.name = "renamed"
    second = job.to_df()
    assert second["k"].tolist() == [1, 2, 3]
    assert second.index.name is None


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.replace_column(0, pl.Series("k", [3, 2, 1])),
        lambda frame: frame.insert_column(0, pl.Series("first", [0, 0, 0])),
        lambda frame: frame.drop_in_place("label"),
        lambda frame: frame.extend(frame),
        lambda frame: frame.__setitem__((0, "k"), 3),
    ],
    ids=["replace", "insert", "drop", "extend", "set"],
)
def test_a_polars_spine_is_as_it_was_when_it_was_given(
    store: fstore.FeatureStore, change: Callable[[pl.DataFrame], Any]
) -> None:
    frame = pl.DataFrame({"k": [1, 2, 3], "event_timestamp": [T] * 3, "label": list("abc")})
    job = store.get_historical_features(frame, ["v:x"])
    change(frame)
    assert job.to_polars().select("k", "label", "x").rows() == [
        (1, "a", 10),
        (2, "b", 20),
        (3, "c", 30),
    ]


def sentence(store: fstore.FeatureStore, *arguments: Any, **options: Any) -> str:
    with pytest.raises(fstore.RequestError) as caught:
        store.get_historical_features(*arguments, **options)
    return str(caught.value)


def test_the_name_of_a_file_is_no_spine(store: fstore.FeatureStore) -> None:
    for name in ("spine.parquet", "data/spine.csv.gz", "./labels"):
        assert sentence(store, name, ["v:x"]) == (
            f"entity_df is {name}, which is no dbt model: of a file, give select * from '{name}'"
        )
    with pytest.raises(fstore.UnknownNameError, match="spine is not a dbt model that is built"):
        store.get_historical_features("spine", ["v:x"])


def test_the_time_of_a_spine_that_is_not_given(store: fstore.FeatureStore) -> None:
    range_ = {"start": datetime(2024, 1, 1), "end": datetime(2024, 1, 2)}
    assert sentence(store, features=["v:x"], event_timestamp="q", **range_) == (
        "event_timestamp=q names the time of entity_df, and without entity_df the time is "
        "event_timestamp: leave it out, or give entity_df."
    )
    job = store.get_historical_features(
        features=["v:x"], event_timestamp="event_timestamp", **range_
    )
    assert job.to_arrow().column("x").to_pylist() == [10, 20, 30]
