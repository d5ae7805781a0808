"""The training query: every spine row once, in order, with the features to see at its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from fstore.compile.keys import comparable
from fstore.compile.request import Columns, FeatureRequest, Join
from fstore.compile.sql import (
    aliased,
    ascending,
    common,
    instant,
    over,
    quoted,
    subquery_as,
    table_as,
    zoned,
)
from fstore.compile.types import find_column, unused
from fstore.compile.visibility import (
    Clocks,
    as_utc,
    clocked,
    holds,
    kept_columns,
    visible_since,
    winners,
)
from fstore.definitions import Column, FeatureView

# Where a job puts the spine: a temporary view, so that it hides no relation of the warehouse.
SPINE = exp.table_("entity_df", db="main", catalog="temp", quoted=True)


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
    """The names that the query gives the spine: its alias, each row's place, its time in UTC."""

    alias: str
    row: str
    as_of: str

    @classmethod
    def of(cls, request: FeatureRequest, spine: Spine) -> SpineNames:
        columns = tuple(column.name for column in spine.columns)
        return cls(
            alias=unused("spine", tuple(join.name for join in request.joins)),
            row=unused("spine_row", columns),
            as_of=unused("as_of", columns),
        )


def event_timestamp_name(join: Join) -> str:
    """Return the name under which include_event_timestamps returns a join's E."""
    return f"{join.name}__event_timestamp"


def point_in_time(
    request: FeatureRequest,
    columns: Columns,
    spine: Spine,
    *,
    include_event_timestamps: bool = False,
) -> exp.Select:
    """Compile the training set: the spine's passed columns, then the features as asked.

    Every view becomes two CTEs, its rows with their clocks and those of them that are ever the
    one to see; an ASOF join then finds, for each spine row, the last that had become visible.
    """
    names = SpineNames.of(request, spine)
    query = (
        exp.select(*(quoted(name, names.alias) for name in spine.passed))
        .from_(table_as("spine", names.alias))
        .order_by(ascending(names.row, names.alias))
    )
    query = common(query, "spine", spine_rows(spine, names))
    for view, features in _features_by_view(request).items():
        built = columns[view.reference]
        query = with_winners(query, view, built, features)

    matched: dict[str, exp.Expr | None] = {}
    for join in request.joins:
        built = columns[join.view.reference]
        query = query.join(asof(join, built, spine, names))
        q = quoted(names.as_of, names.alias)
        matched[join.name] = holds(join.view, built, join.name, q)

    for output in request.outputs:
        value = quoted(output.feature, output.join.name)
        query = query.select(aliased(_where(matched[output.join.name], value), output.name))
    for join in request.joins if include_event_timestamps else ():
        event_time = Clocks.of(join.view, columns[join.view.reference]).event_time
        seen = zoned(_where(matched[join.name], quoted(event_time, join.name)))
        query = query.select(aliased(seen, event_timestamp_name(join)))
    return query


def _features_by_view(request: FeatureRequest) -> dict[FeatureView, tuple[str, ...]]:
    """Return what each view must carry, under all its aliases together."""
    found: dict[FeatureView, dict[str, None]] = {join.view: {} for join in request.joins}
    for output in request.outputs:
        found[output.join.view][output.feature] = None
    return {view: tuple(features) for view, features in found.items()}


def _winners_name(view: FeatureView) -> str:
    return f"{view.identifier}_winners"


def with_winners(
    query: exp.Select, view: FeatureView, built: tuple[Column, ...], features: tuple[str, ...]
) -> exp.Select:
    """Return the query with the view's two CTEs in front of it."""
    rows = f"{view.identifier}_rows"
    query = common(query, rows, clocked(view, built, kept_columns(view, built, features)))
    best = winners(view, Clocks.of(view, built), rows)
    return common(query, _winners_name(view), best)


def spine_rows(spine: Spine, names: SpineNames) -> exp.Select:
    """Return the spine with each row's place, and its time in UTC."""
    time = find_column(spine.columns, spine.event_timestamp)
    assert time is not None, "the spine's time column was checked before compiling"
    position = quoted(spine.position) if spine.position else over(exp.RowNumber())
    return exp.select(
        exp.Star(),
        aliased(position, names.row),
        aliased(as_utc(quoted(time.name), time.type), names.as_of),
    ).from_(SPINE.copy())


def asof(join: Join, built: tuple[Column, ...], spine: Spine, names: SpineNames) -> exp.Join:
    """Return ``ASOF LEFT JOIN winners AS name ON keys AND spine.as_of >= visible_from``."""
    conditions: list[exp.Expr] = []
    for key, column in join.keys:
        ours, theirs = find_column(built, key), find_column(spine.columns, column)
        assert ours is not None and theirs is not None, "keys were checked before compiling"
        asked = comparable(quoted(theirs.name, names.alias), theirs.type, ours.type)
        conditions.append(exp.EQ(this=asked, expression=quoted(ours.name, join.name)))
    clocks, q = Clocks.of(join.view, built), quoted(names.as_of, names.alias)
    conditions.append(visible_since(clocks, join.name, q))
    winning = table_as(_winners_name(join.view), join.name)
    return exp.Join(this=winning, method="ASOF", side="LEFT", on=exp.and_(*conditions))


def _where(condition: exp.Expr | None, value: exp.Expr) -> exp.Expr:
    """Return the winner's value where the winner is a match, else NULL."""
    return value if condition is None else exp.Case().when(condition.copy(), value)


# Arrow has no unsigned integer of 128 bits and would let its upper half wrap around; Parquet has
# none at all and would make a float of it. A cast fails where a value does not fit.
FOR_ARROW = {"UHUGEINT": "HUGEINT"}
FOR_PARQUET = {"HUGEINT": "DECIMAL(38, 0)", "UHUGEINT": "DECIMAL(38, 0)"}


def with_types(
    query: exp.Select, columns: tuple[Column, ...], types: Mapping[str, str]
) -> exp.Select:
    """Return the query with its columns of some types cast to others."""
    query = query.copy()
    for value, column in zip(query.expressions, columns, strict=True):
        if column.type in types:
            wanted = exp.DataType.build(types[column.type], dialect="duckdb")
            value.replace(aliased(exp.cast(value.unalias(), wanted), column.name))
    return query


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
        visible_from = quoted(Clocks.of(view, built).visible_from)
        part = exp.select(
            *(quoted(key) for key in keys),
            aliased(zoned(visible_from), "event_timestamp"),
        ).from_(subquery_as(clocked(view, built, ()), "seen"))
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
