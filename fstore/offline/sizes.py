"""What a warehouse tells of the work before it is done: rows, pairs, and what is a mere scan."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import duckdb

from fstore.compile.find import Search
from fstore.compile.plans import Plan, Sizes, Taken, choose
from fstore.compile.request import Columns, FeatureRequest, Join
from fstore.compile.sizes import estimate, row_counts
from fstore.compile.spine import Spine, SpineNames
from fstore.compile.sql import render, select_all
from fstore.compile.visibility import settles_ties
from fstore.definitions import FeatureView

# The operators of a relation that is read as it is stored: computing it twice costs a scan more.
_SCANS = ("SCAN", "PROJECTION", "FILTER", "READ_", "TABLE_FUNCTION")


def plans_for(
    connection: duckdb.DuckDBPyConnection,
    request: FeatureRequest,
    columns: Columns,
    spine: Spine,
    forced: Plan | None,
) -> dict[str, Taken]:
    """Return the plan to take for each join, by its name.

    Counts the spine and the views and looks at a sample of each view; a forced plan asks nothing.
    A spine that is more than a scan is not run for this.
    """
    computed = {
        view: not is_scan(connection, select_all(view.relation))
        for view in dict.fromkeys(join.view for join in request.joins)
    }
    sizes: dict[str, Sizes] = {}
    if forced is None and is_scan(connection, "SELECT * FROM temp.main.entity_df"):
        asked = [join for join in request.joins if join.keys and not computed[join.view]]
        sizes = _sizes(connection, request, asked, columns, spine)
    unique = _unique(connection, request, columns)
    return {
        join.name: choose(
            join,
            sizes.get(join.name),
            forced,
            computed=computed[join.view],
            unique=join.view in unique,
        )
        for join in request.joins
    }


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


def is_scan(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether the query only reads what is stored: no join, no aggregate, nothing to compute."""
    text = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()[0][1]
    return all(any(word in name for word in _SCANS) for name in _operators(json.loads(text)))


def _operators(plan: Any) -> list[str]:
    if isinstance(plan, list):
        return [name for node in plan for name in _operators(node)]
    below = [name for node in plan.get("children", []) for name in _operators(node)]
    return [str(plan["name"]).upper(), *below]


def _sizes(
    connection: duckdb.DuckDBPyConnection,
    request: FeatureRequest,
    asked: list[Join],
    columns: Columns,
    spine: Spine,
) -> dict[str, Sizes]:
    if not asked:
        return {}
    some = FeatureRequest(tuple(asked), ())
    spine_rows, *rows = connection.execute(render(row_counts(some))).fetchall()[0]
    names = SpineNames.of(request.joins, columns, spine)
    found = {}
    for join, count in zip(asked, rows, strict=True):
        search = Search(join, columns[join.view.reference], spine, names)
        row = connection.execute(render(estimate(search, count))).fetchall()[0]
        features = sum(output.join == join for output in request.outputs)
        found[join.name] = _scaled(join.view, count, spine_rows, features, *row)
    return found


def _scaled(
    view: FeatureView,
    rows: int,
    spine_rows: int,
    features: int,
    sampled: int,
    matched: int,
    pairs: int,
    first: int | None,
    last: int | None,
) -> Sizes:
    """Return the sizes that the counts of a sample stand for."""
    scale = rows / sampled if sampled else 0.0
    every = round(pairs * scale)
    visible = stretched = None
    if view.ttl is not None:
        ttl = view.ttl.seconds * 1_000_000
        reached = ttl if first is None or last is None else last - first + ttl
        visible = round(every * ttl / reached)
        stretched = round(every * min(1.0, 2 * ttl / reached))
    return Sizes(rows, spine_rows, round(matched * scale), every, visible, stretched, features)
