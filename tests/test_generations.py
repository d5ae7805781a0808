"""The online folder: one swap a publish, two generations kept, copies that serve by themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fstore.definitions import Duration, Entity, FeatureView, Registry, Relation, SnapshotColumns
from fstore.errors import LockTimeoutError, NotMaterializedError, OnlineStoreError
from fstore.online.chosen import Cells
from fstore.online.declared import decode, encode
from fstore.online.duckdb_store import DuckDBStore
from fstore.online.instants import micros
from fstore.online.lock import locked
from fstore.online.pushes import PushLog
from fstore.online.reader import OnlineReader
from tests.harness import Service, View
from tests.online import DAY, NOW, STATS_COLUMNS, STATS_META, Online, stats


def files(online: Online) -> list[str]:
    return sorted(path.name for path in online.folder.iterdir())


def valued(value: int) -> View:
    return stats([[1, "2024-01-01", value, ""]])


@pytest.fixture
def online(tmp_path: Path) -> Online:
    """One view, published three times with the values 1, 2 and 3."""
    project = Online(tmp_path, [valued(1)])
    for value in (1, 2, 3):
        project.change([valued(value)])
        project.materialize()
    return project


def test_the_last_two_generations_are_kept(online: Online) -> None:
    assert files(online) == [
        "CURRENT",
        "LOCK",
        "NOTICES",
        "PUSHES",
        "pushes.2.log",
        "pushes.3.log",
        "registry.2.json",
        "registry.3.json",
        "stats.2.duckdb",
        "stats.2.index",
        "stats.3.duckdb",
        "stats.3.index",
    ]
    assert (online.folder.parent / ".gitignore").read_text() == "*\n"


def test_current_says_what_is_published(online: Online) -> None:
    current = json.loads((online.folder / "CURRENT").read_text())
    assert (current["format"], current["generation"], current["previous"]["generation"]) == (
        1,
        3,
        2,
    )
    view = current["views"]["stats"]
    assert (view["file"], view["as_of"]) == ("stats.3.duckdb", NOW.isoformat())
    assert (view["rows"], view["keys"], view["generation"]) == (1, 1, 3)


def test_rollback_goes_back_one(online: Online) -> None:
    assert online.x(1) == [3]
    assert online.rollback().generation == 2
    assert online.x(1) == [2]
    with pytest.raises(
        NotMaterializedError, match=r"Generation 2 has none before it to go back to"
    ):
        online.rollback()
    assert online.materialize().generation == 4  # a number is never used twice
    assert online.x(1) == [3]
    online.rollback()
    assert online.x(1) == [2]


def test_rollback_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotMaterializedError, match=r"Nothing is in the online store yet"):
        Online(tmp_path, [valued(1)]).rollback()
    assert not (tmp_path / ".fstore").exists()


def test_leftovers_are_removed_and_strangers_stay(online: Online) -> None:
    for name in (
        "stats.9.duckdb",
        "stats.9.duckdb.wal",
        "stats.9.index",
        "pushes.8.log.tmp",
        "registry.8.json",
        "CURRENT.tmp",
    ):
        (online.folder / name).write_text("")
    (online.folder / "stats.9.duckdb.tmp").mkdir()
    (online.folder / "notes.txt").write_text("")
    online.materialize()
    assert files(online) == [
        "CURRENT",
        "LOCK",
        "NOTICES",
        "PUSHES",
        "notes.txt",
        "pushes.3.log",
        "pushes.4.log",
        "registry.3.json",
        "registry.4.json",
        "stats.3.duckdb",
        "stats.3.index",
        "stats.4.duckdb",
        "stats.4.index",
    ]


def test_a_generation_that_is_held_stays_readable(online: Online) -> None:
    store = DuckDBStore(online.project.state_directory)
    held = store.generation()
    assert held is not None
    lookup = held.lookup(held.registry.views_by_reference["stats"], ("x",))
    row = lookup.row((1).to_bytes(8, "little"), micros(NOW))
    assert row[Cells.HEAD :] == (3,)
    for value in (4, 5, 6):
        online.change([valued(value)])
        online.materialize()
    assert "stats.3.duckdb" not in files(online)
    assert lookup.row((1).to_bytes(8, "little"), micros(NOW)) == row


def test_a_reader_that_two_publishes_overtake_does_not_miss_the_pushes(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, refresh = DuckDBStore(online.folder.parent), PushLog.refresh

    def overtaken(log: PushLog) -> None:
        monkeypatch.setattr(PushLog, "refresh", refresh)
        online.materialize()
        online.materialize()
        refresh(log)

    monkeypatch.setattr(PushLog, "refresh", overtaken)
    generation = store.generation()
    assert generation is not None and generation.log.is_there
    assert generation.catalog.generation == 5


class Overtaken:
    """A counter of changes; while it is looked at for the first time, something is done."""

    def __init__(self, store: DuckDBStore, meanwhile: Callable[[], object]) -> None:
        assert store._counter is not None
        self.store, self.counter, self.meanwhile = store, store._counter, meanwhile

    def __getitem__(self, place: int) -> int:
        self.store._counter = self.counter
        self.meanwhile()
        return self.counter[place]


def test_a_read_that_another_thread_overtakes_is_of_what_that_one_opened(online: Online) -> None:
    store = DuckDBStore(online.folder.parent)
    store.generation()
    store.recent()

    def published_and_read() -> None:
        online.materialize()
        store.recent()

    store._counter = Overtaken(store, published_and_read)  # type: ignore[assignment]
    found = store.recent()
    assert found is not None and found.catalog.generation == 4


def test_of_threads_that_open_a_generation_at_once_one_does(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, refresh = DuckDBStore(online.folder.parent), PushLog.refresh

    def slowly(log: PushLog) -> None:
        time.sleep(0.1)
        refresh(log)

    monkeypatch.setattr(PushLog, "refresh", slowly)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(store.generation())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(each) for each in found} == {id(store.generation())}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_reads_windows_whatever_its_parents_threads_held(tmp_path: Path) -> None:
    meta = STATS_META | {
        "event_key": "y",
        "aggregations": [{"column": "x", "functions": ["sum"], "windows": ["30 days"]}],
    }
    rows = [[1, "2024-01-01", 5, "a"]]
    online = Online(tmp_path, [View("stats", STATS_COLUMNS, rows, meta=meta)])
    online.materialize()
    store = DuckDBStore(online.folder.parent)
    reader = OnlineReader(store)

    def read() -> Any:
        return reader.get(["stats:*"], None, [{"k": 1}], None, None, micros(NOW)).to_dict()

    expected = read()
    read()  # by now it asks no disk
    generation = store.generation()
    assert generation is not None
    with generation.log.lock:  # of another thread of the parent
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(0 if read() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_image_that_is_missing_or_strange_is_made_again(online: Online) -> None:
    image = online.folder / "stats.3.index"
    good = image.read_bytes()
    for content in (None, b"", good[:-8], b"another!" + good[8:], good[:8] + b"\x09" + good[9:]):
        image.unlink()
        if content is not None:
            image.write_bytes(content)
        reader = OnlineReader(DuckDBStore(online.project.state_directory))
        answer = reader.get(["stats:x"], None, [{"k": 1}, {"k": 2}], None, None, micros(NOW))
        assert answer.to_dict()["x"] == [3, None]
        image.write_bytes(good)


READER = """
import sys, time
from tests.online import *
reader = OnlineReader(jobs.DuckDBStore(Path(sys.argv[1])))
print("ready", flush=True)
last = None
while last != int(sys.argv[2]):
    found = reader.get(["stats:x"], None, [{"k": 1}], None, None, micros(NOW)).to_dict()["x"][0]
    if found != last:
        print(found, time.time(), flush=True)
    last = found
"""


def test_another_process_sees_the_new_generation_within_a_second(online: Online) -> None:
    command = [sys.executable, "-c", READER, str(online.project.state_directory), "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert child.stdout.readline().startswith("3 ")
        online.change([valued(7)])
        online.materialize()
        published = time.time()
        found, seen = child.stdout.readline().split()
    assert found == "7"
    assert float(seen) - published < 1


def test_a_copied_folder_serves_with_nothing_else(tmp_path: Path) -> None:
    world = View(
        "world",
        {"t": "DATE", "w": "INTEGER"},
        [["2024-01-01", 5]],
        meta={"entities": {}, "event_timestamp": "t"},
    )
    service = Service(
        "model",
        [
            "stats:*",
            {"view": "stats", "alias": "other", "join_keys": {"k": "k2"}, "features": ["x"]},
            "world",
        ],
    )
    online = Online(
        tmp_path / "here", [stats([[1, "2024-01-01", 7, "a"]], ttl="3 days"), world], [service]
    )
    online.materialize()
    shutil.copytree(online.project.state_directory, tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    reader = OnlineReader(DuckDBStore(tmp_path / "there"))
    rows = [{"k": 1, "k2": 2}]
    answer = reader.get(None, "model", rows, None, None, micros(NOW)).to_dict(include_metadata=True)
    assert answer["x__status"] == ["OUTSIDE_MAX_AGE"]
    assert answer["other__x__status"] == ["NOT_FOUND"]
    assert answer["w"] == [5]


def test_a_view_keeps_the_declaration_that_it_was_published_under(tmp_path: Path) -> None:
    other = View("other", STATS_COLUMNS, meta=STATS_META)
    online = Online(tmp_path, [stats([[1, "2024-01-01", 1, "a"]]), other])
    online.materialize()
    online.change([stats([[1, "2024-01-01", 1, "a"]], ttl="1 day", features=["y"]), other])
    online.materialize(views=["other"])
    assert online.statuses(1) == ["PRESENT"]
    online.materialize(views=["stats"])
    assert online.get(["stats:*"], [{"k": 1}]).to_dict(True)["y__status"] == ["OUTSIDE_MAX_AGE"]


def test_a_lost_file_is_said(online: Online) -> None:
    def ask() -> object:
        fresh = OnlineReader(DuckDBStore(online.project.state_directory))
        return fresh.get(["stats:x"], None, [{"k": 1}], None, None, micros(NOW)).to_dict()["x"]

    (online.folder / "stats.3.duckdb").unlink()
    assert ask() == [3]  # the image is all that reads need
    (online.folder / "stats.3.index").unlink()
    with pytest.raises(OnlineStoreError, match=r"lacks files that CURRENT names: copy it again"):
        ask()


def test_the_lock_waits_for_its_holder(tmp_path: Path) -> None:
    path, order = tmp_path / "LOCK", []

    def second() -> None:
        with locked(path, 10):
            order.append("second")

    with locked(path, 0):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_lock_goes_with_a_killed_holder(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from fstore.online.lock import locked\n"
        "with locked(Path(sys.argv[1]), 0):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "LOCK")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        named = pytest.raises(LockTimeoutError, match=rf"\(PID {child.pid}, since 2")
        with named, locked(tmp_path / "LOCK", 0):
            pass
        child.kill()
    with locked(tmp_path / "LOCK", 5):
        pass


def test_declarations_go_through_json_whole() -> None:
    view = FeatureView(
        name="v",
        relation=Relation("wh", "main", "v"),
        file="models/v.sql",
        entities=(Entity("route", ("origin", "dest")),),
        event_timestamp="t",
        delay=Duration(1, "day"),
        backfilled_until=datetime(2024, 1, 1, tzinfo=UTC),
        features=("a", "b"),
        snapshot=SnapshotColumns(valid_to="ended"),
        version="2",
    )
    registry = Registry("shop", (view, replace(view, version=None)), ())
    text = json.loads(json.dumps(encode(registry)))
    assert decode(Registry, text) == registry
    text["feature_views"][0] |= {"of_a_later_version": 1}
    del text["feature_views"][0]["online"]
    assert decode(Registry, text) == registry


def test_ages_are_told(online: Online) -> None:
    online.now = NOW + 2 * DAY
    (view,) = online.status().views
    assert (view.view, view.rows, view.keys, view.generation) == ("stats", 1, 1, 3)
    assert (view.as_of, view.age) == (NOW, 2 * DAY)
