"""Tiles: the events of a hop that is over, as one entry of a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fstore.online.event_layout import EventLayout
from fstore.online.measures import REDUCE, Events, measured, unwarned

_FARTHEST = 2**62  # beyond it a time is an infinity, and in no tile


class Tiles(NamedTuple):
    """Entries of a block in order of key and time: of each measure what counts, and its levels."""

    events: np.ndarray
    counts: Sequence[np.ndarray]
    lowest: Sequence[dict[str, np.ndarray]]


@unwarned
def tiled(
    layout: EventLayout, events: Events, firsts: Sequence[int], as_of: int
) -> tuple[Tiles, np.ndarray]:
    """Return events as tiles, and at which event each begins.

    ``firsts`` are where the events of each key begin. What is not over at ``as_of``, in
    microseconds, stays as it is, each event an entry; so do the events of a hop that may add up
    to more than 64 bits.
    """
    assert layout.tile is not None, "there are hops"
    times = events.events
    numbers = times // layout.tile
    over = (times < as_of - as_of % layout.tile) & (times > -_FARTHEST)
    found = [measured(layout, events, place) for place in range(len(layout.measures))]
    starts = _starts(numbers, over, firsts)
    too_much = _beyond_64_bits([levels["sums"] for _, levels in found if "sums" in levels], starts)
    if too_much.any():
        over &= ~np.repeat(too_much, np.diff(starts, append=len(times)))
        starts = _starts(numbers, over, firsts)
    counts, lowest = [], []
    for each, levels in found:
        one = np.ones(len(times), np.int64) if each is None else each.astype(np.int64)
        counts.append(_reduced(np.add, one, starts))
        lowest.append(
            {name: _reduced(REDUCE[name], level, starts) for name, level in levels.items()}
        )
    at = np.where(over[starts], numbers[starts] * layout.tile, times[starts])
    return Tiles(at, counts, lowest), starts


def _reduced(function: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if not len(starts):
        return values
    found: np.ndarray = function.reduceat(values, starts)
    return found


def _starts(numbers: np.ndarray, over: np.ndarray, firsts: Sequence[int]) -> np.ndarray:
    """Return at which events an entry begins: each hop that is over, each other event."""
    begins = np.ones(len(numbers), bool)
    begins[1:] = (numbers[1:] != numbers[:-1]) | ~over[1:] | ~over[:-1]
    begins[np.array(firsts, np.int64)] = True
    return np.flatnonzero(begins)


def _beyond_64_bits(sums: Sequence[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Return which entries may add up to more than 64 bits hold."""
    found = np.zeros(len(starts), bool)
    for each in sums:
        if each.dtype.kind == "i":
            found |= _reduced(np.add, np.abs(each.astype("<f8")), starts) >= 2.0**62
    return found


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
