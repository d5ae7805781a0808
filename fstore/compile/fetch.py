"""Fetch: the features of the rows that were found, ties settled, each spine row at most once."""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.clocks import arrives_by_row
from fstore.compile.find import FOUND, ROW, Search, pairs_name, places_name, same_pair
from fstore.compile.sql import cte, joined, quoted, select, subquery_as, table_as
from fstore.compile.ties import rows_of, several, without_ties
from fstore.compile.visibility import (
    arrived,
    kept_columns,
    ranked_last,
    tie_breakers,
)


def fetched(
    search: Search, features: tuple[str, ...], first: exp.Select, *, unique: bool
) -> list[exp.CTE]:
    """Return the CTEs that end in ``<join>_rows``: place, features, E.

    ``first`` fetches them, ties and all: :func:`matches` or :func:`winning_pairs`. ``unique`` says
    that no two rows of the view have equal keys and E, so that there are no ties. Otherwise the
    greatest is kept of the rows of each spine row that fetched more than one; where nothing is
    tied, which two counts tell, that costs next to nothing. What settles a tie is fetched again,
    for those rows alone, unless all of it is there because the request asks for it.
    """
    name = search.join.name
    if unique:
        return [cte(rows_name(search), first)]
    fetched_name, tied, settled = f"{name}_fetched", f"{name}_tied", f"{name}_settled"
    place = search.names.row
    return [
        cte(fetched_name, first, kept=True),
        cte(tied, _tied(search, fetched_name), kept=True),
        cte(settled, _settled(search, features, fetched_name, tied)),
        cte(rows_name(search), without_ties(fetched_name, tied, settled, [place])),
    ]


def rows_name(search: Search) -> str:
    """Return the name of the CTE that holds what each spine row sees of the view."""
    return f"{search.join.name}_rows"


def _columns(search: Search, features: tuple[str, ...]) -> list[exp.Expr]:
    """Return what is fetched: the place, what the features need, E, and the recorded A."""
    kept = kept_columns(search.join.view, search.built, features)
    recorded = search.clocks.recorded
    return [
        quoted(search.names.row, FOUND),
        *(quoted(column, ROW) for column in kept),
        quoted(search.clocks.event_time, FOUND),
        *([quoted(recorded, ROW)] if recorded else []),
    ]


def matches(
    search: Search,
    features: tuple[str, ...],
    among: str | None = None,
    carried: tuple[str, ...] = (),
) -> exp.Select:
    """Return the view's rows that have the keys and the E of a row that was found, and its A."""
    view, on = search.join.view, search.as_found()
    if arrives_by_row(view):
        on.append(arrived(search.clocks, ROW, quoted(search.names.as_of, FOUND)))
    kept = (*kept_columns(view, search.built, features), *carried)
    query = select(_columns(search, features), table_as(among or search.found, FOUND))
    query.append("joins", joined(search.rows(kept), on))
    return query


def winning_pairs(search: Search, features: tuple[str, ...]) -> exp.Select:
    """Return those of the pairs that have the E that was found."""
    query = select(_columns(search, features), table_as(search.found, FOUND))
    query.append("joins", joined(table_as(pairs_name(search), ROW), same_pair(search)))
    return query


def fetched_by_number(search: Search, features: tuple[str, ...], *, unique: bool) -> list[exp.CTE]:
    """Return the CTEs that end in ``<join>_rows``, of winners whose row numbers were found.

    Which spine rows are tied their numbers tell, before any feature is read: no row is kept to be
    counted.
    """
    if unique:
        return [cte(rows_name(search), _at_places(search, features))]
    tied, row = f"{search.join.name}_tied", search.names.row
    untied = _at_places(search, features, joined_with=(tied, "ANTI"))
    by = tie_breakers(search.join.view, search.built)
    all_of_it = _at_places(search, (*features, *by), joined_with=(tied, "SEMI"))
    columns = [quoted(it.alias_or_name, ROW) for it in untied.expressions]
    settled = select(columns, subquery_as(all_of_it, ROW))
    settled.qualify(ranked_last(search.clocks, ROW, quoted(row, ROW), by), copy=False)
    return [
        cte(tied, several(places_name(search), search.found, [row]), kept=True),
        cte(rows_name(search), exp.union(untied, settled, distinct=False)),
    ]


def _at_places(
    search: Search, features: tuple[str, ...], joined_with: tuple[str, str] | None = None
) -> exp.Select:
    """Return the rows that have the numbers that were found: of all, or as the tied ones say.

    The number is the only condition: then the engine knows, before it reads a feature, which rows
    it needs none of.
    """
    assert search.places is not None, "the plan was taken for rows that are numbered"
    clocks, number, row = search.clocks, search.places.number, search.names.row
    kept = kept_columns(search.join.view, search.built, features)
    recorded = [quoted(clocks.recorded, FOUND)] if clocks.recorded else []
    values = [
        quoted(row, FOUND),
        *(quoted(column, ROW) for column in kept),
        quoted(clocks.event_time, FOUND),
        *recorded,
    ]
    query = select(values, table_as(places_name(search), FOUND))
    if joined_with is not None:
        tied, kind = joined_with
        one = exp.EQ(this=quoted(row, FOUND), expression=quoted(row, "tied"))
        query.append("joins", joined(table_as(tied, "tied"), [one], kind=kind))
    same = exp.EQ(this=quoted(search.names.place, FOUND), expression=quoted(number, ROW))
    rows = exp.alias_(search.source(), ROW, table=True, quoted=True)
    query.append("joins", joined(rows, [same]))
    return query


def _tied(search: Search, fetched_name: str) -> exp.Select:
    """Return the rows of ``found`` for which more than one row came."""
    row = search.names.row
    tied = several(fetched_name, search.found, [row])
    query = select([exp.Star()], table_as(search.found, FOUND))
    return query.where(exp.In(this=quoted(row, FOUND), query=tied.subquery()), copy=False)


def _settled(search: Search, features: tuple[str, ...], fetched_name: str, tied: str) -> exp.Select:
    """Return of the rows of each tied spine row the greatest."""
    place = search.names.row
    by = tie_breakers(search.join.view, search.built)
    kept = {name.casefold() for name in kept_columns(search.join.view, search.built, features)}
    if {name.casefold() for name in by} <= kept:
        query = rows_of(tied, fetched_name, [place])
        among = quoted(place, ROW)
    else:
        query = matches(search, features, tied, by)
        among = quoted(place, FOUND)
    return query.qualify(ranked_last(search.clocks, ROW, among, by), copy=False)
