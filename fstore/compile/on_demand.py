"""On-demand views in SQL: one text, typed once, within the training query and at the online read.

"late_risk_inputs" AS (SELECT place, request fields, features, event_timestamp, ... FROM "spine"
                       LEFT JOIN "carrier_delays_rows" AS "carrier_delays" ON ...),
"late_risk_values" AS (SELECT place, <the view's expressions> FROM "late_risk_inputs" AS inputs)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ParseError

from fstore.compile.computed import ZONED_TIME, Computed, input_columns
from fstore.compile.handed import handed
from fstore.compile.request import Columns
from fstore.compile.row_local import Selected, columns_read, selected
from fstore.compile.sql import aliased, cte, quoted, render, select, subquery_as, table_as
from fstore.compile.types import FLOATS, unused
from fstore.definitions import Column, OnDemandView

GIVEN = "given"  # the rows of a batch, as the engine is handed them


@dataclass(frozen=True)
class Place:
    """What the CTEs of one on-demand view are called, and two columns that they add."""

    name: str
    row: str
    stamp: str

    @classmethod
    def of(cls, found: Computed, columns: Columns) -> Place:
        """Choose names that no input and no feature has."""
        features = [column.name for column in found.view.features]
        taken = (*(column.name for column in input_columns(found, columns)), *features)
        return cls(found.name, unused("spine_row", taken), unused("newest_input", taken))

    @property
    def inputs(self) -> str:
        return f"{self.name}_inputs"

    @property
    def values(self) -> str:
        return f"{self.name}_values"


def values_ctes(
    place: Place,
    found: Computed,
    row: exp.Expr,
    cells: Sequence[exp.Expr],
    source: exp.Expr,
    joins: Sequence[exp.Join],
    *,
    stamped: bool,
) -> list[exp.CTE]:
    """Return the CTEs that end in ``<view>_values``: place, features, the newest event time.

    ``cells`` are the aliased columns of ``inputs``, taken from ``source`` and ``joins``, which know
    the spine row by ``row``. The last column is there where it is ``stamped``.
    """
    inputs = select([aliased(row, place.row), *cells], source)
    inputs.set("joins", list(joins))
    text = selected(found.view)
    query = text.from_(table_as(place.inputs, text.alias))
    added = [quoted(place.row, text.alias)]
    query.set("expressions", [*added, *query.expressions])
    if stamped:
        newest = newest_time([quoted(name, text.alias) for name, _ in found.times])
        query.append("expressions", aliased(newest, place.stamp))
    return [cte(place.inputs, inputs), cte(place.values, query)]


def times_read(every: Sequence[Computed]) -> frozenset[str]:
    """Return the names of the joins whose event times the SQL of these views reads."""
    found = set()
    for each in every:
        read = columns_read(selected(each.view))
        found |= {join.name for name, join in each.times if name.casefold() in read}
    return frozenset(found)


def newest_time(times: Sequence[exp.Expr]) -> exp.Expr:
    """Return the newest of several event times; NULL where there is none."""
    if not times:
        return exp.cast(exp.null(), ZONED_TIME)
    first, *others = times
    if not others:
        return first
    return exp.Greatest(this=first, expressions=others, ignore_nulls=True)


def cast(value: exp.Expr, type_name: str) -> exp.Expr:
    """Return ``CAST(value AS type)``, the type as DuckDB writes it."""
    return exp.Cast(this=value, to=exp.DataType.build(type_name, dialect="duckdb", udt=True))


def typed_request(field: Column) -> str:
    """Return a query whose DESCRIBE tells the type of a request field; ValueError for no type."""
    try:
        value = cast(exp.null(), field.type)
    except ParseError as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    return render(exp.Select(expressions=[aliased(value, field.name)]))


def typed_features(view: OnDemandView, inputs: Sequence[Column]) -> str:
    """Return a query whose DESCRIBE tells the types of the features, given those of ``inputs``."""
    text = selected(view)
    return render(text.from_(_typed_nulls(inputs, text.alias)))


def typed_expressions(
    text: Selected, inputs: Sequence[Column], expressions: Sequence[exp.Expr]
) -> str:
    """Return a query whose DESCRIBE tells the types of expressions within the view's text."""
    values = [aliased(each.copy(), str(place)) for place, each in enumerate(expressions)]
    return render(select(values, _typed_nulls(inputs, text.alias)))


def _typed_nulls(inputs: Sequence[Column], alias: str) -> exp.Expr:
    nulls = [aliased(cast(exp.null(), column.type), column.name) for column in inputs]
    return subquery_as(exp.Select(expressions=nulls), alias)


def batch(view: OnDemandView, inputs: Sequence[Column], features: Sequence[Column]) -> str:
    """Return the statement that computes features of the rows of ``given``, in their order.

    ``given`` has the columns ``c0``, ``c1``, ... of ``inputs``.
    """
    cells: list[exp.Expr] = [quoted(f"c{place}", GIVEN) for place in range(len(inputs))]
    rows = select(_typed(cells, inputs), exp.table_(GIVEN, quoted=True))
    return render(_computed(view, rows, features))


def of_one(view: OnDemandView, inputs: Sequence[Column], features: Sequence[Column]) -> str:
    """Return the same for one row, which is bound: ``$1``, ``$2``, ... of ``inputs``."""
    cells: list[exp.Expr] = [exp.Placeholder(this=str(it)) for it in range(1, len(inputs) + 1)]
    return render(_computed(view, exp.Select(expressions=_typed(cells, inputs)), features))


def of_example(view: OnDemandView, inputs: Sequence[Column], expected: Sequence[Column]) -> str:
    """Return a statement that says of each feature expected whether it is, and what it is as text.

    What is given is bound as for :func:`of_one`, what is expected behind it. A float is as expected
    where it differs in no more than its last digits.
    """
    cells: list[exp.Expr] = [exp.Placeholder(this=str(it)) for it in range(1, len(inputs) + 1)]
    rows = _computed(view, exp.Select(expressions=_typed(cells, inputs)), expected)
    values: list[exp.Expr] = []
    for place, column in enumerate(expected, start=len(inputs) + 1):
        found = quoted(column.name, "found")
        wanted = cast(exp.Placeholder(this=str(place)), column.type)
        equal: exp.Expr = exp.NullSafeEQ(this=found, expression=wanted)
        if column.type in FLOATS:
            apart = exp.Abs(this=exp.paren(exp.Sub(this=found.copy(), expression=wanted.copy())))
            bound = exp.Mul(this=exp.Literal.number("1e-9"), expression=exp.Abs(this=wanted.copy()))
            close = exp.LTE(this=apart, expression=bound)
            equal = exp.or_(equal, exp.Coalesce(this=close, expressions=[exp.false()]))
        values += [equal, cast(found.copy(), "VARCHAR")]
    return render(select(values, subquery_as(rows, "found")))


def _typed(cells: Sequence[exp.Expr], inputs: Sequence[Column]) -> list[exp.Expr]:
    return [
        aliased(cast(cell, column.type), column.name)
        for cell, column in zip(cells, inputs, strict=True)
    ]


def _computed(view: OnDemandView, rows: exp.Select, features: Sequence[Column]) -> exp.Select:
    text = selected(view)
    computed = subquery_as(text.from_(subquery_as(rows, text.alias)), "computed")
    values: list[exp.Expr] = []
    for column in features:
        values.append(handed(column.name, column.type, "computed"))
    return select(values, computed)
