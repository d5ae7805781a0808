"""Processes that use one online store at once and write down what they did and saw.

Pairs of keys (k and k + PAIRS) always change together, in one push, deletion or materialize; x is
the serial of the row and z follows from k and x, so that a torn read shows in the answer itself.
"""

from __future__ import annotations

import os
import random
import struct
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
from tests.soak_model import DELETE, PUSH, SOURCE, Journal, note

PAIRS = 48
READ_AT_ONCE = 8  # pairs
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "BIGINT", "z": "BIGINT"}
VIEW = View("stats", COLUMNS, meta=STATS_META)
SEEN = struct.Struct("<iqqq")  # pair, serial (0: no row), began, ended
SERIALS = 1_000_000  # of one process
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Clock:
    """The present in microseconds, the same in all processes, and never set back."""

    offset: int

    @classmethod
    def now(cls) -> Clock:
        return cls((time.time_ns() - time.monotonic_ns()) // 1000)

    def __call__(self) -> int:
        return self.offset + time.monotonic_ns() // 1000


@dataclass(frozen=True)
class Work:
    """What a process is started with. ``number`` is its own, and no other's ever."""

    directory: Path  # the project
    notes: Path
    clock: Clock
    name: str
    number: int
    pause: float  # seconds between operations
    writers: int = 1  # pairs are shared out among so many
    place: int = 0  # of this one among them

    def store(self, clock: Callable[[], int]) -> FeatureStore:
        return FeatureStore(self.directory, clock=lambda: instant(clock()))

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
    """A project whose view has no row yet."""
    make_project(directory, [VIEW])


def rows_of(pair: int, serial: int, stamp: int) -> list[dict[str, Any]]:
    return [
        {"k": key, "t": instant(stamp).isoformat(), "x": serial, "z": serial * 1000 + key}
        for key in (pair, pair + PAIRS)
    ]


def build(directory: Path, serial: int, stamp: int) -> None:
    """What dbt would: the relation anew, every pair with a row of this serial."""
    with duckdb.connect(str(directory / WAREHOUSE), config={"threads": 1}) as connection:
        connection.execute(
            f"CREATE OR REPLACE TABLE stats AS SELECT range AS k, make_timestamp({stamp}) AS t,"
            f" {serial}::BIGINT AS x, {serial * 1000}::BIGINT + range AS z FROM range({2 * PAIRS})"
        )


def publish(work: Work) -> None:
    """Build and materialize, again and again; the source lags behind by one build."""
    journal, clock, store = work.journal(), work.clock, work.store(work.clock)
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
    stamps = [work.clock()]
    journal, store = work.journal(), work.store(lambda: stamps[0])
    reads = Reads(work)
    chosen = random.Random(work.number)
    mine = range(work.place, PAIRS, work.writers)
    for serial in work.serials():
        pair, kind = chosen.choice(mine), chosen.random()
        stamps[0] = began = work.clock()
        stamp = began - chosen.randrange(5_000_000) if kind > 0.85 else began
        if kind < 0.12:
            journal.begin(DELETE, pair, serial, began, began)
            store.delete("stats", [{"k": pair}, {"k": pair + PAIRS}])
        else:
            journal.begin(PUSH, pair, serial, stamp, began)
            store.push("stats", rows_of(pair, serial, stamp))
        journal.end(serial, work.clock())
        reads.read([pair])
        time.sleep(work.pause)


def read(work: Work) -> None:
    """Read pairs at random."""
    reads, chosen = Reads(work), random.Random(work.number)
    for _ in work.serials():
        reads.read(chosen.sample(range(PAIRS), READ_AT_ONCE))
        time.sleep(work.pause)


class Reads:
    """Reads of one process, written down: what was seen, what went wrong, memory now and then."""

    def __init__(self, work: Work) -> None:
        self._clock, self._store = work.clock, work.store(work.clock)
        self._seen, self._memory = work.file("seen"), work.file("memory")
        self._wrong = work.file("wrong")
        self._next_look = 0.0

    def read(self, pairs: list[int]) -> None:
        keys = [key for pair in pairs for key in (pair, pair + PAIRS)]
        began = self._clock()
        try:
            answer = self._store.get_online_features(
                ["stats:x", "stats:z"], [{"k": key} for key in keys]
            ).to_dict()
        except Exception as error:  # whatever fails is a failed request
            note(self._wrong, repr(error))
            return
        ended = self._clock()
        for key, x, z in zip(keys, answer["x"], answer["z"], strict=True):
            if z != (None if x is None else x * 1000 + key):
                note(self._wrong, f"key {key} is torn: x={x}, z={z}")
        found = answer["x"]
        if found[::2] != found[1::2]:
            note(self._wrong, f"pairs {pairs} are torn: {found}")
        packed = [
            SEEN.pack(pair, serial or 0, began, ended)
            for pair, serial in zip(pairs, found[::2], strict=True)
        ]
        with self._seen.open("ab", buffering=0) as file:
            file.write(b"".join(packed))
        if time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + 1
            note(self._memory, f"{self._clock()} {resident()}")


def resident() -> int:
    """This process's own resident memory in bytes, without mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
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
