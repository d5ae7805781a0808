"""Prints how long keys take one by one and by column: ``python -m benchmarks.online_columns``.

Its arguments are PROJECT VIEW KEYS: a published project, such as the one that benchmarks.online
leaves in its data folder, a view of one whole-number key, and how many keys it has, from 0 on. The
two take turns over the same keys: first such of which one in a hundred is unknown, then unknown
ones alone. What is measured ends with the columns of the features: no entity rows, no to_dict.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import click

from fstore import FeatureStore
from fstore.online.duckdb_generation import FileGeneration
from fstore.online.instants import micros

SIZES = (10, 20, 32, 50, 100, 500)
_DRAWN = 20_000  # keys, in requests of a size
_TURNS, _SECONDS = 10, 0.1


@click.command(help=__doc__)
@click.argument("project", type=click.Path(path_type=Path))
@click.argument("view")
@click.argument("keys", type=int)
def main(project: Path, view: str, keys: int) -> None:
    store = FeatureStore(project)
    generation = store._online.generation()
    assert isinstance(generation, FileGeneration), "in DuckDB files"
    declared, layout = generation.views_with_layouts[view]
    features = declared.column_features(generation.columns[view])
    lookup = generation.lookup(declared, features)
    now, draw = micros(store._clock()), random.Random(keys)

    def one_by_one(asked: Any) -> Any:
        return [*zip(*[lookup.row(key, now) for key in asked], strict=True)]

    def by_column(asked: Any) -> Any:
        return lookup.columns(asked, now)

    click.echo(f"{len(features)} features of {keys:,} keys, microseconds (p50)")
    for what, first, last in (("keys", 0, round(keys * 1.01)), ("unknown keys", keys, 2 * keys)):
        for size in SIZES:
            numbers = [draw.randrange(first, last) for _ in range(_DRAWN)]
            encoded = layout.key.encode_columns([numbers], len(numbers))
            requests = [encoded[at : at + size] for at in range(0, _DRAWN - size + 1, size)]
            times: dict[str, list[int]] = {"one by one": [], "by column": []}
            for _ in range(_TURNS):
                times["one by one"] += _times(one_by_one, requests)
                times["by column"] += _times(by_column, requests)
            told = [f"{name} {statistics.median(each) / 1e3:7.1f}" for name, each in times.items()]
            click.echo(f"{size:>4} {what}: {', '.join(told)}")


def _times(read: Callable[[Any], Any], requests: list[Any]) -> list[int]:
    """Return the nanoseconds of each call, for a moment of calls."""
    clock = time.perf_counter_ns
    last = clock() + round(_SECONDS * 1e9)
    times: list[int] = []
    for asked in cycle(requests):
        begun = clock()
        read(asked)
        ended = clock()
        times.append(ended - begun)
        if ended > last:
            break
    return times


if __name__ == "__main__":
    main()
