"""How many spine rows got an older value, or none, because the newest row was not yet known."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from fstore.compile.clocks import arrives_by_row
from fstore.compile.find import FOUND, ROW, Search
from fstore.compile.plans import Taken
from fstore.compile.point_in_time import FIND
from fstore.compile.request import Columns, Join
from fstore.compile.spine import NAME, Spine, SpineNames, spine_rows
from fstore.compile.sql import aliased, cte, identifier, joined, quoted, row_count, select, table_as
from fstore.compile.visibility import (
    arrived,
    kept_columns,
    ranked_last,
    still_valid,
    tie_breakers,
)

LOOKED_AT = 20_000  # spine rows: a share of a fifth is then sure within a hundredth


def can_withhold(join: Join) -> bool:
    """Whether a row of this view can be held back by its created_timestamp."""
    return arrives_by_row(join.view)


def withheld(join: Join, columns: Columns, spine: Spine, taken: Taken, count: int) -> exp.Select:
    """Compile one row: the spine rows that created_timestamp alone withheld a row from, and all.

    The row withheld is the one that would be seen if every row were known when it happened. Of
    a spine of ``count`` rows only some tens of thousands are looked at, evenly, and counted.
    """
    every = max(1, count // LOOKED_AT)
    built = columns[join.view.reference]
    names = SpineNames.of([join], columns, spine)
    by_event = Join(join.name, replace(join.view, known_at=False), join.keys)
    search = Search(by_event, built, spine, names)

    clocks, q = search.clocks, quoted(names.as_of, FOUND)
    known = arrived(clocks, ROW, q)
    valid = still_valid(join.view, built, ROW, q)
    missed = exp.Not(this=exp.Coalesce(this=known, expressions=[exp.false()]))
    late = missed if valid is None else exp.and_(missed, valid)
    # Rows of equal E and A arrive together; which of them is seen matters to a snapshot alone.
    by = tie_breakers(join.view, built) if join.view.snapshot else ()
    newest = select([aliased(late, "late")], table_as(search.found, FOUND))
    rows = Search(join, built, spine, names).rows((*kept_columns(join.view, built, ()), *by))
    newest.append("joins", joined(rows, search.as_found()))
    newest.qualify(ranked_last(clocks, ROW, quoted(names.row, FOUND), by), copy=False)

    whole = exp.Subquery(this=select([row_count()], exp.table_(NAME, quoted=True)))
    counted = exp.Filter(this=row_count(), expression=exp.Where(this=quoted("late")))
    query = select(
        [aliased(counted, "withheld"), exp.Alias(this=whole, alias=identifier("spine_rows"))],
        exp.table_("newest", quoted=True),
    )
    ctes = [spine_rows(spine, names, every), *FIND[taken.plan](search), cte("newest", newest)]
    query.set("with_", exp.With(expressions=ctes))
    return query
