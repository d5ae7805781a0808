"""The order of a key's events: E, and of events that share an E their rank, made for those alone.

What settles a tie are all remaining columns, and a view may have a thousand of them. So they are
compared once, before windows look at events, and only where rows tie: the place of an event in time
is one number, and without ties no other column is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from fstore.compile.find import ROW, Search
from fstore.compile.spine import NAME
from fstore.compile.sql import (
    aliased,
    cte,
    identifier,
    joined,
    quoted,
    row_count,
    select,
    subquery_as,
    table_as,
)
from fstore.compile.versions import order_of_ties
from fstore.compile.visibility import happened_before, happened_since, tie_breakers

_TIED = "tied"
_ENDS = "ends"
_RANKS = 1 << 40  # more than one E of one key has rows; times it, every E is a HUGEINT


@dataclass(frozen=True)
class Order:
    """What compares the events of one join.

    ``bounds`` is the step that has where each spine row's longest window begins, in ``since``.
    """

    search: Search
    bounds: str
    since: str

    @property
    def can_tie(self) -> bool:
        """Whether two rows of one key and E can differ in what is left to settle it."""
        search = self.search
        return bool(search.clocks.recorded or tie_breakers(search.join.view, search.built))

    def ctes(self, rows: exp.Expr, *, asked_for: bool) -> list[exp.CTE]:
        """Return the steps that end in ``<join>_tied``: the keys and E that several rows have.

        Of these rows those that any window can hold; ``asked_for``: and whose key is in the spine.
        """
        q = self.search.names.as_of
        ends = [exp.Min(this=quoted(self.since)), exp.Max(this=quoted(q))]
        named = [aliased(end, name) for end, name in zip(ends, (self.since, q), strict=True)]
        reach = select(named, exp.table_(self.bounds, quoted=True))

        one = [quoted(name, ROW) for name in self._one]
        query = select(one, rows)
        query.append("joins", joined(table_as(self._name(_ENDS), _ENDS), self._reached()))
        if asked_for and self.search.join.keys:
            spine = table_as(NAME, self.search.names.alias)
            query.append("joins", joined(spine, self.search.same_keys(), kind="SEMI"))
        query.set("group", exp.Group(expressions=[it.copy() for it in one]))
        several = exp.GT(this=row_count(), expression=exp.Literal.number(1))
        query.set("having", exp.Having(this=several))
        steps = [(_ENDS, reach), (_TIED, query)]
        return [cte(self._name(name), step, kept=True) for name, step in steps]

    def alone(self, rows: exp.Expr) -> exp.Subquery:
        """Return the rows, under the alias ``row``; the others have no E.

        These are the ones that share it, or that no window holds. A join that leaves them out would
        say the same, and the engine expects a small part of the rows of that: the next join then
        builds its table of the events, and not of the spine.
        """
        reached = exp.and_(*self._reached(), copy=False)
        held = select([self._timed(reached)], rows)
        held.append("joins", exp.Join(this=table_as(self._name(_ENDS), _ENDS), kind="CROSS"))
        free = quoted(self.search.clocks.event_time, _TIED).is_(exp.null())
        query = select([self._timed(free)], subquery_as(held, ROW))
        query.append("joins", joined(table_as(self._name(_TIED), _TIED), self._same(), side="LEFT"))
        return subquery_as(query, ROW)

    def sharing(self, rows: exp.Expr) -> exp.Subquery:
        """Return the rows that share their E, under the alias ``row``."""
        query = select([exp.Column(this=exp.Star(), table=identifier(ROW))], rows)
        query.append("joins", joined(table_as(self._name(_TIED), _TIED), self._same(), kind="SEMI"))
        return subquery_as(query, ROW)

    def place_alone(self) -> exp.Expr:
        """Return the place in time of an event that shares its E with none."""
        micros = exp.Anonymous(this="EPOCH_US", expressions=[quoted(self.search.clocks.event_time)])
        return exp.Mul(this=exp.cast(micros, "HUGEINT"), expression=exp.Literal.number(_RANKS))

    def place_among(self) -> exp.Expr:
        """Return that of an event among those of its E, by A and the remaining columns."""
        search = self.search
        ties = order_of_ties(search.join.view, search.built, search.clocks)
        rank = exp.Window(
            this=exp.Rank(),
            partition_by=[quoted(name) for name in self._one],
            order=exp.Order(expressions=[exp.Ordered(this=ties, desc=False, nulls_first=False)]),
            over="OVER",
        )
        return exp.Add(this=self.place_alone(), expression=rank)

    @property
    def _one(self) -> list[str]:
        """The columns of which equal values are a tie."""
        return [*(key for key, _ in self.search.asked_keys()), self.search.clocks.event_time]

    def _name(self, step: str) -> str:
        return f"{self.search.join.name}_{step}"

    def _same(self) -> list[exp.Expr]:
        return [exp.EQ(this=quoted(it, ROW), expression=quoted(it, _TIED)) for it in self._one]

    def _reached(self) -> list[exp.Expr]:
        """Return that an event is in the time from the first window's beginning to the last q."""
        time = quoted(self.search.clocks.event_time, ROW)
        since, q = quoted(self.since, _ENDS), quoted(self.search.names.as_of, _ENDS)
        return [happened_before(time, q), happened_since(time, since)]

    def _timed(self, where: exp.Expr) -> exp.Expr:
        """Return all columns of a row, E only where a condition holds."""
        time = self.search.clocks.event_time
        own = aliased(exp.Case().when(where, quoted(time, ROW)), time)
        return exp.Column(this=exp.Star(replace=[own]), table=identifier(ROW))
