"""Which arrays the events of a view are kept in: what its windows ask for, and no more.

Events lie key by key, in order of (E, A). Of n events there are

    events, arrivals   E and A, microseconds since 1970 in UTC
    ids                a hash of the event_key, where there is one
    cells, nulls       of each column that is aggregated
    flags              whether the event meets each condition of ``where``

and of each measure (a column under a condition) what its functions need:

    valid              how many events before each one count: not NULL, and the condition is met
    sums               the column, 0 where the event does not count; and sums of 32 of them, of 32
                       of those, ...: a window is a few pieces of each, and nothing is subtracted
    least, greatest    the column as integers of the same order, with the minima or maxima of 32
    suffixes           of each of these, what an event and all later ones of its key come to

Where all windows begin at multiples of a ``hop`` and nothing can correct an event (there is no
``event_key``), the events of a hop that is over when they are published count as one: a **tile**.
Then only its time, its counts, sums and extremes are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np

from fstore.compile.carried import conditions, flags, identity, values
from fstore.compile.types import find_column
from fstore.definitions import Column, FeatureView, WindowFeature
from fstore.online.event_values import ValueKind, kind_of

FAN = 32  # how many entries of a level one of the next stands for
LEVELS = 5  # with the lowest
CHUNK = FAN ** (LEVELS - 2)  # events written at once: whole entries of all levels but the highest

REFERENCE = np.dtype([("offset", "<u8"), ("length", "<u4")])
INT, DOUBLE, COUNT, BYTE = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<u4"), np.dtype("u1")
ID = np.dtype("<u8")


@dataclass(frozen=True)
class Measure:
    """A column, by its place among the values, under a condition, by its place among the flags."""

    value: int | None  # None: events are counted
    flag: int | None  # None: every event counts
    sums: bool
    least: bool
    greatest: bool
    mergeable: bool = True  # whether each of its functions can be read from levels


@dataclass(frozen=True)
class EventLayout:
    """The arrays of a view of events."""

    key_types: tuple[str, ...]
    identity: tuple[Column, ...]
    values: tuple[Column, ...]
    flags: tuple[Column, ...]
    measures: tuple[Measure, ...]
    tile: int | None = None  # microseconds

    @classmethod
    def of(cls, view: FeatureView, columns: tuple[Column, ...]) -> EventLayout:
        """Return the layout for a view whose built relation has these columns."""
        keys = [find_column(columns, key) for key in view.join_keys]
        aggregated = values(view, columns)
        asked: dict[tuple[int | None, int | None], set[str]] = {}
        for feature in view.windows:
            place = measure_place(view, columns, feature)
            asked.setdefault(place, set()).add(feature.function)
        measures = []
        for (value, flag), functions in asked.items():
            kind = None if value is None else kind_of(aggregated[value].type)
            is_number = kind is not None and kind.number is not None
            is_ordered = kind is not None and kind.is_ordered
            measures.append(
                Measure(
                    value,
                    flag,
                    sums=is_number and bool(functions & {"sum", "avg", "stddev"}),
                    least=is_ordered and "min" in functions,
                    greatest=is_ordered and "max" in functions,
                    mergeable=(is_number or not functions & {"sum", "avg"})
                    and (is_ordered or not functions & {"min", "max"}),
                )
            )
        return cls(
            tuple(key.type for key in keys if key),
            identity(view, columns),
            aggregated,
            flags(view, columns),
            tuple(measures),
            _tile(view, measures),
        )

    @cached_property
    def kinds(self) -> tuple[ValueKind, ...]:
        return tuple(kind_of(column.type) for column in self.values)

    def arrays(self, count: int) -> dict[tuple[Any, ...], tuple[np.dtype[Any], int]]:
        """Return every array of a block of so many events: its name, its type and its length."""
        found: dict[tuple[Any, ...], tuple[np.dtype[Any], int]] = {("events",): (INT, count)}
        if self.tile is None:
            found |= self._of_each_event(count)
        for place, measure in enumerate(self.measures):
            if self.counts(measure):
                found["valid", place] = (COUNT, count + 1)
            if measure.value is None:
                continue
            is_float = self.kinds[measure.value].number == "float"
            for name, wanted in levels_of(measure):
                if wanted:
                    dtype = DOUBLE if name == "sums" and is_float else INT
                    for level in range(LEVELS):
                        found[name, place, level] = (dtype, count // FAN**level)
                    found["suffixes", name, place] = (DOUBLE if is_float else INT, count)
        return found

    def _of_each_event(self, count: int) -> dict[tuple[Any, ...], tuple[np.dtype[Any], int]]:
        found: dict[tuple[Any, ...], tuple[np.dtype[Any], int]] = {("arrivals",): (INT, count)}
        if self.identity:
            found["ids",] = (ID, count)
        for place, kind in enumerate(self.kinds):
            found["cells", place] = (kind.dtype or REFERENCE, count)
            found["nulls", place] = (BYTE, count)
        for place in range(len(self.flags)):
            found["flags", place] = (BYTE, count)
        return found

    def counts(self, measure: Measure) -> bool:
        """Whether it is written down how many events count for a measure, for it may not be all."""
        return self.tile is not None or (measure.value, measure.flag) != (None, None)


def _tile(view: FeatureView, measures: Sequence[Measure]) -> int | None:
    """Return how long tiles are, in microseconds: every hop is a multiple of it."""
    hops = [feature.hop.seconds for feature in view.windows if feature.hop is not None]
    if view.event_key or len(hops) < len(view.windows):
        return None
    for feature in view.windows:
        if feature.function not in ("count", "sum", "avg", "min", "max"):
            return None
    merged = all(it.value is None or it.mergeable for it in measures)
    return gcd(*hops) * 1_000_000 if merged else None


def levels_of(measure: Measure) -> tuple[tuple[str, bool], ...]:
    """Return what a measure can have levels of, and whether it has."""
    return ("sums", measure.sums), ("least", measure.least), ("greatest", measure.greatest)


def measure_place(
    view: FeatureView, columns: tuple[Column, ...], feature: WindowFeature
) -> tuple[int | None, int | None]:
    """Return the places of a feature's column among the values, and of its condition."""
    value = None
    if feature.column is not None:
        column = find_column(columns, feature.column)
        value = values(view, columns).index(column) if column else None
    flag = None if feature.where is None else conditions(view).index(feature.where)
    return value, flag
