"""Pushes of events, a thousand rows and one fsync each; and reads right after and beside them."""

from __future__ import annotations

import cProfile
import gc
import json
import os
import pstats
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from benchmarks.latency import summary
from benchmarks.online_peers import stop
from benchmarks.online_windows_data import Source
from benchmarks.online_windows_reads import Opened, Options, Rows, opened, requests, say
from fstore import FeatureStore

BATCH = 1_000
MOST_BATCHES = 150  # of a variant: what is pushed stays in memory until the next materialize
TOLD = 14  # lines of the profile
CORRECTED = 100  # one row in so many is a new version of an event that is published
TYPES = {"k": pa.int64(), "t": pa.timestamp("us", "UTC"), "c": pa.timestamp("us", "UTC")}
SCHEMA = pa.schema([*TYPES.items(), ("id", pa.int64()), ("x", pa.float64())])
ROOT = Path(__file__).parents[1]


@dataclass
class Stream:
    """Rows to push to a source's view, and all that were made: what the truth has to know."""

    source: Source
    seed: int = 0
    keys: range | None = None  # None: all
    made: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawn = random.Random(self.seed)
        self._next = self.source.events + self.seed * 100_000_000

    def batch(self, at: datetime, rows: int = BATCH) -> list[dict[str, Any]]:
        """Return rows that arrive one a microsecond from ``at`` on."""
        drawn, source, found = self._drawn, self.source, []
        keys = self.keys or range(source.keys)
        for place in range(rows):
            arrival = at + timedelta(microseconds=place)
            event, key = self._next, keys[drawn.randrange(len(keys))]
            self._next += 1
            if not drawn.randrange(CORRECTED):
                event = drawn.randrange(source.per_key) * source.keys + key
            found.append(
                {
                    "k": key,
                    "t": arrival - timedelta(seconds=drawn.randrange(1, 3600)),
                    "c": arrival,
                    "id": event,
                    "x": drawn.uniform(-1000, 1000),
                }
            )
        self.made.append(pa.Table.from_pylist(found, SCHEMA))
        return found

    def all_rows(self) -> pa.Table:
        """Return what was made, its times as the source has them: naive, in UTC."""
        table = pa.concat_tables(self.made) if self.made else SCHEMA.empty_table()
        naive = pa.timestamp("us")
        for name in ("t", "c"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(naive))
        return table


def streams_of(options: Options) -> list[Source]:
    return [
        Source("few_keys", 100, options.count(1_000)),
        Source("many_keys", options.count(100_000), 10),
    ]


def measure_pushes(options: Options) -> dict[str, Any]:
    """Lists of dicts and Arrow tables, to few and to many keys, in turns."""
    project = opened(options, "pushes", streams_of(options))
    streams = {source.name: Stream(source) for source in streams_of(options)}
    forms: dict[str, Callable[[Any], Any]] = {
        "dicts": lambda rows: rows,
        "Arrow": lambda rows: pa.Table.from_pylist(rows, SCHEMA),
    }
    times: dict[tuple[str, str], list[int]] = {(v, f): [] for v in streams for f in forms}
    collected = dict.fromkeys(times, 0)
    for turn in range(-1, options.rounds):
        for (view, form), taken in times.items():
            batches = []
            for _ in range(
                max(1, min(MOST_BATCHES, options.count(MOST_BATCHES)) // options.rounds)
            ):
                batches.append(forms[form](streams[view].batch(project.clock.now)))
                project.clock.go_on(milliseconds=1)
            with _Collector() as collector:
                found = _timed(project.store, view, batches)
            if turn >= 0:
                taken += found
                collected[view, form] += collector.nanoseconds
    values = {
        name: project.check(stream.source, stream.all_rows()) for name, stream in streams.items()
    }
    click.echo(f"values       after pushes: {values}")
    pushes = []
    for (view, form), taken in times.items():
        facts = {"view": view, "keys": streams[view].source.keys, "form": form, "batch": BATCH}
        found_ = summary(taken)
        rate, mean = BATCH * 1e6 / found_["p50"], BATCH * 1e6 / found_["mean"]
        facts |= {"rows_a_second": rate, "mean_rows_a_second": mean}
        facts["collector_share"] = collected[view, form] / sum(taken)
        pushes.append(facts | found_)
        click.echo(f"push         {view:<10} {form:<6} {rate:9.0f} rows/s at p50, {mean:9.0f} all")
    log = next((options.data / "pushes").rglob("pushes.*.log"))
    size = log.stat().st_size / sum(len(each.made) for each in streams.values())
    disk = _fsyncs(log.parent, round(size))
    profile = _profiled(project, streams["few_keys"])
    project.store.close()
    return {
        "values": values,
        "pushes": pushes,
        "batch_bytes": size,
        "fsync": disk,
        "push_profile": profile,
    }


class _Collector:
    """How long Python's garbage collector worked beside the block, in nanoseconds."""

    def __init__(self) -> None:
        self.nanoseconds = self._begun = 0

    def _tell(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter_ns()
        if phase == "start":
            self._begun = now
        else:
            self.nanoseconds += now - self._begun

    def __enter__(self) -> _Collector:
        gc.callbacks.append(self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._tell)


def _timed(store: FeatureStore, view: str, batches: list[Any]) -> list[int]:
    times = []
    for batch in batches:
        begun = time.perf_counter_ns()
        store.push(view, batch)
        times.append(time.perf_counter_ns() - begun)
    return times


def _fsyncs(folder: Path, size: int) -> dict[str, float]:
    """What the disk takes for a batch's bytes: a write at the end and one fsync."""
    path, times = folder / "probe", []
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            begun = time.perf_counter_ns()
            file.write(bytes(size))
            os.fsync(file.fileno())
            times.append(time.perf_counter_ns() - begun)
    path.unlink()
    return summary(times)


def _profiled(project: Opened, stream: Stream) -> list[dict[str, Any]]:
    """Where pushes of lists of dicts spend their time, by cProfile, which makes calls dearer."""
    batches = []
    for _ in range(20):
        batches.append(stream.batch(project.clock.now))
        project.clock.go_on(milliseconds=1)
    profile = cProfile.Profile()
    profile.runcall(_timed, project.store, stream.source.name, batches)
    stats: Any = pstats.Stats(profile)
    total = stats.total_tt
    lines = sorted(stats.stats.items(), key=lambda each: -each[1][2])[:TOLD]
    return [
        {
            "function": _function_name(*place),
            "calls": calls / len(batches),
            "share": own / total,
            "share_with_calls": cumulated / total,
        }
        for place, (_, calls, own, cumulated, _) in lines
    ]


def _function_name(path: str, line: int, name: str) -> str:
    name = name.partition(" at 0x")[0]
    return name.strip("<>") if path == "~" or not line else f"{Path(path).stem}.{name}"


def measure_after(options: Options) -> dict[str, Any]:
    """Reads of a key right after a push to it, and of others while another process pushes."""
    source = Source("pushed", options.count(100), 10_000)
    project = opened(options, "after", [source])
    stream, read = Stream(source), project.call("pushed", source.features)
    times: dict[str, list[int]] = {"before": [], "after": [], "again": []}
    now = time.perf_counter_ns
    for number in range(max(20, min(500, options.count(500)))):
        rows = [{"k": number * 37 % source.keys}]
        stream.keys = range(rows[0]["k"], rows[0]["k"] + 1)
        batch = stream.batch(project.clock.now, 1)
        project.clock.go_on(milliseconds=1)
        for kind in times:
            if kind == "after":
                project.store.push("pushed", batch)
            begun = now()
            read(rows)
            times[kind].append(now() - begun)
            project.clock.go_on(milliseconds=1)
    values = project.check(source, stream.all_rows())
    project.store.close()
    found = {kind: summary(each) for kind, each in times.items()}
    for kind, each in found.items():
        say(f"{kind} a push to the key, {values}", each)
    return {"values": values, **found, "others": _beside(options, source)}


def _beside(options: Options, source: Source) -> dict[str, Any]:
    """Reads of one half of the keys, quiet and while another process pushes to the other half."""
    project = opened(options, "beside", [source])
    project.store.close()
    folder, half = options.data / "beside", source.keys // 2
    with FeatureStore(folder) as store:
        asked = [f"{source.name}:{name}" for name in source.features]
        drawn = requests(half, 1)

        def turn() -> list[int]:
            return _reads(store, asked, drawn, options)

        turn()
        quiet = [each for _ in range(options.rounds) for each in turn()]
        with pushing(folder, source, half) as pushed:
            beside = [each for _ in range(options.rounds) for each in turn()]
        found: dict[str, Any] = {"quiet": summary(quiet), "beside": summary(beside)}
        found |= {
            "rows_pushed": pushed["rows"],
            "rows_a_second": pushed["rows"] / pushed["seconds"],
        }
    for kind in ("quiet", "beside"):
        say(f"other keys, {kind}", found[kind])
    return found


def _reads(
    store: FeatureStore, asked: list[str], rows: Iterator[Rows], options: Options
) -> list[int]:
    times, now = [], time.perf_counter_ns
    last = now() + round(options.seconds * 1e9)
    while now() < last:
        each = next(rows)
        begun = now()
        store.get_online_features(asked, each).to_dict()
        times.append(now() - begun)
    return times


@contextmanager
def pushing(folder: Path, source: Source, first: int) -> Iterator[dict[str, Any]]:
    """Push from another process beside the block; afterwards, the rows and the seconds are told."""
    words = {"project": str(folder), "view": source.name, "first": first, "keys": source.keys}
    process = subprocess.Popen(  # noqa: S603 - the words are ours
        [sys.executable, "-m", "benchmarks.peers.online_windows", json.dumps(words)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, Any] = {}
    try:
        assert process.stdout and process.stdin
        process.stdout.readline()  # the first batch is in
        yield told
        process.stdin.close()
        told |= json.loads(process.stdout.readline())
        process.wait()
    finally:
        if process.poll() is None:
            process.stdin = None
            stop(process)
