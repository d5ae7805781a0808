"""Window features against the built relation: their types, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from fstore.compile.types import FLOATS, INTEGERS, decimal_of, find_column, is_nested
from fstore.definitions import Column, FeatureView, WindowFeature
from fstore.errors import DeclarationError, Problem, did_you_mean, listed

COUNTS = ("count", "approx_count_distinct")  # 0 over an empty window, where all others are NULL
OF_NUMBERS = ("sum", "avg", "stddev")
EXTREMES = ("min", "max")
# Of which values that look different are equal, or whose bytes order otherwise.
_WITHOUT_ORDER = frozenset({"INTERVAL", "BIT", "TIME WITH TIME ZONE"})
# Functions that say different things of one event at different times.
_UNSTEADY = frozenset(
    [
        "now",
        "today",
        "random",
        "uuid",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "nextval",
        "currval",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "get_current_time",
        "get_current_timestamp",
        "transaction_timestamp",
        "current_localtime",
        "current_localtimestamp",
    ]
)
# UNNEST by another name.
_UNNESTING = ("unlist", "generate_subscripts")


def window_type(feature: WindowFeature, columns: tuple[Column, ...]) -> str:
    """Return the DuckDB type of a window feature over a relation with these columns.

    Counts and sums of integers are BIGINT, sums of decimals keep their scale, averages and standard
    deviations are DOUBLE; all others have the type of their column.
    """
    if feature.function in COUNTS:
        return "BIGINT"
    if feature.function in ("avg", "stddev"):
        return "DOUBLE"
    given = aggregated(feature, columns).type
    if feature.function != "sum":
        return given
    if decimal := decimal_of(given):
        return f"DECIMAL(38,{decimal[1]})"
    return "DOUBLE" if given in FLOATS else "BIGINT"


def sum_beyond(view: FeatureView, feature: WindowFeature, columns: tuple[Column, ...]) -> str:
    """Return what is said of a sum that :func:`window_type` cannot hold."""
    kind = window_type(feature, columns)
    holds = "64 bits of BIGINT" if kind == "BIGINT" else f"38 digits of {kind}"
    return (
        f"{view.reference}:{feature.name} is a sum of {feature.column} that leaves the {holds}: "
        f"cast {feature.column} to DOUBLE in {view.file}"
    )


def feature_type(view: FeatureView, columns: tuple[Column, ...], name: str) -> str:
    """Return the DuckDB type of a feature of a view, be it a column or a window's."""
    window = view.windows_by_name.get(name)
    if window is not None:
        return window_type(window, columns)
    column = find_column(columns, name)
    assert column is not None, f"{name} was resolved against these columns"
    return column.type


def aggregated(feature: WindowFeature, columns: tuple[Column, ...]) -> Column:
    """Return the column that a feature other than a count of events is computed from."""
    assert feature.column is not None, f"{feature.name} counts events"
    column = find_column(columns, feature.column)
    assert column is not None, f"{feature.column} was checked before compiling"
    return column


def filter_of(feature: WindowFeature) -> exp.Expr | None:
    """Return the feature's ``where`` as a tree, its columns as written; None where there is none.

    ValueError says why a text is not one condition on the columns of an event.
    """
    if feature.where is None:
        return None
    try:
        trees = sqlglot.parse(feature.where, dialect="duckdb")
    except SqlglotError as error:
        places = getattr(error, "errors", ())
        where = "".join(f" (at character {place['col']})" for place in places[:1])
        raise ValueError(f"is not SQL that can be read{where}") from None
    (tree, *more) = trees or [None]
    if tree is None or more or not isinstance(tree, exp.Condition):
        raise ValueError("is not one expression: write a condition such as amount > 0")
    for node in tree.walk():
        if isinstance(node, exp.Query):
            raise ValueError("holds a subquery, and a condition sees one event at a time")
        if isinstance(node, exp.AggFunc | exp.Window):
            raise ValueError(
                f"holds {node.sql('duckdb')}, which looks at several events: a condition sees one"
            )
        if _makes_rows(node):
            raise ValueError(
                f"holds {node.sql('duckdb')}, which makes several rows of one: take one element, "
                "or a list function"
            )
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise ValueError(f"holds {node.sql('duckdb')}, and nothing is bound to it")
        if isinstance(node, exp.Func) and node.sql("duckdb").partition("(")[0].lower() in _UNSTEADY:
            raise ValueError(
                f"holds {node.sql('duckdb')}, which is another value each time: compare columns"
            )
    return tree


def _makes_rows(node: exp.Expr) -> bool:
    """Whether this is UNNEST, by any name; the engine refuses it only where it filters by it."""
    other = isinstance(node, exp.Anonymous) and node.name.lower() in _UNNESTING
    return other or isinstance(node, exp.UDTF | exp.Explode)


def columns_of(condition: exp.Expr) -> Iterator[exp.Column]:
    """Yield the columns that a ``where`` reads; a lambda's own parameters are none."""
    for column in condition.find_all(exp.Column):
        around = column.find_ancestor(exp.Lambda)
        if around is None or column.name not in {each.name for each in around.expressions}:
            yield column


def check_windows(view: FeatureView, columns: tuple[Column, ...]) -> None:
    """Raise DeclarationError with everything that the built relation shows to be wrong.

    That the aggregated columns are there has been checked.
    """
    if problems := _problems(view, columns):
        raise DeclarationError(problems)


@lru_cache(maxsize=256)  # every request asks, and parsing SQL takes longer than an online read
def _problems(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Problem, ...]:
    return tuple(
        Problem(view.declared_in or view.file, view.reference, "meta.fstore.aggregations", text)
        for feature in view.windows
        for text in (*_wrong_type(feature, columns), *_wrong_filter(feature, columns))
    )


def _wrong_type(feature: WindowFeature, columns: tuple[Column, ...]) -> Iterator[str]:
    if feature.function not in (*OF_NUMBERS, *EXTREMES):
        return
    column = aggregated(feature, columns)
    if feature.function in EXTREMES:
        if is_nested(column.type) or column.type in _WITHOUT_ORDER:
            yield (
                f"{feature.name} is the {feature.function} of {column.name}, which is "
                f"{column.type}: {feature.function} needs a number, a time, text or another single "
                "value that has one order; take such a part of it in the model"
            )
        return
    is_number = column.type in INTEGERS | FLOATS or column.type.startswith("DECIMAL")
    if is_number or (feature.function == "sum" and column.type == "BOOLEAN"):
        return
    kinds = "a number or a boolean" if feature.function == "sum" else "a number"
    yield (
        f"{feature.name} is the {feature.function} of {column.name}, which is {column.type}: "
        f"{feature.function} needs {kinds}; cast it in the model"
    )


def _wrong_filter(feature: WindowFeature, columns: tuple[Column, ...]) -> Iterator[str]:
    try:
        condition = filter_of(feature)
    except ValueError as error:
        yield f"{feature.name}: where {feature.where!r} {error}"
        return
    known = [column.name for column in columns]
    for column in () if condition is None else columns_of(condition):
        if column.table:
            yield (
                f"{feature.name}: where {feature.where!r} names {column.sql('duckdb')}: write the "
                "column alone, for there is one relation"
            )
        elif find_column(columns, column.name) is None:
            yield (
                f"{feature.name}: where {feature.where!r} names {column.name}, which is not a "
                f"column. {feature.name} is computed from a relation that has: {listed(known)}."
                f"{did_you_mean(column.name, known)}"
            )
