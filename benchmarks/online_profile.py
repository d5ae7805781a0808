"""Prints what the time of one read goes to: ``python -m benchmarks.online_profile PROJECT VIEW``.

PROJECT is a published one, such as the project that benchmarks.online leaves in its data folder.
The parts join the results of benchmarks.online, for its page.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fstore import FeatureStore
from fstore.online.reader import OnlineReader
from fstore.online.rows import EntityRows

RESULTS = Path(__file__).parent / "results/online.json"
_CALLS, _TURNS = 20_000, 5


@click.command(help=__doc__)
@click.argument("project", type=click.Path(path_type=Path))
@click.argument("view")
@click.argument("key", type=int, default=5)
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path, exists=True))
def main(project: Path, view: str, key: int, results: Path) -> None:
    store = FeatureStore(project)
    (join_key,) = store.registry.views_by_reference[view].join_keys
    asked, rows = [f"{view}:*"], [{join_key: key}]
    response = store.get_online_features(asked, rows)
    reader = store._reader
    assert isinstance(reader, OnlineReader)
    generation = store._online.recent()
    plan = reader._known_plan(generation, asked, None, None)
    assert plan is not None
    entity_rows, now = EntityRows.of(rows), store._instant()
    keys = plan.joins[0].key.encode_columns([[key]], 1)
    parts: dict[str, Callable[[], Any]] = {
        "the clock, as microseconds": store._instant,
        "entity rows": lambda: EntityRows.of(rows),
        "whether anything changed": store._online.recent,
        "the prepared plan": lambda: reader._known_plan(generation, asked, None, None),
        "keys and lookup": lambda: plan.answer(entity_rows, None, now),
        "of these, the index": lambda: plan.read.rows([(keys, now)]),
        "to_dict": response.to_dict,
        "all of it": lambda: store.get_online_features(asked, rows).to_dict(),
    }
    took = {}
    for name, part in parts.items():
        seconds = sorted(timeit.repeat(part, number=_CALLS, repeat=_TURNS))[_TURNS // 2]
        took[name] = seconds / _CALLS * 1e6
        click.echo(f"{name:<28} {took[name]:6.2f} µs")
    measured = json.loads(results.read_text(encoding="utf-8"))
    results.write_text(json.dumps(measured | {"profile": took}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
