"""The rows to train on, as every query about them sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from fstore.compile.clocks import Clocks, as_utc
from fstore.compile.computed import Computed
from fstore.compile.keys import comparable
from fstore.compile.request import Columns, Join
from fstore.compile.sql import (
    aliased,
    ascending,
    cte,
    instant,
    is_there,
    over,
    quoted,
    subquery_as,
    table_as,
    try_cast,
    zoned,
)
from fstore.compile.types import find_column, unused
from fstore.compile.visibility import clocked, fresh
from fstore.definitions import Column, FeatureView

# Where a job puts the spine: a temporary view, so that it hides no relation of the warehouse.
SPINE = exp.table_("entity_df", db="main", catalog="temp", quoted=True)
SPINE_ROWS = "SELECT * FROM temp.main.entity_df"
NAME = "spine"  # of the CTE


@dataclass(frozen=True)
class Spine:
    """The rows to train on, as the compiler sees them: a temporary view ``entity_df``.

    ``position`` names the column that holds each row's place where the view has one; None where
    the view's own order counts. ``passed`` are the columns that the query returns.
    """

    columns: tuple[Column, ...]
    event_timestamp: str
    position: str | None = None
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpineNames:
    """What the query calls the spine: its alias, each row's place, its time in UTC."""

    alias: str
    row: str
    as_of: str
    stretch: str
    place: str

    @classmethod
    def of(cls, joins: Sequence[Join | Computed], columns: Columns, spine: Spine) -> SpineNames:
        """Choose names that no column of the spine or of a joined view has."""
        built = [column for join in joins for column in columns[join.view.reference]]
        taken = tuple(dict.fromkeys(column.name for column in (*spine.columns, *built)))
        return cls(
            alias=unused(NAME, tuple(join.name for join in joins)),
            row=unused("spine_row", taken),
            as_of=unused("as_of", taken),
            stretch=unused("stretch", taken),
            place=unused("place", taken),
        )


def spine_rows(spine: Spine, names: SpineNames, every: int = 1) -> exp.CTE:
    """Return the CTE of the spine with each row's place, and its time in UTC.

    It is kept, so that every part of the query sees the same places. ``every`` above 1 leaves a
    sample: the rows whose place it divides.
    """
    time = find_column(spine.columns, spine.event_timestamp)
    assert time is not None, "the spine's time column was checked before compiling"
    position = quoted(spine.position) if spine.position else over(exp.RowNumber())
    rows = exp.select(
        exp.Star(),
        aliased(position, names.row),
        aliased(as_utc(quoted(time.name), time.type), names.as_of),
    ).from_(SPINE.copy())
    if every > 1:
        place = exp.Mod(this=position.copy(), expression=exp.Literal.number(every))
        condition = exp.EQ(this=place, expression=exp.Literal.number(0))
        rows = rows.where(condition) if spine.position else rows.qualify(condition)
    return cte(NAME, rows, kept=True)


def from_spine(names: SpineNames) -> exp.Expr:
    """Return the spine as a source of rows, under its alias."""
    return table_as(NAME, names.alias)


def asked_keys(
    join: Join, built: tuple[Column, ...], spine: Spine, names: SpineNames
) -> list[tuple[str, exp.Expr]]:
    """Return each join key of the view with the spine's value in a form that equals it truly."""
    asked = []
    for key, column in join.keys:
        ours, theirs = find_column(built, key), find_column(spine.columns, column)
        assert ours is not None and theirs is not None, "keys were checked before compiling"
        value = comparable(quoted(theirs.name, names.alias), theirs.type, ours.type)
        asked.append((ours.name, value))
    return asked


def unfit(column: Column, kind: str, position: str) -> exp.Select:
    """Compile the first row of a spine's column whose value does not convert to this type.

    Its place in the spine, then the value. A NaN, which is NULL to a request field, converts.
    """
    value = quoted(column.name)
    return (
        exp.select(quoted(position), value)
        .from_(SPINE.copy())
        .where(is_there(value, column.type), try_cast(value.copy(), kind).is_(exp.null()))
        .order_by(ascending(position))
        .limit(1)
    )


def spineless(
    views: Sequence[FeatureView], columns: Columns, start: datetime | None, end: datetime | None
) -> exp.Select:
    """Compile the spine of a request without one: when each key's rows became visible.

    One row per distinct join keys and instant, from ``start`` to ``end`` inclusive (None: open),
    ordered by time and then keys. The views share one set of join keys.
    """
    keys = views[0].join_keys
    parts: list[exp.Query] = []
    for view in views:
        built = columns[view.reference]
        clocks = Clocks.of(view, built)
        visible_from = quoted(clocks.visible_from)
        part = exp.select(
            *(quoted(key) for key in keys),
            aliased(zoned(visible_from), "event_timestamp"),
        ).from_(subquery_as(clocked(view, built, ()), "seen"))
        # A row that arrives when it is older than its ttl never becomes visible.
        for within in fresh(view, clocks, "seen", visible_from):
            part = part.where(within)
        if start is not None:
            part = part.where(exp.GTE(this=visible_from.copy(), expression=instant(start)))
        if end is not None:
            part = part.where(exp.LTE(this=visible_from.copy(), expression=instant(end)))
        parts.append(part.distinct())
    rows = parts[0] if len(parts) == 1 else exp.union(*parts, distinct=True)
    return (
        exp.select(exp.Star())
        .from_(subquery_as(rows, "instants"))
        .order_by(*(ascending(name) for name in ("event_timestamp", *keys)))
    )
