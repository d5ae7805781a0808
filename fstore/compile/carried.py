"""What the online store keeps of a row of a view, beside its keys and clocks.

That is its features; and where its rows are events, also what windows look at: the columns that
are aggregated, the event_key, and for each condition of ``where`` whether the row meets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from sqlglot import exp

from fstore.compile.sql import aliased, render, select, subquery_as, table_of
from fstore.compile.types import find_column, unused
from fstore.compile.window_types import columns_of, filter_of
from fstore.definitions import Column, FeatureView


def conditions(view: FeatureView) -> tuple[str, ...]:
    """Return the texts of ``where``, each once, in the order of the features."""
    return tuple(dict.fromkeys(each.where for each in view.windows if each.where is not None))


def flags(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return a BOOLEAN column for each of :func:`conditions`: whether a row meets it.

    The name tells the condition, so that what was pushed under another one is not taken for it.
    """
    taken = tuple(column.name for column in columns)
    names = (f"where_{crc32(text.encode()):08x}" for text in conditions(view))
    return tuple(Column(unused(name, taken), "BOOLEAN") for name in names)


def carried(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return what is kept, with types, in the order of the relation; flags come last."""
    wanted = {name.casefold() for name in view.column_features(columns)}
    wanted |= {
        column.name.casefold() for column in (*identity(view, columns), *values(view, columns))
    }
    kept = tuple(column for column in columns if column.name.casefold() in wanted)
    return (*kept, *flags(view, columns))


def identity(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the event_key."""
    found = (find_column(columns, name) for name in view.event_key)
    return tuple(column for column in found if column)


def values(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns that windows aggregate, each once."""
    names = dict.fromkeys(each.column for each in view.windows if each.column is not None)
    found = dict.fromkeys(find_column(columns, name) for name in names)
    return tuple(column for column in found if column)


def pushed(view: FeatureView, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Return the columns that a pushed row must give, beside keys and clocks."""
    needed = {column.name for column in carried(view, columns)}
    for feature in view.windows:
        condition = filter_of(feature)
        for read in () if condition is None else columns_of(condition):
            column = find_column(columns, read.name)
            needed |= {column.name} if column else set()
    clocks = (view.event_timestamp, view.created_timestamp or "")
    apart = {name.casefold() for name in (*view.join_keys, *clocks)}
    return tuple(
        column.name
        for column in columns
        if column.name in needed and column.name.casefold() not in apart
    )


def flagged(view: FeatureView, columns: tuple[Column, ...], source: exp.Expr) -> exp.Expr:
    """Return the rows of a source with their :func:`flags`; the source itself where there are none.

    A condition that is NULL is not met.
    """
    named = flags(view, columns)
    if not named:
        return source
    query = select([exp.Star(), *_met(view, named)], source)
    return subquery_as(query, "flagged")


def flags_of(view: FeatureView, columns: tuple[Column, ...], table: str) -> str:
    """Return the query for the :func:`flags` of the rows of a table, in their order."""
    return render(select(_met(view, flags(view, columns)), exp.table_(table, quoted=True)))


def conditions_of(view: FeatureView, columns: tuple[Column, ...]) -> str | None:
    """Return the query for the conditions of the built relation; None where there are none.

    An engine that describes it has bound them, and says of what types they are. Raises as
    :func:`flags` does.
    """
    named = zip(_conditions(view), flags(view, columns), strict=True)
    found = [aliased(exp.Paren(this=condition), flag.name) for condition, flag in named]
    return render(select(found, table_of(view.relation))) if found else None


def each_condition(view: FeatureView, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """Return the :func:`conditions`, each with a query that computes it for every row."""
    queries = []
    for text, met in zip(conditions(view), _met(view, flags(view, columns)), strict=True):
        counted = exp.Count(this=exp.Nullif(this=met.unalias(), expression=exp.false()))
        queries.append((text, render(select([counted], table_of(view.relation)))))
    return queries


def _conditions(view: FeatureView) -> list[exp.Expr]:
    """Return the :func:`conditions` of a view as SQL."""
    first = {each.where: each for each in reversed(view.windows)}
    found = [filter_of(first[text]) for text in conditions(view)]
    return [each for each in found if each is not None]


def _met(view: FeatureView, named: Sequence[Column]) -> list[exp.Expr]:
    met = []
    for condition, flag in zip(_conditions(view), named, strict=True):
        either = exp.Coalesce(this=exp.Paren(this=condition), expressions=[exp.false()])
        met.append(aliased(exp.cast(either, "BOOLEAN"), flag.name))
    return met
