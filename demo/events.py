"""The views of raw events, of which windows are made: rows to push, and the features."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demo.clock import Clock
    from fstore import FeatureStore

EVENTS = {"carrier_landings": "landed_at", "airport_departures": "departed_at"}
YEARS_END = datetime(2014, 1, 2, tzinfo=UTC)


def events(
    view: str, since: datetime, until: datetime, project_dir: Path | str = "."
) -> list[dict[str, Any]]:
    """Return the rows of a view from after ``since`` up to ``until``, in the order of time."""
    at = EVENTS[view]
    with duckdb.connect(f"{project_dir}/data/flights.duckdb", read_only=True) as warehouse:
        rows = warehouse.sql(
            f"select * from {view} where {at} > $1 and {at} <= $2 order by {at}, flight_id",
            params=[since.replace(tzinfo=None), until.replace(tzinfo=None)],
        )
        found = rows.to_arrow_table().to_pylist()
    return [{**row, at: row[at].replace(tzinfo=UTC)} for row in found]


def window_features(store: FeatureStore, names: Sequence[str]) -> list[str]:
    """Return those of a service's features that are windows."""
    windows = {name for view in store.feature_views() for name in view.windows_by_name}
    return [name for name in names if name.rpartition("__")[2] in windows]


def forget_pushes(store: FeatureStore, clock: Clock) -> None:
    """Publish as of when the warehouse has every event, so that no pushed one is kept beside.

    A read is never as of a time before a push that was accepted: without this, the second run of
    the demo would ask about a day in February as of what the first run pushed in December.
    """
    clock.now = YEARS_END
    store.materialize(feature_views=list(EVENTS), force=True)
