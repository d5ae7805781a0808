"""The key-value files of the online store: how their table is made, filled and read whole."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.carried import carried
from fstore.compile.clocks import Clocks
from fstore.compile.events import event_cells, event_columns
from fstore.compile.latest import stored_columns
from fstore.compile.sql import aliased, ascending, identifier, quoted, render
from fstore.compile.types import INTEGERS
from fstore.compile.visibility import valid_until
from fstore.definitions import Column, FeatureView

TABLE = "latest"  # one table a file, and of a view of events another
EVENTS = "events"
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
        kept = kept.where(exp.not_(exp.Exists(this=_same_key(view, source, alias))))
    event_time = Clocks.of(view, columns).event_time
    order = (ascending(name) for name in (*view.join_keys, event_time))
    return render(exp.Insert(this=table(), expression=kept.order_by(*order)))


def create_events(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the statement that creates the table of events, empty."""
    definitions = [
        exp.ColumnDef(this=identifier(column.name), kind=exp.Var(this=column.type))
        for column in event_columns(view, columns)
    ]
    schema = exp.Schema(this=exp.table_(EVENTS, quoted=True), expressions=definitions)
    return render(exp.Create(this=schema, kind="TABLE"))


def fill_events(source: str) -> str:
    """Return the statement that fills the table of events from ``source``, in its order."""
    rows = exp.select(exp.Star()).from_(exp.table_(source, quoted=True))
    return render(exp.Insert(this=exp.table_(EVENTS, quoted=True), expression=rows))


def keep_absent_events(
    view: FeatureView, columns: tuple[Column, ...], previous: str, hidden: str
) -> str:
    """Return the statement that adds the events of ``previous`` of keys without any row now.

    As :func:`keep_absent`, and before it: the keys that have a row are those of the other table.
    """
    names = [column.name for column in event_columns(view, columns)]
    before = exp.table_(EVENTS, db="main", catalog=previous, quoted=True)
    kept = exp.select(*(quoted(name, "kept") for name in names)).from_(_as(before, "kept"))
    for alias, source in (("held", table()), ("hidden", exp.table_(hidden, quoted=True))):
        kept = kept.where(exp.not_(exp.Exists(this=_same_key(view, source, alias))))
    return render(exp.Insert(this=exp.table_(EVENTS, quoted=True), expression=kept))


def scan_events(view: FeatureView, columns: tuple[Column, ...], *, is_sorted: bool = False) -> str:
    """Return the query for all events, key by key, in order of E and A.

    ``is_sorted`` says that the table lies in that order: nothing was added behind what filled it.
    """
    names = [column.name for column in event_columns(view, columns)]
    kept = [column.name for column in event_cells(view, columns)]
    order = [*view.join_keys, *names[-2:]]
    query = exp.select(*(quoted(name) for name in (*view.join_keys, *kept, *names[-2:])))
    query = query.from_(exp.table_(EVENTS, quoted=True))
    if is_sorted:
        return render(query)
    terms = [exp.Ordered(this=quoted(name), desc=False, nulls_first=True) for name in order]
    terms.append(exp.Ordered(this=exp.column("rowid"), desc=False, nulls_first=False))
    return render(query.order_by(*terms))


def measure_events(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the query for how many events there are, and the extremes of each exact number."""
    values: list[exp.Expr] = [exp.Count(this=exp.Star())]
    for column in event_cells(view, columns):
        if column.type in INTEGERS or column.type.startswith("DECIMAL"):
            values += [exp.Min(this=quoted(column.name)), exp.Max(this=quoted(column.name))]
        else:
            values += [exp.null(), exp.null()]
    return render(exp.select(*values).from_(exp.table_(EVENTS, quoted=True)))


def count() -> str:
    """Return the query for how many rows the table holds."""
    return render(exp.select(exp.Count(this=exp.Star())).from_(table()))


def scan(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the query for the table's rows in their order: what its index image is made of.

    Join keys, what is carried, then E, what settles ties of E, and the end: the instant from which
    the row is no match any more, infinity but for a snapshot's row.
    """
    clocks = Clocks.of(view, columns)
    kept = [column.name for column in carried(view, columns)]
    query = exp.select(
        *(quoted(name) for name in (*view.join_keys, *kept)),
        quoted(clocks.event_time),
        aliased(quoted(clocks.recorded or clocks.event_time), SETTLES),
        aliased(valid_until(view, columns), ENDS),
    )
    return render(query.from_(table()))


def approximate_count(source: str, column: str, kind: str) -> str:
    """Return the query for the approximate count of a column's values, as values of a type."""
    value = exp.Cast(this=quoted(column), to=exp.Var(this=kind))
    counted = exp.ApproxDistinct(this=value)
    return render(exp.select(counted).from_(exp.table_(source, quoted=True)))


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


def cast_of(kind: str) -> str:
    """Return a query that fails where a ``value`` of the rows ``given`` is none of a type."""
    value = exp.Cast(this=quoted("value"), to=exp.Var(this=kind))
    return render(exp.select(aliased(value, "value")).from_(exp.table_("given", quoted=True)))


def enum_members(kind: str) -> str:
    """Return a query for the list of what an ENUM holds."""
    value = exp.Cast(this=exp.null(), to=exp.Var(this=kind))
    return render(exp.select(exp.func("enum_range", value)))


def _same_key(view: FeatureView, source: exp.Table, alias: str) -> exp.Select:
    same = exp.select(exp.Literal.number(1)).from_(_as(source, alias))
    for key in view.join_keys:
        same = same.where(exp.EQ(this=quoted(key, alias), expression=quoted(key, "kept")))
    return same


def _as(source: exp.Table, alias: str) -> exp.Expr:
    return exp.alias_(source, alias, table=True, quoted=True)
