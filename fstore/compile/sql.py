"""The small pieces that every query is built of: each quoted, each equal to its parsed text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlglot import exp

from fstore.compile.types import FLOATS
from fstore.definitions import Relation

TIMESTAMP = exp.DataType.build("TIMESTAMP", dialect="duckdb")


def quoted(name: str, table: str | None = None) -> exp.Column:
    """Return a column reference with every part quoted."""
    return exp.column(name, table=table, quoted=True)


def aliased(value: exp.Expr, name: str) -> exp.Expr:
    """Return ``value AS "name"``."""
    return exp.alias_(value, name, quoted=True)


def identifier(name: str) -> exp.Identifier:
    """Return a quoted identifier."""
    return exp.to_identifier(name, quoted=True)


def table_as(name: str, alias: str) -> exp.Expr:
    """Return ``"name" AS "alias"``, with an alias that sqlglot's own passes understand."""
    return exp.alias_(exp.table_(name, quoted=True), alias, table=True, quoted=True)


def zoned(value: exp.Expr) -> exp.Expr:
    """Return a TIMESTAMP in UTC as one with its zone, the form in which times leave fstore."""
    return exp.cast(value, "TIMESTAMPTZ")


def instant(at: datetime) -> exp.Expr:
    """Return an aware instant as a literal of DuckDB's TIMESTAMP, in UTC."""
    naive = at.astimezone(UTC).replace(tzinfo=None)
    return exp.cast(exp.Literal.string(naive.isoformat(" ", "microseconds")), TIMESTAMP)


def subquery_as(query: exp.Query, alias: str) -> exp.Subquery:
    """Return ``(query) AS "alias"``."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=identifier(alias)))


def row_count() -> exp.Count:
    """Return ``COUNT(*)``."""
    return exp.Count(this=exp.Star(), big_int=True)


def any_value(value: exp.Expr) -> exp.Expr:
    """Return ``ANY_VALUE(value)``; DuckDB's passes over NULLs, which the tree says aloud."""
    return exp.IgnoreNulls(this=exp.AnyValue(this=value))


def cte(name: str, body: exp.Query, *, kept: bool = False) -> exp.CTE:
    """Return ``"name" AS (body)``; ``kept`` has the engine compute it once and keep its rows."""
    alias = exp.TableAlias(this=identifier(name))
    return exp.CTE(this=body, alias=alias, **({"materialized": True} if kept else {}))


def select(values: Sequence[exp.Expr], source: exp.Expr) -> exp.Select:
    """Return ``SELECT values FROM source``, taking its arguments as they are, without a copy."""
    return exp.Select(expressions=list(values)).from_(source, copy=False)


def joined(
    source: exp.Expr, on: Sequence[exp.Expr], *, method: str = "", side: str = "", kind: str = ""
) -> exp.Join:
    """Return ``[method] [side] [kind] JOIN source ON all of on``."""
    words = {"method": method, "side": side, "kind": kind}
    return exp.Join(this=source, on=exp.and_(*on), **{k: v for k, v in words.items() if v})


def over(
    function: exp.Expr,
    partition: Sequence[exp.Expr] = (),
    order: Sequence[str] = (),
    frame: exp.WindowSpec | None = None,
    table: str | None = None,
) -> exp.Window:
    """Return ``function OVER (PARTITION BY .. ORDER BY .. frame)``; NULLs come first.

    ``order`` are columns, of ``table`` where one is named.
    """
    ordered = [
        exp.Ordered(this=quoted(name, table), desc=False, nulls_first=True) for name in order
    ]
    return exp.Window(
        this=function,
        partition_by=list(partition),
        order=exp.Order(expressions=ordered) if ordered else None,
        spec=frame,
        over="OVER",
    )


def without_nan(value: exp.Expr, type_name: str) -> exp.Expr:
    """Return the value, NULL for the NaN of a float: as a key, or where a NaN means NULL.

    DuckDB believes the statistics of a Parquet file, and other writers leave NaN out of them: it
    then takes ISNAN of a column for false, as it does of most expressions, but not of a CASE.
    """
    if type_name not in FLOATS:
        return value
    opaque = exp.Case().when(value.copy().is_(exp.null()).not_(), value.copy())
    return exp.Case().when(exp.IsNan(this=opaque).not_(), value)


def is_there(value: exp.Expr, type_name: str = "") -> exp.Expr:
    """Return that a value is not NULL, and no NaN where its type is a float's."""
    return without_nan(value, type_name).is_(exp.null()).not_()


def try_cast(value: exp.Expr, type_name: str) -> exp.TryCast:
    """Return ``TRY_CAST(value AS type)``: NULL where the value does not convert."""
    return exp.TryCast(this=value, to=exp.DataType.build(type_name, dialect="duckdb"), safe=True)


def ascending(name: str, table: str | None = None) -> exp.Ordered:
    """Return the column as a term of ORDER BY, NULLs last; ASC is said: a profile may say DESC."""
    return exp.Ordered(this=quoted(name, table), desc=False, nulls_first=False)


def table_of(relation: Relation) -> exp.Table:
    """Return a built relation as a table, every part of its name quoted."""
    return exp.table_(
        relation.identifier, db=relation.schema, catalog=relation.database, quoted=True
    )


def select_all(relation: Relation) -> str:
    """Return ``SELECT * FROM relation``."""
    return render(exp.select(exp.Star()).from_(table_of(relation)))


def render(tree: exp.Expr) -> str:
    """Return the tree as DuckDB's SQL, laid out for reading."""
    return tree.sql(dialect="duckdb", pretty=True, copy=False)
