"""Processes that use one online store at once and write down what they did and saw.

Pairs of keys (k and k + PAIRS) always change together, in one push, deletion or materialize; x is
the serial of the row and z follows from k and x, so that a torn read shows in the answer itself.
Beside those rows each key has visits: events that a window counts and sums. What a visit adds to
the sum follows from k, so that sum and count tell on each other.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from fstore import FeatureStore
from tests.harness import WAREHOUSE, View, make_project
from tests.online import STATS_META
from tests.soak_model import DELETE, PUSH, SOURCE, VISIT, Journal, note, visits_in_source

PAIRS = 48
READ_AT_ONCE = 8  # pairs
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT", "z": "BIGINT"}
VIEW = View("stats", COLUMNS, meta=STATS_META)
VISITS = View(
    "visits",
    {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "amount": "BIGINT"},
    meta=STATS_META
    | {
        "event_key": ["id"],
        "aggregations": [
            {"column": "amount", "functions": ["count", "sum"], "windows": ["1 day"]},
        ],
    },
)
FEATURES = ["stats:x", "stats:z", "visits:amount_count_1d", "visits:amount_sum_1d"]
SEEN = struct.Struct("<iqqqq")  # pair, serial (0: no row), visits, began, ended
SERIALS = 1_000_000  # of one process
DOWN = (OSError, http.client.HTTPException)  # what is raised where a server is not there
Fetch = Callable[[list[int]], list[list[Any]]]  # keys to the cells of FEATURES
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clock() -> int:
    """The present in microseconds, as every process and the server see it."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Work:
    """What a process is started with. ``number`` is its own, and no other's ever."""

    directory: Path  # the project
    notes: Path
    name: str
    number: int
    pause: float  # seconds between operations
    port: int  # of the server
    may_be_down: bool  # whether the server is killed now and then
    writers: int = 1  # pairs are shared out among so many
    place: int = 0  # of this one among them

    @property
    def mine(self) -> range:
        """The pairs that this process alone writes."""
        return range(self.place, PAIRS, self.writers)

    def file(self, kind: str) -> Path:
        return self.notes / f"{self.name}.{kind}"

    def journal(self) -> Journal:
        return Journal(self.file("journal"))

    def serials(self) -> Any:
        first = self.number * SERIALS
        return iter(range(first + 1, first + SERIALS))


def instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def new_project(directory: Path) -> None:
    """A project whose views have no row yet."""
    make_project(directory, [VIEW, VISITS])


def rows_of(pair: int, serial: int, stamp: int) -> list[dict[str, Any]]:
    return [
        {"k": key, "t": instant(stamp).isoformat(), "x": serial, "z": serial * 1000 + key}
        for key in (pair, pair + PAIRS)
    ]


def visits_of(pair: int, serial: int, stamp: int) -> list[dict[str, Any]]:
    return [
        {"k": key, "t": instant(stamp).isoformat(), "id": serial, "amount": key + 1}
        for key in (pair, pair + PAIRS)
    ]


def build(directory: Path, serial: int, stamp: int) -> None:
    """What dbt would: the relations anew, every pair with a row of this serial, and its visits."""
    with duckdb.connect(str(directory / WAREHOUSE), config={"threads": 1}) as connection:
        connection.execute("BEGIN")
        connection.execute(
            f"CREATE OR REPLACE TABLE stats AS SELECT range AS k, make_timestamp({stamp}) AS t,"
            f" {serial}::BIGINT AS x, {serial * 1000}::BIGINT + range AS z FROM range({2 * PAIRS})"
        )
        connection.execute(
            f"CREATE OR REPLACE TABLE visits AS SELECT keys.range AS k,"
            f" make_timestamp({stamp} - numbers.range) AS t, -1 - numbers.range AS id,"
            f" keys.range + 1 AS amount"
            f" FROM range({2 * PAIRS}) AS keys, range({visits_in_source(serial)}) AS numbers"
        )
        connection.execute("COMMIT")


def publish(work: Work) -> None:
    """Build and materialize, again and again; the source lags behind by one build."""
    journal, store = work.journal(), FeatureStore(work.directory)
    following = clock()
    for serial in work.serials():
        stamp, following = following, clock()
        build(work.directory, serial, stamp)
        journal.begin(SOURCE, None, serial, stamp, clock())
        (store.materialize, store.materialize_incremental)[serial % 2]()
        journal.end(serial, clock())
        time.sleep(work.pause)


def write(work: Work) -> None:
    """Push rows, stale ones among them, and delete keys; read each pair after it was written."""
    stamps = [clock()]
    store = FeatureStore(work.directory, clock=lambda: instant(stamps[0]))
    journal, reads = work.journal(), Reads(work, from_store(work))
    chosen = random.Random(work.number)
    for serial in work.serials():
        pair, kind = chosen.choice(work.mine), chosen.random()
        stamps[0] = began = clock()
        stamp = began - chosen.randrange(5_000_000) if kind > 0.85 else began
        if 0.3 < kind < 0.5:
            journal.begin(VISIT, pair, serial, began, began)
            for _ in range(chosen.choice((1, 2))):  # a push that is tried again changes nothing
                store.push("visits", visits_of(pair, serial, began))
        elif kind < 0.12:
            journal.begin(DELETE, pair, serial, began, began)
            store.delete("stats", [{"k": pair}, {"k": pair + PAIRS}])
        else:
            journal.begin(PUSH, pair, serial, stamp, began)
            store.push("stats", rows_of(pair, serial, stamp))
        journal.end(serial, clock())
        reads.read([pair])
        time.sleep(work.pause)


def read(work: Work) -> None:
    """Read pairs at random."""
    _read(work, from_store(work))


def ask(work: Work) -> None:
    """Read pairs at random through the server."""
    _read(work, from_server(work))


def _read(work: Work, fetch: Fetch) -> None:
    reads, chosen = Reads(work, fetch), random.Random(work.number)
    for _ in work.serials():
        reads.read(chosen.sample(range(PAIRS), READ_AT_ONCE))
        time.sleep(work.pause)


def send(work: Work) -> None:
    """Push rows through the server, and read them there."""
    journal, reads = work.journal(), Reads(work, from_server(work))
    chosen = random.Random(work.number)
    for serial in work.serials():
        pair, began = chosen.choice(work.mine), clock()
        kind, view, made = chosen.choice(((PUSH, "stats", rows_of), (VISIT, "visits", visits_of)))
        rows = made(pair, serial, began)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        journal.begin(kind, pair, serial, began, began)
        try:
            post(work.port, "/push", {"push_source_name": view, "df": columns, "to": "online"})
        except DOWN as error:  # it may have been pushed, or not, but is not being pushed any more
            journal.give_up(serial, clock())
            reads.down(error)
            continue
        journal.end(serial, clock())
        reads.read([pair])
        time.sleep(work.pause)


def serve(work: Work) -> None:
    """Be the server, two processes that answer."""
    command = [sys.executable, "-m", "fstore", "serve", "--workers", "2"]
    command += ["--port", str(work.port), "--project-dir", str(work.directory)]
    with work.file("log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        while server.poll() is None:
            time.sleep(1)
            below = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            note(work.file("memory"), f"{clock()} {sum(map(resident, below))}")
    note(work.file("wrong"), f"the server ended with {server.returncode}")


class Reads:
    """Reads of one process, written down: what was seen, what went wrong, memory now and then."""

    def __init__(self, work: Work, fetch: Fetch) -> None:
        self._work, self._fetch = work, fetch
        self._next_look = 0.0

    def read(self, pairs: list[int]) -> None:
        keys = [key for pair in pairs for key in (pair, pair + PAIRS)]
        began = clock()
        try:
            found, others, visits, sums = self._fetch(keys)
        except DOWN as error:
            self.down(error)
            return
        except Exception as error:  # whatever fails is a failed request
            self.wrong(repr(error))
            return
        ended = clock()
        for key, x, z in zip(keys, found, others, strict=True):
            if z != (None if x is None else x * 1000 + key):
                self.wrong(f"key {key} is torn: x={x}, z={z}")
        for key, count, total in zip(keys, visits, sums, strict=True):
            if total != count * (key + 1):
                self.wrong(f"the window of key {key} is torn: {count} visits, sum {total}")
        for each in (found, visits):
            if each[::2] != each[1::2]:
                self.wrong(f"pairs {pairs} are torn: {each}")
        packed = [
            SEEN.pack(pair, serial or 0, count, began, ended)
            for pair, serial, count in zip(pairs, found[::2], visits[::2], strict=True)
        ]
        with self._work.file("seen").open("ab", buffering=0) as file:
            file.write(b"".join(packed))
        if time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + 1
            note(self._work.file("memory"), f"{clock()} {resident()}")

    def wrong(self, what: str) -> None:
        note(self._work.file("wrong"), what)

    def down(self, error: Exception) -> None:
        """The server does not answer: wait a little where that may be, else it is wrong."""
        if not self._work.may_be_down:
            self.wrong(f"the server is down: {error!r}")
        time.sleep(0.02)


def from_store(work: Work) -> Fetch:
    store = FeatureStore(work.directory)

    def fetch(keys: list[int]) -> list[list[Any]]:
        found = store.get_online_features(FEATURES, [{"k": key} for key in keys]).to_dict()
        return [found[reference.partition(":")[2]] for reference in FEATURES]

    return fetch


def from_server(work: Work) -> Fetch:
    def fetch(keys: list[int]) -> list[list[Any]]:
        asked = {"features": FEATURES, "entities": {"k": keys}}
        _, *columns = post(work.port, "/get-online-features", asked)["results"]
        return [column["values"] for column in columns]

    return fetch


def post(port: int, path: str, body: dict[str, Any]) -> Any:
    """Ask the server; one of DOWN where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{path}: {answer.status} {content!r}")
    return json.loads(content)


def resident(process: int | str = "self") -> int:
    """A process's own resident memory in bytes, without mapped files."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def run(role: Callable[[Work], None], work: Work) -> None:
    """Be such a process until it is killed; what it raises is written down."""
    os.setsid()
    try:
        role(work)
    except Exception as error:
        note(work.file("wrong"), f"{role.__name__}: {error!r}")
        raise
