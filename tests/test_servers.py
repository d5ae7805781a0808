"""Redis and PostgreSQL: what is theirs alone, and what holds when they go and come back."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fstore import FeatureStore
from fstore.errors import LockTimeoutError, NotMaterializedError, OnlineStoreError, ProfileError
from fstore.jobs import materialize as jobs
from fstore.online import redis_lock
from fstore.online.instants import micros
from fstore.online.protocol import OutdatedError
from fstore.online.reader import OnlineReader
from fstore.online.redis_turn import Turn
from fstore.online.redis_writer import RedisWriter
from fstore.online.servers import server_store
from tests import servers
from tests.harness import View
from tests.online import NOW, STATS_COLUMNS, STATS_META, Online, materialize_at, stats
from tests.servers import Server

KINDS = tuple(servers.SERVERS)
EARLY, LATE = "2024-01-01", "2024-01-05"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, running: dict[str, Server]) -> Iterator[str]:
    """The kind of a server that tests share."""
    if request.param not in running:
        running[request.param] = servers.SERVERS[request.param]()
        running[request.param].start()
    servers.use(request.param, running[request.param])
    yield request.param
    servers.use(servers.KINDS[0], None)


def valued(value: int, keys: int = 1) -> View:
    return stats([[key, EARLY, value, ""] for key in range(1, keys + 1)])


def row(key: int, time: str, x: int) -> dict[str, Any]:
    return {"k": key, "t": time, "x": x, "y": "pushed"}


def test_rollback_goes_back_one_and_pushes_stay(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1, 3)])
    with pytest.raises(NotMaterializedError, match=r"Nothing is in the online store yet"):
        online.rollback()
    online.materialize()
    with pytest.raises(NotMaterializedError, match=r"Generation 1 has none before it to go back"):
        online.rollback()
    online.change([valued(2, 3)])
    online.materialize()
    online.push([row(1, LATE, 7), row(4, EARLY, 8)])
    online.delete(2)
    assert online.x(1, 2, 3, 4) == [7, None, 2, 8]
    assert online.rollback().generation == 1
    assert online.x(1, 2, 3, 4) == [7, None, 1, 8]
    assert online.materialize().generation > 2  # a number is never used twice
    assert online.x(1, 2, 3, 4) == [7, 2, 2, 8]


def test_a_changed_layout_takes_pushes_along(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    online.push([row(1, LATE, 7), row(2, LATE, 8)])
    columns = STATS_COLUMNS | {"z": "VARCHAR", "w": "DOUBLE"}
    online.change([View("stats", columns, [[1, EARLY, 1, "a", "b", 0.5]], meta=STATS_META)])
    online.materialize()
    answer = online.get(["stats:*"], [{"k": 1}, {"k": 2}, {"k": 3}]).to_dict()
    assert answer == {
        "k": [1, 2, 3],
        "x": [7, 8, None],
        "y": ["pushed", "pushed", None],
        "z": [None] * 3,
        "w": [None] * 3,
    }
    online.rollback()
    assert online.get(["stats:*"], [{"k": 1}]).to_dict() == {"k": [1], "x": [7], "y": ["pushed"]}


def test_keys_of_another_type_begin_anew(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    online.push([row(1, LATE, 7)])
    columns = STATS_COLUMNS | {"k": "VARCHAR"}
    online.change([View("stats", columns, [["1", EARLY, 2, "a"]], meta=STATS_META)])
    online.materialize()
    assert online.x("1") == [2]


def test_a_host_that_only_serves_needs_neither_dbt_nor_warehouse(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    shutil.rmtree(tmp_path / "target")
    (tmp_path / "wh.duckdb").unlink()
    with FeatureStore(tmp_path, clock=lambda: NOW) as store:
        store.push("stats", [row(2, EARLY, 2)])
        answer = store.get_online_features(["stats:x"], [{"k": 1}, {"k": 2}])
        assert answer.to_dict() == {"k": [1, 2], "x": [1, 2]}
        assert store.status().views[0].keys == 1


def test_two_projects_share_a_server(kind: str, tmp_path: Path) -> None:
    first = Online(tmp_path / "first", [valued(1)])
    second = Online(tmp_path / "second", [valued(2)])
    first.materialize()
    assert second.status() is None
    second.materialize()
    assert (first.x(1), second.x(1)) == ([1], [2])


def test_no_more_than_two_generations_are_kept(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    for value in range(1, 5):
        online.change([valued(value)])
        online.materialize()
    store: Any = jobs.online_store(online.project)
    if kind == "redis":
        files = {name.decode() for name in store.server.client.smembers(store.server.name("names"))}
        assert files == {"registry.3", "registry.4", "rows.stats.3", "rows.stats.4"}
        names = set(store.server.client.scan_iter(store.server.prefix.replace("{", "?") + "*"))
        assert len(names) == 4 + 3, names  # and current, highest, names
    else:
        with psycopg.connect(os.environ[servers.URL]) as connection:
            tables = store.server.tables_of_rows(connection)
        assert sorted(name.rpartition("_")[2] for name in tables) == ["3", "4"]


def test_a_reader_hears_of_a_new_generation_from_the_read(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    assert online.x(1) == [1]
    for value in (2, 3, 4):  # the first one's rows are gone then
        other = Online.at(tmp_path)
        other.change([valued(value)])
        other.materialize()
    assert online.x(1) == [4]


def test_several_views_are_read_at_one_moment(kind: str, tmp_path: Path) -> None:
    """Two views are published together again and again: no read sees one without the other."""

    def views(value: int) -> list[View]:
        rows = [[key, EARLY, value, ""] for key in range(20)]
        return [View(name, STATS_COLUMNS, rows, meta=STATS_META) for name in ("one", "two")]

    online = Online(tmp_path, views(0))
    online.materialize()
    stop, wrong, answers = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            found = online.get(
                ["one:x", "two:x"], [{"k": key} for key in range(20)], full=True
            ).to_dict()
            answers[0] += 1
            if len({*found["one__x"], *found["two__x"]}) != 1:
                wrong.append(found)

    thread = threading.Thread(target=read)
    thread.start()
    writer = Online.at(tmp_path)
    for value in range(1, 8):
        writer.change(views(value))
        writer.materialize()
    stop.set()
    thread.join()
    assert not wrong
    assert answers[0] > 8


def test_the_second_writer_waits_and_then_names_the_first(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    first, second = (jobs.online_store(online.project) for _ in range(2))
    named = pytest.raises(LockTimeoutError, match=rf"\(PID {os.getpid()}, since 20")
    with first.writer(1), named as caught, second.writer(0.2):
        pass
    shown = {"redis": "Redis", "postgres": "PostgreSQL"}[kind]
    assert str(caught.value).startswith(f"The online store ({shown} at 127.0.0.1:")
    assert online.materialize().views[0].keys == 1


HOLD = """
import sys, time
from tests.online import *
with jobs.online_store(Online.at(Path(sys.argv[1])).project).writer(5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_goes_with_a_killed_process(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lock, "EXPIRES", 1.0)
    online = Online(tmp_path, [valued(1)])
    code = "from fstore.online import redis_lock; redis_lock.EXPIRES = 1.0\n" + HOLD
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        time.sleep(1.5)  # it is renewed
        named = pytest.raises(LockTimeoutError, match=rf"PID {child.pid}, since 20")
        with named, jobs.online_store(online.project).writer(0.1):
            pass
        child.kill()
    with jobs.online_store(online.project).writer(5):
        pass


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_a_push_sees_what_was_committed_while_it_waited(kind: str, tmp_path: Path) -> None:
    """A server may have another isolation as its default."""
    assert kind == "postgres"
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    store: Any = jobs.online_store(online.project)
    with store.server.connect() as connection:
        connection.execute("SET default_transaction_isolation = 'repeatable read'")
        with connection.transaction():
            assert connection.execute("SHOW transaction_isolation").fetchone() == (
                "read committed",
            )


def test_pushes_wait_for_a_swap_and_say_so(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)], settings={"lock_timeout": "1 second"})
    online.materialize()
    store: Any = jobs.online_store(online.project)
    said = pytest.raises(LockTimeoutError, match=r"waited 1 s for a materialize that is about to")
    if kind == "redis":
        store.server.client.set(store.server.name("gate"), "held", px=5000)
        with said:
            online.push([row(1, LATE, 2)])
        store.server.client.delete(store.server.name("gate"))
    else:
        with store.server.connect() as connection, connection.transaction():
            store.server.hold_pushes(connection, 1)
            with said:
                online.push([row(1, LATE, 2)])
    online.push([row(1, LATE, 2)])
    assert online.x(1) == [2]


def test_many_push_the_same_key(kind: str, tmp_path: Path) -> None:
    """In any order and at once, the greatest (E, A) is what stays."""
    online = Online(tmp_path, [valued(1)])
    online.materialize()

    def push(seed: int) -> None:
        times = [f"2024-01-0{day} 00:{minute:02}:00" for day in (5, 6) for minute in range(20)]
        random.Random(seed).shuffle(times)
        own = Online.at(tmp_path)
        for each in times:
            own.push([row(key, each, int(each[9]) * 100 + int(each[14:16])) for key in (1, 2)])

    threads = [threading.Thread(target=push, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert online.x(1, 2) == [619, 619]


def test_a_store_that_nobody_holds_is_gone_with_its_connections(kind: str, tmp_path: Path) -> None:
    """At once: a collector that runs now and then is too late for a server with few places."""
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            store: Any = jobs.online_store(online.project)
            assert OnlineReader(store).get(["stats:x"], None, [{"k": 1}], None, None, micros(NOW))
            online.push([row(1, LATE, 2)])
            held = weakref.ref(store.server)
            del store
            assert held() is None
    finally:
        gc.enable()


def test_a_damaged_document_is_said_and_the_next_materialize_mends_it(
    kind: str, tmp_path: Path
) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    store: Any = jobs.online_store(online.project)
    for content, words in ((b"{", "is damaged"), (b'{"format": 99}', "has format 99")):
        if kind == "redis":
            store.server.client.set(store.server.name("current"), b"stamp\n" + content)
        else:
            with store.server.connect() as connection:
                connection.execute(
                    "UPDATE fstore.current SET stamp = 'other', catalog = %s WHERE namespace = %s",
                    (content, store.server.namespace),
                )
        with pytest.raises(OnlineStoreError, match=words):
            online.status()
        online._reader = None
        with pytest.raises(OnlineStoreError, match=words):
            online.x(1)
        online.materialize()
        assert online.x(1) == [1]


def test_rows_that_the_server_lost_are_said(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    assert online.x(1) == [1]
    store: Any = jobs.online_store(online.project)
    if kind == "redis":
        store.server.client.delete(store.server.name("rows.stats.1"))
    else:
        with store.server.connect() as connection:
            (table,) = store.server.tables_of_rows(connection)
            connection.execute(f"DROP TABLE fstore.{table}")
    lost = {
        "redis": r"^Redis at \S+ lacks rows that it says are published: was memory short\? "
        r"maxmemory-policy noeviction keeps them\. Run: fstore materialize$",
        "postgres": r"^PostgreSQL at \S+ lacks tables that it says are published\. "
        r"Run: fstore materialize$",
    }
    with pytest.raises(OnlineStoreError, match=lost[kind]):
        online.x(1)
    began = time.monotonic()
    with pytest.raises(OnlineStoreError, match=lost[kind]):
        online.push([row(1, LATE, 2)])
    with pytest.raises(OnlineStoreError, match=lost[kind]):
        online.delete(1)
    assert time.monotonic() - began < 5
    online.materialize()
    assert online.x(1) == [1]
    online.push([row(1, LATE, 2)])
    assert online.x(1) == [2]


def test_a_push_looks_again_until_the_lock_timeout(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another generation comes each time: the wait has an end."""
    online = Online(tmp_path, [valued(1)], settings={"lock_timeout": "1 second"})
    online.materialize()

    def outdated(*_: Any) -> int:
        raise OutdatedError

    monkeypatch.setattr(type(jobs.online_store(online.project)), "_append", outdated)
    began = time.monotonic()
    with pytest.raises(LockTimeoutError, match="waited 1 s for a materialize that is about to be"):
        online.push([row(1, LATE, 2)])
    assert 1 <= time.monotonic() - began < 5


# A writer that stood still for longer than its lock in Redis lasts. (In PostgreSQL, the lock is the
# connection: whoever lost it can write nothing.)

redis_alone = pytest.mark.parametrize("kind", ["redis"], indirect=True)


def expired(store: Any) -> None:
    """As after EXPIRES seconds without a word from its holder."""
    store.server.client.delete(store.server.name("lock"))


def hashes(store: Any) -> list[str]:
    """What Redis has of rows and of declarations."""
    names = sorted(each.decode() for each in store.server.client.scan_iter())
    prefix = store.server.prefix
    ours = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return [name for name in ours if name.startswith(("rows.", "pushed.", "registry."))]


@redis_alone
def test_a_writer_whose_lock_expired_publishes_nothing(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    store: Any = jobs.online_store(online.project)
    named = r"no longer knows this process as its writer \(its lock expired: did the process stand"
    with pytest.raises(OnlineStoreError, match=named):
        online.materialize(progress=lambda *_: expired(store))
    assert online.status().generation == 1
    assert hashes(store) == ["registry.1", "rows.stats.1"]


@redis_alone
@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_writer_whose_lock_expired_leaves_the_rows_of_the_next_one(
    kind: str, tmp_path: Path, before: int
) -> None:
    online = Online(tmp_path, [valued(1, keys=3)])
    for _ in range(before):
        online.materialize()
    first: Any = jobs.online_store(online.project)
    turn = ExitStack()
    turn.enter_context(first.writer(1))
    expired(first)

    def end_first(view: str, done: int, of: int) -> None:
        if done == of:  # written, and not yet published
            turn.close()

    assert online.materialize(progress=end_first).views[0].keys == 3
    assert online.x(1, 2, 3) == [1, 1, 1]
    online.materialize()
    number = online.materialize().generation
    of_two = [
        f"{name}.{each}" for name in ("registry", "rows.stats") for each in (number - 1, number)
    ]
    assert hashes(first) == of_two  # and all others were still known, to be cleaned


@redis_alone
def test_a_writer_whose_lock_expired_takes_away_what_it_began(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next writer has cleaned up amid its write, and knows nothing of what came after that."""
    online = Online(tmp_path, [valued(1)])
    store: Any = jobs.online_store(online.project)
    put = RedisWriter._put

    def put_late(*arguments: Any) -> None:
        monkeypatch.setattr(RedisWriter, "_put", put)
        expired(store)
        online.materialize()
        put(*arguments)
        raise InterruptedError

    monkeypatch.setattr(RedisWriter, "_put", put_late)
    with pytest.raises((InterruptedError, OnlineStoreError)):
        Online.at(tmp_path).materialize()
    assert online.x(1) == [1]
    assert hashes(store) == ["registry.2", "rows.stats.2"]


@redis_alone
def test_a_writer_whose_lock_expired_leaves_the_gate_of_the_next_one(
    kind: str, tmp_path: Path
) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    first, second = (jobs.online_store(online.project) for _ in range(2))
    client, name = first.server.client, first.server.name("gate")
    with first.writer(1) as stale:
        left = ExitStack()
        left.enter_context(stale.turn.gate())
        expired(first)
        with second.writer(1) as writer, writer.turn.gate() as gate:
            left.close()
            assert client.get(name) == gate.encode()
            with pytest.raises(OnlineStoreError, match=r"\(its lock expired: "), stale.turn.gate():
                pass
            assert client.get(name) == gate.encode()
        assert client.get(name) is None


@redis_alone
def test_a_writer_whose_lock_expired_changes_no_rows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was about to go back when another did, and what was pushed since stays."""
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    online.materialize()
    online.push([row(1, LATE, 2)])
    store: Any = jobs.online_store(online.project)
    replace = Turn.replace

    def replace_late(*arguments: Any) -> None:
        monkeypatch.setattr(Turn, "replace", replace)
        expired(store)
        online.rollback()
        online.push([row(1, LATE + " 01:00", 3)])
        replace(*arguments)

    monkeypatch.setattr(Turn, "replace", replace_late)
    with pytest.raises(OnlineStoreError, match=r"\(its lock expired: "):
        Online.at(tmp_path).rollback()
    assert online.x(1) == [3]


# The server goes, and comes back.


def test_a_server_that_is_gone_is_said_and_found_again(own: Server, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    assert online.x(1) == [1]
    own.kill()
    for act in (lambda: online.x(1), online.status, online.materialize):
        began = time.monotonic()
        with pytest.raises(OnlineStoreError, match=rf" at 127.0.0.1:{own.port} cannot be"):
            act()
        assert time.monotonic() - began < 8
    with pytest.raises(OnlineStoreError, match=rf" at 127.0.0.1:{own.port} "):
        online.push([row(1, LATE, 2)])
    own.start()
    assert online.x(1) == [1]
    online.push([row(1, LATE, 2)])
    assert online.x(1) == [2]
    online.materialize()
    assert online.x(1) == [2]


def test_a_server_that_does_not_answer_is_given_up(own: Server, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)])
    online.materialize()
    assert online.x(1) == [1]
    own.pause()
    try:
        began = time.monotonic()
        with pytest.raises(OnlineStoreError, match=rf" at 127.0.0.1:{own.port} cannot be read: "):
            online.x(1)
        assert 4 < time.monotonic() - began < 8
    finally:
        own.go_on()
    assert online.x(1) == [1]


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_acknowledged_pushes_outlive_the_server(own: Server, tmp_path: Path, kills: int) -> None:
    """Killed again and again while pushes and reads go on: no acknowledged row is lost."""
    online = Online(tmp_path, [valued(0)])
    online.materialize()
    stop, acknowledged, wrong, errors = threading.Event(), [0], [], [0]

    def push() -> None:
        mine, value = Online.at(tmp_path), 0
        while not stop.is_set():
            value += 1
            stamp = f"2024-01-05 {value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"
            while not stop.is_set():
                try:
                    mine.push([row(1, stamp, value)])
                except OnlineStoreError:
                    errors[0] += 1
                    time.sleep(0.02)
                else:
                    acknowledged[0] = value
                    break

    def read() -> None:
        mine = Online.at(tmp_path)
        while not stop.is_set():
            before = acknowledged[0]
            try:
                (found,) = mine.x(1)
            except OnlineStoreError:
                errors[0] += 1
                time.sleep(0.02)
            else:
                if found is None or found < before:
                    wrong.append((found, before))

    threads = [threading.Thread(target=push), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        time.sleep(0.3)
        own.kill()
        time.sleep(0.1)
        own.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert errors[0], "no kill was noticed"
    assert acknowledged[0] > 10
    assert online.x(1)[0] >= acknowledged[0]


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.soak)])
def test_a_server_killed_in_a_publish_leaves_the_old_or_the_new(
    own: Server, tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lock, "EXPIRES", 1.0)  # of a lock that could not be given back
    keys, chosen = 20_000, random.Random(5)
    online = Online(tmp_path, [valued(0, keys)])
    online.materialize()
    asked = [{"k": key} for key in range(1, keys + 1, 97)]
    failed, newest, took = 0, 0, 0.5
    for value in range(1, kills + 1):
        online.change([valued(value, keys)])
        killer = threading.Timer(chosen.uniform(0.02, took), own.kill)
        killer.start()
        try:
            began = time.monotonic()
            Online.at(tmp_path).materialize()
            newest, took = value, (time.monotonic() - began) * 0.8
        except OnlineStoreError:
            failed += 1
        killer.join()
        own.start()
        found = set(online.get(["stats:x"], asked).to_dict()["x"])
        assert len(found) == 1, found
        assert found <= {newest, value}
        newest = found.pop()
    online.materialize()
    assert set(online.get(["stats:x"], asked).to_dict()["x"]) == {kills}
    assert failed, "no kill came in time"


@pytest.mark.parametrize("kills", [5, pytest.param(60, marks=pytest.mark.soak)])
def test_kills_of_the_publishing_process(kind: str, tmp_path: Path, kills: int) -> None:
    keys, chosen = 3_000, random.Random(7)
    online = Online(tmp_path, [valued(0, keys)])
    online.materialize()
    asked = [{"k": key} for key in range(1, keys + 1, 97)]
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.online", "fstore.online.redis_store"])
    newest, store = 0, jobs.online_store(online.project)
    for value in range(1, kills + 1):
        online.change([valued(value, keys)])
        here, there = forks.Pipe(duplex=False)
        writer = forks.Process(target=materialize_at, args=(tmp_path, there))
        writer.start()
        there.close()
        assert here.recv() == "began"
        here.poll(chosen.uniform(0, 0.3))
        writer.kill()
        writer.join()
        here.close()
        if kind == "redis":  # else it expires
            store.server.client.delete(store.server.name("lock"))  # type: ignore[attr-defined]
        found = set(online.get(["stats:x"], asked).to_dict()["x"])
        assert len(found) == 1
        assert found <= {newest, value}
        newest = found.pop()
    online.materialize()
    assert set(online.get(["stats:x"], asked).to_dict()["x"]) == {kills}


# Addresses and secrets.


def test_a_password_is_used_and_never_shown(tmp_path: Path) -> None:
    server = servers.RedisServer(["--requirepass", "sesame"])
    server.start()
    try:
        url = f"redis://:sesame@127.0.0.1:{server.port}/0"
        store = server_store("redis", url, "shop", "dev")
        assert store.generation() is None
        wrong = server_store("redis", url.replace("sesame", "mellon"), "shop", "dev")
        with pytest.raises(OnlineStoreError) as caught:
            wrong.generation()
        assert "mellon" not in str(caught.value)
        assert f"Redis at 127.0.0.1:{server.port} cannot be read: " in str(caught.value)
        assert "sesame" not in f"{store!r} {vars(store)!r}"
    finally:
        server.stop()
    with pytest.raises(OnlineStoreError) as caught:
        store.generation()
    assert "sesame" not in str(caught.value)


def test_tls_is_passed_through_by_the_url(tmp_path: Path) -> None:
    made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    made += " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    port = servers.free_port()
    files = [
        "--tls-cert-file",
        str(tmp_path / "cert.pem"),
        "--tls-key-file",
        str(tmp_path / "key.pem"),
    ]
    server = servers.RedisServer([*files, "--tls-port", str(port), "--tls-auth-clients", "no"])
    server.start()
    try:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'cert.pem'}"
        assert server_store("redis", url, "shop", "dev").generation() is None
        with pytest.raises(OnlineStoreError, match=r"certificate verify failed"):
            server_store("redis", url.partition("?")[0], "shop", "dev").generation()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        (
            "redis",
            "http://u:sesame@host",
            "url is no address of a Redis server. Write it as in red",
        ),
        ("redis", "redis://host:sesame/0", "url is no address of a Redis server"),
        ("postgres", "http://u:sesame@host", "url is no address of a PostgreSQL server. Write it"),
        ("postgres", "postgresql://u:sesame@host/db?nonsense=1", "is no address of a PostgreSQL"),
    ],
)
def test_an_address_that_is_none(kind: str, url: str, words: str) -> None:
    with pytest.raises(OnlineStoreError, match=words) as caught:
        server_store(kind, url, "shop", "dev")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_needs_an_address(kind: str, tmp_path: Path) -> None:
    online = Online(tmp_path, [valued(1)], settings={"online_store": {"type": kind}})
    with pytest.raises(ProfileError, match=rf"online_store: {kind} needs url: {{env: NAME}}"):
        online.materialize()


@pytest.mark.parametrize(("kind", "package"), [("redis", "redis"), ("postgres", "psycopg")])
def test_a_client_that_is_not_installed_is_said(kind: str, package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from fstore.online.servers import server_store\n"
        f"try: server_store({kind!r}, 'x', 'shop', 'dev')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("OnlineStoreError"), done
    assert f"the Python package {package} is not installed" in done.stdout
    assert f"dbt-fstore[{kind}]" in done.stdout


def test_the_stores_alone_are_imported_for_what_is_configured() -> None:
    code = "import sys, fstore.jobs.materialize; print({'redis', 'psycopg'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
