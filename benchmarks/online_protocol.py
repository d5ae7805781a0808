"""What the runner and a peer of the online benchmark say to each other: a line of JSON each way.

A peer is a process that stays: it opens its store once and answers one command after the other, so
that peers take turns on the same machine in the same seconds. Imported in every peer's
environment: nothing beyond pandas and pyarrow is needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from benchmarks.protocol import View, peak_memory, versions

ROWS_READY = 40_000  # entity rows made before the clock starts: calls take turns with them
ALL_AT_ONCE = 1_000  # keys of a call where everything is read once

EntityRows = list[dict[str, int]]
Read = Callable[[EntityRows], Mapping[str, Sequence[Any]]]


@dataclass(frozen=True)
class Setup:
    """Where a peer finds its data. ``asked`` has the keys to read, by view: a Parquet file."""

    views: tuple[View, ...]
    asked: dict[str, str]
    project: str  # the dbt project's folder
    scratch: str  # a folder for what the peer writes
    variant: str = ""  # of a peer that has several
    redis: str = ""  # host:port

    def to_json(self) -> str:
        """Write the setup as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """Read what :meth:`to_json` wrote."""
        fields = json.loads(text)
        views = tuple(
            View(**each | {"features": tuple(each["features"])}) for each in fields.pop("views")
        )
        return cls(views=views, **fields)


class Peer(Protocol):
    """A store that is open."""

    def materialize(self, view: View) -> None:
        """Publish the latest row of every key."""

    def reader(self, view: View) -> Read:
        """Return the call that reads all features of entity rows, to lists by column."""


def serve(make: Callable[[Setup], Peer]) -> None:
    """Be the peer's process: the setup is the first argument, commands come line by line."""
    setup = Setup.from_json(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    server = _Server(setup, make(setup))
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(server, command.pop("do"))(**command)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Server:
    """A method a command; views are named."""

    def __init__(self, setup: Setup, peer: Peer) -> None:
        self._setup, self._peer = setup, peer
        self._views = {view.name: view for view in setup.views}
        self._readers: dict[str, Read] = {}
        self._ready: dict[tuple[str, int], Any] = {}

    def versions(self) -> dict[str, str]:
        return versions()

    def materialize(self, view: str) -> dict[str, Any]:
        """Publish a view: seconds, and the most memory that this process ever had."""
        begun = time.perf_counter()
        self._peer.materialize(self._views[view])
        return {"seconds": time.perf_counter() - begun, "peak_bytes": peak_memory()}

    def values(self, view: str, keys: list[int]) -> dict[str, list[Any]]:
        """Read these keys, to be compared."""
        rows = [{self._views[view].key: key} for key in keys]
        found = self._reader(view)(rows)
        return {name: list(found[name]) for name in self._views[view].features}

    def read(self, view: str, keys: int, seconds: float, most: int) -> dict[str, list[int]]:
        """Read for so many seconds, at most so many times; each call's time in nanoseconds."""
        read, ready = self._reader(view), self._rows(view, keys)
        clock = time.perf_counter_ns
        read(next(ready))
        times = []
        last = clock() + round(seconds * 1e9)
        for rows in islice(ready, most):
            begun = clock()
            read(rows)
            ended = clock()
            times.append(ended - begun)
            if ended > last:
                break
        return {"nanoseconds": times}

    def read_all(self, view: str, keys: int) -> dict[str, int]:
        """Read every key below ``keys`` once: memory before and after."""
        read, name = self._reader(view), self._views[view].key
        read([{name: 0}])
        before = _resident()
        for first in range(0, keys, ALL_AT_ONCE):
            read([{name: key} for key in range(first, min(keys, first + ALL_AT_ONCE))])
        after = _resident()
        return {f"{kind}_bytes": after[kind] - before[kind] for kind in after}

    def _reader(self, view: str) -> Read:
        if view not in self._readers:
            self._readers[view] = self._peer.reader(self._views[view])
        return self._readers[view]

    def _rows(self, view: str, keys: int) -> Any:
        if (view, keys) not in self._ready:
            name = self._views[view].key
            column = pq.read_table(self._setup.asked[view], columns=[name])[name].to_pylist()
            calls = max(1, min(len(column), ROWS_READY) // keys)
            rows = [
                [{name: key} for key in column[call * keys : (call + 1) * keys]]
                for call in range(calls)
            ]
            self._ready[view, keys] = cycle(rows)
        return self._ready[view, keys]


def _resident() -> dict[str, int]:
    """Return this process's resident memory: its own, and that which files back."""
    names = {"RssAnon:": "own", "RssFile:": "file"}
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = [line.split() for line in lines]
    return {names[each[0]]: int(each[1]) * 1024 for each in fields if each and each[0] in names}
