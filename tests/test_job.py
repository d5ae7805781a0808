"""What a training set comes out as: every form, the spine's own columns, whole files or none."""

from __future__ import annotations

import threading
import uuid
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fstore
from tests.harness import WAREHOUSE, View, make_project

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
T = datetime(2024, 1, 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    select = (
        "SELECT i AS k, TIMESTAMP '2024-01-01' AS t, i::HUGEINT AS total, i % 2 = 0 AS is_even "
        "FROM range(1000) AS r(i)"
    )
    view = View("v", {"k": "BIGINT", "t": "TIMESTAMP"}, meta=META, select=select)
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("job") / "p", [view]))


def job(store: fstore.FeatureStore, spine: Any) -> fstore.RetrievalJob:
    return store.get_historical_features(spine, ["v:*"])


def test_a_pandas_spine_comes_back_untouched(store: fstore.FeatureStore) -> None:
    anything = [object(), {"a": 1}, None]
    index = pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2)])
    frame = pd.DataFrame(
        {
            "k": [3, 5_000, 4],
            "event_timestamp": [T, T, T],
            "kind": pd.Categorical(["a", "b", "a"]),
            "label": [1, 0, 1],
            "anything": anything,
        },
        index=index,
    )
    before = frame.copy()
    answer = job(store, frame).to_df()
    pd.testing.assert_frame_equal(answer[list(before.columns)], before)
    pd.testing.assert_frame_equal(frame, before)
    assert answer["total"].dtype == "Int64"
    assert answer["is_even"].dtype == "boolean"
    assert answer["total"].tolist() == [3, pd.NA, 4]
    assert answer["anything"].iloc[0] is anything[0]


def test_what_arrow_cannot_hold_is_said(store: fstore.FeatureStore) -> None:
    frame = pd.DataFrame({"k": [3], "event_timestamp": [T], "anything": [object()]})
    with pytest.raises(fstore.SpineError, match="column anything cannot be read"):
        job(store, frame).to_arrow()


def test_every_form_holds_the_same_rows(store: fstore.FeatureStore, tmp_path: Path) -> None:
    spine = pa.table({"k": [3, 1, 3], "event_timestamp": [T] * 3, "label": ["a", "b", "c"]})
    made = job(store, spine)
    table = made.to_arrow()
    assert table.column_names == ["k", "event_timestamp", "label", "total", "is_even"]
    assert table.column("label").to_pylist() == ["a", "b", "c"]
    assert table.column("total").to_pylist() == [3, 1, 3]
    assert isinstance(made.to_polars(), pl.DataFrame)
    assert made.to_polars()["label"].to_list() == ["a", "b", "c"]
    assert pa.Table.from_batches(made.to_batches()).equals(table)
    assert pq.read_table(made.to_parquet(tmp_path / "frame.parquet")).equals(table)


def test_batches_are_many_and_in_step_with_the_spine(store: fstore.FeatureStore) -> None:
    count = 250_000
    keys = [i % 1000 for i in range(count)]
    spine = pa.table({"k": keys, "event_timestamp": [T] * count, "place": list(range(count))})
    batches = list(job(store, spine).to_batches())
    assert len(batches) > 1
    table = pa.Table.from_batches(batches)
    assert table.column("place").to_pylist() == list(range(count))
    assert table.column("total").cast(pa.int64()).to_pylist() == keys


def test_the_order_of_a_sql_spine(store: fstore.FeatureStore, tmp_path: Path) -> None:
    spine = (
        "SELECT hash(i) % 1000 AS k, TIMESTAMP '2024-01-02' AS event_timestamp, i "
        "FROM range(1_000_000) AS r(i) ORDER BY hash(i + 7), i"
    )
    made = job(store, spine)
    with duckdb.connect() as connection:
        wanted = connection.sql(f"SELECT i FROM ({spine})").to_arrow_table().column("i")
    assert made.to_arrow().column("i").equals(wanted)
    assert pq.read_table(made.to_parquet(tmp_path / "sql.parquet")).column("i").equals(wanted)


def test_a_hugeint_is_a_decimal_in_parquet(store: fstore.FeatureStore, tmp_path: Path) -> None:
    spine = "SELECT 7 AS k, TIMESTAMP '2024-01-02' AS event_timestamp"
    table = pq.read_table(job(store, spine).to_parquet(tmp_path / "a.parquet"))
    assert table.column("total").to_pylist() == [Decimal(7)]


def test_a_file_is_whole_or_as_it_was(store: fstore.FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("older")
    failing = (
        "SELECT i AS k, TIMESTAMP '2024-01-02' AS event_timestamp, "
        "CASE WHEN i > 400000 THEN error('stop') END AS e FROM range(500_000) AS r(i)"
    )
    with pytest.raises(fstore.SpineError, match="entity_df cannot run: Invalid Input Error: stop"):
        job(store, failing).to_parquet(path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(fstore.OutputError, match="cannot be written"):
        job(store, "SELECT 1 AS k, now() AS t").to_parquet(tmp_path / "no" / "a.parquet")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1; SELECT 2", "must be one SELECT"),
        ("DROP TABLE v", "must be one SELECT"),
        ("SELEC 1", "not SQL that DuckDB reads"),
        ("SELECT nope FROM v", "cannot run"),
        ("INSERT INTO v SELECT 1", "must be one SELECT, and is: INSERT"),
        ("COPY v TO 'elsewhere.csv'", "must be one SELECT, and is: COPY"),
        ("EXPLAIN SELECT 1", "must be one SELECT, and is: EXPLAIN"),
        ("SELECT ? AS k, now() AS t", "cannot run: .*parameters"),
        ("SELECT * FROM 'nowhere.csv'", "cannot run: .*nowhere.csv"),
    ],
)
def test_sql_that_is_no_spine(store: fstore.FeatureStore, sql: str, words: str) -> None:
    with pytest.raises(fstore.SpineError, match=words):
        job(store, sql)


@pytest.mark.parametrize("end", [";", " -- the end", "; -- the end\n", "\n"])
def test_sql_as_people_write_it(store: fstore.FeatureStore, end: str) -> None:
    sql = f"WITH a AS (SELECT 1 AS k) SELECT k, TIMESTAMP '2024-01-02' AS t FROM a{end}"
    assert job(store, sql).to_arrow().column("total").to_pylist() == [1]


def test_the_sql_shown_is_the_sql_that_runs(store: fstore.FeatureStore) -> None:
    made = job(store, "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t;")
    with duckdb.connect(str(store.project.directory / WAREHOUSE), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(made.to_sql()).fetchall()
    assert rows == [(1, T, 1, False)]
    assert "PROJECTION" in made.explain().upper()
    shown = job(store, pa.table({"k": [1], "event_timestamp": [T]})).to_sql()
    assert shown.startswith("-- entity_df is the table given, as a temporary view of: k,")


def test_files_of_a_spine_are_found_from_the_project(store: fstore.FeatureStore) -> None:
    path = store.project.directory / "labels.csv"
    path.write_text("k,t\n5,2024-01-02 00:00:00\n")
    assert job(store, "SELECT * FROM 'labels.csv'").to_arrow().column("total").to_pylist() == [5]


def test_keys_that_are_uuids(tmp_path: Path) -> None:
    key = uuid.uuid4()
    rows = [(str(key), "2024-01-01 00:00:00", 1)]
    columns = {"k": "UUID", "t": "TIMESTAMP", "x": "BIGINT"}
    store = fstore.FeatureStore(make_project(tmp_path / "p", [View("v", columns, rows, META)]))
    frame = pd.DataFrame({"k": [key], "event_timestamp": [T]})
    answer = job(store, frame).to_df()
    assert answer["x"].tolist() == [1]
    assert answer["k"].iloc[0] is key


def test_jobs_of_two_threads(store: fstore.FeatureStore) -> None:
    spine = pa.table({"k": list(range(1000)), "event_timestamp": [T] * 1000})
    answers: list[pa.Table] = []

    def work() -> None:
        answers.extend(job(store, spine).to_arrow() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 10
    assert all(answer.equals(answers[0]) for answer in answers)


@pytest.mark.parametrize("index", [[5, 5, 7], pd.Index(list("aab"), name="k")], ids=["int", "text"])
def test_an_index_comes_back(store: fstore.FeatureStore, index: Any) -> None:
    frame = pd.DataFrame({"k": [3, 1, 3], "event_timestamp": [T] * 3}, index=index)
    answer = job(store, frame).to_df()
    assert answer["total"].tolist() == [3, 1, 3]
    pd.testing.assert_index_equal(answer.index, frame.index)


def test_a_spine_without_rows(store: fstore.FeatureStore, tmp_path: Path) -> None:
    sql = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t WHERE false"
    frame = pd.DataFrame({"k": [3], "event_timestamp": [T]}).iloc[:0]
    for spine, names in ((sql, ["k", "t"]), (frame, ["k", "event_timestamp"])):
        made = job(store, spine)
        wanted = [*names, "total", "is_even"]
        assert made.to_arrow().column_names == wanted
        assert list(made.to_df().columns) == wanted
        assert list(made.to_batches()) == []
        path = made.to_parquet(tmp_path / "none.parquet")
        assert pq.read_table(path).column_names == wanted


@pytest.fixture
def own(tmp_path: Path) -> fstore.FeatureStore:
    """A store whose warehouse the test may change."""
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}
    rows = [(1, "2024-01-01 00:00:00", 10)]
    return fstore.FeatureStore(make_project(tmp_path / "p", [View("v", columns, rows, META)]))


def change(store: fstore.FeatureStore, sql: str) -> None:
    with duckdb.connect(str(store.project.directory / WAREHOUSE)) as connection:
        connection.execute(sql)


ONE = pa.table({"k": [1], "event_timestamp": [T]})


def test_batches_left_early_let_go_of_the_warehouse(own: fstore.FeatureStore) -> None:
    count = 300_000
    batches = job(own, pa.table({"k": [1] * count, "event_timestamp": [T] * count})).to_batches()
    assert next(batches).num_rows < count
    with pytest.raises(duckdb.Error):
        change(own, "SELECT 1")
    batches.close()
    change(own, "UPDATE v SET x = 11")
    assert job(own, ONE).to_arrow().column("x").to_pylist() == [11]


def test_a_warehouse_that_is_rebuilt_between(own: fstore.FeatureStore, tmp_path: Path) -> None:
    made = job(own, ONE)
    change(own, "CREATE OR REPLACE TABLE v AS SELECT * REPLACE (x + 1 AS x) FROM v")
    assert made.to_arrow().column("x").to_pylist() == [11]
    change(own, "CREATE OR REPLACE TABLE v AS SELECT * EXCLUDE (x) FROM v")
    for run in (
        made.to_arrow,
        made.to_df,
        made.to_polars,
        made.explain,
        lambda: [*made.to_batches()],
    ):
        with pytest.raises(fstore.QueryError, match='does not have a column named "x"'):
            run()
    with pytest.raises(fstore.OutputError, match='does not have a column named "x"'):
        made.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(fstore.UnknownNameError, match="v:x is not a feature"):
        own.get_historical_features(ONE, ["v:x"])
    change(own, "DROP TABLE v")
    with pytest.raises(fstore.QueryError, match="v does not exist"):
        made.to_arrow()


@pytest.mark.parametrize("place", ["folder", "missing/a.parquet"])
@pytest.mark.parametrize("form", ["frame", "sql"])
def test_places_that_take_no_file(
    store: fstore.FeatureStore, tmp_path: Path, place: str, form: str
) -> None:
    (tmp_path / "folder").mkdir()
    spine = ONE if form == "frame" else "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t"
    with pytest.raises(fstore.OutputError, match=f"{place} cannot be written") as caught:
        job(store, spine).to_parquet(tmp_path / place)
    assert caught.value.path == tmp_path / place
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_odd_file_names(store: fstore.FeatureStore, tmp_path: Path) -> None:
    path = str(tmp_path / 'it\'s "quoted" ä.parquet')
    made = job(store, "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t")
    assert pq.read_table(made.to_parquet(path)).num_rows == 1


def test_a_frame_is_whole_or_as_it_was(store: fstore.FeatureStore, tmp_path: Path) -> None:
    frame = pd.DataFrame({"k": [3], "event_timestamp": [T], "anything": [object()]})
    path = tmp_path / "a.parquet"
    path.write_text("older")
    with pytest.raises(fstore.SpineError, match="column anything cannot be read"):
        job(store, frame).to_parquet(path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
