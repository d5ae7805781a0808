"""Ties: whether several rows came for one winner, and how the rest goes on without them.

``one`` are the columns that say of which winner a row is. What settles a tie is not for this file:
see :func:`fstore.compile.visibility.ranked_last`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.find import FOUND, ROW
from fstore.compile.sql import identifier, joined, quoted, row_count, select, table_as


def several(fetched: str, found: str, one: Sequence[str]) -> exp.Select:
    """Return the winners for which more than one row came; each of ``found`` is one winner.

    The counts of the two tell whether there are any, so that otherwise no row is grouped.
    """

    def count(name: str) -> exp.Expr:
        return exp.Subquery(this=select([row_count()], exp.table_(name, quoted=True)))

    more = exp.GT(this=count(fetched), expression=count(found))
    query = select([quoted(name) for name in one], exp.table_(fetched, quoted=True))
    query.where(more, copy=False)
    query.set("group", exp.Group(expressions=[quoted(name) for name in one]))
    two = exp.GT(this=row_count(), expression=exp.Literal.number(1))
    query.set("having", exp.Having(this=two))
    return query


def rows_of(tied: str, fetched: str, one: Sequence[str]) -> exp.Select:
    """Return the rows of ``fetched``, under the alias ``row``, that came for tied winners."""
    every = exp.Column(this=exp.Star(), table=identifier(ROW))
    query = select([every], table_as(fetched, ROW))
    query.append("joins", joined(table_as(tied, FOUND), _same(one, ROW, FOUND), kind="SEMI"))
    return query


def without_ties(fetched: str, tied: str, settled: str, one: Sequence[str]) -> exp.Query:
    """Return one row a winner: those of ``fetched`` that are not tied, and the settled ones."""
    single = select([exp.Star()], table_as(fetched, "fetched"))
    same = _same(one, "fetched", "tied")
    single.append("joins", joined(table_as(tied, "tied"), same, kind="ANTI"))
    rest = select([exp.Star()], exp.table_(settled, quoted=True))
    return exp.union(single, rest, distinct=False)


def _same(one: Sequence[str], left: str, right: str) -> list[exp.Expr]:
    return [exp.EQ(this=quoted(name, left), expression=quoted(name, right)) for name in one]
