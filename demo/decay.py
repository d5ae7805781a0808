"""One carrier in the blizzard of February 2013, minute by minute, offline and online.

For hours nothing landed. What a window says goes on changing even then, because time
goes on; what was computed at each landing stays what it was at the last one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from demo.compare import count_differences
from demo.events import events, forget_pushes, window_features

if TYPE_CHECKING:
    from demo.clock import Clock
    from fstore import FeatureStore

VIEW = "carrier_landings"
CARRIER = "B6"
SINCE = datetime(2013, 2, 8, 18, 0, tzinfo=UTC)
UNTIL = datetime(2013, 2, 10, 6, 0, tzinfo=UTC)
# Windows, and the same as it was at the last landing, which dbt computed.
PAIRS = {
    "carrier_landings_count_1d": "carrier_landings_24h",
    "carrier_arr_delay_avg_1d": "carrier_arr_delay_24h",
}


class Decay(NamedTuple):
    """A row a minute of both, and when a landing was pushed."""

    online: pd.DataFrame
    offline: pd.DataFrame
    features: list[str]
    landed_at: list[datetime]
    differences: int

    @property
    def pause(self) -> pd.DataFrame:
        """Offline, the longest time in which nothing landed: its first minute and its last."""
        since, until = max(pairwise(self.landed_at), key=lambda pair: pair[1] - pair[0])
        minute = timedelta(minutes=1)
        return self.offline.set_index("event_timestamp").loc[[since + minute, until - minute]]


def minute_by_minute(store: FeatureStore, clock: Clock) -> Decay:
    """Ask for every window of the carrier at every minute from ``SINCE`` to ``UNTIL``.

    Offline that is one training set. Online the view is published once, as of ``SINCE``; from then
    on each landing is pushed when it happens, and ``clock`` goes on by a minute after each read.
    """
    minutes = pd.date_range(SINCE, UNTIL, freq="min")
    offline = store.get_historical_features(
        pd.DataFrame({"carrier": CARRIER, "event_timestamp": minutes}),
        [f"{VIEW}:*", *(f"carrier_delays:{name}" for name in PAIRS.values())],
    ).to_df()
    features = window_features(store, list(offline.columns))

    forget_pushes(store, clock)
    clock.now = SINCE
    store.materialize(feature_views=[VIEW], force=True)
    landings = [row for row in events(VIEW, SINCE, UNTIL) if row["carrier"] == CARRIER]
    answers: list[dict[str, Any]] = []
    for minute in minutes:
        clock.now = minute.to_pydatetime()
        if now := [row for row in landings if row["landed_at"] == clock.now]:
            store.push(VIEW, now)
        answer = store.get_online_features([f"{VIEW}:*"], [{"carrier": CARRIER}]).to_dict()
        answers.append({name: cells[0] for name, cells in answer.items()})
    online = pd.DataFrame(answers, dtype=object)
    return Decay(
        online,
        offline,
        features,
        [row["landed_at"] for row in landings],
        count_differences(online, offline, features),
    )
