"""polars: one lazy query a view; rows semi-joined to the spine's keys, sorted, and ``join_asof``.

`polars-late` joins key and time alone and fetches the features of the rows that were found, which
takes more knowledge to write. Neither sorts what is stored sorted.
"""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import polars as pl

from benchmarks.protocol import Ask, Job, View, serve

SMALL = 10_000  # for fewer spine rows, filtering sorted rows by key pays


def prepare(job: Job) -> Ask:
    """Read the spine, as the polars frame that a polars user has."""
    spine = pl.read_parquet(job.spine)

    def whole_rows() -> pd.DataFrame:
        rows = spine.lazy().sort("event_timestamp")
        for view in job.views:
            rows = _join(rows, _scan(view), view, spine)
        return rows.sort("row_id").collect().to_pandas()

    def late_fetch() -> pd.DataFrame:
        rows = spine.lazy().sort("event_timestamp")
        for view in job.views:
            narrow = _scan(view).select(view.key, "event_timestamp")
            rows = _join(rows, narrow.with_row_index(f"{view.name} row"), view, spine)
        found = rows.sort("row_id").collect()
        parts = [found.select(spine.columns)]
        for view in job.views:
            features = _scan(view).select(view.features).collect()
            parts.append(features.select(pl.all().gather(found[f"{view.name} row"])))
        return pl.concat(parts, how="horizontal").to_pandas()

    return late_fetch if job.variant == "late" else whole_rows


def _scan(view: View) -> pl.LazyFrame:
    assert view.parquet is not None
    return pl.scan_parquet(view.parquet).select([view.key, "event_timestamp", *view.features])


def _join(
    rows: pl.LazyFrame, features: pl.LazyFrame, view: View, spine: pl.DataFrame
) -> pl.LazyFrame:
    if spine.height < SMALL or not view.is_sorted:
        keys = spine.lazy().select(view.key).unique()
        features = features.join(keys, on=view.key, how="semi", maintain_order="left")
    if not view.is_sorted:
        features = features.sort("event_timestamp")
    return rows.join_asof(
        features,
        on="event_timestamp",
        by=view.key,
        tolerance=None if view.ttl_days is None else timedelta(days=view.ttl_days),
        check_sortedness=False,  # it cannot be checked by key
    )


if __name__ == "__main__":
    serve(prepare)
