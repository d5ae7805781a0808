"""One way to compute the windows of a case, in a process of its own: ours, or SQL by hand.

Each ends with an Arrow table of the spine's rows in their order. The words are JSON in, JSON out.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.protocol import peak_memory, versions
from benchmarks.windows_data import WINDOWS, outputs

SPINE = "SELECT *, row_number() OVER () AS place FROM '{spine}'"
SAME = "e.user_id = s.user_id AND e.event_timestamp < s.event_timestamp"


def _since(window: str) -> str:
    return f"e.event_timestamp >= s.event_timestamp - INTERVAL '{window}'"


def join(events: str, spine: str) -> str:
    """One range join over the longest window, and a filter for each feature: the baseline."""
    features = ", ".join(
        f"{function}(e.x) FILTER (WHERE {_since(window)}) AS {name}"
        for name, function, window in outputs()
    )
    return (
        f"WITH s AS MATERIALIZED ({SPINE.format(spine=spine)}) "
        f"SELECT any_value(s.row_id) AS row_id, {features} "
        f"FROM s LEFT JOIN {events} AS e ON {SAME} AND {_since(WINDOWS[-1])} "
        "GROUP BY s.place ORDER BY s.place"
    )


def joins(events: str, spine: str) -> str:
    """A range join for each window."""
    steps, columns, beside = [], [], []
    for number, window in enumerate(WINDOWS):
        its = [(name, function) for name, function, of in outputs() if of == window]
        aggregates = ", ".join(f"{function}(e.x) AS {name}" for name, function in its)
        steps.append(
            f"w{number} AS (SELECT s.place, {aggregates} FROM s JOIN {events} AS e "
            f"ON {SAME} AND {_since(window)} GROUP BY s.place)"
        )
        columns += [f"coalesce({n}, 0) AS {n}" if f == "count" else n for n, f in its]
        beside.append(f"LEFT JOIN w{number} USING (place)")
    return (
        f"WITH s AS MATERIALIZED ({SPINE.format(spine=spine)}), {', '.join(steps)} "
        f"SELECT s.row_id, {', '.join(columns)} FROM s {' '.join(beside)} ORDER BY s.place"
    )


def subqueries(events: str, spine: str) -> str:
    """A correlated subquery for each feature."""
    features = ", ".join(
        f"(SELECT {function}(e.x) FROM {events} AS e WHERE {SAME} AND {_since(window)}) AS {name}"
        for name, function, window in outputs()
    )
    return (
        f"WITH s AS MATERIALIZED ({SPINE.format(spine=spine)}) "
        f"SELECT s.row_id, {features} FROM s ORDER BY s.place"
    )


def pairs(events: str, spine: str) -> str:
    """The range join alone, its pairs counted: what any way takes that looks at each."""
    return (
        f"WITH s AS MATERIALIZED ({SPINE.format(spine=spine)}) "
        f"SELECT count(*) AS pairs, sum(e.x) AS total, sum(s.place) AS places "
        f"FROM s JOIN {events} AS e ON {SAME} AND {_since(WINDOWS[-1])}"
    )


BY_HAND = {"join": join, "joins": joins, "subqueries": subqueries, "pairs": pairs}


def prepare(asked: dict[str, Any]) -> tuple[Callable[[], pa.Table], dict[str, Any]]:
    """Return what computes the rows, and a place for notes."""
    notes: dict[str, Any] = {}
    if asked["peer"] in BY_HAND:
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        if asked["warehouse"]:
            connection.execute(f"ATTACH '{asked['warehouse']}' (READ_ONLY)")
        text = BY_HAND[asked["peer"]](asked["events"], asked["spine"])
        return (lambda: connection.sql(text).to_arrow_table()), notes
    from fstore import FeatureStore

    store = FeatureStore(asked["project"])
    spine = f"SELECT row_id, user_id, event_timestamp FROM '{asked['spine']}'"

    def ask() -> pa.Table:
        job = store.get_historical_features(spine, [asked["view"]], plan=asked["plan"])
        windows = job.plans[asked["view"]].windows
        notes["taken"] = None if windows is None else str(windows.plan)
        return job.to_arrow()

    return ask, notes


def measure(asked: dict[str, Any], *, limited: bool) -> dict[str, Any]:
    """Call once to warm up, then time each call; write the last rows."""
    alarm = signal.alarm if limited else _no_alarm
    ask, notes = prepare(asked)
    before, seconds, worked, table = peak_memory(), [], [], None
    for repetition in range(asked["repetitions"] + 1):
        table = None
        gc.collect()
        alarm(asked["time_limit"])
        begun, work = time.perf_counter(), time.process_time()
        table = ask()
        took = time.perf_counter() - begun
        if repetition or not asked["warm"]:
            seconds.append(took)
            worked.append(time.process_time() - work)
        if not asked["warm"] and len(seconds) == asked["repetitions"]:
            break
    alarm(0)
    peak = peak_memory()
    assert table is not None
    Path(asked["answer"]).unlink(missing_ok=True)
    if asked["peer"] == "pairs":
        notes["pairs"] = table["pairs"][0].as_py()
    else:
        names = ["row_id", *(name for name, *_ in outputs())]
        pq.write_table(table.select(names), asked["answer"])
    found = {"seconds": seconds, "cpu_seconds": worked, "peak_bytes": peak, "idle_bytes": before}
    found["versions"] = versions()
    return found | notes


def _no_alarm(seconds: int) -> None:
    del seconds


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]), limited=True)), flush=True)
