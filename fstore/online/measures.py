"""Events about to be packed, and what of them counts for each measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fstore.online.event_layout import EventLayout, levels_of

REDUCE = {"sums": np.add, "least": np.minimum, "greatest": np.maximum}
_NEUTRAL = {"sums": 0, "least": np.iinfo(np.int64).max, "greatest": np.iinfo(np.int64).min}


class Events(NamedTuple):
    """Events in order of key, E and A. A cell under a NULL is 0 or empty."""

    events: np.ndarray
    arrivals: np.ndarray
    ids: np.ndarray | None
    cells: Sequence[Any]  # of each value: an array of numbers, or a list of bytes
    nulls: Sequence[np.ndarray]
    flags: Sequence[np.ndarray]


# Doubles that add up to more than one holds are an infinity, as in DuckDB, and nothing to warn of.
unwarned = np.errstate(over="ignore", invalid="ignore")


def measured(
    layout: EventLayout, events: Events, place: int
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Return which events count for a measure (None: all), and the lowest of its levels."""
    measure = layout.measures[place]
    if (measure.value, measure.flag) == (None, None):
        return None, {}
    counts = np.ones(len(events.events), bool)
    if measure.flag is not None:
        counts &= events.flags[measure.flag].astype(bool)
    if measure.value is None:
        return counts, {}
    counts &= ~events.nulls[measure.value].astype(bool)
    kind, cells = layout.kinds[measure.value], events.cells[measure.value]
    lowest = {}
    for name, wanted in levels_of(measure):
        if wanted:
            values = kind.as_sums(cells) if name == "sums" else kind.as_ordered(cells)
            lowest[name] = np.where(counts, values, _NEUTRAL[name])
    return counts, lowest


def nothing(layout: EventLayout) -> Events:
    """Return no events."""
    none = np.zeros(0, np.int64)
    cells: list[Any] = [none.astype(kind.dtype) if kind.dtype else [] for kind in layout.kinds]
    ids = none.astype(np.uint64) if layout.identity else None
    flags = [none.astype("u1") for _ in layout.flags]
    return Events(none, none, ids, cells, [none.astype("u1") for _ in layout.values], flags)
