"""How many spine rows got an older value, or none, because the newest row was not yet known."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from fstore.compile.point_in_time import Spine, SpineNames, asof, spine_rows, with_winners
from fstore.compile.request import Columns, FeatureRequest, Join
from fstore.compile.sql import aliased, common, quoted, table_as
from fstore.compile.visibility import Clocks, holds


def can_withhold(join: Join) -> bool:
    """Whether a row of this view can be held back by its created_timestamp."""
    return join.view.created_timestamp is not None and join.view.known_at


def withheld(join: Join, columns: Columns, spine: Spine) -> exp.Select:
    """Compile one row: the spine rows that created_timestamp alone withheld a row from, and all.

    The row withheld is the one that would be seen if every row were known when it happened.
    """
    built = columns[join.view.reference]
    by_event = Join(join.name, replace(join.view, known_at=False), join.keys)
    names = SpineNames.of(FeatureRequest((by_event,), ()), spine)
    q = quoted(names.as_of, names.alias)
    arrival = quoted(Clocks.of(join.view, built).arrival, join.name)
    event_time = quoted(Clocks.of(join.view, built).event_time, join.name)
    newest = exp.not_(event_time.is_(exp.null()))
    unknown = exp.or_(arrival.is_(exp.null()), exp.GT(this=arrival.copy(), expression=q))
    matched = holds(by_event.view, built, join.name, q)
    late = exp.and_(newest, unknown, *([matched] if matched else []))
    every = exp.Count(this=exp.Star(), big_int=True)
    counted_late = exp.Filter(this=every, expression=exp.Where(this=late))
    query = exp.select(
        aliased(counted_late, "withheld"),
        aliased(every.copy(), "spine_rows"),
    ).from_(table_as("spine", names.alias))
    query = common(query, "spine", spine_rows(spine, names))
    query = with_winners(query, by_event.view, built, ())
    return query.join(asof(by_event, built, spine, names))
