"""Feast's tiling of windows, as its compute engines call it; in benchmarks/.venv-feast.

Feast's offline stores on DuckDB and on files compute no windows. Its engines on Spark, Ray and
Trino cut events into hops with these two functions, on pandas, and write one row a key and hop.
A training set then sees the row of the last hop: exact where a spine row's time ends a hop.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from typing import Any

import pandas as pd
from feast.aggregation import Aggregation
from feast.aggregation.tiling.orchestrator import apply_sawtooth_window_tiling
from feast.aggregation.tiling.tile_subtraction import convert_cumulative_to_windowed

from benchmarks.protocol import peak_memory, versions

WINDOW, HOP = timedelta(days=7), timedelta(days=1)
FUNCTIONS = ("avg", "max", "count")


def ask(events: pd.DataFrame, spine: pd.DataFrame) -> pd.DataFrame:
    """Return the spine's rows with the windows of the hop that ends at their time."""
    wanted = [Aggregation(column="x", function=each, time_window=WINDOW) for each in FUNCTIONS]
    keys, at = ["user_id"], "event_timestamp"
    tiles = apply_sawtooth_window_tiling(events.copy(), wanted, keys, at, WINDOW, HOP)
    windows = convert_cumulative_to_windowed(tiles, keys, at, WINDOW, wanted)
    names = {each.resolved_name(WINDOW): f"x_{each.function}_7d" for each in wanted}
    windows = windows[[*keys, at, *names]].rename(columns=names)
    windows[at] = pd.to_datetime(windows[at]).dt.tz_localize(None).astype(spine[at].dtype)
    return spine.merge(windows, on=[*keys, at], how="left")


def main(asked: dict[str, Any]) -> dict[str, Any]:
    events, spine = (pd.read_parquet(asked[name]) for name in ("events", "spine"))
    before = peak_memory()
    begun, worked = time.perf_counter(), time.process_time()
    frame = ask(events, spine)
    took, work = time.perf_counter() - begun, time.process_time() - worked
    peak = peak_memory()
    frame["x_count_7d"] = frame["x_count_7d"].fillna(0).astype("int64")
    # The average of nothing is 0 to Feast; all else can be compared.
    frame["x_avg_7d"] = frame["x_avg_7d"].where(frame["x_count_7d"] > 0)
    frame[["row_id", *(f"x_{each}_7d" for each in FUNCTIONS)]].to_parquet(asked["answer"])
    return {
        "seconds": [took],
        "cpu_seconds": [work],
        "peak_bytes": peak,
        "idle_bytes": before,
        "versions": {"feast": versions()["feast"]},
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
