"""What a warehouse tells of the work before it is done: rows, pairs, and what is a mere scan."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache, partial
from typing import Any

import duckdb

from fstore.compile.find import Search
from fstore.compile.plans import (
    FEW,
    Plan,
    Sizes,
    Taken,
    WindowPlan,
    choose,
    choose_windows,
    without_look,
)
from fstore.compile.request import Columns, FeatureRequest, Join, columns_asked, windows_asked
from fstore.compile.sizes import estimate, share_to_look_at
from fstore.compile.spine import SPINE_ROWS, Spine, SpineNames
from fstore.compile.sql import render, select_all
from fstore.compile.visibility import settles_ties
from fstore.definitions import Duration, FeatureView
from fstore.offline.places import places_of
from fstore.offline.progress import run
from fstore.project import Project

SPINE_COUNT = "SELECT count(*) FROM (FROM temp.main.entity_df LIMIT $1)"
LOOKING = "Looking at a sample"
# The operators of what is read as it is stored: reading it once more costs a scan, no work.
_SCANS = ("SCAN", "PROJECTION", "FILTER", "READ_", "TABLE_FUNCTION")
_ORDERS = ("ORDER_BY", "LIMIT", "TOP_N")  # a spine's, which its rows' places need in any case


def plans_for(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    request: FeatureRequest,
    columns: Columns,
    spine: Spine,
    forced: Plan | WindowPlan | None,
    spine_rows: int | None,
) -> dict[str, Taken]:
    """Return the plan to take for each join, by its name.

    Looks at a sample of each view; neither a plan forced for all that is asked of it nor a short
    spine asks for that. ``spine_rows`` is None for a spine that is SQL; where that is more than a
    scan, it is not run for this.
    """
    for_rows = forced if isinstance(forced, Plan) else None
    for_windows = forced if isinstance(forced, WindowPlan) else None
    can_look = spine_rows is not None or (
        stored(connection, SPINE_ROWS, (*_SCANS, *_ORDERS)) is not None
    )
    if can_look and spine_rows is None:
        ((spine_rows,),) = connection.execute(SPINE_COUNT, [FEW + 1]).fetchall()
    names = SpineNames.of(request.joins, columns, spine)
    views = list(dict.fromkeys(join.view for join in request.joins))
    places = places_of(connection, views, columns, project.directory)
    unique = _unique(connection, request, columns)

    @cache
    def source_of(view: FeatureView) -> Stored | None:
        return stored(connection, select_all(view.relation))

    def looked_at(join: Join, look_back: Duration | None, features: int) -> Sizes | None:
        source = source_of(join.view)
        if not can_look or not join.keys or source is None:
            return None
        within = replace(join, view=replace(join.view, ttl=look_back))
        search = Search(within, columns[join.view.reference], spine, names)
        return _looked_at(connection, search, source, features)

    taken = {}
    for join in request.joins:
        view, no_ties = join.view, join.view in unique
        windows = windows_asked(request, join)
        features = len(columns_asked(request, join))
        wanted = for_rows
        if wanted is Plan.BUCKETED and view.ttl is None:
            wanted = None  # of its rows the times alone are needed, or the plan would be refused
        sizes = wide = one = None
        if windows and for_windows is None:
            longest = max((it.window for it in windows), key=lambda it: it.seconds)
            wide = looked_at(join, longest, features)
        if features or wanted is Plan.PLACED:
            one = without_look(join, places.get(view), wanted, spine_rows, unique=no_ties)
        if one is None:
            if features and wanted is None:
                sizes = looked_at(join, view.ttl, features)
            elif wide is not None:
                sizes = replace(wide, visible=None, stretched=None)
            computed = source_of(view) is None
            one = choose(join, sizes, wanted, places.get(view), computed=computed, unique=no_ties)
        if windows:
            found = choose_windows(join, wide, for_windows)
            one = replace(one, windows=found, rows=features > 0)
        taken[join.name] = one
    return taken


def _unique(
    connection: duckdb.DuckDBPyConnection, request: FeatureRequest, columns: Columns
) -> set[FeatureView]:
    """Return the views of which a constraint of the warehouse lets no two rows tie.

    A test that passed is not asked: it speaks of the rows as they were, and two counts in the query
    itself, which cost next to nothing, speak of them as they are.
    """
    rows = connection.execute(
        "SELECT database_name, schema_name, table_name, constraint_column_names "
        "FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE')"
    ).fetchall()
    constraints: dict[tuple[str, ...], list[list[str]]] = {}
    for *name, constrained in rows:
        constraints.setdefault(tuple(name), []).append(constrained)
    return {
        join.view
        for join in request.joins
        for constrained in constraints.get(astuple(join.view.relation), ())
        if settles_ties(join.view, columns[join.view.reference], constrained)
    }


@dataclass(frozen=True)
class Stored:
    """What a query reads that only reads: how many rows lie there, and whether it filters them."""

    rows: int
    filtered: bool


def stored(
    connection: duckdb.DuckDBPyConnection, sql: str, allowed: Sequence[str] = _SCANS
) -> Stored | None:
    """Return what EXPLAIN tells of a query, from metadata alone.

    None where it does more than read what is stored: a join, an aggregate, anything computed.
    """
    text = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()[0][1]
    operators = list(_operators(json.loads(text)))
    if not all(any(word in str(each["name"]).upper() for word in allowed) for each in operators):
        return None
    told = [each.get("extra_info", {}) for each in operators]
    rows = max((int(each.get("Estimated Cardinality") or 0) for each in told), default=0)
    filtered = any("Filters" in each for each in told)
    return Stored(rows, filtered or any("FILTER" in str(each["name"]) for each in operators))


def _operators(plan: Any) -> Iterator[dict[str, Any]]:
    for node in plan if isinstance(plan, list) else [plan]:
        yield node
        yield from _operators(node.get("children", []))


def _looked_at(
    connection: duckdb.DuckDBPyConnection, search: Search, source: Stored, features: int
) -> Sizes:
    """Return the sizes that the counts of a sample stand for."""
    percent = share_to_look_at(source.rows)
    query = partial(connection.execute, render(estimate(search, percent)))
    ((sampled, matched, pairs, spine_rows, first, last),) = run(
        LOOKING, query, connection
    ).fetchall()
    scale = 100 / percent if source.filtered or not sampled else source.rows / sampled
    every = round(pairs * scale)
    visible = stretched = None
    ttl = search.join.view.ttl
    if ttl is not None:
        length = ttl.seconds * 1_000_000
        reached = length if first is None or last is None else last - first + length
        visible = round(every * length / reached)
        stretched = round(every * min(1.0, 2 * length / reached))
    rows, asked = round(sampled * scale), round(matched * scale)
    return Sizes(rows, spine_rows or 0, asked, every, visible, stretched, features)
