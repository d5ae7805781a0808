"""A process of its own for the benchmark of windows online: it pushes, or it materializes."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.online_windows_data import Source
from benchmarks.online_windows_push import BATCH, Stream
from benchmarks.protocol import peak_memory
from fstore import FeatureStore

PREPARED = 100  # batches, whose making is not to slow down the pushes


def push(project: str, view: str, first: int, keys: int) -> dict[str, Any]:
    """Push batches to the keys from ``first`` on until the standard input ends."""
    stream = Stream(Source(view, keys, 1), seed=1, keys=range(first, keys))
    begun_at = datetime.now(UTC) - timedelta(minutes=1)
    batches = [stream.batch(begun_at + timedelta(milliseconds=n)) for n in range(PREPARED)]
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    pushed = 0
    with FeatureStore(project) as store:
        store.push(view, batches[0])
        print("ready", flush=True)
        begun = time.perf_counter()
        while not over.is_set():
            store.push(view, batches[(pushed + 1) % PREPARED])
            pushed += 1
        return {"rows": pushed * BATCH, "seconds": time.perf_counter() - begun}


def materialize(project: str, as_of: str) -> dict[str, Any]:
    """Publish all views: seconds, and the most memory that this process ever had."""
    with FeatureStore(project, clock=lambda: datetime.fromisoformat(as_of)) as store:
        begun = time.perf_counter()
        store.materialize()
        return {"seconds": time.perf_counter() - begun, "peak_bytes": peak_memory()}


if __name__ == "__main__":
    words = json.loads(sys.argv[1])
    print(json.dumps(push(**words) if "view" in words else materialize(**words)), flush=True)
