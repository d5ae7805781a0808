"""The parts of the online benchmark: what peers are asked, and what their answers come to."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import yaml

from benchmarks.latency import summary
from benchmarks.online_peers import (
    DATABASES,
    REDIS_URL,
    ROOT,
    PeerFailedError,
    PeerProcess,
    flush,
)
from benchmarks.online_protocol import Setup
from benchmarks.online_shapes import KEYS, OnlineTable
from benchmarks.online_truth import compare, right_rows

CHECKED = 2_000  # keys whose values are compared
MOST_CALLS = 20_000  # of one turn
STATE = ".fstore"  # in the project's folder


@dataclass(frozen=True)
class Options:
    """How to measure."""

    scale: float
    repetitions: int
    rounds: int
    seconds: float
    connections: int
    feast_python: str
    data: Path

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    def setup(self, peer: str, tables: tuple[OnlineTable, ...], address: str) -> Setup:
        """Return what a peer is started with."""
        return Setup(
            views=tuple(table.view(self.raw) for table in tables),
            asked={table.name: table.asked(self.raw) for table in tables},
            project=str(self.project(peer)),
            scratch=str(self.data / peer),
            variant=peer.partition("-")[2],
            redis=address,
        )

    def project(self, peer: str) -> Path:
        """Return a peer's dbt project: a copy of the one that dbt built, with a fstore.yml."""
        return self.data / ("project-redis" if peer == "fstore-redis" else "project")

    def python(self, peer: str) -> str:
        return self.feast_python if peer.startswith("feast") else sys.executable


def make_redis_project(options: Options) -> None:
    """Copy the dbt project, and let the copy keep its online store in Redis."""
    folder = options.project("fstore-redis")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(options.project("fstore"), folder, ignore=shutil.ignore_patterns(STATE))
    settings = {"online_store": {"type": "redis", "url": {"env": REDIS_URL}}}
    (folder / "fstore.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def measure_materialize(
    setups: Mapping[str, Setup], options: Options, tables: Mapping[str, OnlineTable]
) -> list[dict[str, Any]]:
    """Publish the 10 features, each time into an empty store and in a process of its own."""
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for repetition in range(options.repetitions):
        for peer, setup in setups.items():
            shutil.rmtree(setup.scratch, ignore_errors=True)
            if peer.startswith("fstore"):
                shutil.rmtree(Path(setup.project, STATE), ignore_errors=True)
            if setup.variant == "redis":
                flush(setup.redis, DATABASES[peer])
            with PeerProcess(peer, options.python(peer), setup) as process:
                measured[peer].append(process.ask("materialize", view=tables["ten"].name))
                if repetition == options.repetitions - 1:  # what the reads need is not timed
                    process.ask("materialize", view=tables["hundred"].name)
            click.echo(f"materialize  {peer:<14} {measured[peer][-1]['seconds']:8.2f} s")
    table = tables["ten"].table
    facts = {"rows": table.rows, "entities": table.keys, "features": table.feature_count}
    return [
        facts
        | {
            "peer": peer,
            "seconds": [each["seconds"] for each in runs],
            "peak_bytes": max(each["peak_bytes"] for each in runs),
        }
        for peer, runs in measured.items()
    ]


def check(
    peers: Mapping[str, PeerProcess], tables: Mapping[str, OnlineTable], options: Options
) -> dict[str, str]:
    """Say of each peer whether it has the values that the source rows say."""
    told: dict[str, str] = {}
    for table in tables.values():
        view = table.view(options.raw)
        query = f"SELECT {view.key} FROM '{table.asked(options.raw)}' LIMIT {CHECKED}"
        with duckdb.connect() as connection:
            keys = [key for (key,) in connection.execute(query).fetchall()]
        right = right_rows(view, keys)
        for peer, process in peers.items():
            found = compare(view, keys, right, process.ask("values", view=view.name, keys=keys))
            if told.get(peer, "right") == "right":
                told[peer] = found
    for peer, words in told.items():
        click.echo(f"values       {peer:<14} {words}")
    return told


def measure_reads(
    peers: Mapping[str, PeerProcess], tables: Mapping[str, OnlineTable], options: Options
) -> list[dict[str, Any]]:
    """Read with every peer in turns: 1 to 500 keys, 10 and 100 features."""
    measured = []
    for table in tables.values():
        for keys in KEYS:
            times = take_turns(peers, table, keys, options)
            for peer, each in times.items():
                measured.append(
                    {"peer": peer, "keys": keys, "features": table.table.feature_count}
                    | summary(each)
                )
                _say(measured[-1])
    return measured


def take_turns(
    peers: Mapping[str, PeerProcess], table: OnlineTable, keys: int, options: Options
) -> dict[str, list[int]]:
    """Return each peer's times in nanoseconds."""
    times: dict[str, list[int]] = {peer: [] for peer in peers}
    words = {"view": table.name, "keys": keys, "seconds": options.seconds, "most": MOST_CALLS}
    for _ in range(options.rounds):
        for peer, process in peers.items():
            times[peer] += process.ask("read", **words)["nanoseconds"]
    return times


def measure_during(
    reader: PeerProcess, setup: Setup, table: OnlineTable, options: Options
) -> list[dict[str, Any]]:
    """Read with fstore, quiet and while ``fstore materialize`` publishes the view in a loop."""
    measured = []
    for keys in KEYS:
        quiet = take_turns({"fstore": reader}, table, keys, options)["fstore"]
        with materializing(setup, table, options) as published:
            times = take_turns({"fstore": reader}, table, keys, options)["fstore"]
            done = published()
        measured.append(
            {"peer": "fstore", "keys": keys, "features": table.table.feature_count}
            | {"published": done, "quiet": summary(quiet)}
            | summary(times)
        )
        _say(measured[-1])
    return measured


@contextmanager
def materializing(
    setup: Setup, table: OnlineTable, options: Options
) -> Iterator[Callable[[], int]]:
    """Materialize again and again beside the block; yields what tells how often that was done.

    By the command, each time a process: it gives way to who reads, as a library must not.
    """
    done, over = [0], threading.Event()
    command = [options.python("fstore"), "-m", "fstore", "materialize", table.name]
    command += ["--project-dir", setup.project]

    def publish() -> None:
        ran = subprocess.run(  # noqa: S603 - the words are ours
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise PeerFailedError(f"fstore materialize: {ran.stderr.strip()}")

    def work() -> None:
        while not over.is_set():
            publish()
            done[0] += 1

    publish()
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(work)
        try:
            yield lambda: done[0]
        finally:
            over.set()
        working.result()


def measure_image(setup: Setup, table: OnlineTable, options: Options) -> dict[str, Any]:
    """Publish a million entities: the bytes on disk, and the memory of a process that reads all."""
    keys = table.table.keys
    with PeerProcess("fstore", options.python("fstore"), setup) as writer:
        published = writer.ask("materialize", view=table.name)
    with PeerProcess("fstore", options.python("fstore"), setup) as reader:
        grown = reader.ask("read_all", view=table.name, keys=keys)
    with duckdb.connect() as connection:
        source = table.view(options.raw)
        counted = connection.execute(f"SELECT count(DISTINCT {source.key}) FROM '{source.parquet}'")
        ((entities,),) = counted.fetchall()
    files = {
        kind: max(path.stat().st_size for path in Path(setup.project, STATE).rglob(pattern))
        for kind, pattern in (
            ("index_bytes", f"{table.name}.*.index"),
            ("table_bytes", f"{table.name}.*.duckdb"),
        )
    }
    found = {"entities": entities, "features": table.table.feature_count, **files, **grown}
    click.echo(f"image        {found}")
    return found | {"seconds": published["seconds"], "peak_bytes": published["peak_bytes"]}


def _say(found: Mapping[str, Any]) -> None:
    name = f"{found['peer']:<14} {found['keys']:>4} x {found['features']:<4}"
    times = " ".join(f"{kind} {found[kind]:>9.1f}" for kind in ("p50", "p99", "p999"))
    click.echo(f"read, µs     {name} {times}  {found['calls']} calls")
