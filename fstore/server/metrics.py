"""What the server counts, for Prometheus; the processes of one server are summed up.

PROMETHEUS_MULTIPROC_DIR names the folder in which they count; it is set before this is imported.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from fstore.server.answers import STATUSES

if TYPE_CHECKING:
    from fstore.jobs.materialize import Status


class _Histogram(Histogram):
    """Also takes many amounts at once: each bucket that they fall into is written once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of the amounts."""
        bounds = self._upper_bounds
        for place, count in Counts([bisect_left(bounds, each) for each in amounts]).items():
            self._buckets[place].inc(count)
        self._sum.inc(math.fsum(amounts))


_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
_SECONDS = _Histogram(
    "fstore_request_seconds", "Time from a request's last byte to its answer", ["route"],
    buckets=_BUCKETS, registry=None,
)  # fmt: skip
_RESPONSES = Counter(
    "fstore_responses_total", "Answers by status", ["route", "status"], registry=None
)
_CELLS = Counter(
    "fstore_feature_values_total", "Values answered by status", ["view", "status"], registry=None
)
_children: dict[tuple[str, int], tuple[_Histogram, Counter]] = {}
_cells: dict[str, list[Counter]] = {}


def count_requests(route: str, status: int, seconds: Sequence[float]) -> None:
    """Count answered requests by the time that each took."""
    found = _children.get((route, status))
    if found is None:
        found = _SECONDS.labels(route), _RESPONSES.labels(route, str(status))
        _children[route, status] = found
    found[0].observe_all(seconds)
    found[1].inc(len(seconds))


def count_values(view: str, counts: Sequence[int]) -> None:
    """Count values of a view that were answered with each of STATUSES."""
    counters = _cells.get(view)
    if counters is None:
        counters = _cells[view] = [_CELLS.labels(view, status) for status in STATUSES]
    for counter, count in zip(counters, counts, strict=True):
        if count:
            counter.inc(count)


class _Freshness(Collector):
    """What is online, as the store says; where it says nothing, that it does not."""

    def __init__(self, status: Status | None, is_up: bool) -> None:
        self._status, self._is_up = status, is_up

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "fstore_store_up", "Whether the online store can be read: 1, else 0", value=self._is_up
        )
        if not self._is_up:
            return
        found = self._status
        generation = GaugeMetricFamily("fstore_generation", "The generation that is online")
        generation.add_metric([], found.generation if found else 0)
        yield generation
        age = GaugeMetricFamily(
            "fstore_view_age_seconds", "Time since a view's as_of", labels=["view"]
        )
        for view in found.views if found else ():
            age.add_metric([view.view], view.age.total_seconds())
        yield age


def exposition(status: Status | None, is_up: bool) -> bytes:
    """Return the metrics of all processes in Prometheus' text format.

    ``status`` is what the store says is online; it is not ``is_up`` where it cannot be read.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Freshness(status, is_up))
    return generate_latest(registry)
