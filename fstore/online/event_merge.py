"""The events of one key with those that were pushed since: each once, as its newest version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fstore.definitions import Column
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import EventLayout
from fstore.online.event_values import ValueKind, kind_of
from fstore.online.measures import Events
from fstore.online.records import Layout
from fstore.online.visible import Version


def pushed_events(layout: EventLayout, rows: Layout, pushes: Sequence[Version]) -> Events:
    """Return pushed rows, which are records of the layout ``rows``, as events in their order."""
    size = rows.size
    records = rows.structured(
        b"".join(
            bytes(each.entry.block.records[each.place * size : (each.place + 1) * size])
            for each in pushes
        )
    )
    heaps = [each.entry.block.heap for each in pushes]
    places = {column.name: place for place, column in enumerate(rows.features)}

    def nulls(column: Column) -> np.ndarray:
        place = places[column.name]
        found: np.ndarray = (records["nulls"][:, place >> 3] >> (place & 7)) & 1
        return found

    def cells(kind: ValueKind, column: Column) -> Any:
        place = places[column.name]
        found = records[f"cell {place}"]
        if rows.codecs[place].code is not None:
            return found
        texts = [
            bytes(heap[start : start + length])
            for heap, start, length in zip(
                heaps, found["offset"].tolist(), found["length"].tolist(), strict=True
            )
        ]
        return texts if kind.dtype is None else kind.from_texts(texts)

    kinds = [kind_of(column.type) for column in layout.identity]
    keys = [cells(kind, column) for kind, column in zip(kinds, layout.identity, strict=True)]
    return Events(
        records["E"].astype("<i8"),
        records["A"].astype("<i8"),
        event_ids(kinds, keys, [nulls(column) for column in layout.identity]) if kinds else None,
        [cells(kind, column) for kind, column in zip(layout.kinds, layout.values, strict=True)],
        [nulls(column) for column in layout.values],
        [
            cells(kind_of("BOOLEAN"), column).astype("u1") & ~nulls(column) & 1
            for column in layout.flags
        ],
    )


def united(published: Events, pushed: Events) -> Events:
    """Return both together, in order of E and A: of an event the version of greatest A, then E.

    Of equal ones what came later wins, and a push came after what was published. Few events are put
    among many: the many are not put in order again.
    """
    assert published.ids is not None and pushed.ids is not None, "only keyed events are pushed"
    pushed = _newest(pushed)
    assert pushed.ids is not None
    beaten = np.zeros(len(published.ids), bool)
    beats = np.ones(len(pushed.ids), bool)
    for place in np.flatnonzero(np.isin(published.ids, pushed.ids)).tolist():
        other = int(np.searchsorted(pushed.ids, published.ids[place]))
        if _version(pushed, other) >= _version(published, place):
            beaten[place] = True
        else:
            beats[other] = False
    if beaten.any():
        published = _taken(published, np.flatnonzero(~beaten))
    order = np.lexsort((pushed.arrivals, pushed.events))
    pushed = _taken(pushed, order[beats[order]])
    places = _places_among(published, pushed)
    return _inserted(published, places, pushed)


def _places_among(published: Events, pushed: Events) -> list[int]:
    """Return before which of the published events each pushed one comes, by E and A."""
    first = np.searchsorted(published.events, pushed.events, "left").tolist()
    end = np.searchsorted(published.events, pushed.events, "right").tolist()
    return [
        low + int(np.searchsorted(published.arrivals[low:high], arrival, "right"))
        for low, high, arrival in zip(first, end, pushed.arrivals.tolist(), strict=True)
    ]


def _newest(events: Events) -> Events:
    """Return the newest version of each event, in order of the ids."""
    assert events.ids is not None, "only keyed events are pushed"
    came = np.arange(len(events.ids))
    order = np.lexsort((came, events.events, events.arrivals, events.ids))
    ids = events.ids[order]
    return _taken(events, order[np.append(ids[1:] != ids[:-1], True)] if len(ids) else order)


def _version(events: Events, place: int) -> tuple[int, int]:
    """Return what compares versions of one event."""
    return events.arrivals.item(place), events.events.item(place)


def _mapped(change: Callable[..., Any], *some: Events) -> Events:
    """Return events whose every array is what a function makes of those of others."""

    def each(name: str) -> list[Any]:
        return [change(*arrays) for arrays in zip(*(getattr(it, name) for it in some), strict=True)]

    return Events(
        change(*(it.events for it in some)),
        change(*(it.arrivals for it in some)),
        change(*(it.ids for it in some)),
        each("cells"),
        each("nulls"),
        each("flags"),
    )


def _taken(events: Events, places: np.ndarray) -> Events:
    def take(array: Any) -> Any:
        if isinstance(array, list):
            return [array[place] for place in places.tolist()]
        return array[places]

    return _mapped(take, events)


def _inserted(events: Events, places: Sequence[int], more: Events) -> Events:
    """Return the events with others put before those at some places, which ascend."""

    def insert(array: Any, others: Any) -> Any:
        if not isinstance(array, list):
            return np.insert(array, places, others)
        parts, done = list[Any](), 0
        for place, other in zip(places, others, strict=True):
            parts += [*array[done:place], other]
            done = place
        return [*parts, *array[done:]]

    return _mapped(insert, events, more)


def not_published(published: Events, pushed: Events) -> list[int]:
    """Return the places of the pushed events of which nothing as new is published."""
    assert published.ids is not None and pushed.ids is not None, "only keyed events are pushed"
    newest = {
        event: _version(published, place) for place, event in enumerate(published.ids.tolist())
    }
    nothing = (-(2**63), -(2**63))
    return [
        place
        for place, event in enumerate(pushed.ids.tolist())
        if newest.get(event, nothing) < _version(pushed, place)
    ]
