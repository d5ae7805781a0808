"""The events of one key with those that were pushed since: each once, as its newest version."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from fstore.definitions import Column
from fstore.online.event_block import Events
from fstore.online.event_ids import event_ids
from fstore.online.event_layout import EventLayout
from fstore.online.event_values import ValueKind, kind_of
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
        return texts if kind.dtype is None else _numbers(kind, texts)

    kinds = [kind_of(column.type) for column in layout.identity]
    keys = [cells(kind, column) for kind, column in zip(kinds, layout.identity, strict=True)]
    return Events(
        records["E"].astype("<i8"),
        records["A"].astype("<i8"),
        event_ids(kinds, keys, [nulls(column) for column in layout.identity]),
        [cells(kind, column) for kind, column in zip(layout.kinds, layout.values, strict=True)],
        [nulls(column) for column in layout.values],
        [
            cells(kind_of("BOOLEAN"), column).astype("u1") & ~nulls(column) & 1
            for column in layout.flags
        ],
    )


def _numbers(kind: ValueKind, texts: Sequence[bytes]) -> np.ndarray:
    """Return decimals, which rows hold as text, as the integers of their last digit."""
    return np.array(
        [int(Decimal(text.decode()).scaleb(kind.scale)) if text else 0 for text in texts], "<i8"
    )


def united(published: Events, pushed: Events) -> Events:
    """Return both together, in order of E and A: of an event the version with the greatest A.

    At equal A what came later wins, and a push came after what was published.
    """
    assert published.ids is not None and pushed.ids is not None, "only keyed events are pushed"
    ids = np.concatenate([published.ids, pushed.ids])
    arrivals = np.concatenate([published.arrivals, pushed.arrivals])
    events = np.concatenate([published.events, pushed.events])
    came = np.arange(len(ids))
    by_version = np.lexsort((came, arrivals, ids))
    newest = by_version[np.append(ids[by_version][1:] != ids[by_version][:-1], True)]
    order = newest[np.lexsort((came[newest], arrivals[newest], events[newest]))]

    def taken(one: Any, two: Any) -> Any:
        if isinstance(one, list):
            both = [*one, *two]
            return [both[place] for place in order.tolist()]
        return np.concatenate([one, two])[order]

    def each(ones: Sequence[Any], twos: Sequence[Any]) -> list[Any]:
        return [taken(one, two) for one, two in zip(ones, twos, strict=True)]

    return Events(
        events[order],
        arrivals[order],
        ids[order],
        each(published.cells, pushed.cells),
        each(published.nulls, pushed.nulls),
        each(published.flags, pushed.flags),
    )


def not_published(published: Events, pushed: Events) -> list[int]:
    """Return the places of the pushed events of which nothing as new is published."""
    assert published.ids is not None and pushed.ids is not None, "only keyed events are pushed"
    newest = dict(zip(published.ids.tolist(), published.arrivals.tolist(), strict=True))
    nothing = -(2**63)
    return [
        place
        for place, (event, arrival) in enumerate(
            zip(pushed.ids.tolist(), pushed.arrivals.tolist(), strict=True)
        )
        if newest.get(event, nothing) < arrival
    ]
