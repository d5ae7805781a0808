"""The events query: what the online store keeps of a view whose rows are events, as of K.

Every known event that a window of K or later can hold, each as its newest known version.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlglot import exp

from fstore.compile.carried import flagged, flags, identity, values
from fstore.compile.clocks import Clocks, arrives_by_row, stamped
from fstore.compile.find import ROW
from fstore.compile.handed import handed
from fstore.compile.sql import (
    aliased,
    ascending,
    instant,
    is_there,
    over,
    quoted,
    select,
    subquery_as,
    table_of,
)
from fstore.compile.types import find_column
from fstore.compile.versions import last_version
from fstore.compile.visibility import happened_since, known, tie_breakers
from fstore.definitions import Column, FeatureView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def horizon(view: FeatureView, as_of: datetime) -> datetime | None:
    """Return where the longest window of an instant begins; None where that is before year 1."""
    starts = []
    for feature in view.windows:
        try:
            start = as_of - timedelta(seconds=feature.window.seconds)
            if feature.hop is not None:
                start -= (start - _EPOCH) % timedelta(seconds=feature.hop.seconds)
        except OverflowError:
            return None
        starts.append(start)
    return min(starts)


def event_cells(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return what windows need of an event, beside its key and clocks."""
    needed = (*identity(view, columns), *values(view, columns), *flags(view, columns))
    return tuple(dict.fromkeys(needed))


def event_columns(view: FeatureView, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns of :func:`events`, in order, with types.

    Join keys, :func:`event_cells`, E, and what orders events of one E and versions of one event: A.
    """
    keys = (find_column(columns, key) for key in view.join_keys)
    clocks = Clocks.of(view, columns)
    return (
        *dict.fromkeys((*(key for key in keys if key), *event_cells(view, columns))),
        Column(clocks.event_time, "TIMESTAMP"),
        Column(arrived_name(view, columns), "TIMESTAMP"),
    )


def arrived_name(view: FeatureView, columns: tuple[Column, ...]) -> str:
    """Return the name of the column that settles ties: the created_timestamp, else E again."""
    clocks = Clocks.of(view, columns)
    return clocks.recorded or f"{clocks.event_time}_settles"


def events(view: FeatureView, columns: tuple[Column, ...], as_of: datetime) -> exp.Select:
    """Compile the events as of K = ``as_of``, in order of the keys, E and A.

    An event whose newest version lies before every window stays where an older one does not, or
    where it arrived since: a push of an older version, which may lie in a window, must be known to
    be old.
    """
    clocks, settles = Clocks.of(view, columns), arrived_name(view, columns)
    k, since = instant(as_of), horizon(view, as_of)
    kept = tuple(column.name for column in event_cells(view, columns))
    by = tie_breakers(view, columns)
    source = flagged(view, columns, table_of(view.relation))
    rows = subquery_as(stamped(view, columns, tuple(dict.fromkeys((*kept, *by))), source), ROW)
    names = list(dict.fromkeys((*view.join_keys, *kept)))
    types = {column.name.casefold(): column.type for column in event_columns(view, columns)}
    values: list[exp.Expr] = [handed(name, types[name.casefold()], ROW) for name in names]
    values.append(quoted(clocks.event_time, ROW))
    settled = quoted(clocks.recorded or clocks.event_time, ROW)
    values.append(settled if clocks.recorded else aliased(settled, settles))

    query = select(values, rows)
    seen = [is_there(quoted(name, ROW), types[name.casefold()]) for name in view.join_keys]
    seen.append(is_there(quoted(clocks.event_time, ROW)))
    query.where(*seen, *known(view, clocks, ROW, k), copy=False)
    if view.event_key:
        newest = last_version(view, columns, clocks)
        if since is not None:
            one = [quoted(name, ROW) for name in (*view.join_keys, *view.event_key)]
            latest: exp.Expr = over(exp.Max(this=quoted(clocks.event_time, ROW)), one)
            if clocks.recorded:
                arrival = clocks.arrival if arrives_by_row(view) else clocks.recorded
                later = [quoted(arrival, ROW)]
                latest = exp.Greatest(this=latest, expressions=later, ignore_nulls=True)
            newest = exp.and_(newest, happened_since(latest, instant(since)))
        query.qualify(newest, copy=False)
    elif since is not None:
        time = quoted(clocks.event_time, ROW)
        query.where(happened_since(time, instant(since)), copy=False)
    order = (*view.join_keys, clocks.event_time, clocks.recorded or clocks.event_time, *by)
    terms = [ascending(name, ROW) for name in dict.fromkeys(order)]
    for term in terms:
        term.set("nulls_first", True)
    query.set("order", exp.Order(expressions=terms))
    return query
