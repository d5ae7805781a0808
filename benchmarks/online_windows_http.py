"""Window features of one process of fstore serve: reads beside plain ones, and pushes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.latency import summary
from benchmarks.load import Load, bodies, load, request
from benchmarks.online_peers import free_port, stop, wait_for
from benchmarks.online_windows_data import PLAIN, Source, Truth, differences
from benchmarks.online_windows_push import BATCH, Stream, streams_of
from benchmarks.online_windows_reads import CHECKED, Options, in_turns, opened, requests, sample

READ, PUSH = "/get-online-features", "/push"
KEY = "a-key-for-the-benchmark"
HEADERS = [("Authorization", f"Bearer {KEY}")]
TOUCHED = 8_000_000  # bytes that are read between two reads in process, for comparison
BODIES = 40  # of pushes, of a view: sent again and again


def measure_http(options: Options) -> dict[str, Any]:
    """Load the server with windows and plain columns in turns; then with pushes."""
    source = Source("events_10000", options.count(100), 10_000)
    streams = {each.name: Stream(each, seed=2) for each in streams_of(options)}
    given = [source, *streams_of(options)]
    project = opened(options, "http", given, more=[source.plain()])
    calls = {
        "windows": project.call(source.name, source.features),
        "plain": project.call(f"plain_{source.name}", PLAIN),
    }
    touched = np.zeros(TOUCHED // 8)
    beside = in_turns(calls, requests(source.keys, 1), project.clock, options, between=touched.sum)
    click.echo(f"cold         {beside}")
    project.store.close()
    folder = options.data / "http"
    with serving(folder) as port:
        values = check(port, source, options)
        reads = _reads(port, source, options)
        pushes = []
        for view, stream in streams.items():
            pushes.append(_pushes(port, stream, options))
            values_after = check(port, stream.source, options, stream.all_rows())
            pushes[-1]["values"] = values_after
            say(f"push to {view}, {values_after}", pushes[-1])
    return {"values": values, "reads": reads, "pushes": pushes, "cold": beside}


def _reads(port: int, source: Source, options: Options) -> list[dict[str, Any]]:
    asked = requests(source.keys, 1)
    keys = [next(asked)[0]["k"] for _ in range(500)]
    views = {"windows": (source.name, source.features), "plain": (f"plain_{source.name}", PLAIN)}
    measured = []
    for connections in (1, options.connections):
        loads: dict[str, list[Load]] = {kind: [] for kind in views}
        for turn in range(-1, max(1, options.rounds // 2)):
            for kind, (view, features) in views.items():
                references = [f"{view}:{name}" for name in features]
                sent = [
                    request("127.0.0.1", port, READ, body, HEADERS)
                    for body in bodies(references, "k", keys, 1)
                ]
                found = load("127.0.0.1", port, sent, connections, 2 * options.seconds)
                if turn >= 0:
                    loads[kind].append(found)
        for kind, each in loads.items():
            measured.append({"kind": kind, "connections": connections} | told(each))
            say(f"read {kind}, {connections} connections", measured[-1])
    return measured


def _pushes(port: int, stream: Stream, options: Options) -> dict[str, Any]:
    """Push batches on one connection, and all of them once more: then each is in."""
    at, batches = datetime.now(UTC), []
    for _ in range(max(2, min(BODIES, options.count(BODIES)))):
        rows = stream.batch(at)
        at = max(row["c"] for row in rows)
        columns = {name: [_sent(row[name]) for row in rows] for name in rows[0]}
        document = {"push_source_name": stream.source.name, "df": columns, "to": "online"}
        batches.append(json.dumps(document).encode())
    sent = [request("127.0.0.1", port, PUSH, body, HEADERS) for body in batches]
    loads = [load("127.0.0.1", port, sent, 1, 2 * options.seconds) for _ in range(2)]
    for body in batches:
        _post(port, PUSH, body)
    found = told(loads)
    rate = {"rows_a_second": found["requests_a_second"] * BATCH}
    return {"view": stream.source.name, "keys": stream.source.keys, **rate, **found}


def _sent(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, datetime) else cell


def told(loads: Sequence[Load]) -> dict[str, Any]:
    """Return what loads come to together; the rate is the median of theirs."""
    times = [each for one in loads for each in one.nanoseconds]
    rates = sorted(one.requests_a_second for one in loads)
    statuses = sum((one.statuses for one in loads), Counter[int]())
    failures = sum((one.failures for one in loads), Counter[str]())
    return {
        "requests_a_second": rates[len(rates) // 2],
        "statuses": {str(status): count for status, count in statuses.items()},
        "failures": dict(failures),
    } | summary(times or [0])


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Start our server, one process, with a key for reads and pushes; yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "fstore", "serve", "--project-dir", str(folder)]
    command += ["--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 - ours
            command, env=os.environ | {"FSTORE_WRITE_KEY": KEY}, stdout=log, stderr=log
        )
        try:
            wait_for(port, server)
            yield port
        finally:
            stop(server)


def check(port: int, source: Source, options: Options, pushed: Any = None) -> str:
    """Say whether the server's values are those of an instant just before or just after."""
    keys = sample(source.keys, min(CHECKED, source.keys))
    truth = Truth(source.path(options.raw), options.as_of, pushed)
    references = [f"{source.name}:{name}" for name in source.features]
    (body,) = bodies(references, "k", keys, len(keys))
    before = datetime.now(UTC)
    document = _post(port, READ, body)
    after = datetime.now(UTC)
    names = document["metadata"]["feature_names"]
    found = {
        name.rpartition("__")[2]: column["values"]
        for name, column in zip(names, document["results"], strict=True)
    }
    rows = [truth.rows(source.functions, keys, at) for at in (before, after)]
    return differences(found, *rows)


def _post(port: int, route: str, body: bytes) -> Any:
    headers = {"Content-Type": "application/json", **dict(HEADERS)}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{route}", body, headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def say(what: str, found: Mapping[str, Any]) -> None:
    rate = found["requests_a_second"]
    times = f"p50 {found['p50']:9.0f} p99 {found['p99']:9.0f} µs"
    trouble = found["failures"] or ""
    click.echo(f"http         {what:<44} {rate:9.0f} /s  {times}  {found['statuses']} {trouble}")
