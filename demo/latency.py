"""How long an online read takes in this process, from the call to a dict of columns."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fstore import FeatureStore


@dataclass(frozen=True)
class Latency:
    """Microseconds of ``reads`` reads of ``keys`` entity rows each."""

    keys: int
    reads: int
    p50: float
    p99: float


def read_latency(
    store: FeatureStore, service: str, rows: Sequence[dict[str, Any]], keys: int, reads: int
) -> Latency:
    """Time reads of ``keys`` rows drawn from ``rows`` with a fixed seed, after a warm-up."""
    draw = random.Random(2013)
    batches = [draw.choices(rows, k=keys) for _ in range(reads)]
    for batch in batches[: reads // 10]:
        store.get_online_features(feature_service=service, entity_rows=batch).to_dict()
    taken = []
    for batch in batches:
        started = time.perf_counter_ns()
        store.get_online_features(feature_service=service, entity_rows=batch).to_dict()
        taken.append((time.perf_counter_ns() - started) / 1000)
    taken.sort()
    return Latency(keys, reads, p50=taken[reads // 2], p99=taken[reads * 99 // 100])
