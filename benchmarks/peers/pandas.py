"""pandas: ``merge_asof`` by key, with a tolerance; of a small spine the keys are filtered first."""

from __future__ import annotations

import pandas as pd

from benchmarks.protocol import Ask, Job, View, serve

SMALL = 10_000  # up to this many keys, filtering by them first pays


def prepare(job: Job) -> Ask:
    """Read the spine."""
    spine = pd.read_parquet(job.spine)

    def ask() -> pd.DataFrame:
        rows = spine.sort_values("event_timestamp")
        for view in job.views:
            rows = pd.merge_asof(
                rows,
                _read(view, rows[view.key]).sort_values("event_timestamp"),
                on="event_timestamp",
                by=view.key,
                tolerance=None if view.ttl_days is None else pd.Timedelta(days=view.ttl_days),
            )
        return rows.sort_values("row_id", ignore_index=True)

    return ask


def _read(view: View, keys: pd.Series) -> pd.DataFrame:
    assert view.parquet is not None
    columns = [view.key, "event_timestamp", *view.features]
    distinct = keys.unique()
    if len(distinct) > SMALL:
        return pd.read_parquet(view.parquet, columns=columns)
    wanted = [(view.key, "in", distinct.tolist())]
    return pd.read_parquet(view.parquet, columns=columns, filters=wanted)


if __name__ == "__main__":
    serve(prepare)
