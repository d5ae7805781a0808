"""Where a training set is written to, and the types that what it is handed to lacks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import fstore
from tests.harness import View, make_project

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
