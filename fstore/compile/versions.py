"""The versions of an event: rows with equal join keys and event_key, of which one counts at q.

At q it is, of the rows that are known, the one with the greatest A as recorded, then the greatest
E, then the greatest remaining columns; NULL is lowest, and in an event_key equal to NULL. It is
chosen before a window looks at its E: a correction may move an event in time.
"""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.clocks import Clocks, arrives_by_row
from fstore.compile.sql import over, quoted
from fstore.compile.types import find_column
from fstore.compile.visibility import has_versions, tie_breakers
from fstore.definitions import Column, FeatureView


def settles_at(view: FeatureView, clocks: Clocks, row: str | None = None) -> exp.Expr:
    """Return the instant from which a row says the same of its event to every later q.

    From then on it is known, or another version of it is. Compare it with ``reach(view, q)``.
    """
    known = quoted(clocks.arrival if arrives_by_row(view) else clocks.event_time, row)
    if not has_versions(view):
        return known
    superseded = quoted(clocks.superseded, row)
    return exp.Greatest(this=known, expressions=[superseded], ignore_nulls=True)


def superseded_at(view: FeatureView, columns: tuple[Column, ...], clocks: Clocks) -> exp.Expr:
    """Return when the first of the versions that beat this one is known; NULL where none does.

    A version counts from its own A on until a greater one is known, whenever that one happened.
    """
    rest = exp.WindowSpec(
        kind="ROWS",
        start=exp.Literal.number(1),
        start_side="FOLLOWING",
        end="UNBOUNDED",
        end_side="FOLLOWING",
    )
    known = clocks.arrival if arrives_by_row(view) else clocks.event_time
    return _of_event(view, columns, clocks, exp.Min(this=quoted(known)), rest)


def last_version(view: FeatureView, columns: tuple[Column, ...], clocks: Clocks) -> exp.Expr:
    """Return the condition for QUALIFY that keeps the greatest version of each event."""
    return _of_event(view, columns, clocks, exp.Lead(this=exp.true())).is_(exp.null())


def _of_event(
    view: FeatureView,
    columns: tuple[Column, ...],
    clocks: Clocks,
    function: exp.Expr,
    frame: exp.WindowSpec | None = None,
) -> exp.Window:
    """Return a function over the versions of one event, the greatest last."""
    event = [find_column(columns, name) for name in view.event_key]
    one = [quoted(name) for name in (*view.join_keys, *(it.name for it in event if it))]
    recorded = [clocks.recorded] if clocks.recorded else []
    order = (*recorded, clocks.event_time, *tie_breakers(view, columns))
    return over(function, one, order, frame)


def order_of_ties(view: FeatureView, columns: tuple[Column, ...], clocks: Clocks) -> exp.Expr:
    """Return a value by which events of one E compare as T2 has it: A, then the remaining columns.

    A struct orders NULL highest, so each value that can be NULL comes behind whether it is not.
    """
    recorded = [clocks.recorded] if clocks.recorded else []
    parts: list[exp.Expr] = []
    for name in (*recorded, *tie_breakers(view, columns)):
        parts += [quoted(name).is_(exp.null()).not_(), quoted(name)]
    return exp.Anonymous(this="ROW", expressions=parts)
