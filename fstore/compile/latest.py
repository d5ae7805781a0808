"""The generation query: per key the row to see at K, and every known row of its future."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from fstore.compile.clocks import Clocks
from fstore.compile.sql import common, instant, over, quoted
from fstore.compile.types import find_column
from fstore.compile.visibility import clocked, kept_columns, known
from fstore.definitions import Column, FeatureView


def stored_columns(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return what a generation holds of a view, in order, with types.

    Join keys, features, a snapshot's end, E, and the created_timestamp that settles ties where
    the view declares one. ``columns`` are those of the built relation.
    """
    clocks = Clocks.of(view, columns)
    carried = (*view.join_keys, *kept_columns(view, columns, view.feature_names(columns)))
    found = [(name, find_column(columns, name)) for name in dict.fromkeys(carried)]
    stored = [Column(name, column.type) for name, column in found if column]
    stored.append(Column(clocks.event_time, "TIMESTAMP"))
    if clocks.recorded:
        stored.append(Column(clocks.recorded, "TIMESTAMP"))
    return tuple(stored)


def latest(view: FeatureView, columns: tuple[Column, ...], as_of: datetime) -> exp.Select:
    """Compile the rows of one generation as of K = ``as_of``, an aware instant.

    Of the rows known at K: per key the one to see at K, and one row for each later E. ttl and the
    end of a snapshot's row are for the read to judge. With ``known_at: false`` all rows are known.
    """
    clocks = Clocks.of(view, columns)
    rows = f"{view.identifier}_rows"
    kept = kept_columns(view, columns, view.feature_names(columns))
    # Every E up to K falls into one group, each later E is a group of its own.
    reached = exp.Greatest(
        this=quoted(clocks.event_time), expressions=[instant(as_of)], ignore_nulls=True
    )
    best = over(
        exp.Max(this=quoted(clocks.recency)),
        [*(quoted(key) for key in view.join_keys), reached],
    )
    query = exp.select(*(quoted(column.name) for column in stored_columns(view, columns)))
    query = query.from_(exp.table_(rows, quoted=True))
    arrived = known(view, clocks, instant(as_of))
    query = query.where(arrived) if arrived is not None else query
    query = query.qualify(exp.EQ(this=quoted(clocks.recency), expression=best))
    return common(query, rows, clocked(view, columns, kept))
