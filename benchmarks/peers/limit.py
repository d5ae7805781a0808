"""The limit: the sum of every column that is needed, from the same storage, by DuckDB.

Nobody can join what they have not read. The connection is open before, as no user has it.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.project import WAREHOUSE
from benchmarks.protocol import Ask, Job, View, serve


def prepare(job: Job) -> Ask:
    """Open the warehouse, or nothing where the rows are in Parquet."""
    warehouse = Path(job.project, WAREHOUSE)
    in_files = all(view.parquet is not None for view in job.views)
    connection = duckdb.connect() if in_files else duckdb.connect(warehouse, read_only=True)
    statements = [_sums(view) for view in job.views]

    def ask() -> None:
        for statement in statements:
            connection.execute(statement).fetchall()

    return ask


def _sums(view: View) -> str:
    columns = [view.key, "epoch_us(event_timestamp)", *view.features]
    source = view.relation if view.parquet is None else f"read_parquet('{view.parquet}')"
    return f"SELECT {', '.join(f'sum({column})' for column in columns)} FROM {source}"


if __name__ == "__main__":
    serve(prepare)
