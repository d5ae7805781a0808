"""The key-value files of the online store: how their table is made, filled and read whole."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.clocks import Clocks
from fstore.compile.latest import stored_columns
from fstore.compile.sql import aliased, ascending, identifier, quoted, render
from fstore.compile.visibility import valid_until
from fstore.definitions import Column, FeatureView

TABLE = "latest"  # one table a file
SETTLES, ENDS = "settles", "ends"


def table(catalog: str | None = None) -> exp.Table:
    """Return the table of a key-value file that is attached as ``catalog``, or opened itself."""
    if catalog is None:
        return exp.table_(TABLE, quoted=True)
    return exp.table_(TABLE, db="main", catalog=catalog, quoted=True)


def create(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the statement that creates the table, empty.

    Types stand as DuckDB wrote them: sqlglot need not know each of them.
    """
    definitions = [
        exp.ColumnDef(this=identifier(column.name), kind=exp.Var(this=column.type))
        for column in stored_columns(view, columns)
    ]
    schema = exp.Schema(this=table(), expressions=definitions)
    return render(exp.Create(this=schema, kind="TABLE"))


def fill(view: FeatureView, columns: tuple[Column, ...], source: str) -> str:
    """Return the statement that fills the table from ``source``, in the order of the keys."""
    event_time = Clocks.of(view, columns).event_time
    rows = exp.select(exp.Star()).from_(exp.table_(source, quoted=True))
    rows = rows.order_by(*(ascending(name) for name in (*view.join_keys, event_time)))
    return render(exp.Insert(this=table(), expression=rows))


def keep_absent(view: FeatureView, columns: tuple[Column, ...], previous: str, hidden: str) -> str:
    """Return the statement that adds the rows of ``previous`` whose key the table does not hold.

    ``previous`` is the catalog as which the earlier generation's file is attached, ``hidden`` a
    table of the keys that were deleted from it.
    """
    names = [column.name for column in stored_columns(view, columns)]
    kept = exp.select(*(quoted(name, "kept") for name in names))
    kept = kept.from_(_as(table(previous), "kept"))
    for alias, source in (("held", table()), ("hidden", exp.table_(hidden, quoted=True))):
        same = exp.select(exp.Literal.number(1)).from_(_as(source, alias))
        for key in view.join_keys:
            same = same.where(exp.EQ(this=quoted(key, alias), expression=quoted(key, "kept")))
        kept = kept.where(exp.not_(exp.Exists(this=same)))
    event_time = Clocks.of(view, columns).event_time
    order = (ascending(name) for name in (*view.join_keys, event_time))
    return render(exp.Insert(this=table(), expression=kept.order_by(*order)))


def count() -> str:
    """Return the query for how many rows the table holds."""
    return render(exp.select(exp.Count(this=exp.Star())).from_(table()))


def scan(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the query for the table's rows in their order: what its index image is made of.

    Join keys, features, then E, what settles ties of E, and the end: the instant from which the
    row is no match any more, infinity but for a snapshot's row.
    """
    clocks = Clocks.of(view, columns)
    features = view.column_features(columns)
    query = exp.select(
        *(quoted(name) for name in (*view.join_keys, *features)),
        quoted(clocks.event_time),
        aliased(quoted(clocks.recorded or clocks.event_time), SETTLES),
        aliased(valid_until(view, columns), ENDS),
    )
    return render(query.from_(table()))


def typed_nulls(types: Sequence[str]) -> str:
    """Return a query of one row of NULLs of these types, as DuckDB writes them."""
    return render(
        exp.select(
            *(
                aliased(exp.Cast(this=exp.null(), to=exp.Var(this=kind)), f"column_{place}")
                for place, kind in enumerate(types)
            )
        )
    )


def _as(source: exp.Table, alias: str) -> exp.Expr:
    return exp.alias_(source, alias, table=True, quoted=True)
