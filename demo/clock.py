"""A clock that stands still until it is set: the store's, so that the demo can live in 2013."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Clock:
    """Returns ``now`` when it is called, as ``FeatureStore(clock=...)`` wants it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
