"""Find: for each spine row the E of the row to see, from keys and clocks alone.

Every way gives the same rows, ``<join>_found``: the spine row's place and time, the keys, and E.
A spine row without a visible row has none. Which of the rows with that E is the one to see is
settled when they are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from fstore.compile.clocks import Clocks, arrives_by_row, stamped
from fstore.compile.places import Places
from fstore.compile.request import Join
from fstore.compile.spine import NAME, Spine, SpineNames, asked_keys, from_spine
from fstore.compile.sql import (
    aliased,
    any_value,
    cte,
    joined,
    quoted,
    select,
    subquery_as,
    table_as,
    table_of,
)
from fstore.compile.visibility import (
    arrived,
    at_same_time,
    fresh,
    happened_by,
    kept_columns,
    newest_known,
    reach,
    stretch,
    visible,
    visible_since,
)
from fstore.definitions import Column

ROW = "row"  # the alias of a view's row
FOUND = "found"  # the alias of what was found for a spine row


@dataclass(frozen=True)
class Search:
    """One join of a request with the names that its part of the query uses.

    ``computed`` names the CTE that holds the view's rows where reading it means computing it;
    ``places`` says how they are numbered, where the plan reads them by number.
    """

    join: Join
    built: tuple[Column, ...]
    spine: Spine
    names: SpineNames
    computed: str | None = None
    places: Places | None = None

    @property
    def clocks(self) -> Clocks:
        return Clocks.of(self.join.view, self.built)

    @property
    def found(self) -> str:
        return f"{self.join.name}_found"

    @property
    def as_of(self) -> exp.Expr:
        return quoted(self.names.as_of, self.names.alias)

    def source(self) -> exp.Expr:
        """Return the view's rows, as they were built."""
        if self.computed is not None:
            return exp.table_(self.computed, quoted=True)
        numbered = self.places.rows() if self.places else None
        return table_of(self.join.view.relation) if numbered is None else numbered

    def rows(self, kept: tuple[str, ...] = ()) -> exp.Expr:
        """Return the view's rows with their clocks, under the alias ``row``."""
        return subquery_as(stamped(self.join.view, self.built, kept, self.source()), ROW)

    def numbered_rows(self) -> exp.Expr:
        """Return the same, each with its number where rows are numbered."""
        return self.rows((self.places.number,) if self.places else ())

    def asked_keys(self) -> list[tuple[str, exp.Expr]]:
        """Return each join key with the spine's value of it."""
        return asked_keys(self.join, self.built, self.spine, self.names)

    def same_keys(self) -> list[exp.Expr]:
        """Return the equality of each join key of a row with the spine's."""
        return [exp.EQ(this=value, expression=quoted(key, ROW)) for key, value in self.asked_keys()]

    def as_found(self) -> list[exp.Expr]:
        """Return that a row has the keys and the E that were found for a spine row."""
        event_time = self.clocks.event_time
        keys = [
            exp.EQ(this=quoted(key, FOUND), expression=quoted(key, ROW))
            for key, _ in self.join.keys
        ]
        return [*keys, at_same_time(self.clocks, ROW, quoted(event_time, FOUND))]

    def asked(self) -> list[exp.Expr]:
        """Return the columns of ``found`` that the spine gives: place, time, keys."""
        return [
            quoted(self.names.row, self.names.alias),
            self.as_of,
            *(aliased(value, key) for key, value in self.asked_keys()),
        ]


def _greatest(search: Search, pairs: exp.Select) -> exp.CTE:
    """Return ``found`` of a query that selects place, time and keys of pairs: the greatest E.

    It groups by the place alone, whose distinct values the engine can count: by them it estimates
    how few rows come out, and so on which side of the next join they belong.
    """
    place, *carried = pairs.expressions  # time, keys
    if not search.join.view.created_timestamp:
        carried = carried[1:]
    event_time = search.clocks.event_time
    same = [aliased(any_value(it.unalias()), it.alias_or_name) for it in carried]
    newest = aliased(exp.Max(this=quoted(event_time, ROW)), event_time)
    pairs.set("expressions", [place, *same, newest])
    pairs.set("group", exp.Group(expressions=[place.copy()]))
    return cte(search.found, pairs, kept=True)


def _winners(search: Search, pairs: exp.Select) -> list[exp.CTE]:
    """Return ``found`` of a query that selects place, time and keys of pairs.

    Where rows are numbered, the pairs are kept with their numbers, and what ends in
    ``<join>_places`` says which rows have the E that was found, and their A: several, where rows
    tie. Then these are fetched by number alone.
    """
    if search.places is None:
        return [_greatest(search, pairs)]
    names, event_time, recorded = search.names, search.clocks.event_time, search.clocks.recorded
    place, number = pairs.expressions[0], quoted(search.places.number, ROW)
    clocks = [quoted(clock, ROW) for clock in (event_time, recorded) if clock]
    pairs.set("expressions", [place, *clocks, aliased(number, names.place)])
    kept = pairs_name(search)
    greatest = _greatest(search, select([quoted(names.row, ROW)], table_as(kept, ROW)))

    places = _places(search, table_as(kept, ROW), same_pair(search))
    return [cte(kept, pairs, kept=True), greatest, places]


def _places(search: Search, numbered: exp.Expr, on: list[exp.Expr]) -> exp.CTE:
    """Return ``<join>_places``: which numbered rows, under the alias ``row``, were found."""
    names, clocks = search.names, search.clocks
    values = [quoted(names.row, FOUND), quoted(clocks.event_time, FOUND)]
    if clocks.recorded:
        values.append(quoted(clocks.recorded, ROW))
    query = select([*values, quoted(names.place, ROW)], table_as(search.found, FOUND))
    query.append("joins", joined(numbered, on))
    return cte(places_name(search), query, kept=True)


def same_pair(search: Search) -> list[exp.Expr]:
    """Return that a pair is of the spine row that was found, and has the E that was."""
    row = search.names.row
    return [
        exp.EQ(this=quoted(row, FOUND), expression=quoted(row, ROW)),
        at_same_time(search.clocks, ROW, quoted(search.clocks.event_time, FOUND)),
    ]


def bounded(search: Search) -> list[exp.CTE]:
    """Compare each spine row with every row of its key: a hash join, then the greatest E."""
    view, clocks = search.join.view, search.clocks
    pair = [*search.same_keys(), *visible(view, clocks, ROW, search.as_of)]
    query = select(search.asked(), from_spine(search.names))
    query.append("joins", joined(search.numbered_rows(), pair))
    return _winners(search, query)


def bucketed(search: Search) -> list[exp.CTE]:
    """Compare each spine row with the rows of its key in two stretches of time, each a ttl long."""
    view, clocks, names = search.join.view, search.clocks, search.names
    name = f"{search.join.name}_stretches"
    own = stretch(view, search.as_of)
    before = exp.Sub(this=own.copy(), expression=exp.Literal.number(1))
    parts = [
        select([*search.asked(), aliased(place, names.stretch)], from_spine(names))
        for place in (own, before)
    ]
    stretches = cte(name, exp.union(*parts, distinct=False), kept=True)

    keys = [key for key, _ in search.join.keys]
    q = quoted(names.as_of, names.alias)
    pair: list[exp.Expr] = [
        exp.EQ(this=quoted(key, names.alias), expression=quoted(key, ROW)) for key in keys
    ]
    pair.append(
        exp.EQ(
            this=quoted(names.stretch, names.alias),
            expression=stretch(view, quoted(clocks.event_time, ROW)),
        )
    )
    pair += visible(view, clocks, ROW, q)
    asked = [quoted(column, names.alias) for column in (names.row, names.as_of, *keys)]
    query = select(asked, table_as(name, names.alias))
    query.append("joins", joined(search.numbered_rows(), pair))
    return [stretches, *_winners(search, query)]


def asof(search: Search) -> list[exp.CTE]:
    """Look up each spine row's time among the ordered times of its key: an ASOF join.

    Only rows whose key the spine asks for are put in order.
    """
    if not search.join.keys:
        return [_looked_up(search, search.source())]
    asked = cte(asked_name(search), _asked_rows(search))
    return [asked, _looked_up(search, exp.table_(asked_name(search), quoted=True))]


def placed(search: Search) -> list[exp.CTE]:
    """Do as :func:`asof`, and keep the numbers of the rows whose key is asked for.

    What ends in ``<join>_places`` is ``found`` with the numbers, and the A, of all rows that have
    the keys and the E that were found and are known: several, where rows tie.
    """
    names, asked = search.names, asked_name(search)
    assert search.places is not None, "the plan was taken for rows that are numbered"
    rows = _asked_rows(search)
    rows.select(aliased(quoted(search.places.number, ROW), names.place), copy=False)
    source = exp.table_(asked, quoted=True)
    found = _looked_up(search, source.copy())

    numbered = stamped(search.join.view, search.built, (names.place,), source)
    on = search.as_found()
    if arrives_by_row(search.join.view):
        on.append(arrived(search.clocks, ROW, quoted(names.as_of, FOUND)))
    return [cte(asked, rows, kept=True), found, _places(search, subquery_as(numbered, ROW), on)]


def asked_name(search: Search) -> str:
    """Return the name of the CTE of the rows whose key the spine asks for."""
    return f"{search.join.name}_asked"


def places_name(search: Search) -> str:
    """Return the name of the CTE that the winners' row numbers are kept in."""
    return f"{search.join.name}_places"


def _asked_rows(search: Search) -> exp.Select:
    """Return keys and clocks of the rows whose key the spine asks for; without keys, of all."""
    view = search.join.view
    needed = dict.fromkeys((*view.join_keys, view.event_timestamp))
    if view.created_timestamp:
        needed[view.created_timestamp] = None
    rows = select(
        [quoted(column, ROW) for column in needed],
        exp.alias_(search.source(), ROW, table=True, quoted=True),
    )
    if search.join.keys:
        spine = table_as(NAME, search.names.alias)
        rows.append("joins", joined(spine, search.same_keys(), kind="SEMI"))
    return rows


def _looked_up(search: Search, source: exp.Expr) -> exp.CTE:
    """Return ``found``: each spine row's time looked up among the times of ``source``."""
    view, clocks = search.join.view, search.clocks
    if arrives_by_row(view):
        ordered = newest_known(view, search.built, source)
        since = visible_since(clocks, ROW, search.as_of)
    else:
        ordered = stamped(view, search.built, (), source)
        since = happened_by(clocks, ROW, reach(view, search.as_of))
    event_time = quoted(clocks.event_time, ROW)
    query = select([*search.asked(), event_time], from_spine(search.names))
    on = [*search.same_keys(), since]
    query.append("joins", joined(subquery_as(ordered, ROW), on, method="ASOF"))
    within = fresh(view, clocks, ROW, search.as_of)
    if within:
        query.where(*within, copy=False)
    return cte(search.found, query, kept=True)


def pairs(search: Search, features: tuple[str, ...]) -> list[exp.CTE]:
    """Keep every visible pair of a spine row and a row, with its features: one pass for few pairs.

    Only ``found`` and the fetch of the winners are left to do among these pairs.
    """
    view, clocks, names = search.join.view, search.clocks, search.names
    kept = kept_columns(view, search.built, features)
    pair = [*search.same_keys(), *visible(view, clocks, ROW, search.as_of)]
    values = [*search.asked(), *(quoted(name, ROW) for name in kept)]
    values.append(quoted(clocks.event_time, ROW))
    if clocks.recorded:
        values.append(quoted(clocks.recorded, ROW))
    query = select(values, from_spine(names))
    query.append("joins", joined(search.rows(kept), pair))
    name = pairs_name(search)
    keys = [key for key, _ in search.join.keys]
    asked: list[exp.Expr] = [quoted(column, ROW) for column in (names.row, names.as_of, *keys)]
    return [
        cte(name, query, kept=True),
        _greatest(search, select(asked, table_as(name, ROW))),
    ]


def pairs_name(search: Search) -> str:
    """Return the name of the CTE that pairs of a spine row and a row are kept in."""
    return f"{search.join.name}_pairs"
