"""The events of one key as a block of its own: those published, and of those pushed the known ones.

A push is known from an instant of its own on. So a block holds for the instants at which the same
pushes are known: from when the last of them became known until the next one will. A key is read as
of its last push at the earliest: no instant lies before that receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fstore.definitions import FeatureView
from fstore.online.event_block import EventBlock, packed
from fstore.online.event_layout import EventLayout
from fstore.online.event_merge import pushed_events, united
from fstore.online.measures import Events, nothing
from fstore.online.records import NEVER, Layout
from fstore.online.visible import Version, known_from

# The events of a key: their block, where in it they begin and where they end.
EventSpan = tuple[EventBlock, int, int]


class Merged(NamedTuple):
    """A block and what it holds for. Times are microseconds since 1970."""

    block: EventBlock
    events: Sequence[Version]  # all that was pushed of the key: the very list, which only grows
    taken: int  # how many of them it was made of
    received: int  # when the last of these was
    since: int  # the instants it holds for: from here on,
    until: int  # and before this

    def holds(self, events: Sequence[Version], at: int) -> bool:
        """Whether it has what is known at an instant of a published key and these pushes."""
        return (
            self.events is events
            and self.taken == len(events)
            and self.since <= max(at, self.received) < self.until
        )


@dataclass(frozen=True)
class Merging:
    """How the events of a view are merged: ``rows`` is the layout of what is pushed."""

    view: FeatureView
    layout: EventLayout
    rows: Layout

    def anew(self, published: EventSpan | None, events: Sequence[Version], at: int) -> Merged:
        """Return the block of what was published and pushed, as it is known at an instant."""
        taken = len(events)
        pushes = [(self._known(each), each) for each in events[:taken]]
        received = max(each.entry.received for _, each in pushes)
        at = max(at, received)
        base = nothing(self.layout)
        if published is not None:
            block, first, end = published
            base = block.part(first, end)
        return Merged(
            self._with(base, [each for known, each in pushes if known <= at]),
            events,
            taken,
            received,
            since=max((known for known, _ in pushes if known <= at), default=NEVER),
            until=min((known for known, _ in pushes if known > at), default=2**63),
        )

    def grown(self, before: Merged, events: Sequence[Version], at: int) -> Merged | None:
        """Return ``before`` with what was pushed since; None where it takes more than that.

        All of that must be known by now, and what was not known before must not be.
        """
        taken = len(events)
        pushes = events[before.taken : taken]
        if before.events is not events or not pushes:
            return None
        received = max(before.received, *(each.entry.received for each in pushes))
        since = max(before.since, *map(self._known, pushes))
        if not since <= max(at, received) < before.until:
            return None
        block = self._with(before.block.part(0, before.block.count), pushes)
        return Merged(block, events, taken, received, since, before.until)

    def _known(self, version: Version) -> int:
        return known_from(self.view, *version.rank)

    def _with(self, events: Events, pushes: Sequence[Version]) -> EventBlock:
        if pushes:
            events = united(events, pushed_events(self.layout, self.rows, pushes))
        return EventBlock(packed(self.layout, events), self.layout)
