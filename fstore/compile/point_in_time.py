"""The training query: every spine row once, in order, with the features to see at its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlglot import exp

from fstore.compile import find
from fstore.compile.beside import Beside
from fstore.compile.computed import ZONED_TIME, Computed, type_of
from fstore.compile.fetch import fetched, fetched_by_number, matches, winning_pairs
from fstore.compile.find import Search
from fstore.compile.on_demand import Place, times_read, values_ctes
from fstore.compile.plans import Plan, Taken
from fstore.compile.request import Columns, FeatureRequest, Join, columns_asked, windows_asked
from fstore.compile.spine import Spine, SpineNames, from_spine, spine_rows
from fstore.compile.sql import (
    aliased,
    ascending,
    cte,
    quoted,
    select,
    table_of,
)
from fstore.compile.types import find_column
from fstore.compile.window_bands import Windows
from fstore.compile.windows import windowed
from fstore.definitions import Column, FeatureView

FIND = {
    Plan.ASOF: find.asof,
    Plan.BOUNDED: find.bounded,
    Plan.BUCKETED: find.bucketed,
    Plan.PAIRS: find.bounded,  # where the features of the pairs are not wanted
    Plan.PLACED: find.asof,  # the same
}


def event_timestamp_name(join: Join | Computed) -> str:
    """Return the name under which include_event_timestamps returns a join's E.

    Of an on-demand view it is the newest of its inputs'.
    """
    return f"{join.name}__event_timestamp"


class PointInTime(NamedTuple):
    """A training set as steps, what of them stands beside the spine, and the columns read of it."""

    names: SpineNames
    ctes: list[exp.CTE]
    beside: Beside
    values: list[exp.Expr]

    def in_order(self) -> exp.Select:
        """Return the columns, in the spine's order."""
        names = self.names
        query = self._of(self.values, from_spine(names), self.beside.joins(self.values))
        query.set("order", exp.Order(expressions=[ascending(names.row, names.alias)]))
        return query

    def with_places(self) -> exp.Select:
        """Return the place of each row in the spine, then the columns, in no order.

        Spine rows that have nothing but NULL may be left out.
        """
        row, values = self.names.row, self.values
        alone = self.beside.rows_alone(values)
        if alone is not None:
            return self._of([quoted(row, alone.alias), *values], alone, [])
        place = quoted(row, self.names.alias)
        return self._of([place, *values], from_spine(self.names), self.beside.joins(values))

    def _of(
        self, values: list[exp.Expr], source: exp.Expr, joins: Sequence[exp.Join]
    ) -> exp.Select:
        query = select(values, source)
        query.set("with_", exp.With(expressions=self.ctes))
        query.set("joins", list(joins))
        return query


def point_in_time(
    request: FeatureRequest,
    columns: Columns,
    spine: Spine,
    plans: Mapping[str, Taken],
    *,
    include_event_timestamps: bool = False,
) -> PointInTime:
    """Compile the training set: the spine's passed columns, then the features as asked.

    ``plans`` says by the join's name how its winners are found. Each join becomes CTEs that end in
    ``<join>_rows``, the features by the place of the spine row, and each on-demand view some that
    end in ``<view>_values``; the last SELECT puts them beside the spine.
    """
    names = SpineNames.of((*request.joins, *request.computed), columns, spine)
    beside = Beside(request, spine, names)
    ctes = [spine_rows(spine, names), *_computed(request, plans)]
    values: list[exp.Expr] = [quoted(name, names.alias) for name in spine.passed]
    timed = times_read(request.computed) if not include_event_timestamps else None
    for join in request.joins:
        taken = plans[join.name]
        computed = _computed_name(join.view, taken)
        built = columns[join.view.reference]
        search = Search(join, built, spine, names, computed, taken.places)
        features = columns_asked(request, join)
        if features or timed is None or join.name in timed:
            ctes += found_and_fetched(search, taken, features)
            beside.add_rows(search)
        if asked := windows_asked(request, join):
            assert taken.windows is not None, "a plan was taken for the windows"
            windows = Windows(search, asked)
            ctes += windowed(windows, taken.windows.plan)
            beside.add_windows(windows)
    for found in request.computed:
        place = Place.of(found, columns)
        ctes += values_ctes(
            place,
            found,
            quoted(names.row, names.alias),
            cells := beside.cells(found),
            from_spine(names),
            beside.joins(cells),
            stamped=include_event_timestamps,
        )
        beside.add_values(place)

    for output in request.outputs:
        values.append(aliased(beside.value(output.join, output.feature), output.name))
    for source in request.asked if include_event_timestamps else ():
        values.append(aliased(beside.stamps[source.name].copy(), event_timestamp_name(source)))
    return PointInTime(names, ctes, beside, values)


def output_columns(
    request: FeatureRequest, columns: Columns, spine: Spine, *, include_event_timestamps: bool
) -> tuple[Column, ...]:
    """Return the columns of the compiled query's result, with their types."""
    passed = [find_column(spine.columns, name) for name in spine.passed]
    features = [
        Column(output.name, type_of(output.join.view, columns, output.feature))
        for output in request.outputs
    ]
    stamped = request.asked if include_event_timestamps else ()
    times = [Column(event_timestamp_name(source), ZONED_TIME) for source in stamped]
    return (*(column for column in passed if column), *features, *times)


def found_and_fetched(search: Search, taken: Taken, features: tuple[str, ...]) -> list[exp.CTE]:
    """Return the CTEs of one join, by the plan that was taken for it."""
    if taken.plan is Plan.PAIRS:
        found, first = find.pairs(search, features), winning_pairs(search, features)
    elif taken.places is not None:
        find_numbers = find.placed if taken.plan is Plan.PLACED else FIND[taken.plan]
        return find_numbers(search) + fetched_by_number(search, features, unique=taken.unique)
    else:
        found, first = FIND[taken.plan](search), matches(search, features)
    return found + fetched(search, features, first, unique=taken.unique)


def _computed_name(view: FeatureView, taken: Taken) -> str | None:
    return f"{view.identifier}_computed" if taken.computed else None


def _computed(request: FeatureRequest, plans: Mapping[str, Taken]) -> list[exp.CTE]:
    """Return the rows of each view that is more than a scan, computed once for all who read it."""
    views = {join.view: None for join in request.joins if plans[join.name].computed}
    return [
        cte(f"{view.identifier}_computed", select([exp.Star()], table_of(view.relation)), kept=True)
        for view in views
    ]


def with_types(
    query: exp.Select, columns: tuple[Column, ...], wanted: Callable[[str], str | None]
) -> exp.Select:
    """Return the query with its columns cast to the types wanted for theirs, where there is one."""
    types = [wanted(column.type) for column in columns]
    if not any(types):
        return query
    query = query.copy()
    for value, column, kind in zip(query.expressions, columns, types, strict=True):
        if kind is not None:
            to = exp.DataType.build(kind, dialect="duckdb", udt=True)
            value.replace(aliased(exp.cast(value.unalias(), to), column.name))
    return query
