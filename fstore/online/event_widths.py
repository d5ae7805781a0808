"""Which sums of many events may not fit 64 bits: such are added up one by one, in Python."""

from __future__ import annotations

from collections.abc import Sequence

from fstore.online.event_layout import FAN, LEVELS, EventLayout
from fstore.online.event_tiles import Tiles
from fstore.online.measures import Events


def extremes(layout: EventLayout, events: Events) -> list[tuple[int, int]]:
    """Return the least and the greatest of each value that is added as an integer; else zeros."""
    found = []
    for kind, cells in zip(layout.kinds, events.cells, strict=True):
        exact = kind.number in ("integer", "decimal") and len(cells)
        found.append((int(cells.min()), int(cells.max())) if exact else (0, 0))
    return found


def wide_measures(layout: EventLayout, count: int, ends: Sequence[tuple[int, int]]) -> int:
    """Return a bit for each measure whose sums of many events may not fit 64 bits."""
    wide = 0
    for place, measure in enumerate(layout.measures):
        if measure.sums and measure.value is not None and _is_wide(count, *ends[measure.value]):
            wide |= 1 << place
    return wide


def wide_tiles(tiles: Tiles) -> int:
    """Return the same of tiles, each of which adds up to 64 bits."""
    wide = 0
    for place, levels in enumerate(tiles.lowest):
        sums = levels.get("sums")
        if sums is not None and sums.dtype.kind == "i" and len(sums):
            wide |= _is_wide(len(sums), int(sums.min()), int(sums.max())) << place
    return wide


def _is_wide(count: int, least: int, greatest: int) -> bool:
    most: int = FAN ** (LEVELS - 1)
    return max(-least, greatest) * min(count, most) >= 2**63
