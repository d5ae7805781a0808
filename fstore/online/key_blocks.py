"""The events of each key as a block of its own: what a server holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np

from fstore.definitions import Column, FeatureView
from fstore.online.event_block import packed, packed_apart, part_of
from fstore.online.event_layout import EventLayout
from fstore.online.event_rows import Keyed, stored_events
from fstore.online.event_tiles import tiled
from fstore.online.instants import micros
from fstore.online.key_arrays import begins
from fstore.online.measures import Events

_TOGETHER = 122_880  # events that are cut into blocks of keys at once


def stored_blocks(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    columns: tuple[Column, ...],
    as_of: datetime,
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield keys, each with a block of its own events, some at a time.

    The table must lie in their order, as what comes in fills it.
    """
    layout = EventLayout.of(view, columns)
    held: Keyed | None = None
    some = stored_events(connection, view, columns, layout, _TOGETHER, is_sorted=True)
    for keys, events in some:
        known = Keyed(keys, events) if held is None else _joined(held, Keyed(keys, events))
        firsts = np.flatnonzero(begins(known.keys)).tolist()
        last = firsts[-1]  # whose events may go on
        held = Keyed(known.keys[last:], part_of(known.events, last, len(known.keys)))
        whole = part_of(known.events, 0, last)
        blocks = _blocks(layout, whole, firsts[:-1], as_of) if last else iter(())
        yield [(known.keys[first], block) for first, block in zip(firsts, blocks, strict=False)]
    if held is not None:
        yield [(held.keys[0], next(_blocks(layout, held.events, [0], as_of)))]


def _blocks(
    layout: EventLayout, events: Events, firsts: list[int], as_of: datetime
) -> Iterator[bytes]:
    if layout.tile is None:
        yield from packed_apart(layout, events, firsts)
        return
    for first, end in pairwise([*firsts, len(events.events)]):
        own = part_of(events, first, end)
        tiles, _ = tiled(layout, own, (0,), micros(as_of.astimezone(UTC)))
        yield bytes(packed(layout, tiles))


def _joined(one: Keyed, two: Keyed) -> Keyed:
    def each(ones: Sequence[Any], twos: Sequence[Any]) -> list[Any]:
        return [
            [*a, *b] if isinstance(a, list) else np.concatenate([a, b])
            for a, b in zip(ones, twos, strict=True)
        ]

    first, then = one.events, two.events
    return Keyed(
        [*one.keys, *two.keys],
        Events(
            np.concatenate([first.events, then.events]),
            np.concatenate([first.arrivals, then.arrivals]),
            None
            if first.ids is None or then.ids is None
            else np.concatenate([first.ids, then.ids]),
            each(first.cells, then.cells),
            each(first.nulls, then.nulls),
            each(first.flags, then.flags),
        ),
    )
