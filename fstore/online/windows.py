"""Window features of one key at an instant, from a block of events.

What is at hand was known at K or accepted since, so that of E <= q, A <= q only E is left to
compare. A window is a run of events in order of E: two searches find its ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any

from fstore.compile.window_types import COUNTS, sum_beyond
from fstore.definitions import Column, FeatureView, WindowFeature
from fstore.online.event_block import EventBlock
from fstore.online.event_layout import measure_place
from fstore.online.suffixes import REACH
from fstore.online.window_functions import Reader, reader_of

Cells = tuple[Any, ...]
# (first, end, instant) to the cells of the window features; the events of a key are [first, end).
Read = Callable[[int, int, int], Cells]


class WindowPlan:
    """Which window features are asked for, and so which windows of which measures are read."""

    def __init__(
        self, view: FeatureView, columns: tuple[Column, ...], features: Sequence[str]
    ) -> None:
        self._view, self._columns = view, columns
        asked = [view.windows_by_name[name] for name in features]
        windows: dict[tuple[int, int | None], dict[Any, list[WindowFeature]]] = {}
        for feature in asked:
            hop = None if feature.hop is None else feature.hop.seconds * 1_000_000
            window = feature.window.seconds * 1_000_000, hop
            measures = windows.setdefault(window, {})
            measures.setdefault(measure_place(view, columns, feature), []).append(feature)
        # From the longest on, so that without a hop each begins within the one before.
        longest_first = sorted(windows, key=itemgetter(0), reverse=True)
        self._windows = [(*window, list(windows[window].items())) for window in longest_first]
        self._nested = all(hop is None for _, hop, _ in self._windows)
        order = [
            feature.name
            for _, _, measures in self._windows
            for _, some in measures
            for feature in some
        ]
        self._places = [order.index(name) for name in features]
        # What a key without events has, and what a key that is NULL has.
        self.empty: Cells = tuple(0 if each.function in COUNTS else None for each in asked)
        self.nothing: Cells = (None,) * len(asked)

    def _beyond(self, feature: WindowFeature) -> str:
        return sum_beyond(self._view, feature, self._columns)

    def bound(self, block: EventBlock) -> Read:
        """Return the function that reads the features from a block, prepared once."""
        known: Read | None = block.reads.get(self)
        if known is None:
            known = block.reads[self] = self._bound(block)
        return known

    def _bound(self, block: EventBlock) -> Read:
        # Another one over the same bytes: a block that was held by what it holds would go only when
        # Python's collector comes by, which does not know how large it is.
        block = EventBlock(block.content, block.layout)
        events = block.events

        def readers_of(measures: Any, *, to_end: bool) -> list[Reader]:
            return [
                reader_of(block, place, some, self._beyond, to_end=to_end)
                for place, some in measures
            ]

        windows = [
            # Few blocks that live until the next push are read anywhere but to the end.
            (
                width,
                hop,
                readers_of(some, to_end=True),
                cache(partial(readers_of, some, to_end=False)),
            )
            for width, hop, some in self._windows
        ]
        ordered = self._places == list(range(len(self._places)))
        in_order = None if ordered else itemgetter(*self._places)
        nested = self._nested

        def read(first: int, end: int, at: int) -> Cells:
            cells: list[Any] = []
            low = first
            last = bisect_left(events, at, first, end)
            if last < end:
                reached = end  # no suffix ends with the window
            elif end - first <= REACH:
                reached = first
            else:
                reached = end - 1 - (end - 1 - first) % REACH
            for width, hop, to_end, anywhere in windows:
                start = at - width
                if hop is not None:
                    start -= start % hop
                begin = bisect_left(events, start, low, last)
                if nested:
                    low = begin
                for reader in to_end if begin >= reached else anywhere():
                    reader(begin, last, cells)
            return tuple(cells) if in_order is None else in_order(cells)

        return read
