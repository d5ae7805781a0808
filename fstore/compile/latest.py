"""The generation query: per key the row to see at K, and every known row of its future.

As in a training set, winners are found among keys and clocks alone, and fetched as whole rows
afterwards; here a winner is known by its keys and E.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from fstore.compile.carried import carried, flagged, flags
from fstore.compile.clocks import Clocks, stamped
from fstore.compile.find import FOUND, ROW
from fstore.compile.handed import handed
from fstore.compile.sql import (
    aliased,
    cte,
    instant,
    is_there,
    joined,
    quoted,
    select,
    subquery_as,
    table_as,
    table_of,
)
from fstore.compile.ties import rows_of, several, without_ties
from fstore.compile.types import find_column
from fstore.compile.visibility import (
    at_same_time,
    kept_columns,
    known,
    knows_future,
    ranked_last_of,
    same_recorded,
    tie_breakers,
)
from fstore.definitions import Column, FeatureView


def stored_columns(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return what a generation holds of a view, in order, with types.

    Join keys, what is carried, a snapshot's end, E, and the created_timestamp that settles ties
    where the view declares one. ``columns`` are those of the built relation.
    """
    clocks = Clocks.of(view, columns)
    known = (*columns, *flags(view, columns))
    names = (*view.join_keys, *kept_columns(view, columns, _carried_names(view, columns)))
    found = [(name, find_column(known, name)) for name in dict.fromkeys(names)]
    stored = [Column(name, column.type) for name, column in found if column]
    stored.append(Column(clocks.event_time, "TIMESTAMP"))
    if clocks.recorded:
        stored.append(Column(clocks.recorded, "TIMESTAMP"))
    return tuple(stored)


def _carried_names(view: FeatureView, columns: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in carried(view, columns))


def latest(
    view: FeatureView, columns: tuple[Column, ...], as_of: datetime, *, computed: bool = True
) -> exp.Select:
    """Compile the rows of one generation as of K = ``as_of``, an aware instant.

    Of the rows known at K: per key the one to see at K, and one row for each later E. ttl and the
    end of a snapshot's row are for the read to judge. With ``known_at: false`` all rows are known.

    The query reads the view several times. ``computed`` has the view's rows computed once and kept;
    False is for a view that is a mere scan: it takes a third of the memory, and less time.
    """
    name = view.identifier
    source = flagged(view, columns, table_of(view.relation))
    ctes: list[exp.CTE] = []
    if computed:
        ctes.append(cte(f"{name}_computed", select([exp.Star()], source), kept=True))
        source = exp.table_(f"{name}_computed", quoted=True)
    generation = _Generation(view, columns, instant(as_of), source)

    times, found, fetched = f"{name}_times", f"{name}_found", f"{name}_fetched"
    tied, settled, rows = f"{name}_tied", f"{name}_settled", f"{name}_rows"
    if generation.clocks.recorded is None:
        ctes.append(cte(found, generation.times(), kept=True))
    else:
        ctes.append(cte(times, generation.times(), kept=True))
        ctes.append(cte(found, generation.arrivals(times), kept=True))
    ctes += [
        cte(fetched, generation.fetched(found), kept=True),
        cte(tied, several(fetched, found, generation.winner), kept=True),
        cte(settled, generation.settled(fetched, tied)),
        cte(rows, without_ties(fetched, tied, settled, generation.one)),
    ]
    stored = [handed(column.name, column.type) for column in stored_columns(view, columns)]
    query = select(stored, exp.table_(rows, quoted=True))
    query.set("with_", exp.With(expressions=ctes))
    return query


@dataclass(frozen=True)
class _Generation:
    """The steps of one generation: K and the view's rows, wherever they are read from."""

    view: FeatureView
    columns: tuple[Column, ...]
    k: exp.Expr
    source: exp.Expr

    @property
    def clocks(self) -> Clocks:
        return Clocks.of(self.view, self.columns)

    @property
    def one(self) -> list[str]:
        """The columns that say of which winner a row is."""
        return [*self.view.join_keys, self.clocks.event_time]

    @property
    def winner(self) -> list[str]:
        """The columns of ``found``: those, and the A to see."""
        return [*self.one, *([self.clocks.recorded] if self.clocks.recorded else [])]

    @property
    def kept(self) -> tuple[str, ...]:
        return kept_columns(self.view, self.columns, _carried_names(self.view, self.columns))

    def rows(self, kept: tuple[str, ...] = ()) -> exp.Subquery:
        """Return the view's rows with their clocks, under the alias ``row``."""
        return subquery_as(stamped(self.view, self.columns, kept, self.source.copy()), ROW)

    def times(self) -> exp.Select:
        """Return of the rows known at K, for each key, the greatest E up to K and each later E."""
        time = quoted(self.clocks.event_time, ROW)
        keys = [quoted(key, ROW) for key in self.view.join_keys]
        query = select([*keys, aliased(exp.Max(this=time), time.name)], self.rows())
        types = {column.name.casefold(): column.type for column in self.columns}
        never_null = [
            is_there(quoted(name, ROW), types.get(name.casefold(), "")) for name in self.one
        ]
        query.where(*never_null, *known(self.view, self.clocks, ROW, self.k.copy()), copy=False)
        groups: list[exp.Expr] = [key.copy() for key in keys]
        if knows_future(self.view) or not keys:
            # Every E up to K falls into one group, each later E is a group of its own.
            reached = exp.Greatest(this=time.copy(), expressions=[self.k.copy()], ignore_nulls=True)
            groups.append(reached)
        query.set("group", exp.Group(expressions=groups))
        return query

    def arrivals(self, times: str) -> exp.Select:
        """Return ``times``, each with the greatest A of the rows known at K that have that E."""
        assert self.clocks.recorded is not None
        one = [quoted(name, FOUND) for name in self.one]
        newest = exp.Max(this=quoted(self.clocks.recorded, ROW))
        query = select([*one, aliased(newest, self.clocks.recorded)], table_as(times, FOUND))
        on = [*self._same_time(), *known(self.view, self.clocks, ROW, self.k.copy())]
        query.append("joins", joined(self.rows(), on))
        query.set("group", exp.Group(expressions=[name.copy() for name in one]))
        return query

    def fetched(self, found: str, carried: tuple[str, ...] = ()) -> exp.Select:
        """Return the rows that have the keys, the E and the A of a winner."""
        stored = dict.fromkeys((*self.view.join_keys, *self.kept))
        clocks = self.winner[len(self.view.join_keys) :]
        values = [quoted(name, ROW) for name in stored] + [quoted(name, FOUND) for name in clocks]
        query = select(values, table_as(found, FOUND))
        on = [*self._same_time(), *same_recorded(self.clocks, ROW, FOUND)]
        query.append("joins", joined(self.rows((*self.kept, *carried)), on))
        return query

    def settled(self, fetched: str, tied: str) -> exp.Select:
        """Return of the rows of each tied winner the greatest.

        What settles a tie is fetched again, for those rows alone, unless all of it is there.
        """
        by = tie_breakers(self.view, self.columns)
        if {name.casefold() for name in by} <= {name.casefold() for name in self.kept}:
            query, alias = rows_of(tied, fetched, self.one), ROW
        else:
            query, alias = self.fetched(tied, by), FOUND
        among = [quoted(name, alias) for name in self.one]
        return query.qualify(ranked_last_of(self.clocks, ROW, among, by), copy=False)

    def _same_time(self) -> list[exp.Expr]:
        keys: list[exp.Expr] = [
            exp.EQ(this=quoted(key, FOUND), expression=quoted(key, ROW))
            for key in self.view.join_keys
        ]
        return [*keys, at_same_time(self.clocks, ROW, quoted(self.clocks.event_time, FOUND))]
