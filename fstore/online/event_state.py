"""Where the events of a key are at an instant: among those published, or in a block of its own.

A key that was pushed to since has a block made of both, kept until something else of the key is
pushed or becomes known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple

from fstore.definitions import FeatureView
from fstore.errors import OnlineStoreError
from fstore.online.event_block import EventBlock, NotABlockError, packed
from fstore.online.event_layout import EventLayout
from fstore.online.event_merge import not_published, pushed_events, united
from fstore.online.known import Known, KnownKeys
from fstore.online.measures import nothing
from fstore.online.records import NEVER, Layout
from fstore.online.visible import Version, known_from
from fstore.online.windows import Cells, WindowPlan

_KEPT_BYTES = 128 * 2**20  # of blocks of pushed keys

# The events of a key: their block, where in it they begin and where they end.
Place = tuple[EventBlock, int, int]


class _Merged(NamedTuple):
    events: Sequence[Version]
    taken: int  # of the events, which only grow
    received: int  # when the last of them was
    since: int  # the block holds what is known from then on,
    until: int  # before then
    block: EventBlock


class EventState:
    """Gives the events of keys that were pushed to or deleted; any thread may use it."""

    def __init__(self, view: FeatureView, layout: EventLayout, rows: Layout) -> None:
        self.view, self.layout, self.rows = view, layout, rows
        self._merged: dict[bytes, _Merged] = {}
        self._kept = 0  # bytes
        self._keeping = Lock()
        self._empty = EventBlock(packed(layout, nothing(layout)), layout)

    def place(
        self, key: bytes, published: Place | None, heard: Known, at: int
    ) -> tuple[Place, int]:
        """Return where the events of a key are, and the instant to read them at.

        ``published`` is None where nothing is, or a deletion hides it. A key is read as of its last
        push at the earliest.
        """
        if not heard.events:
            return published or (self._empty, 0, 0), at
        merged = self._merged.get(key)
        if (
            merged is None
            or merged.events is not heard.events
            or merged.taken != len(heard.events)
            or not merged.since <= max(at, merged.received) < merged.until
        ):
            merged = self._grown(merged, heard, at) or self._merge(published, heard.events, at)
            self._keep(key, heard, merged)
        return (merged.block, 0, merged.block.count), max(at, merged.received)

    def _keep(self, key: bytes, heard: Known, merged: _Merged) -> None:
        """Keep a block for the next read, where the list of events is one that lasts."""
        if not isinstance(heard.events, list):
            return
        with self._keeping:
            self._let_go(key)
            self._kept += len(merged.block.content)
            self._merged[key] = merged
            while self._kept > _KEPT_BYTES and len(self._merged) > 1:
                self._let_go(next(iter(self._merged)))  # that was made least lately

    def _let_go(self, key: bytes) -> None:
        before = self._merged.pop(key, None)
        if before is not None:
            self._kept -= len(before.block.content)

    def _grown(self, before: _Merged | None, heard: Known, at: int) -> _Merged | None:
        """Return what was merged with what was pushed since; None where that is not all.

        All of it must be known from now on, and what was not known before must not be by now.
        """
        if before is None or before.events is not heard.events:
            return None
        taken = len(heard.events)
        pushes = heard.events[before.taken : taken]
        if not pushes:
            return None
        received = max(before.received, *(each.entry.received for each in pushes))
        at = max(at, received)
        since = max(before.since, *(known_from(self.view, *each.rank) for each in pushes))
        if not since <= at < before.until:
            return None
        events = united(
            before.block.part(0, before.block.count),
            pushed_events(self.layout, self.rows, pushes),
        )
        block = EventBlock(packed(self.layout, events), self.layout)
        return _Merged(heard.events, taken, received, since, before.until, block)

    def unpublished(self, published: Place | None, heard: Known, number: int, since: int) -> Known:
        """Return what generation ``number`` needs of what was pushed and deleted of a key.

        ``published`` are its events in that generation. A push goes where they have its event in a
        version as new, or where it was received before ``since``.
        """
        if not heard.events or heard.hides >= number:
            return heard
        pushes = [each for each in heard.events if each.entry.received >= since]
        if published is not None and pushes:
            block, first, end = published
            pushed = pushed_events(self.layout, self.rows, pushes)
            pushes = [pushes[place] for place in not_published(block.part(first, end), pushed)]
        needed = {(each.entry.id, each.place) for each in pushes}
        versions = tuple(each for each in heard.versions if (each.entry.id, each.place) in needed)
        return heard._replace(versions=versions, events=tuple(pushes))

    def _merge(self, published: Place | None, events: Sequence[Version], at: int) -> _Merged:
        taken = len(events)
        pushes = [(known_from(self.view, *each.rank), each) for each in events[:taken]]
        received = max(each.entry.received for _, each in pushes)
        at = max(at, received)
        shown = [each for known, each in pushes if known <= at]
        since = max((known for known, _ in pushes if known <= at), default=NEVER)
        until = min((known for known, _ in pushes if known > at), default=2**63)
        base = nothing(self.layout)
        if published is not None:
            block, first, end = published
            base = block.part(first, end)
        if shown:
            base = united(base, pushed_events(self.layout, self.rows, shown))
        block = EventBlock(packed(self.layout, base), self.layout)
        return _Merged(events, taken, received, since, until, block)


def event_lookup(
    plan: WindowPlan,
    state: EventState,
    block: EventBlock,
    find: Callable[[bytes | None], tuple[int, int]],
    generation: int,
    known: KnownKeys,
) -> Callable[[bytes | None, int], Cells]:
    """Return the function that reads window features: (key, instant) to cells.

    ``block`` holds what generation ``generation`` published, ``known`` is what the log says, now
    and when it has grown.
    """
    read, empty, none = plan.bound(block), plan.empty, plan.nothing
    asked, pushed = known.get, known.table

    def cells(key: bytes | None, at: int) -> Cells:
        if key is None:
            return none
        first, end = find(key)
        heard = asked(key) if pushed else None
        if heard is None:
            return read(first, end, at) if end else empty
        is_there = end > first and heard.hides < generation
        published = (block, first, end) if is_there else None
        (held, begin, last), instant = state.place(key, published, heard, at)
        return (read if held is block else plan.bound(held))(begin, last, instant)

    return cells


def served_cells(
    plan: WindowPlan,
    state: EventState,
    asked: tuple[bytes | None, bytes | None, Known | None],
    generation: int,
    at: int,
) -> Cells:
    """Return the cells of one key of a server: of (key, its block, what was pushed of it)."""
    key, content, known = asked
    if key is None:
        return plan.nothing
    published = place_in(content, state.layout, known, generation)
    if known is not None and known.events:
        published, at = state.place(key, published, known, at)
    if published is None:
        return plan.empty
    block, first, end = published
    return plan.bound(block)(first, end, at)


def place_in(
    block: bytes | None, layout: EventLayout, known: Known | None, generation: int
) -> Place | None:
    """Return where the published events of a key are, from its own block; None where none are."""
    if not block or (known is not None and known.hides >= generation):
        return None
    try:
        whole = EventBlock(block, layout)
    except NotABlockError as error:
        raise OnlineStoreError(f"Events are {error}. Run: fstore materialize") from error
    return whole, 0, whole.count
