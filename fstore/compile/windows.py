"""Window features: for each spine row, aggregates of the events of its windows.

Every way gives the same rows, ``<join>_windows``: the spine row's place and its features. They are
merged of bands (:mod:`fstore.compile.window_bands`), and the ways differ in how bands are made.

- ``bands`` looks at each event of each spine row.
- ``tiles`` cuts the events of every key into tiles (:mod:`fstore.compile.window_tiles`), and looks
  at tiles where it can: at hundreds of them, perhaps, instead of at a hundred thousand events.
- ``mixed`` does that for keys with many events and many spine rows, and ``bands`` for all others.
"""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.plans import WindowPlan
from fstore.compile.sql import cte, is_there, quoted
from fstore.compile.types import find_column
from fstore.compile.window_bands import Windows
from fstore.compile.window_tiles import bands_of_edges, bands_of_tiles, cold, cut, edges, hot, tiles
from fstore.compile.window_types import COUNTS
from fstore.definitions import WindowFeature


def windowed(windows: Windows, plan: WindowPlan) -> list[exp.CTE]:
    """Return the CTEs of a join's windows, which end in those of :meth:`Windows.sources`."""
    name = windows.name
    steps = [cte(name("bounds"), windows.bounds(), kept=True), *windows.events.ctes()]
    if windows.merging:
        steps += _bands(windows, plan)
        if windows.parts.has_squares:
            steps.append(cte(name("means"), windows.means()))
        steps.append(cte(name("windows"), windows.merged()))
    if windows.counted:
        steps.append(cte(name("distinct"), windows.distinct()))
    return steps


def _bands(windows: Windows, plan: WindowPlan) -> list[exp.CTE]:
    """Return the steps that end in ``<join>_bands``."""
    name = windows.name
    mixed = plan is WindowPlan.MIXED and bool(windows.search.join.keys)  # else there is one key
    if plan is WindowPlan.BANDS:
        bands = windows.bands_of_events(name("bounds"))
        return [cte(name("bands"), bands, kept=windows.parts.has_squares)]  # then read twice
    steps: list[exp.CTE] = []
    parts: list[exp.Query] = []
    if mixed:
        steps.append(cte(name("hot"), hot(windows), kept=True))
        steps.append(cte(name("cold"), cold(windows)))
        parts.append(windows.bands_of_events(name("cold")))
    steps.append(cte(name("cut"), cut(windows, only_hot=mixed), kept=True))
    steps.append(cte(name("tiles"), tiles(windows), kept=True))
    steps.append(cte(name("edges"), edges(windows), kept=True))
    parts += [bands_of_tiles(windows), bands_of_edges(windows)]
    union = parts[0]
    for more in parts[1:]:
        union = exp.union(union, more, distinct=False, copy=False)
    return [*steps, cte(name("bands"), union)]


def value_of(windows: Windows, feature: WindowFeature, row: exp.Expr, q: exp.Expr) -> exp.Expr:
    """Return a feature of a spine row, given what ``row`` found for it.

    Where nothing was found counts are 0, but for a NULL key or q.
    """
    if feature.function not in COUNTS:
        return row
    names = windows.search.names
    given = [is_there(q)]
    for _, key in windows.search.join.keys:
        column = find_column(windows.search.spine.columns, key)
        assert column is not None, "keys were checked before compiling"
        given.append(is_there(quoted(key, names.alias), column.type))
    there = exp.and_(*given[1:], given[0], copy=False)
    return exp.Case().when(there, exp.Coalesce(this=row, expressions=[exp.Literal.number(0)]))
