"""Where a training set is written to, and the types that what it is handed to lacks."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fstore
from tests.harness import View, make_project, steps

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
T = datetime(2024, 1, 2)
SQL = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS event_timestamp"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    columns = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"}
    view = View("v", columns, [(1, "2024-01-01 00:00:00", 10)], META)
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("outputs") / "p", [view]))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["frame", "sql"])
def job(store: fstore.FeatureStore, request: pytest.FixtureRequest) -> fstore.RetrievalJob:
    frame = pd.DataFrame({"k": [1], "event_timestamp": [T]})
    return store.get_historical_features(frame if request.param == "frame" else SQL, ["v:x"])


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(path.name)


def to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize("make", [os.mkfifo, a_socket, to_a_pipe], ids=["fifo", "socket", "link"])
def test_what_is_no_file_stays_as_it_is(
    job: fstore.RetrievalJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.parquet"
    make(path)
    before = path.lstat()
    others = names(tmp_path)
    with pytest.raises(fstore.OutputError) as caught:
        job.to_parquet(path)
    assert str(caught.value) == (
        f"{path} cannot be written: it is a device, a pipe or a socket, and no file: name a file."
    )
    assert path.lstat() == before
    assert names(tmp_path) == others


@pytest.mark.parametrize("there", [True, False])
def test_what_a_symlink_leads_to_is_written(
    job: fstore.RetrievalJob, tmp_path: Path, there: bool
) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "real.parquet"
    if there:
        target.write_text("older")
    link = tmp_path / "a.parquet"
    link.symlink_to(Path("folder") / "real.parquet")
    assert job.to_parquet(link) == link
    assert link.is_symlink()
    assert pq.read_table(target).column("x").to_pylist() == [10]
    assert names(target.parent) == ["real.parquet"]
    assert names(tmp_path) == ["a.parquet", "folder"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
@pytest.mark.parametrize("link", [True, False])
def test_who_may_read_a_file_stays_as_it_is(
    job: fstore.RetrievalJob, tmp_path: Path, mode: int, link: bool
) -> None:
    target, path = tmp_path / "a.parquet", tmp_path / "link.parquet"
    target.write_text("older")
    target.chmod(mode)
    path.symlink_to(target)
    job.to_parquet(path if link else target)
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert pq.read_table(target).column("x").to_pylist() == [10]


def test_a_new_file_is_as_the_process_makes_them(job: fstore.RetrievalJob, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    written = job.to_parquet(tmp_path / "a.parquet")
    assert written.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_is_written_is_on_disk_before_it_has_its_name(
    job: fstore.RetrievalJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = steps(monkeypatch)
    job.to_parquet(tmp_path / "a.parquet")
    (partial,) = {path for step, path in happened if step == "sync" and path.suffix == ".partial"}
    assert happened == [("sync", partial), ("replace", tmp_path / "a.parquet")]


def test_a_disk_that_fails_at_the_end_leaves_what_was_there(
    job: fstore.RetrievalJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a.parquet"
    path.write_text("older")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(fstore.OutputError) as caught:
        job.to_parquet(path)
    assert str(caught.value) == f"{path} cannot be written: [Errno 5] Input/output error"
    assert (path.read_text(), names(tmp_path)) == ("older", ["a.parquet"])


def test_symlinks_in_a_circle(job: fstore.RetrievalJob, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(fstore.OutputError, match=r"a cannot be written: .*symbolic links"):
        job.to_parquet(tmp_path / "a")


NO_NAME = "no file has such a name: it is no text of UTF-8 without a NUL."
FOLDER = "it is a folder: name a file in it."
ADDRESS = "it is an address, and what is written is a file: write one, and copy it there."


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "'' cannot be written: the path is empty: name a file."),
        (".", f". cannot be written: {FOLDER}"),
        ("..", f".. cannot be written: {FOLDER}"),
        ("/", f"/ cannot be written: {FOLDER}"),
        ("a\0b", rf"'a\x00b' cannot be written: {NO_NAME}"),
        ("a\udcffb", rf"'a\udcffb' cannot be written: {NO_NAME}"),
        ("s3://b/x.parquet", f"s3://b/x.parquet cannot be written: {ADDRESS}"),
        (Path("s3://b/x.parquet"), f"s3:/b/x.parquet cannot be written: {ADDRESS}"),
    ],
)
def test_what_names_no_file(
    job: fstore.RetrievalJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: Any,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fstore.OutputError) as caught:
        job.to_parquet(path)
    assert str(caught.value) == sentence
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 247 + ".parquet", "ä" * 127])
def test_names_as_long_as_names_can_be(job: fstore.RetrievalJob, tmp_path: Path, name: str) -> None:
    job.to_parquet(tmp_path / name)
    assert names(tmp_path) == [name]
    with pytest.raises(fstore.OutputError, match="too long"):
        job.to_parquet(tmp_path / f"{name}aa")


def test_a_missing_folder_is_said_before_any_work(
    job: fstore.RetrievalJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fstore.offline.job.open_warehouse", None)  # no work does without
    with pytest.raises(fstore.OutputError) as caught:
        job.to_parquet(tmp_path / "no" / "a.parquet")
    assert str(caught.value) == (
        f"{tmp_path / 'no' / 'a.parquet'} cannot be written: there is no folder {tmp_path / 'no'}."
    )


# Types. Each is a view of its own, with the value for key 1 alone.

VALUES = {
    "bits": "'1011'::BIT",
    "big": "'12345678901234567890123'::BIGNUM",
    "clock": "'10:00:00+05'::TIMETZ",
    "deep": "{'a': ['1011'::BIT], 'BIT': 1}",
    "huge": "{'a': [9007199254740993::HUGEINT, NULL], 'b': MAP {'x': 9007199254740993::UHUGEINT}}",
    "hugeints": "[170141183460469231731687303715884105727::HUGEINT // 10]",
    "embedding": "[1, 2, 3]::FLOAT[3]",
    "matrix": "{'m': [[1, 2], [3, 4]]::INTEGER[2][2]}",
    "months": "INTERVAL '1 month'",
    "many": "[INTERVAL '1 month']",
    "either": "UNION_VALUE(num := 1)",
    "nanoseconds": "'10:00:00.123456789'::TIME_NS",
}
ROWS = {
    "bits": "1011",
    "big": "12345678901234567890123",
    "clock": "10:00:00+05",
    "deep": {"a": ["1011"], "BIT": 1},
    "huge": {"a": [Decimal(9007199254740993), None], "b": [("x", Decimal(9007199254740993))]},
    "hugeints": [Decimal(17014118346046923173168730371588410572)],
    "embedding": [1.0, 2.0, 3.0],
    "matrix": {"m": [[1, 2], [3, 4]]},
}
BOTH = {"frame": pd.DataFrame({"k": [1, 2], "event_timestamp": [T, T]})}
BOTH["sql"] = "SELECT unnest([1, 2]) AS k, TIMESTAMP '2024-01-02' AS event_timestamp"


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    views = [
        View(
            name,
            {"k": "BIGINT", "t": "TIMESTAMP"},
            meta=META | {"online": False},
            select=f"SELECT 1::BIGINT AS k, TIMESTAMP '2024-01-01' AS t, {value} AS x",
        )
        for name, value in VALUES.items()
    ]
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("typed") / "p", views))


@pytest.mark.parametrize("spine", ["frame", "sql"])
@pytest.mark.parametrize("name", ROWS)
def test_every_form_has_the_same_value(
    typed: fstore.FeatureStore, tmp_path: Path, name: str, spine: str
) -> None:
    job = typed.get_historical_features(BOTH[spine], [f"{name}:x"])
    wanted = [ROWS[name], None]
    path = job.to_parquet(tmp_path / "a.parquet")
    assert pq.read_table(path).column("x").to_pylist() == wanted
    assert job.to_arrow().column("x").to_pylist() == wanted
    assert pd.read_parquet(path)["x"].isna().tolist() == [False, True]
    assert job.to_df()["x"].isna().tolist() == [False, True]
    assert job.to_polars()["x"].null_count() == 1
    batches = [batch.column("x").to_pylist() for batch in job.to_batches()]
    assert batches == [wanted]


def test_the_own_columns_of_a_select(typed: fstore.FeatureStore, tmp_path: Path) -> None:
    row = ", ".join(f"{VALUES[name]} AS {name}" for name in ROWS)
    sql = f"SELECT 1 AS k, TIMESTAMP '2024-01-02' AS event_timestamp, {row}"
    nulls = ", ".join("NULL" for _ in ROWS)
    both = f"{sql} UNION ALL SELECT 2, TIMESTAMP '2024-01-02', {nulls}"
    job = typed.get_historical_features(both, ["bits:x"])
    for table in (job.to_arrow(), pq.read_table(job.to_parquet(tmp_path / "a.parquet"))):
        assert table.select(list(ROWS)).to_pylist() == [ROWS, dict.fromkeys(ROWS)]


@pytest.mark.parametrize(
    ("name", "output", "who", "kind"),
    [
        ("months", "to_polars", "to_polars", "INTERVAL"),
        ("months", "to_parquet", "Parquet", "INTERVAL"),
        ("many", "to_polars", "to_polars", "INTERVAL[]"),
        ("either", "to_polars", "to_polars", "UNION(num INTEGER)"),
        ("either", "to_parquet", "Parquet", "UNION(num INTEGER)"),
        ("nanoseconds", "to_df", "to_df", "TIME_NS"),
    ],
)
def test_types_that_what_is_asked_for_lacks(
    typed: fstore.FeatureStore, tmp_path: Path, name: str, output: str, who: str, kind: str
) -> None:
    frame = BOTH["frame"]
    spines = (frame, frame.iloc[:0], BOTH["sql"]) if output == "to_parquet" else (frame,)
    for spine in spines:
        job = typed.get_historical_features(spine, ["bits:x", f"{name}:x"], full_feature_names=True)
        given = [tmp_path / "a.parquet"] if output == "to_parquet" else []
        with pytest.raises(fstore.RequestError) as caught:
            getattr(job, output)(*given)
        assert str(caught.value).startswith(
            f"{who} cannot hold the column {name}__x, which is {kind}: cast it to VARCHAR, in its "
            "model or in the spine, or use to_arrow."
        )
        assert names(tmp_path) == []


def test_a_nan_that_is_written_is_one_to_who_reads_it(
    typed: fstore.FeatureStore, tmp_path: Path
) -> None:
    nan = float("nan")
    given = {"k": [1, 2], "event_timestamp": [T, T], "score": [1.0, nan], "deep": [[nan], [nan]]}
    spine = pa.table(given)
    path = typed.get_historical_features(spine, ["bits:x"]).to_parquet(tmp_path / "a.parquet")
    with duckdb.connect() as connection:
        query = (
            f"SELECT count(*) FILTER (isnan(score)), count(*) FILTER (isnan(deep[1])) FROM '{path}'"
        )
        assert connection.execute(query).fetchall() == [(1, 2)]


def test_a_column_of_the_spine_that_parquet_lacks(
    typed: fstore.FeatureStore, tmp_path: Path
) -> None:
    given = "SELECT 1 AS k, TIMESTAMP '2024-01-02' AS event_timestamp, {'a': [INTERVAL 1 DAY]} AS s"
    job = typed.get_historical_features(given, ["bits:x"])
    with pytest.raises(fstore.RequestError) as caught:
        job.to_parquet(tmp_path / "a.parquet")
    assert str(caught.value) == (
        "Parquet cannot hold the column s, which is STRUCT(a INTERVAL[]): cast it to VARCHAR, in "
        "its model or in the spine, or use to_arrow."
    )
    assert names(tmp_path) == []


def test_a_saved_dataset_that_pandas_cannot_hold(typed: fstore.FeatureStore) -> None:
    job = typed.get_historical_features(BOTH["sql"], ["nanoseconds:x"])
    saved = typed.create_saved_dataset("nanoseconds", job)
    with pytest.raises(
        fstore.RequestError, match=r"to_df cannot hold the column x, which is time64"
    ):
        saved.to_df()
