"""How long an online read takes in this process, from the call to a dict of columns."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import cycle, islice
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
    store: FeatureStore, service: str, rows: Sequence[dict[str, Any]], keys: int, seconds: float
) -> Latency:
    """Time reads of ``keys`` rows drawn from ``rows`` with a fixed seed, for so many seconds.

    A tenth of the time goes before as warm-up. At most 20,000 reads are timed.
    """
    draw = random.Random(2013)  # not for secrets: the same batches on every run
    batches = [draw.choices(rows, k=keys) for _ in range(1_000)]
    _time_reads(store, service, batches, seconds / 10)
    taken = sorted(_time_reads(store, service, batches, seconds))
    return Latency(keys, len(taken), p50=taken[len(taken) // 2], p99=taken[len(taken) * 99 // 100])


def _time_reads(
    store: FeatureStore, service: str, batches: list[list[dict[str, Any]]], seconds: float
) -> list[float]:
    """Return the microseconds of each read; at least one."""
    taken = []
    until = time.perf_counter() + seconds
    for batch in islice(cycle(batches), 20_000):
        started = time.perf_counter()
        store.get_online_features(feature_service=service, entity_rows=batch).to_dict()
        ended = time.perf_counter()
        taken.append((ended - started) * 1e6)
        if ended > until:
            break
    return taken
