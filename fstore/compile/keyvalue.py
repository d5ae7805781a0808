"""The key-value files of the online store: their table, and the query that reads keys from it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.clocks import Clocks
from fstore.compile.latest import stored_columns
from fstore.compile.sql import (
    TIMESTAMP,
    aliased,
    ascending,
    common,
    identifier,
    over,
    quoted,
    render,
)
from fstore.compile.types import INTEGERS, find_column
from fstore.compile.visibility import fresh, happened, still_valid
from fstore.definitions import Column, FeatureView

TABLE = "latest"  # one table a file
AT = "at"  # the parameter that holds the instant of the read, a naive TIMESTAMP in UTC
POSITION = "position"
EVENT_TIME, FRESH, VALID = "event_time", "fresh", "valid"
WIDE = frozenset({"HUGEINT", "UHUGEINT", "UBIGINT"})


def table(catalog: str | None = None) -> exp.Table:
    """Return the table of a key-value file that is attached as ``catalog``, or opened itself."""
    if catalog is None:
        return exp.table_(TABLE, quoted=True)
    return exp.table_(TABLE, db="main", catalog=catalog, quoted=True)


def key_parameter(place: int) -> str:
    """Return the name of the parameter that lists the values of the join key at ``place``."""
    return f"key_{place}"


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


def keep_absent(view: FeatureView, columns: tuple[Column, ...], previous: str) -> str:
    """Return the statement that adds the rows of ``previous`` whose key the table does not hold.

    ``previous`` is the catalog as which the earlier generation's file is attached.
    """
    held = exp.select(exp.Literal.number(1)).from_(_as(table(), "held"))
    for key in view.join_keys:
        held = held.where(exp.EQ(this=quoted(key, "held"), expression=quoted(key, "kept")))
    names = [column.name for column in stored_columns(view, columns)]
    kept = exp.select(*(quoted(name, "kept") for name in names))
    kept = kept.from_(_as(table(previous), "kept"))
    kept = kept.where(exp.not_(exp.Exists(this=held)))
    return render(exp.Insert(this=table(), expression=kept))


def counts(view: FeatureView) -> str:
    """Return the query for how many rows and how many keys the table holds."""
    names: list[exp.Expr] = [quoted(key) for key in view.join_keys]
    names = names or [exp.Literal.number(0)]
    key = exp.Tuple(expressions=names) if len(names) > 1 else names[0]
    keys = exp.Count(this=exp.Distinct(expressions=[key]))
    return render(exp.select(exp.Count(this=exp.Star()), keys).from_(table()))


def point_query(
    view: FeatureView, columns: tuple[Column, ...], features: Sequence[str], catalog: str
) -> str:
    """Return the query that reads the rows of the keys in the parameters, as of ``$at``.

    One row for each asked key that has one: the place of the key among those asked, E, whether the
    row is within ttl (``fresh``), whether it is a snapshot's row that still stands (``valid``),
    then the features. Both conditions are the visible-row rule's own.
    """
    clocks = Clocks.of(view, columns)
    at = exp.cast(exp.Parameter(this=exp.var(AT)), TIMESTAMP)
    event_time = quoted(clocks.event_time, "row")
    query = exp.select(
        quoted(POSITION, "asked") if view.join_keys else exp.Literal.number(0),
        aliased(event_time, EVENT_TIME),
        aliased(exp.and_(*(fresh(view, clocks, "row", at) or [exp.true()])), FRESH),
        aliased(still_valid(view, columns, "row", at) or exp.true(), VALID),
        *(quoted(feature, "row") for feature in features),
    ).from_(_as(table(catalog), "row"))
    query = query.where(happened(clocks, "row", at.copy()))
    partition = [quoted(POSITION, "asked")] if view.join_keys else []
    newest = over(exp.Max(this=event_time.copy()), partition)
    query = query.qualify(exp.EQ(this=event_time.copy(), expression=newest))
    if not view.join_keys:
        return render(query)
    same = [
        exp.EQ(this=quoted(key, "row"), expression=quoted(key_parameter(place), "asked"))
        for place, key in enumerate(view.join_keys)
    ]
    query = query.join(_as(exp.table_("asked", quoted=True), "asked"), on=exp.and_(*same))
    return render(common(query, "asked", _asked(view, columns)))


def _asked(view: FeatureView, columns: tuple[Column, ...]) -> exp.Select:
    """Return the parameters' lists as rows, each with its place."""
    first = exp.Parameter(this=exp.var(key_parameter(0)))
    places = exp.Anonymous(
        this="RANGE", expressions=[exp.Anonymous(this="LEN", expressions=[first])]
    )
    asked = [aliased(exp.Anonymous(this="UNNEST", expressions=[places]), POSITION)]
    for place, key in enumerate(view.join_keys):
        column = find_column(columns, key)
        assert column is not None, f"{key} was checked before it was published"
        name = key_parameter(place)
        values = exp.Cast(
            this=exp.Parameter(this=exp.var(name)),
            to=exp.Var(this=f"{parameter_type(column.type)}[]"),
        )
        asked.append(aliased(exp.Anonymous(this="UNNEST", expressions=[values]), name))
    return exp.select(*asked)


def parameter_type(key_type: str) -> str:
    """Return the type as which a key's values are bound: wide enough for every asked value.

    A value outside the key's own type then finds nothing, where a cast to that type would fail.
    """
    if key_type in INTEGERS:
        return "HUGEINT" if key_type in WIDE else "BIGINT"
    return "VARCHAR" if key_type.startswith("ENUM(") else key_type


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
