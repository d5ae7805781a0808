"""Prints what the server's work on one request goes to, with so many requests at a time.

    python -m benchmarks.online_http_profile PROJECT VIEW

PROJECT is a published one, such as the project that benchmarks.online leaves in its data folder.
The server's own steps are taken in this process, without sockets: what the kernel and the event
loop take comes on top. The table joins the results of benchmarks.online, for its page.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from itertools import cycle
from pathlib import Path
from typing import Any

import click

from benchmarks.load import bodies, request
from fstore import FeatureStore
from fstore.project.serving import Limits
from fstore.server.access import Access
from fstore.server.app import App, _Asked
from fstore.server.http import Connection
from fstore.server.hub import Hub

RESULTS = Path(__file__).parent / "results/online.json"
TOGETHER = (1, 4, 16)
ROUTE, KEY = "/get-online-features", "a-key-for-the-benchmark"
HEADERS = [("Authorization", f"Bearer {KEY}")]
_REQUESTS, _SECONDS = 2_000, 4.0


class _Wire(asyncio.Transport):
    """Takes what is sent, and sends nothing."""

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def profile(app: App, requests: list[bytes], together: int) -> dict[str, float]:
    """Return the microseconds of each step for a request: medians over turns of so many."""
    hub = Hub(app, app.refuse, Limits().body, Limits().seconds)
    connections = [Connection(hub) for _ in range(together)]
    for connection in connections:
        connection.connection_made(_Wire())
    hub.answer_soon = lambda _: None  # type: ignore[method-assign] - done here
    following, asked, found = cycle(requests), list[_Asked](), list[Any]()
    steps: dict[str, Callable[[], object]] = {
        "HTTP is read": lambda: [each.data_received(next(following)) for each in connections],
        "key, route, JSON is read": lambda: [app._begin(each) for each in asked],
        "the store is read": lambda: [app._read(each) for each in asked],
        "the answer as JSON": lambda: [app._say(each) for each in asked if each.found is None],
        "notes for log and counts": lambda: found.extend(app._end(each) for each in asked),
        "HTTP is written": lambda: [
            connection.answer(reply) for connection, reply in zip(connections, found, strict=True)
        ],
        "log and counts are written": app.journal.write,
    }
    taken: dict[str, list[int]] = {name: [] for name in steps}
    clock = time.perf_counter_ns
    last = clock() + round(_SECONDS * 1e9)
    while clock() < last:
        asked.clear()
        found.clear()
        for name, step in steps.items():
            begun = clock()
            step()
            taken[name].append(clock() - begun)
            if not asked:
                asked += [_Asked(each.take(), 0.0) for each in connections]  # type: ignore[arg-type]
    times = {name: statistics.median(each) / together / 1e3 for name, each in taken.items()}
    return times | {"all of it": sum(times.values())}


def _requests(view: str, key: str, features: list[str], rows: int) -> Iterator[bytes]:
    drawn = random.Random(rows)
    asked = [drawn.randrange(10_000) for _ in range(_REQUESTS * rows)]
    for body in bodies([f"{view}:{name}" for name in features], key, asked, rows, _REQUESTS):
        yield request("127.0.0.1", 1, ROUTE, body, HEADERS)


async def _profiles(project: Path, view: str, rows: int) -> dict[str, dict[str, float]]:
    store = FeatureStore(project)
    declared = store.registry.views_by_reference[view]
    found = store.get_online_features([f"{view}:*"], [{declared.join_keys[0]: 0}]).features
    access = Access((("benchmark", KEY.encode(), frozenset({"read"})),))
    app = App(store, access, Limits(), reads_block=False)
    requests = [*_requests(view, declared.join_keys[0], [*found], rows)]
    return {str(count): profile(app, requests, count) for count in TOGETHER}


@click.command(help=__doc__)
@click.argument("project", type=click.Path(path_type=Path))
@click.argument("view")
@click.option("--rows", default=1, show_default=True, help="keys of a request")
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path, exists=True))
def main(project: Path, view: str, rows: int, results: Path) -> None:
    with Path(os.devnull).open("w") as nothing, redirect_stderr(nothing):
        profiles = asyncio.run(_profiles(project, view, rows))
    click.echo(f"{'requests at a time':<28}" + "".join(f"{count:>9}" for count in TOGETHER))
    for name in next(iter(profiles.values())):
        times = (profiles[str(count)][name] for count in TOGETHER)
        click.echo(f"{name:<28}" + "".join(f"{each:>9.2f}" for each in times) + " µs")
    measured = json.loads(results.read_text(encoding="utf-8"))
    measured.setdefault("http_profile", {})[str(rows)] = profiles
    results.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
