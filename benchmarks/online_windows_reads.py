"""Reads of window features in process: beside plain ones, a function at a time, on each store."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import click

from benchmarks.latency import summary
from benchmarks.online_windows_data import (
    FUNCTIONS,
    LONGEST,
    PLAIN,
    Clock,
    Source,
    Truth,
    differences,
    feature_name,
    make,
    sources,
)
from benchmarks.online_windows_profile import parts
from fstore import FeatureStore
from tests import servers

KEYS = (1, 100)  # of a read
READY = 2_000  # entity rows made before the clock starts: calls take turns with them
CHECKED = 200  # keys whose answers are compared
SERVER_URL = "FSTORE_BENCH_URL"  # the environment variable that our fstore.yml names
Rows = list[dict[str, int]]
Call = Callable[[Rows], Any]


@dataclass(frozen=True)
class Options:
    """How to measure."""

    scale: float
    rounds: int
    seconds: float
    connections: int
    data: Path
    as_of: datetime

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    def count(self, full: float) -> int:
        """Return a count at this scale."""
        return max(10, round(full * self.scale))


@dataclass(frozen=True)
class Opened:
    """A project that is published, with the clock of its store."""

    store: FeatureStore
    clock: Clock
    options: Options

    def call(self, view: str, features: Sequence[str]) -> Call:
        """Return the call that is measured."""
        get, asked = self.store.get_online_features, [f"{view}:{name}" for name in features]
        return lambda rows: get(asked, rows).to_dict()

    def check(self, source: Source, pushed: Any = None) -> str:
        """Compare what is read with the truth, some minutes after K."""
        keys = sample(source.keys, min(CHECKED, source.keys))
        truth = Truth(source.path(self.options.raw), self.options.as_of, pushed)
        found = self.call(source.name, source.features)([{"k": key} for key in keys])
        return differences(found, truth.rows(source.functions, keys, self.clock.now))


def opened(options: Options, name: str, given: list[Source], **more: Any) -> Opened:
    """Make a project over the sources, and publish it."""
    folder = make(options.data / name, options.raw, given, options.as_of, **more)
    clock = Clock(options.as_of)
    store = FeatureStore(folder, clock=clock)
    store.materialize()
    clock.go_on(minutes=7)
    return Opened(store, clock, options)


def sample(keys: int, count: int) -> list[int]:
    return random.Random(keys).sample(range(keys), count)


def requests(keys: int, count: int) -> Iterator[Rows]:
    """Yield entity rows of random keys for ever, never the same twice in a row."""
    drawn = random.Random(count)
    ready: list[Rows] = []
    while len(ready) < max(50, READY // count):
        asked = (
            drawn.sample(range(keys), count)
            if count <= keys
            else drawn.choices(range(keys), k=count)
        )
        rows = [{"k": key} for key in asked]
        if not ready or rows != ready[-1]:
            ready.append(rows)
    return cycle(ready if ready[0] != ready[-1] else ready[:-1])


def in_turns(
    calls: Mapping[str, Call],
    asked: Iterator[Rows],
    clock: Clock,
    options: Options,
    between: Callable[[], object] = int,
) -> dict[str, dict[str, float]]:
    """Let each call have its turns; return what its times come to. Time passes between calls."""
    times: dict[str, list[int]] = {name: [] for name in calls}
    now = time.perf_counter_ns
    for turn in range(-1, options.rounds):
        for name, call in calls.items():
            taken: list[int] = []
            last = now() + round(options.seconds * 1e9)
            while not taken or now() < last:
                rows = next(asked)
                clock.go_on(milliseconds=1)
                between()
                begun = now()
                call(rows)
                taken.append(now() - begun)
            if turn >= 0:  # one turn warms up
                times[name] += taken
    return {name: summary(each) for name, each in times.items()}


def measure_reads(options: Options) -> dict[str, Any]:
    """Ten windows beside ten columns; each function alone; the parts of a read."""
    given = sources(options.scale)
    every = sources(options.scale, FUNCTIONS, "functions")
    plain = [source.plain() for source in given]
    project = opened(options, "reads", [*given, *every], more=plain)
    values = {source.name: project.check(source) for source in (*given, *every)}
    click.echo(f"values       {values}")
    reads = []
    for source in given:
        calls = {
            "windows": project.call(source.name, source.features),
            "plain": project.call(f"plain_{source.name}", PLAIN),
        }
        for count in KEYS:
            found = in_turns(calls, requests(source.keys, count), project.clock, options)
            for kind, times in found.items():
                reads.append({"kind": kind, "per_key": source.per_key, "keys": count} | times)
                say(f"{kind}, {source.per_key} events, {count} keys", times)
    alone = [each for source in every for each in _functions(project, source)]
    profile = parts(project, given[-1])
    project.store.close()
    return {"values": values, "reads": reads, "functions": alone, "profile": profile}


def _functions(project: Opened, source: Source) -> Iterator[dict[str, Any]]:
    """Each function by itself, of the longest window."""
    calls = {each: project.call(source.name, [feature_name(each, LONGEST)]) for each in FUNCTIONS}
    found = in_turns(calls, requests(source.keys, 1), project.clock, project.options)
    for function, times in found.items():
        say(f"{function}, {source.per_key} events", times)
        yield {"function": function, "per_key": source.per_key} | times


def measure_stores(options: Options) -> list[dict[str, Any]]:
    """The same ten features where Redis or PostgreSQL hold the events, on this host."""
    measured = []
    chosen = [source for source in sources(options.scale) if source.per_key != 1_000]
    for kind, start in servers.SERVERS.items():
        server = start()
        try:
            server.start()
            os.environ[SERVER_URL] = server.url
            settings = {"online_store": {"type": kind, "url": {"env": SERVER_URL}}}
            project = opened(options, f"stores-{kind}", chosen, settings=settings)
            for source in chosen:
                values = project.check(source)
                calls = {kind: project.call(source.name, source.features)}
                for count in KEYS:
                    asked = requests(source.keys, count)
                    times = in_turns(calls, asked, project.clock, options)[kind]
                    facts = {"store": kind, "per_key": source.per_key, "keys": count}
                    measured.append(facts | {"values": values} | times)
                    say(f"{kind}, {source.per_key} events, {count} keys, {values}", times)
            project.store.close()
        finally:
            server.stop()
    return measured


def say(what: str, times: Mapping[str, float]) -> None:
    shown = " ".join(f"{kind} {times[kind]:>9.1f}" for kind in ("p50", "p99", "p999"))
    click.echo(f"read, µs     {what:<44} {shown}  {times['calls']} calls")
