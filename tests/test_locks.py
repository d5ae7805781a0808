"""A DuckDB file has one writer or many readers: who waits for whom, and who is named after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import fstore
from tests.harness import View, make_project, write_yaml

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
STATS = View(
    "stats",
    {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT"},
    [[1, "2024-01-01 00:00:00", 10]],
    META,
)
SPINE = pa.table({"k": [1], "event_timestamp": [datetime(2024, 1, 2)]})
K = datetime(2024, 1, 2, tzinfo=UTC)
ROOT = Path(__file__).parent.parent
WRITER = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[3] == "reads")
print("holding", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(project: Path, seconds: float = 60, how: str = "writes") -> Iterator[int]:
    """Another process has the warehouse open; yields its id, and ends it with the block."""
    command = [sys.executable, "-c", WRITER, str(project / "wh.duckdb"), str(seconds), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = make_project(tmp_path / "project", [STATS], fstore_yml={"lock_timeout": "1 second"})
    fstore.FeatureStore(made).materialize(as_of=K)
    return made


def train(project: Path) -> list[Any]:
    job = fstore.FeatureStore(project).get_historical_features(SPINE, ["stats:x"])
    values: list[Any] = job.to_arrow().column("x").to_pylist()
    return values


def test_training_waits_and_then_names_the_holder(project: Path) -> None:
    with held(project) as holder:
        began = time.monotonic()
        with pytest.raises(fstore.LockTimeoutError) as caught:
            train(project)
        waited = time.monotonic() - began
    for word in (f"PID {holder}", "wh.duckdb", "waited 1 s", "lock_timeout"):
        assert word in str(caught.value)
    assert caught.value.seconds == 1
    assert 1 <= waited < 10
    assert train(project) == [10]


def test_a_job_made_before_waits_as_well(project: Path) -> None:
    job = fstore.FeatureStore(project).get_historical_features(SPINE, ["stats:x"])
    with held(project) as holder, pytest.raises(fstore.LockTimeoutError, match=f"PID {holder}"):
        job.to_arrow()
    assert job.to_arrow().column("x").to_pylist() == [10]


def test_a_lock_that_ends_in_time_is_only_waited_for(project: Path) -> None:
    write_yaml(project / "fstore.yml", {"lock_timeout": "1 minute"})
    with held(project, seconds=1):
        assert train(project) == [10]


def test_readers_do_not_wait_for_readers(project: Path) -> None:
    write_yaml(project / "fstore.yml", {"lock_timeout": "1 minute"})
    with held(project, how="reads"):
        began = time.monotonic()
        assert train(project) == [10]
        assert time.monotonic() - began < 30


def test_materialize_waits_and_what_is_served_stays(project: Path) -> None:
    store = fstore.FeatureStore(project)
    with held(project) as holder:
        with pytest.raises(fstore.LockTimeoutError, match=f"PID {holder}"):
            store.materialize(as_of=datetime(2024, 1, 3, tzinfo=UTC))
        assert store.get_online_features(["stats:x"], [{"k": 1}], at=K).to_dict()["x"] == [10]
    status = store.status()
    assert status is not None


def test_online_reads_never_notice(project: Path) -> None:
    with held(project):
        store = fstore.FeatureStore(project)  # a new one, that has read nothing yet
        for _ in range(100):
            answer = store.get_online_features(["stats:x"], [{"k": 1}], at=K)
            assert answer.to_dict()["x"] == [10]


def test_a_writing_connection_of_this_very_process(project: Path) -> None:
    with duckdb.connect(str(project / "wh.duckdb")):
        told = "this very process that can write. Close it; dbt is best run as a command"
        with pytest.raises(fstore.LockTimeoutError, match=told):
            train(project)
        answer = fstore.FeatureStore(project).get_online_features(["stats:x"], [{"k": 1}], at=K)
        assert answer.to_dict()["x"] == [10]
    assert train(project) == [10]


def test_nothing_stays_locked_after_a_job(project: Path) -> None:
    store = fstore.FeatureStore(project)
    job = store.get_historical_features(SPINE, ["stats:x"])
    job.to_df()
    store.materialize(as_of=K)
    with held(project):  # another process gets the file to write, the store still being open
        pass
    batches = job.to_batches()
    next(batches)
    batches.close()
    with held(project):
        pass


TRAINER = """
import sys, time
from datetime import datetime
import pyarrow as pa
import fstore
project, stop = sys.argv[1:3]
spine = pa.table({"k": list(range(1000)), "event_timestamp": [datetime(2024, 1, 2)] * 1000})
runs = 0
print("training", flush=True)
import pathlib
while not pathlib.Path(stop).exists():
    store = fstore.FeatureStore(project)
    table = store.get_historical_features(spine, ["users:x", "shops:y"]).to_arrow()
    assert table.column("x").to_pylist() == list(range(1000)), table
    assert table.column("y").null_count == 0
    runs += 1
    time.sleep(0.05)
print(runs)
"""


def dbt(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(
        "dbt", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert found, "dbt is not installed"
    return subprocess.run(
        [found, *arguments],
        cwd=project,
        env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_dbt_builds_while_training_reads(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", fstore_yml={"lock_timeout": "2 minutes"})
    (project / "target" / "manifest.json").unlink()
    models = project / "models"
    models.mkdir()
    columns = {"users": "x", "shops": "y"}
    for name, column in columns.items():
        rows = f"select i as k, timestamp '2024-01-01' as t, i as {column} from range(200000) r(i)"
        config = "{{ config(materialized='table') }}"
        (models / f"{name}.sql").write_text(f"{config}\n{rows}\n")
    declared = [{"name": name, "config": {"meta": {"fstore": META}}} for name in columns]
    write_yaml(models / "models.yml", {"models": declared})
    first = dbt(project, "build")
    assert first.returncode == 0, first.stdout

    stop = tmp_path / "stop"
    command = [sys.executable, "-c", TRAINER, str(project), str(stop)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as trainer:
        try:
            assert trainer.stdout is not None
            assert trainer.stdout.readline() == "training\n"
            second = dbt(project, "build")
            stop.touch()
            told, failed = trainer.communicate(timeout=180)
        finally:
            trainer.kill()
    assert second.returncode == 0, second.stdout
    assert trainer.returncode == 0, failed
    assert int(told) > 0
