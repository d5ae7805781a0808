"""The order of a key's events: E, and of events that share an E their rank, made for those alone.

What settles a tie are all remaining columns, and a view may have a thousand of them. So they are
compared once, before windows look at events, and only where rows tie: the place of an event in time
is one number, and without ties no other column is read.
"""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.find import ROW, Search
from fstore.compile.spine import NAME
from fstore.compile.sql import (
    aliased,
    identifier,
    joined,
    quoted,
    row_count,
    select,
    subquery_as,
    table_as,
)
from fstore.compile.versions import order_of_ties
from fstore.compile.visibility import tie_breakers

_TIED = "tied"
_RANKS = 1 << 40  # more than one E of one key has rows; times it, every E is a HUGEINT


def can_tie(search: Search) -> bool:
    """Whether two rows of one key and E may differ in what is left to settle it."""
    return bool(search.clocks.recorded or tie_breakers(search.join.view, search.built))


def shared_times(search: Search, rows: exp.Expr, *, asked_for: bool) -> exp.Select:
    """Return the keys and E that several rows have; ``asked_for``: of keys of the spine alone."""
    one = _one(search)
    query = select([quoted(name, ROW) for name in one], rows)
    if asked_for and search.join.keys:
        spine = table_as(NAME, search.names.alias)
        query.append("joins", joined(spine, search.same_keys(), kind="SEMI"))
    query.set("group", exp.Group(expressions=[quoted(name, ROW) for name in one]))
    several = exp.GT(this=row_count(), expression=exp.Literal.number(1))
    query.set("having", exp.Having(this=several))
    return query


def alone(search: Search, tied: str, rows: exp.Expr) -> exp.Subquery:
    """Return the rows, under the alias ``row``, with an E where they share it with no other.

    An anti join would say the same, of which the engine expects a fifth of the rows: the next join
    then builds its table of the events, and not of the spine.
    """
    time = search.clocks.event_time
    free = quoted(time, _TIED).is_(exp.null())
    own = aliased(exp.Case().when(free, quoted(time, ROW)), time)
    every = exp.Column(this=exp.Star(replace=[own]), table=identifier(ROW))
    return _beside(search, tied, every, rows, side="LEFT")


def sharing(search: Search, tied: str, rows: exp.Expr) -> exp.Subquery:
    """Return the rows that share their E."""
    every = exp.Column(this=exp.Star(), table=identifier(ROW))
    return _beside(search, tied, every, rows, kind="SEMI")


def place_alone(search: Search) -> exp.Expr:
    """Return the place in time of an event that shares its E with none: after it comes more."""
    micros = exp.Anonymous(this="EPOCH_US", expressions=[quoted(search.clocks.event_time)])
    return exp.Mul(this=exp.cast(micros, "HUGEINT"), expression=exp.Literal.number(_RANKS))


def place_among(search: Search) -> exp.Expr:
    """Return that of an event among those of its E, by A and the remaining columns."""
    ties = order_of_ties(search.join.view, search.built, search.clocks)
    rank = exp.Window(
        this=exp.Rank(),
        partition_by=[quoted(name) for name in _one(search)],
        order=exp.Order(expressions=[exp.Ordered(this=ties, desc=False, nulls_first=False)]),
        over="OVER",
    )
    return exp.Add(this=place_alone(search), expression=rank)


def _one(search: Search) -> list[str]:
    """Return the columns of which equal values are a tie."""
    return [*(key for key, _ in search.asked_keys()), search.clocks.event_time]


def _beside(
    search: Search, tied: str, every: exp.Expr, rows: exp.Expr, *, side: str = "", kind: str = ""
) -> exp.Subquery:
    same = [exp.EQ(this=quoted(name, ROW), expression=quoted(name, _TIED)) for name in _one(search)]
    query = select([every], rows)
    query.append("joins", joined(table_as(tied, _TIED), same, side=side, kind=kind))
    return subquery_as(query, ROW)
