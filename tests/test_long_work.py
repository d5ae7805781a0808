"""Work that takes long: it says how far it is, Ctrl-C stops it, and nothing half is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fstore
from fstore.cli import progress
from fstore.compile.latest import latest
from fstore.compile.sql import render
from fstore.jobs.materialize import online_store
from fstore.offline import job as job_module
from fstore.offline.progress import run, watching
from fstore.offline.stream import batches
from fstore.offline.warehouse import open_warehouse
from fstore.online.protocol import Batch
from tests.harness import WAREHOUSE, in_memory
from tests.long_work import (
    COUNTED,
    ENDLESS,
    ONE,
    OUTPUTS,
    SLOW,
    SORTED,
    STREAMING,
    files,
    make_slow_project,
    rebuild,
    stoppable,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_slow_project(tmp_path / "p")


# -- a SQL spine


class OnlyExecutes:
    """A connection that hands out no rows but a count; it keeps what it ran."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection, self.ran = connection, []

    def execute(self, sql: str) -> None:
        self.ran.append(sql)
        self.connection.execute(sql)

    def fetchall(self) -> list[tuple[int]]:
        ((count,),) = self.connection.fetchall()  # of the rows that were written
        return [(count,)]

    def query_progress(self) -> float:
        return self.connection.query_progress()


def test_a_sql_spine_never_passes_through_python(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fstore.FeatureStore(project).get_historical_features(SORTED, ["v:x"])
    opened: list[OnlyExecutes] = []

    @contextmanager
    def only_executes(self: fstore.RetrievalJob) -> Iterator[OnlyExecutes]:
        with job_module.open_warehouse(self.project) as connection:
            job_module.put_spine(connection, self.spine_sql, None)
            opened.append(OnlyExecutes(connection))
            yield opened[0]

    monkeypatch.setattr(fstore.RetrievalJob, "_opened", only_executes)
    path = made.to_parquet(tmp_path / "a.parquet")
    (statement,) = opened[0].ran
    assert statement.startswith("COPY (")
    assert pq.read_metadata(path).num_rows == 500_000
    with pytest.raises(AttributeError):
        made.to_arrow()


# -- how far it is


def test_who_watches_is_told(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, float | None]] = []
    made = fstore.FeatureStore(project).get_historical_features(SORTED, ["v:x"])
    with watching(lambda name, part: told.append((name, part))):
        while not any(part for _, part in told):
            assert made.to_arrow().num_rows == 500_000
    assert {name for name, _ in told} == {"Making the training set"}
    assert all(part is None or 0 <= part <= 1 for _, part in told)
    count = len(told)
    made.to_arrow()
    assert len(told) == count, "only inside the block"
    assert capfd.readouterr() == ("", ""), "a library prints nothing"


def test_work_in_a_thread_is_as_work_without() -> None:
    with duckdb.connect() as connection:
        assert run("it", lambda: 7, connection) == 7
        with pytest.raises(ZeroDivisionError):
            run("it", lambda: 1 / 0, connection)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_in_a_log(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown() as display:
        for clock[0], part in ((0.5, 0.1), (9, None), (10, 0.25), (11, 0.5), (20, 0.2), (29, 0.9)):
            display.tell("Making", part)
    assert capsys.readouterr() == ("", "Making: 25%, 10 s\nMaking: 50%, 20 s\n")
    with progress.shown() as display:
        clock[0] = 40
        display.tell("Making", None)
    assert capsys.readouterr().err == "Making: 11 s\n"


def test_lines_of_several_steps(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown() as display:
        display.begin("one", 0, 2)
        clock[0] = 10
        display.tell("one", 0.5)
        display.begin("two", 1, 2)
        clock[0] = 20
        display.tell("two", None)
        display.begin("two", 2, 2)
    lines = ["1/2 one", "1/2 one: 25%, 10 s", "2/2 two", "2/2 two: 50%, 20 s"]
    assert capsys.readouterr().err.splitlines() == lines


@contextmanager
def on_a_terminal(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command, its standard error on a terminal: the process, and where to read that."""
    ours, theirs = os.openpty()
    env = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "fstore", *arguments]
    with stoppable(command, stderr=theirs, env=env, **options) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def read_until(terminal: int, pattern: str, seconds: float = 60) -> str:
    """What a terminal shows until there is a match; to its end where the pattern is empty."""
    shown, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 10_000).decode(errors="replace")
        except OSError:  # the other end is closed
            break
        if pattern and re.search(pattern, shown):
            return shown
    assert not pattern, shown
    return shown


def test_a_bar_on_a_terminal_that_ctrl_c_removes(project: Path, tmp_path: Path) -> None:
    asked = ("get-historical-features", "--project-dir", str(project), "-f", "v:x")
    with on_a_terminal(*asked, "-e", COUNTED, stdout=subprocess.PIPE) as (process, terminal):
        shown = read_until(terminal, "Making the training set .*0:00:0[1-9]")
        assert "Making" in shown
        process.send_signal(signal.SIGINT)
        rest = read_until(terminal, "Interrupted")
        assert process.wait(20) == 130
        assert process.stdout is not None
        assert process.stdout.read() == b"k,event_timestamp,x\n", "the bar is not in the rows"
    assert "Traceback" not in rest


def test_no_bar_for_short_work(project: Path, tmp_path: Path) -> None:
    asked = ("get-historical-features", "--project-dir", str(project), "-f", "v:x", "-e", ONE)
    with on_a_terminal(*asked, "-o", str(tmp_path / "a.parquet")) as (process, terminal):
        shown = read_until(terminal, "")
        assert process.wait(20) == 0
    assert "Making" not in shown
    assert "a.parquet" in shown


# -- Ctrl-C


@pytest.mark.parametrize("output", ["arrow", "df", "batches", "parquet"])
@pytest.mark.parametrize("spine", [ONE, "frame"])
def test_ctrl_c_while_the_features_are_computed(
    project: Path, tmp_path: Path, output: str, spine: str
) -> None:
    rebuild(project, SLOW)
    store = fstore.FeatureStore(project)
    rows = in_memory().sql(ONE).to_arrow_table() if spine == "frame" else spine
    made = store.get_historical_features(rows, ["v:x"])
    target = tmp_path / "out" / "a.parquet"
    target.parent.mkdir()
    target.write_text("older")
    outputs = OUTPUTS | {"parquet": lambda made: made.to_parquet(target)}
    with pytest.raises(KeyboardInterrupt), watching(interrupt):
        outputs[output](made)
    assert files(target.parent) == ["a.parquet"]
    assert target.read_text() == "older"
    assert files(project / ".fstore") == []
    with duckdb.connect(str(project / WAREHOUSE)):  # nobody has it open any more
        pass


def interrupt(name: str, part: float | None) -> None:
    """A watcher that does what Ctrl-C does to the thread that it is called in."""
    raise KeyboardInterrupt


def test_ctrl_c_between_batches() -> None:
    sql = f"SELECT i FROM range(500_000) AS r(i) UNION ALL SELECT i FROM {ENDLESS} WHERE i + j < 0"
    with duckdb.connect() as connection:
        taken = batches(connection, sql, "it", 1000)
        assert next(taken).num_rows == 1000
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), watching(interrupt):
            for _ in taken:
                pass
        assert time.monotonic() - began < 30


def test_an_error_between_batches() -> None:
    sql = "SELECT i, CASE WHEN i > 5_000_000 THEN error('stop') END FROM range(6_000_000) AS r(i)"
    with duckdb.connect() as connection:
        taken = batches(connection, sql, "it", 100_000)
        assert next(taken).num_rows == 100_000
        with pytest.raises(fstore.QueryError, match=r"^DuckDB: Invalid Input Error: stop$"):
            list(taken)


def test_ctrl_c_in_a_call_of_duckdb(project: Path) -> None:
    """The client turns KeyboardInterrupt into an error of its own where it looks for signals."""
    with (
        pytest.raises(KeyboardInterrupt),
        open_warehouse(fstore.FeatureStore(project).project),
    ):
        raise RuntimeError("Query interrupted")
    with (
        pytest.raises(RuntimeError, match="another"),
        open_warehouse(fstore.FeatureStore(project).project),
    ):
        raise RuntimeError("another")


def interrupted(project: Path, *arguments: str, when: Callable[[], object]) -> tuple[float, str]:
    """Ctrl-C to a command once ``when`` holds; how long it then took, and what it said."""
    verb, *rest = arguments
    command = [sys.executable, "-X", "faulthandler", "-m", "fstore", verb]
    command += ["--project-dir", str(project), *rest]
    said = project.parent / "said"
    with said.open("w") as file, stoppable(command, stdout=file, stderr=file) as process:
        try:
            deadline = time.monotonic() + 60
            while not when():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(1)  # the query is under way
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert process.wait(30) == 130, said.read_text()
            return time.monotonic() - began, said.read_text()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # and faulthandler says where it was
            process.wait(30)
            raise AssertionError(said.read_text()) from None
        finally:
            process.kill()


@pytest.mark.parametrize("spine", [STREAMING, COUNTED, SORTED.replace("500_000", "50_000_000")])
def test_ctrl_c_of_a_file(project: Path, tmp_path: Path, spine: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    took, said = interrupted(
        project,
        *("get-historical-features", "-e", spine, "-f", "v:x", "-o", str(out / "a.parquet")),
        *("--memory-limit", "200MB"),
        when=lambda: list(out.iterdir()),
    )
    assert said == "Interrupted.\n"
    assert took < 5
    assert files(out) == []
    assert files(project / ".fstore") == []


def test_ctrl_c_of_a_materialize(project: Path) -> None:
    store = fstore.FeatureStore(project)
    store.materialize(as_of=datetime(2024, 1, 2, tzinfo=UTC))
    before = files(project / ".fstore")
    rebuild(project, SLOW)
    said = project.parent / "said"
    took, told = interrupted(
        project, "materialize", when=lambda: said.exists() and said.read_text() == "1/1 v\n"
    )
    assert told == "1/1 v\nInterrupted.\n"
    assert took < 5
    assert files(project / ".fstore") == before
    status = store.status()
    assert status is not None
    assert status.generation == 1
    answer = store.get_online_features(["v:x"], [{"k": 7}])
    assert answer.to_dict()["x"] == [70]


def test_ctrl_c_while_the_file_is_written(project: Path) -> None:
    """The source gives rows without end and cannot be interrupted: the writer must stop."""
    store = fstore.FeatureStore(project)
    (view,) = store.feature_views()
    k = datetime(2024, 1, 2, tzinfo=UTC)
    _, columns = store.describe("v")
    assert columns is not None
    with open_warehouse(store.project) as connection:
        rows = connection.sql(render(latest(view, columns, k))).to_arrow_table()
    endless = pa.RecordBatchReader.from_batches(rows.schema, cycle(rows.to_batches()))
    online = online_store(store.project)
    with online.writer(1) as writer, duckdb.connect() as idle:
        batch = Batch(view, columns, endless, k, k)
        with pytest.raises(KeyboardInterrupt), watching(interrupt):
            run("it", lambda: writer.write(batch), idle, writer)
        writer.interrupt()  # nothing is under way: nothing happens
    assert store.status() is None
    assert files(project / ".fstore") == ["dev/.gitignore", "dev/online/LOCK"]
