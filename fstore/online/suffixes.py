"""What the events of a key from each one on add up to: sums and extremes of every suffix.

A window nearly always ends with the newest event of its key, for what is asked about is now. Its
sum and its extremes are then read from one place each. Nothing is subtracted, so no digit is lost:
what is under an event was added up from the newest event back to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fstore.online.measures import REDUCE, unwarned

# Events that a suffix has at most; the next ones of a key are in the next. Sums are as those of the
# highest level, and a key of any size is written in little memory.
REACH = 2**20
_LONG = 64  # events from which on a key is added up by itself

# Takes the place of an array, some of its items, and the place of the first.
Store = Callable[[tuple[str, int], np.ndarray, int], None]


@dataclass(frozen=True)
class SuffixWriter:
    """Takes the lowest levels of a block in chunks; stores the suffixes of keys that are whole."""

    store: Store
    _open: dict[tuple[str, int], tuple[int, list[np.ndarray]]] = field(default_factory=dict)

    def add(self, name: tuple[str, int], level: np.ndarray, done: int, firsts: np.ndarray) -> None:
        """Take in a chunk, before which so many entries came; at ``firsts`` of it keys begin."""
        begin, held = self._open.get(name, (done, []))
        held.append(level)
        starts = firsts + (done - begin)  # in what is held
        count = done - begin + len(level)
        open_from = int(starts[-1]) if len(starts) else 0
        whole = open_from + (count - open_from) // REACH * REACH
        if whole:
            values = np.concatenate(held)
            self._store(name, begin, values, whole, starts)
            held = [values[whole:]]
        self._open[name] = begin + whole, held

    def finish(self) -> None:
        """Store the suffixes of the last key."""
        for name, (begin, held) in self._open.items():
            values = np.concatenate(held)
            self._store(name, begin, values, len(values), np.zeros(0, np.int64))

    def _store(
        self, name: tuple[str, int], begin: int, values: np.ndarray, whole: int, starts: np.ndarray
    ) -> None:
        found = suffixes(REDUCE[name[0]], values[:whole], starts[starts < whole])
        self.store(name, found, begin)


@unwarned
def suffixes(reduce: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return of each value what it and those after it of its key come to.

    ``starts`` are the places where a key begins; the first key may have begun before. Of a key with
    more than REACH events, each REACH of them are by themselves.
    """
    edges = np.unique(np.concatenate([[0], starts, [len(values)]])).astype(np.int64)
    lengths = np.diff(edges)
    found = values.copy()
    for place in np.flatnonzero(lengths >= _LONG).tolist():
        for first in range(edges[place], edges[place + 1], REACH):
            end = min(first + REACH, int(edges[place + 1]))
            found[first:end] = reduce.accumulate(values[first:end][::-1])[::-1]
    if (lengths >= _LONG).all():
        return found
    # Of the short ones, all at once: what covers as many events as ``step`` is put to what begins
    # where it ends, so that it covers twice as many.
    left = np.repeat(edges[1:], lengths) - np.arange(len(values))  # events to the end of the key
    left[np.repeat(lengths, lengths) >= _LONG] = 0
    step = 1
    while step < _LONG and (left > step).any():
        reduce(found[:-step], found[step:], out=found[:-step], where=left[:-step] > step)
        step *= 2
    return found
