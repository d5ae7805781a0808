"""Writes what a block has of each measure: how many count, sums and extremes of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fstore.online.event_layout import FAN, LEVELS, EventLayout
from fstore.online.event_tiles import Tiles
from fstore.online.measures import REDUCE, Events, measured, unwarned
from fstore.online.suffixes import SuffixWriter

# Takes an array's name, some of its items, and the place of the first.
Store = Callable[[tuple[Any, ...], np.ndarray, int], None]


@dataclass(frozen=True)
class MeasureWriter:
    """Takes the entries of a block in chunks of CHUNK but for the last."""

    layout: EventLayout
    wide: int  # a bit for each measure whose sums have no levels
    store: Store
    _counted: dict[int, int] = field(default_factory=dict)  # by measure, so far
    _below_highest: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)

    @cached_property
    def _suffixes(self) -> SuffixWriter:
        return SuffixWriter(self._store_suffixes)

    @unwarned
    def add(self, chunk: Events | Tiles, done: int, firsts: np.ndarray) -> None:
        """Store what follows from a chunk, before which so many entries came.

        At ``firsts`` of it a key begins.
        """
        for place in range(len(self.layout.measures)):
            counts, lowest = (
                (chunk.counts[place], chunk.lowest[place])
                if isinstance(chunk, Tiles)
                else measured(self.layout, chunk, place)
            )
            if counts is not None:
                self._count(place, counts, done)
            for name, level in lowest.items():
                self.store((name, place, 0), level, done)
                if name == "sums" and self.wide >> place & 1:
                    continue
                self._suffixes.add((name, place), level, done, firsts)
                for number in range(1, LEVELS - 1):
                    level = _next_level(name, level)
                    self.store((name, place, number), level, done // FAN**number)
                self._below_highest.setdefault((name, place), []).append(level)

    def _count(self, place: int, counts: np.ndarray, done: int) -> None:
        so_far = self._counted.get(place, 0) + np.cumsum(counts)
        if not done:
            self.store(("valid", place), np.zeros(1), 0)
        self.store(("valid", place), so_far, done + 1)
        if len(so_far):
            self._counted[place] = int(so_far[-1])

    def _store_suffixes(self, of: tuple[str, int], found: np.ndarray, at: int) -> None:
        self.store(("suffixes", *of), suffix_cells(self.layout, *of, found), at)

    @unwarned
    def finish(self) -> None:
        """Store the highest levels, of which an entry stands for many chunks; the last suffixes."""
        self._suffixes.finish()
        for (name, place), levels in self._below_highest.items():
            highest = _next_level(name, np.concatenate(levels))
            self.store((name, place, LEVELS - 1), highest, 0)


def suffix_cells(layout: EventLayout, name: str, place: int, found: np.ndarray) -> np.ndarray:
    """Return the suffixes of a measure as they are kept."""
    value = layout.measures[place].value
    assert value is not None, "without a column, events are counted"
    return found if name == "sums" else layout.kinds[value].as_suffixes(found)


def _next_level(name: str, level: np.ndarray) -> np.ndarray:
    """Return an entry for each FAN of a level; the last few, where they are fewer, have none."""
    whole = level[: len(level) // FAN * FAN].reshape(-1, FAN)
    found: np.ndarray = REDUCE[name].reduce(whole, axis=1)
    return found
