"""Where the time of one training set goes: ``python -m benchmarks.profile``, after a run.

Prints what ``profile.md`` tells: the processor time of each step of the query, from DuckDB's own
EXPLAIN ANALYZE; the seconds of each part of a call; and a table read cold and warm.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import duckdb
import pandas as pd

from benchmarks.project import WAREHOUSE
from fstore import FeatureStore
from fstore.offline.job import put_spine
from fstore.offline.warehouse import open_warehouse

HERE = Path(__file__).parent
CALLS = 7


@click.command(help=__doc__)
@click.option("--data", default=HERE / ".data/scale-1", type=click.Path(path_type=Path))
@click.option("--views", default="five_parquet", show_default=True, help="with commas between")
@click.option("--spine", default="large", show_default=True)
@click.option("--plan", help="of ours; the cheapest one where it is left out")
def main(data: Path, views: str, spine: str, plan: str | None) -> None:
    store = FeatureStore(data / "project")
    asked = pd.read_parquet(data / "raw" / f"spine-{spine}.parquet")
    features = views.split(",")
    job = store.get_historical_features(asked, features, plan=plan)
    taken = job.plans[features[0]].plan
    click.echo(f"{views}: {len(asked):,} spine rows, {taken}\n")

    spent: Counter[tuple[str, str]] = Counter()
    with open_warehouse(job.project) as connection:
        put_spine(connection, job.spine_sql, job.registered)
        for part in job.training_set.parts:
            analyze = f"EXPLAIN (ANALYZE, FORMAT json) {part.query}"
            told = json.loads(connection.execute(analyze).fetchall()[0][1])
            for phase in ("planner", "optimizer", "physical_planner"):
                spent["before the first row", phase] += told[phase]["total_time"]
            for operator in told["operator"]:
                _add(spent, operator, "the answer")
    click.echo(f"{sum(spent.values()) * 1000:6.0f} ms of one core in all")
    for (step, operator), seconds in spent.most_common(12):
        click.echo(f"{seconds * 1000:6.0f} {step}: {operator.lower()}")

    click.echo("\nseconds, median")
    for words, work in (
        ("get_historical_features", lambda: store.get_historical_features(asked, features)),
        (
            "the same, plan forced",
            lambda: store.get_historical_features(asked, features, plan=taken),
        ),
        ("to_df", job.to_df),
        ("to_arrow", job.to_arrow),
        ("the table five_sorted summed, opened anew", lambda: _sum(data, None)),
    ):
        click.echo(f"{_median(work):6.3f} {words}")
    with duckdb.connect(str(data / "project" / WAREHOUSE), read_only=True) as opened:
        click.echo(f"{_median(lambda: _sum(data, opened)):6.3f} the same, kept open")


def _add(spent: Counter[tuple[str, str]], operator: dict[str, Any], step: str) -> None:
    """Add an operator's time to its step: the CTE that it is part of."""
    spent[step, operator["type"]] += operator.get("timing", 0.0)
    below = operator.get("children", [])
    if operator["type"] == "CTE" and below:  # its own rows come first, then whoever reads them
        _add(spent, below[0], operator["extra_info"]["CTE Name"])
        below = below[1:]
    for each in below:
        _add(spent, each, step)


def _sum(data: Path, opened: duckdb.DuckDBPyConnection | None) -> None:
    if opened is None:
        with duckdb.connect(str(data / "project" / WAREHOUSE), read_only=True) as connection:
            _sum(data, connection)
        return
    columns = opened.execute("DESCRIBE five_sorted").fetchall()
    values = (f"epoch_us({it[0]})" if it[1] == "TIMESTAMP" else it[0] for it in columns)
    sums = ", ".join(f"sum({value})" for value in values)
    opened.execute(f"SELECT {sums} FROM five_sorted").fetchall()


def _median(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
