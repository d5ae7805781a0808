"""What on-demand features add to a point read: three of them, over six features of one view.

python -m benchmarks.on_demand
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.latency import summary
from fstore import FeatureStore
from tests.harness import View, make_project, on_demand

FEATURES = "abcdef"
COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP"} | dict.fromkeys(FEATURES, "DOUBLE")
TEXTS = {
    "in_process": "a / b as ratio, coalesce(c, 0) + amount * d as total, "
    "case when e > f then e - f else 0 end as over",
    "by_duckdb": "ln(abs(a)) as ratio, pow(c, 2) + amount * d as total, exp(e - f) as over",
}
CALLS = 20_000


def main() -> None:
    """Print a line for each way to read."""
    meta = {"entities": {"thing": "k"}, "event_timestamp": "t"}
    cells = [[key, "2024-01-01", *(key * 0.5 + at for at in range(6))] for key in range(1000)]
    views = [View("v", COLUMNS, cells, meta=meta)]
    views += [
        on_demand(name, f"select {text} from inputs", inputs=["v"], request={"amount": "double"})
        for name, text in TEXTS.items()
    ]
    with tempfile.TemporaryDirectory() as directory:
        project = make_project(Path(directory) / "project", views)
        store = FeatureStore(project, clock=lambda: datetime(2024, 1, 2, tzinfo=UTC))
        store.materialize()
        for keys in (1, 100):
            rows = [{"k": key, "amount": 2.5} for key in range(keys)]
            for asked in ("v:*", *(f"{name}:*" for name in TEXTS)):
                found = timed(
                    lambda rows=rows, asked=asked: store.get_online_features([asked], rows)
                )
                words = f"p50 {found['p50']:.1f} us, p99 {found['p99']:.1f} us"
                print(f"{asked:14} {keys:4} keys: {words}")


def timed(read: Callable[[], Any]) -> dict[str, float]:
    """Time calls, to a dict each."""
    for _ in range(200):
        read().to_dict()
    times = []
    end = time.perf_counter() + 5
    while len(times) < CALLS and time.perf_counter() < end:
        began = time.perf_counter_ns()
        read().to_dict()
        times.append(time.perf_counter_ns() - began)
    return summary(times)


if __name__ == "__main__":
    main()
