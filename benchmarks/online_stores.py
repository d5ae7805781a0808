"""What each online store costs: Redis and PostgreSQL beside a bare client on the same server.

    python -m benchmarks.online_stores [rows]

Starts servers of its own, publishes that many rows (100,000) of 10 features, and prints times in
microseconds: p50 and p99 of reads by fstore and by the bare client, of the same bytes.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import redis

from benchmarks.machine import machine
from fstore import FeatureStore
from tests import servers
from tests.harness import WAREHOUSE, View, make_project

FEATURES = [f"f{place}" for place in range(10)]
CALLS = {1: 5000, 100: 1000}


def timed(call: Callable[[], Any], count: int) -> tuple[float, float]:
    """p50 and p99 of a call, in microseconds."""
    for _ in range(count // 10):
        call()
    took = []
    for _ in range(count):
        start = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - start) / 1000)
    cuts = statistics.quantiles(took, n=100)
    return cuts[49], cuts[98]


def say(what: str, took: tuple[float, float], bare: tuple[float, float] | None = None) -> None:
    ratio = f"   {took[0] / bare[0]:5.2f} times" if bare else ""
    print(f"  {what:<44} p50 {took[0]:8.1f}   p99 {took[1]:8.1f}{ratio}", flush=True)


def project(folder: Path, rows: int) -> Path:
    columns = {"k": "BIGINT", "t": "TIMESTAMP"} | dict.fromkeys(FEATURES, "DOUBLE")
    meta = {"entities": {"thing": "k"}, "event_timestamp": "t"}
    make_project(folder, [View("stats", columns, meta=meta)])
    values = ", ".join(f"random() AS {name}" for name in FEATURES)
    with duckdb.connect(str(folder / WAREHOUSE)) as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE stats AS"
            f" SELECT range AS k, TIMESTAMP '2024-01-01' AS t, {values} FROM range({rows})"
        )
    return folder


def keys_of(rows: int, count: int) -> list[int]:
    return random.Random(count).sample(range(rows), count)


def bare_redis(store: Any, url: str, rows: int) -> dict[int, dict[str, tuple[float, float]]]:
    """GET and MGET of the same values, under names of their own."""
    client = redis.Redis.from_url(url)
    single = redis.Redis.from_url(url, single_connection_client=True)
    name = store._online.generation().rows_name("stats")
    found = {}
    for count, calls in CALLS.items():
        keys = keys_of(rows, count)
        values = client.hmget(name, [b"=" + key.to_bytes(8, "little") for key in keys])
        names = [f"bare:{key}" for key in keys]
        client.mset(dict(zip(names, values, strict=True)))
        if count == 1:
            bare = {
                "GET by redis-py": timed(partial(client.get, names[0]), calls),
                "GET on one connection of redis-py": timed(partial(single.get, names[0]), calls),
            }
        else:
            bare = {"MGET by redis-py": timed(partial(client.mget, names), calls)}
        found[count] = bare
    return found


def bare_postgres(store: Any, url: str, rows: int) -> dict[int, dict[str, tuple[float, float]]]:
    """The same rows by their key, prepared, on one connection."""
    table = store._online.generation().catalog.views["stats"].file
    query = f"SELECT key, value FROM fstore.{table} WHERE key = ANY(%s)"
    found = {}
    with psycopg.connect(url, autocommit=True) as connection:
        for count, calls in CALLS.items():
            keys = [key.to_bytes(8, "little") for key in keys_of(rows, count)]

            def ask(keys: list[bytes] = keys) -> Any:
                return connection.execute(query, (keys,), prepare=True, binary=True).fetchall()

            found[count] = {"SELECT by psycopg": timed(ask, calls)}
    return found


def memory(kind: str, store: Any, url: str, rows: int) -> float:
    """Bytes for a row, keys and index with it."""
    if kind == "duckdb":
        return store._online.generation().image("stats").content.size() / rows
    if kind == "redis":
        client = redis.Redis.from_url(url)
        name = store._online.generation().rows_name("stats")
        value = client.hget(name, b"=" + bytes(8))
        client.set(name.encode() + bytes(8), value)
        alone = client.memory_usage(name.encode() + bytes(8))
        print(f"  {alone} bytes if each row had a name of its own")
        return client.memory_usage(name, samples=1000) / rows
    table = store._online.generation().catalog.views["stats"].file
    with psycopg.connect(url) as connection:
        size = connection.execute("SELECT pg_total_relation_size(%s)", (f"fstore.{table}",))
        return size.fetchone()[0] / rows


BARE = {"redis": bare_redis, "postgres": bare_postgres}


def run(kind: str, rows: int) -> None:
    server = servers.SERVERS[kind]() if kind in servers.SERVERS else None
    if server:
        server.start()
    try:
        servers.use(kind, server)
        with tempfile.TemporaryDirectory() as folder:
            directory = project(Path(folder) / "project", rows)
            servers.settle(directory)
            store = FeatureStore(directory)
            start = time.perf_counter()
            store.materialize()
            first = time.perf_counter() - start
            start = time.perf_counter()
            store.materialize()
            again = time.perf_counter() - start
            print(f"{kind}: {rows:,} rows published in {first:.2f} s, again in {again:.2f} s")
            url = server.url if server else ""
            print(f"  {memory(kind, store, url, rows):.0f} bytes a row")
            none: dict[int, dict[str, tuple[float, float]]] = {count: {} for count in CALLS}
            bare = BARE[kind](store, url, rows) if kind in BARE else none
            for count, calls in CALLS.items():
                for what, took in bare[count].items():
                    say(f"{what}, {count} keys", took)
                asked = [f"stats:{name}" for name in FEATURES]
                given = [{"k": key} for key in keys_of(rows, count)]

                def ask(asked: list[str] = asked, given: list[Any] = given) -> Any:
                    return store.get_online_features(asked, given).to_dict()

                took = timed(ask, calls)
                if not bare[count]:
                    say(f"fstore, {count} keys x 10, to a dict", took)
                for what, each in bare[count].items():
                    say(f"fstore, {count} keys x 10, to a dict; by {what}", took, each)
            store.close()
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    random.seed(1)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    for kind in os.environ.get("STORES", "duckdb redis postgres").split():
        run(kind, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
