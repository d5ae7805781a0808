"""Requests a second of ``fstore serve`` and ``feast serve`` under the same load, in turns.

Each has one process that answers. Ours checks a key at each request, and has ttl, statuses,
metrics and its log of requests on; Feast's runs as it is installed, without its access log.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq

from benchmarks.latency import summary
from benchmarks.load import Load, bodies, load, request
from benchmarks.online_parts import Options
from benchmarks.online_peers import PeerFailedError, free_port, stop, wait_for
from benchmarks.online_protocol import Setup
from benchmarks.online_shapes import OnlineTable
from benchmarks.online_truth import compare, right_rows
from benchmarks.protocol import View

KEYS = (1, 100)  # of a request
ROUTE = "/get-online-features"
KEY = "a-key-for-the-benchmark"
CHECKED = 100


def measure_http(
    setups: Mapping[str, Setup], table: OnlineTable, options: Options
) -> tuple[list[dict[str, Any]], list[str]]:
    """Load each server in turns; return what was measured, and what could not be."""
    view, missing = table.view(options.raw), []
    asked = pq.read_table(table.asked(options.raw), columns=[view.key])[view.key].to_pylist()
    measured = []
    with ExitStack() as opened:
        ports = {}
        for peer, setup in setups.items():
            try:
                ports[peer] = opened.enter_context(_serving(peer, setup, options))
            except (PeerFailedError, OSError) as error:
                missing.append(f"HTTP of {peer}: {error}")
        told = {peer: _check(view, port, peer, asked) for peer, port in ports.items()}
        for keys in KEYS:
            for peer, loads in _in_turns(ports, view, asked, keys, options).items():
                measured.append({"peer": peer, "keys": keys, "values": told[peer]} | _told(loads))
                last = measured[-1]
                click.echo(
                    f"http         {peer:<14} {keys:>4} keys {last['requests_a_second']:9.0f} /s  "
                    f"p50 {last['p50']:9.0f} p99 {last['p99']:9.0f} µs  {last['statuses']} "
                    f"{told[peer]}"
                )
    return measured, missing


def _in_turns(
    ports: Mapping[str, int], view: View, asked: list[int], keys: int, options: Options
) -> dict[str, list[Load]]:
    references = [f"{view.name}:{name}" for name in view.features]
    requests = {
        peer: [
            request("127.0.0.1", port, ROUTE, body, _headers(peer))
            for body in bodies(references, view.key, asked, keys)
        ]
        for peer, port in ports.items()
    }
    loads: dict[str, list[Load]] = {peer: [] for peer in ports}
    seconds = 4 * options.seconds  # a slow server has to answer each connection a few times
    for turn in range(-1, max(1, options.rounds // 4)):
        for peer, port in ports.items():
            found = load("127.0.0.1", port, requests[peer], options.connections, seconds)
            if turn >= 0:  # one turn warms up
                loads[peer].append(found)
    return loads


def _told(loads: list[Load]) -> dict[str, Any]:
    times = [each for one in loads for each in one.nanoseconds]
    statuses = sum((one.statuses for one in loads), Counter[int]())
    failures = sum((one.failures for one in loads), Counter[str]())
    rate = len(times) / sum(one.seconds for one in loads)
    processor = sum(one.processor for one in loads)
    return {
        "requests_a_second": rate,
        "load_us": processor / max(1, len(times)) * 1e6,  # of the load's core, for a request
        "statuses": {str(status): count for status, count in statuses.items()},
        "failures": dict(failures),
    } | summary(times or [0])


@contextmanager
def _serving(peer: str, setup: Setup, options: Options) -> Iterator[int]:
    """Start a peer's server, and yield its port."""
    port = free_port()
    python = Path(options.python(peer))
    if peer.startswith("feast"):
        folder = str(python.parent / "feast")
        command = [folder, "--chdir", setup.scratch, "serve", "--port", str(port)]
        command += ["--no-access-log", "--max-requests", "1000000000"]
    else:
        command = [str(python), "-m", "fstore", "serve", "--project-dir", setup.project]
        command += ["--port", str(port)]
    env = os.environ | {"FSTORE_READ_KEY": KEY, "FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
    with Path(setup.scratch).with_suffix(".server.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            wait_for(port, server)
            yield port
        finally:
            stop(server)


def _headers(peer: str) -> list[tuple[str, str]]:
    return [] if peer.startswith("feast") else [("Authorization", f"Bearer {KEY}")]


def _check(view: View, port: int, peer: str, asked: list[int]) -> str:
    """Say whether the server's values are right."""
    keys = asked[:CHECKED]
    (body,) = bodies([f"{view.name}:{name}" for name in view.features], view.key, keys, CHECKED)
    headers = {"Content-Type": "application/json", **dict(_headers(peer))}
    url = f"http://127.0.0.1:{port}{ROUTE}"
    with urllib.request.urlopen(
        urllib.request.Request(url, body, headers), timeout=30
    ) as answer:  # fmt: skip
        document = json.load(answer)
    names = document["metadata"]["feature_names"]
    columns = {
        name: column["values"] for name, column in zip(names, document["results"], strict=True)
    }
    return compare(view, keys, right_rows(view, keys), columns)
