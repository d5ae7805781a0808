"""Where the events of a key are at an instant: among those published, or in a block of its own.

A key that was pushed to since has a block made of both, kept until something else of the key is
pushed or becomes known.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from fstore.definitions import FeatureView
from fstore.online.event_block import EventBlock, packed
from fstore.online.event_layout import EventLayout
from fstore.online.event_merge import not_published, pushed_events
from fstore.online.known import Known, KnownKeys
from fstore.online.measures import nothing
from fstore.online.merged import EventSpan, Merged, Merging
from fstore.online.records import Layout
from fstore.online.windows import Cells, WindowPlan

_KEPT_BYTES = 128 * 2**20  # of blocks of pushed keys


class EventState:
    """Gives the events of keys that were pushed to or deleted; any thread may use it."""

    def __init__(self, view: FeatureView, layout: EventLayout, rows: Layout) -> None:
        self.view, self.layout, self.rows = view, layout, rows
        self._merging = Merging(view, layout, rows)
        self._merged: dict[bytes, Merged] = {}
        self._kept = 0  # bytes
        self._keeping = Lock()
        self._empty = EventBlock(packed(layout, nothing(layout)), layout)

    def place(
        self, key: bytes, published: EventSpan | None, heard: Known, at: int
    ) -> tuple[EventSpan, int]:
        """Return where the events of a key are, and the instant to read them at.

        ``published`` is None where nothing is, or a deletion hides it. A key is read as of its last
        push at the earliest.
        """
        if not heard.events:
            return published or (self._empty, 0, 0), at
        merged = self._merged.get(key)
        if merged is None or not merged.holds(heard.events, at):
            grown = merged and self._merging.grown(merged, heard.events, at)
            merged = grown or self._merging.anew(published, heard.events, at)
            self._keep(key, heard, merged)
        return (merged.block, 0, merged.block.count), max(at, merged.received)

    def _keep(self, key: bytes, heard: Known, merged: Merged) -> None:
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

    def unpublished(
        self, published: EventSpan | None, heard: Known, number: int, since: int
    ) -> Known:
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
