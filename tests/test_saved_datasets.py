"""Saved datasets: training sets that are kept whole, once, and never change."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import fstore
from fstore.jobs.saved_dataset import SavedDataset
from tests.harness import View, make_project, steps, write_tables

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
COLUMNS = {
    "k": "BIGINT",
    "t": "TIMESTAMP",
    "total": "HUGEINT",
    "price": "DECIMAL(38,0)",
    "is_new": "BOOLEAN",
    "tags": "VARCHAR[]",
}
ROW = (1, "2024-01-01 00:00:00", 5, "7", "true", "[a, b]")
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SPINE = "SELECT i AS k, TIMESTAMP '2024-01-02' AS event_timestamp FROM range(1, 3) AS r(i)"


@pytest.fixture
def store(tmp_path: Path) -> fstore.FeatureStore:
    project = make_project(tmp_path / "p", [View("v", COLUMNS, [ROW], META)])
    return fstore.FeatureStore(project, clock=lambda: NOW)


def job(store: fstore.FeatureStore, spine: Any = SPINE) -> fstore.RetrievalJob:
    return store.get_historical_features(spine, ["v:*"])


def files(store: fstore.FeatureStore) -> list[str]:
    """The files of the datasets, but for the one that only locks."""
    folder = store.project.state_directory / "datasets"
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_what_is_kept(store: fstore.FeatureStore) -> None:
    assert store.saved_datasets() == ()
    kept = store.create_saved_dataset("train_2013", job(store))
    assert store.get_saved_dataset("train_2013") == kept
    assert (kept.rows, kept.created_at, kept.sql) == (2, NOW, job(store).to_sql())
    assert kept.columns == ("k", "event_timestamp", "total", "price", "is_new", "tags")
    assert files(store) == ["train_2013.json", "train_2013.parquet"]
    store.create_saved_dataset("a.b-c", job(store))
    assert [each.name for each in store.saved_datasets()] == ["a.b-c", "train_2013"]


@pytest.mark.parametrize("form", ["sql", "pandas", "arrow"])
def test_the_frame_is_the_one_that_the_job_gives(store: fstore.FeatureStore, form: str) -> None:
    spine: Any = SPINE
    if form != "sql":
        spine = pa.table({"k": [1, 2], "event_timestamp": [datetime(2024, 1, 2)] * 2})
        spine = spine if form == "arrow" else spine.to_pandas()
    made = job(store, spine)
    frame = store.create_saved_dataset("kept", made).to_df()
    assert str(frame["total"].dtype) == "Int64"
    assert frame["price"].tolist()[0] == Decimal(7)
    assert frame["tags"].tolist() == [["a", "b"], None]
    features = ["total", "price", "is_new", "tags"]
    pd.testing.assert_frame_equal(frame[features], made.to_df()[features])


def test_it_does_not_change_when_the_source_does(store: fstore.FeatureStore) -> None:
    kept = store.create_saved_dataset("kept", job(store))
    before = kept.to_arrow()
    changed = ("1", "2024-01-01 12:00:00", "6", "8", "false", "[]")
    write_tables(store.project.directory, [View("v", COLUMNS, [ROW, changed], META)])
    assert store.get_saved_dataset("kept").to_arrow().equals(before)
    assert job(store).to_arrow().column("total").to_pylist() != before.column("total").to_pylist()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "ä", "x" * 101, 3, None])
def test_what_is_no_name(store: fstore.FeatureStore, name: Any) -> None:
    if name not in (3, None):
        with pytest.raises(fstore.RequestError, match="is not a name"):
            store.create_saved_dataset(name, job(store))
    with pytest.raises(fstore.UnknownNameError, match="is not a saved dataset"):
        store.get_saved_dataset(name)


def test_a_name_is_given_once(store: fstore.FeatureStore) -> None:
    kept = store.create_saved_dataset("kept", job(store))
    with pytest.raises(fstore.RequestError, match=r"kept exists already .*choose another name"):
        store.create_saved_dataset("kept", job(store, f"{SPINE} LIMIT 1"))
    assert store.get_saved_dataset("kept") == kept
    with pytest.raises(
        fstore.UnknownNameError, match=r"Target dev has: kept\. Did you mean kept\?"
    ):
        store.get_saved_dataset("kpt")


def test_what_is_kept_is_on_disk_before_its_note_says_so(
    store: fstore.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(store)
    happened = steps(monkeypatch)
    path = store.create_saved_dataset("kept", made).path
    kinds = {path.parent: "folder", path: "rows", path.with_suffix(".json"): "note"}
    assert [(step, kinds.get(each, each.suffix)) for step, each in happened] == [
        ("sync", ".partial"),
        ("replace", ".parquet"),
        ("sync", ".partial"),
        ("replace", "rows"),
        ("sync", "folder"),
        ("replace", "note"),
        ("sync", "folder"),
    ]


def test_of_two_at_once_one_keeps_the_name(store: fstore.FeatureStore) -> None:
    outcomes: list[object] = []
    together = threading.Barrier(2)

    def make(rows: int) -> None:
        made = job(store, f"SELECT i AS k, TIMESTAMP '2024-01-02' AS t FROM range({rows}) r(i)")
        together.wait()
        try:
            outcomes.append(store.create_saved_dataset("kept", made))
        except fstore.RequestError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=make, args=[rows]) for rows in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (kept,) = [each for each in outcomes if isinstance(each, SavedDataset)]
    assert "exists already" in str(*[each for each in outcomes if each is not kept])
    assert kept.to_arrow().num_rows == kept.rows
    assert files(store) == ["kept.json", "kept.parquet"]


def test_a_job_that_fails_leaves_nothing(store: fstore.FeatureStore) -> None:
    failing = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS t, error('stop') AS e FROM range(3)"
    with pytest.raises(fstore.SpineError, match="stop"):
        store.create_saved_dataset("kept", job(store, failing))
    assert files(store) == []
    assert store.create_saved_dataset("kept", job(store)).rows == 2


def test_datasets_of_another_target_are_apart(store: fstore.FeatureStore) -> None:
    store.create_saved_dataset("kept", job(store))
    profiles = store.project.directory / "profiles.yml"
    text = profiles.read_text()
    start = text.index("    dev:")
    profiles.write_text(text + text[start:].replace("dev:", "prod:"))
    other = fstore.FeatureStore(store.project.directory, target="prod")
    assert other.saved_datasets() == ()


def test_files_that_somebody_broke(store: fstore.FeatureStore) -> None:
    kept = store.create_saved_dataset("kept", job(store))
    kept.path.write_bytes(b"PAR1")
    with pytest.raises(fstore.ProjectError, match=r"kept\.parquet cannot be read"):
        kept.to_df()
    kept.path.unlink()
    with pytest.raises(fstore.MissingFileError, match="Saved dataset kept is not at"):
        kept.to_arrow()
    note = kept.path.with_suffix(".json")
    for broken in ("{", "[]", json.dumps({"rows": 1})):
        note.write_text(broken)
        with pytest.raises(fstore.ProjectError, match=r"kept\.json is no note of a saved dataset"):
            store.saved_datasets()
