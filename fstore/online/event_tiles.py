"""Tiles: the events of a hop that is over, as one entry of a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fstore.errors import QueryError
from fstore.online.event_layout import EventLayout
from fstore.online.measures import REDUCE, Events, measured

_FARTHEST = 2**62  # beyond it a time is an infinity, and in no tile


class Tiles(NamedTuple):
    """Entries of a block in order of key and time: of each measure what counts, and its levels."""

    events: np.ndarray
    counts: Sequence[np.ndarray]
    lowest: Sequence[dict[str, np.ndarray]]


def tiled(
    layout: EventLayout, events: Events, firsts: Sequence[int], as_of: int
) -> tuple[Tiles, np.ndarray]:
    """Return events as tiles, and at which event each begins.

    ``firsts`` are where the events of each key begin. What is not over at ``as_of``, in
    microseconds, stays as it is, each event an entry.
    """
    assert layout.tile is not None, "there are hops"
    times = events.events
    numbers = times // layout.tile
    over = (times < as_of - as_of % layout.tile) & (times > -_FARTHEST)
    begins = np.ones(len(times), bool)
    begins[1:] = (numbers[1:] != numbers[:-1]) | ~over[1:] | ~over[:-1]
    begins[np.array(firsts, np.int64)] = True
    starts = np.flatnonzero(begins)
    counts, lowest = [], []
    for place, measure in enumerate(layout.measures):
        each, levels = measured(layout, events, place)
        one = np.ones(len(times), np.int64) if each is None else each.astype(np.int64)
        counts.append(_reduced(np.add, one, starts))
        lowest.append(
            {name: _reduced(REDUCE[name], level, starts) for name, level in levels.items()}
        )
        sums = levels.get("sums")
        if sums is not None and sums.dtype.kind == "i":
            _check(layout, measure.value, _reduced(np.add, np.abs(sums.astype("<f8")), starts))
    at = np.where(over[starts], numbers[starts] * layout.tile, times[starts])
    return Tiles(at, counts, lowest), starts


def _reduced(function: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if not len(starts):
        return values
    found: np.ndarray = function.reduceat(values, starts)
    return found


def _check(layout: EventLayout, value: int | None, sizes: np.ndarray) -> None:
    """Raise QueryError where the events of one hop add up to more than 64 bits hold."""
    if value is not None and len(sizes) and sizes.max() >= 2.0**62:
        raise QueryError(
            f"The values of {layout.values[value].name} within one hop add up to more than a "
            "BIGINT holds: cast the column to DOUBLE, or give the view an event_key."
        )


def joined(parts: Sequence[Tiles]) -> Tiles:
    """Return tiles that come one behind the other as one."""
    if len(parts) == 1:
        return parts[0]
    return Tiles(
        np.concatenate([each.events for each in parts]),
        [np.concatenate(every) for every in zip(*(each.counts for each in parts), strict=True)],
        [
            {name: np.concatenate([levels[name] for levels in every]) for name in every[0]}
            for every in zip(*(each.lowest for each in parts), strict=True)
        ],
    )


def part_of(tiles: Tiles, first: int, end: int) -> Tiles:
    """Return some of the tiles."""
    return Tiles(
        tiles.events[first:end],
        [counts[first:end] for counts in tiles.counts],
        [{name: level[first:end] for name, level in each.items()} for each in tiles.lowest],
    )
