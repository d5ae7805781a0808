"""What one read of ten window features goes to: each part by itself, over all keys in turn."""

from __future__ import annotations

import statistics
import timeit
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, Protocol

import click

from benchmarks.online_windows_data import ASKED, Source
from fstore.online.instants import micros
from fstore.online.reader import OnlineReader
from fstore.online.rows import EntityRows
from fstore.online.windows import WindowPlan

_AT_ONCE, _TURNS = 20, 500
_HOURS = (1, 24, 168, 720, 8760)
Part = Callable[[int], Any]  # of the read of a key


class Project(Protocol):
    """A published project that is open."""

    @property
    def store(self) -> Any: ...

    @property
    def clock(self) -> Any: ...


def parts(project: Project, source: Source) -> list[dict[str, Any]]:
    """Return the microseconds of each part, medians."""
    store, clock, view = project.store, project.clock, source.name
    assert source.functions == ASKED, "ten features"
    asked = [f"{view}:{name}" for name in source.features]
    response = store.get_online_features(asked, [{"k": 1}])
    reader = store._reader
    assert isinstance(reader, OnlineReader)
    generation = store._online.recent()
    plan = reader._known_plan(generation, tuple(asked), None, None)
    assert plan is not None
    events = generation.events(view)[0]
    find, codec, now = events.finder(), plan.joins[0].key, micros(clock())
    rows = [[{"k": key}] for key in range(source.keys)]
    entity_rows = [EntityRows.of(each) for each in rows]
    keys = [codec.encode_columns([[key]], 1)[0] for key in range(source.keys)]
    places = [find(key) for key in keys]

    def windows(*functions: str) -> Part:
        features = [name for name in source.features if name.split("_")[1] in functions]
        declared, columns = generation.views_with_layouts[view][0], generation.columns[view]
        read = WindowPlan(declared, columns, features).bound(events.block)
        return lambda key: read(places[key][0], places[key][1], now)

    measured: dict[str, Part] = {
        "the clock, as microseconds": lambda _: micros(clock()),
        "entity rows": lambda key: EntityRows.of(rows[key]),
        "whether anything was published or pushed": lambda _: store._online.recent(),
        "the prepared plan": lambda _: reader._known_plan(generation, asked, None, None),
        "the plan's answer": lambda key: plan.answer(entity_rows[key], None, now),
        "- of it, the key as bytes": lambda key: codec.encode_columns([[key]], 1),
        "- of it, where the key's events are": lambda key: find(keys[key]),
        "- of it, the ten windows": windows(*ASKED),
        "-- the searches: one, and one a window": _searches(events.block.events, places, now),
        "-- five avg alone, with the searches": windows("avg"),
        "-- five max alone, with the searches": windows("max"),
        "to_dict": lambda _: response.to_dict(),
        "all of it": lambda key: store.get_online_features(asked, rows[key]).to_dict(),
    }
    found = []
    for name, part in measured.items():
        found.append({"part": name, "microseconds": _each(part, source.keys)})
        click.echo(f"{name:<46} {found[-1]['microseconds']:6.2f} µs")
    return found


def _searches(events: Sequence[int], places: Sequence[tuple[int, int]], now: int) -> Part:
    starts = [now - hours * 3_600_000_000 for hours in _HOURS]

    def search(key: int) -> None:
        first, end = places[key]
        last = bisect_left(events, now, first, end)
        for start in starts:
            bisect_left(events, start, first, last)

    return search


def _each(part: Part, keys: int) -> float:
    order = cycle([number * 37 % keys for number in range(keys)])

    def run() -> None:
        for key in islice(order, _AT_ONCE):
            part(key)

    seconds = statistics.median(timeit.repeat(run, number=1, repeat=_TURNS))
    return seconds / _AT_ONCE * 1e6
