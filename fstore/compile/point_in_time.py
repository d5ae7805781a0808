"""The training query: every spine row once, in order, with the features to see at its time."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from fstore.compile import find
from fstore.compile.clocks import Clocks
from fstore.compile.fetch import fetched, matches, rows_name, winning_pairs
from fstore.compile.find import Search
from fstore.compile.plans import Plan, Taken
from fstore.compile.request import (
    Columns,
    FeatureRequest,
    Join,
    window_of,
    windows_asked,
)
from fstore.compile.spine import Spine, SpineNames, from_spine, spine_rows
from fstore.compile.sql import (
    aliased,
    ascending,
    cte,
    joined,
    quoted,
    select,
    table_as,
    table_of,
    zoned,
)
from fstore.compile.types import find_column, unused
from fstore.compile.visibility import still_valid
from fstore.compile.window_bands import Windows
from fstore.compile.window_types import window_type
from fstore.compile.windows import value_of, windowed
from fstore.definitions import Column, FeatureView

FIND = {
    Plan.ASOF: find.asof,
    Plan.BOUNDED: find.bounded,
    Plan.BUCKETED: find.bucketed,
    Plan.PAIRS: find.bounded,  # where the features of the pairs are not wanted
}


def event_timestamp_name(join: Join) -> str:
    """Return the name under which include_event_timestamps returns a join's E."""
    return f"{join.name}__event_timestamp"


def point_in_time(
    request: FeatureRequest,
    columns: Columns,
    spine: Spine,
    plans: Mapping[str, Taken],
    *,
    include_event_timestamps: bool = False,
) -> exp.Select:
    """Compile the training set: the spine's passed columns, then the features as asked.

    ``plans`` says by the join's name how its winners are found. Each join becomes CTEs that end in
    ``<join>_rows``, the features by the place of the spine row; the last SELECT puts them beside
    the spine, in its order.
    """
    names = SpineNames.of(request.joins, columns, spine)
    features = _features_by_join(request)
    ctes = [spine_rows(spine, names), *_computed(request, plans)]
    values: list[exp.Expr] = [quoted(name, names.alias) for name in spine.passed]
    q = quoted(names.as_of, names.alias)
    joins, matched, windows = [], {}, {}

    def beside(rows: str, alias: str) -> None:
        here = exp.EQ(this=quoted(names.row, names.alias), expression=quoted(names.row, alias))
        joins.append(joined(table_as(rows, alias), [here], side="LEFT"))

    for join in request.joins:
        built, taken = columns[join.view.reference], plans[join.name]
        search = Search(join, built, spine, names, _computed_name(join.view, taken))
        if features[join.name] or include_event_timestamps:
            ctes += found_and_fetched(search, taken, features[join.name])
            beside(rows_name(search), join.name)
            matched[join.name] = still_valid(join.view, built, join.name, q)
        if asked := windows_asked(request, join):
            assert taken.windows is not None, "a plan was taken for the windows"
            windows[join.name] = Windows(search, asked)
            ctes += windowed(windows[join.name], taken.windows.plan)
            for source in windows[join.name].sources():
                beside(source, _alias(source, request, names))

    for output in request.outputs:
        window = window_of(output)
        if window is None:
            value = _where(matched[output.join.name], quoted(output.feature, output.join.name))
        else:
            of = windows[output.join.name]
            found = quoted(window.name, _alias(of.source_of(window), request, names))
            value = value_of(of, window, found, q)
        values.append(aliased(value, output.name))
    for join in request.joins if include_event_timestamps else ():
        event_time = Clocks.of(join.view, columns[join.view.reference]).event_time
        seen = zoned(_where(matched[join.name], quoted(event_time, join.name)))
        values.append(aliased(seen, event_timestamp_name(join)))

    query = select(values, from_spine(names))
    query.set("with_", exp.With(expressions=ctes))
    query.set("joins", joins)
    query.set("order", exp.Order(expressions=[ascending(names.row, names.alias)]))
    return query


def output_columns(
    request: FeatureRequest, columns: Columns, spine: Spine, *, include_event_timestamps: bool
) -> tuple[Column, ...]:
    """Return the columns of the compiled query's result, with their types."""
    passed = [find_column(spine.columns, name) for name in spine.passed]
    features = []
    for output in request.outputs:
        relation, window = columns[output.join.view.reference], window_of(output)
        if window is not None:
            features.append(Column(output.name, window_type(window, relation)))
            continue
        built = find_column(relation, output.feature)
        assert built is not None, "features were resolved against these columns"
        features.append(Column(output.name, built.type))
    stamped = request.joins if include_event_timestamps else ()
    times = [Column(event_timestamp_name(join), "TIMESTAMP WITH TIME ZONE") for join in stamped]
    return (*(column for column in passed if column), *features, *times)


def found_and_fetched(search: Search, taken: Taken, features: tuple[str, ...]) -> list[exp.CTE]:
    """Return the CTEs of one join, by the plan that was taken for it."""
    if taken.plan is Plan.PAIRS:
        found, first = find.pairs(search, features), winning_pairs(search, features)
    else:
        found, first = FIND[taken.plan](search), matches(search, features)
    return found + fetched(search, features, first, unique=taken.unique)


def _alias(source: str, request: FeatureRequest, names: SpineNames) -> str:
    """Return the alias of a step beside the spine, which no join has."""
    return unused(source, (names.alias, *(join.name for join in request.joins)))


def _features_by_join(request: FeatureRequest) -> dict[str, tuple[str, ...]]:
    """Return the columns that each join must carry."""
    carried: dict[str, list[str]] = {join.name: [] for join in request.joins}
    for output in request.outputs:
        if window_of(output) is None:
            carried[output.join.name].append(output.feature)
    return {name: tuple(features) for name, features in carried.items()}


def _computed_name(view: FeatureView, taken: Taken) -> str | None:
    return f"{view.identifier}_computed" if taken.computed else None


def _computed(request: FeatureRequest, plans: Mapping[str, Taken]) -> list[exp.CTE]:
    """Return the rows of each view that is more than a scan, computed once for all who read it."""
    views = {join.view: None for join in request.joins if plans[join.name].computed}
    return [
        cte(f"{view.identifier}_computed", select([exp.Star()], table_of(view.relation)), kept=True)
        for view in views
    ]


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
    if not any(column.type in types for column in columns):
        return query
    query = query.copy()
    for value, column in zip(query.expressions, columns, strict=True):
        if column.type in types:
            wanted = exp.DataType.build(types[column.type], dialect="duckdb")
            value.replace(aliased(exp.cast(value.unalias(), wanted), column.name))
    return query
