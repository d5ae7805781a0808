"""The queries that say how much work a join is, before a plan is taken for it."""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.find import ROW, Search
from fstore.compile.request import FeatureRequest
from fstore.compile.spine import SPINE, spine_rows
from fstore.compile.sql import (
    aliased,
    any_value,
    cte,
    joined,
    quoted,
    select,
    table_as,
    table_of,
)
from fstore.compile.visibility import happened_within

SAMPLE_ROWS = 100_000  # of a view: enough to see what share of it has which keys
COUNTS = "counts"


def row_counts(request: FeatureRequest) -> exp.Select:
    """Compile one row: how many rows the spine has, and then each view, in order of the joins."""
    sources = [SPINE.copy(), *(table_of(join.view.relation) for join in request.joins)]
    counts = [exp.Subquery(this=select([_every()], source)) for source in sources]
    return exp.Select(expressions=[aliased(c, f"rows_{i}") for i, c in enumerate(counts)])


def estimate(search: Search, rows: int) -> exp.Select:
    """Compile one row about a sample of the view: its size, and what of it the spine asks for.

    ``sampled`` rows; of them ``matched`` have a key that the spine asks for and an E that any spine
    row could see; ``pairs`` counts them with each spine row of their key. ``first`` and ``last``
    are the spine's times, in microseconds since 1970; NULL where they are infinite.
    """
    spine = search.names
    keys = [aliased(value, key) for key, value in search.asked_keys()]
    grouped = select([*keys, aliased(_every(), COUNTS)], table_as("spine", spine.alias))
    grouped.set("group", exp.Group(expressions=[value.unalias().copy() for value in keys]))
    time = quoted(spine.as_of)
    ends = select(
        [aliased(exp.Min(this=time), "first"), aliased(exp.Max(this=time.copy()), "last")],
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
            aliased(_every(), "sampled"),
            aliased(exp.Filter(this=_every(), expression=share.copy()), "matched"),
            aliased(exp.Coalesce(this=pairs, expressions=[exp.Literal.number(0)]), "pairs"),
            *(aliased(_micros(any_value(quoted(n, "ends"))), n) for n in ("first", "last")),
        ],
        _sampled(search, rows),
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


def _every() -> exp.Count:
    return exp.Count(this=exp.Star(), big_int=True)


def _micros(time: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="EPOCH_US", expressions=[time])


def _sampled(search: Search, rows: int) -> exp.Expr:
    """Return the view's rows, or a share of them where they are many."""
    source = search.rows()
    if rows <= 2 * SAMPLE_ROWS:
        return source
    percent = max(0.01, 100 * SAMPLE_ROWS / rows)
    table = source.find(exp.Table)
    assert table is not None
    table.set(
        "sample",
        exp.TableSample(method=exp.var("SYSTEM"), percent=exp.Literal.number(f"{percent:.3g}")),
    )
    return source
