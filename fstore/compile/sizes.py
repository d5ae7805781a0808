"""The queries that say how much work a join is, before a plan is taken for it."""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.find import ROW, Search
from fstore.compile.spine import spine_rows
from fstore.compile.sql import (
    aliased,
    cte,
    joined,
    quoted,
    row_count,
    select,
    table_as,
)
from fstore.compile.visibility import happened_within

SAMPLE_ROWS = 100_000  # of a view: enough to see what share of it has which keys
COUNTS = "counts"


def share_to_look_at(rows: int) -> float:
    """Return the percentage of a view of so many rows that is looked at."""
    return 100.0 if rows <= 2 * SAMPLE_ROWS else max(0.01, round(100 * SAMPLE_ROWS / rows, 2))


def estimate(search: Search, percent: float) -> exp.Select:
    """Compile one row about a sample of the view: its size, and what of it the spine asks for.

    ``sampled`` rows; of them ``matched`` have a key that the spine asks for and an E that any spine
    row could see; ``pairs`` counts them with each spine row of their key. ``spine_rows`` are all of
    the spine, ``first`` and ``last`` its times in microseconds since 1970; NULL where infinite.
    """
    spine = search.names
    keys = [aliased(value, key) for key, value in search.asked_keys()]
    grouped = select([*keys, aliased(row_count(), COUNTS)], table_as("spine", spine.alias))
    grouped.set("group", exp.Group(expressions=[value.unalias().copy() for value in keys]))
    time = quoted(spine.as_of)
    ends = select(
        [
            aliased(row_count(), "spine_rows"),
            aliased(exp.Min(this=time), "first"),
            aliased(exp.Max(this=time.copy()), "last"),
        ],
        exp.table_("spine", quoted=True),
    )
    same = [
        exp.EQ(this=quoted(key, ROW), expression=quoted(key, "asked"))
        for key, _ in search.asked_keys()
    ]
    within = happened_within(
        search.join.view, search.clocks, ROW, quoted("first", "ends"), quoted("last", "ends")
    )
    asked = exp.and_(quoted(COUNTS, "asked").is_(exp.null()).not_(), *within)
    share = exp.Where(this=asked)
    pairs = exp.Filter(this=exp.Sum(this=quoted(COUNTS, "asked")), expression=share)
    query = select(
        [
            aliased(row_count(), "sampled"),
            aliased(exp.Filter(this=row_count(), expression=share.copy()), "matched"),
            aliased(exp.Coalesce(this=pairs, expressions=[exp.Literal.number(0)]), "pairs"),
            _end(quoted("spine_rows")),
            _end(_micros(quoted("first"))),
            _end(_micros(quoted("last"))),
        ],
        _sampled(search, percent),
    )
    query.append("joins", joined(table_as("asked", "asked"), same, side="LEFT"))
    query.append("joins", exp.Join(this=table_as("ends", "ends"), kind="CROSS"))
    ctes = [
        spine_rows(search.spine, spine),
        cte("asked", grouped),
        cte("ends", ends),
    ]
    query.set("with_", exp.With(expressions=ctes))
    return query


def _end(value: exp.Expr) -> exp.Subquery:
    return exp.Subquery(this=select([value], exp.table_("ends", quoted=True)))


def _micros(time: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="EPOCH_US", expressions=[time])


def _sampled(search: Search, percent: float) -> exp.Expr:
    """Return the view's rows, or a share of them."""
    source = search.rows()
    if percent < 100:
        table = source.find(exp.Table)
        assert table is not None
        share = exp.Literal.number(f"{percent:g}")
        table.set("sample", exp.TableSample(method=exp.var("SYSTEM"), percent=share))
    return source
