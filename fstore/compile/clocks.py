"""The clocks of a view: when a row happened (E) and when it could be known (A), as columns.

What they mean for a row at an instant is for :mod:`fstore.compile.visibility` to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from fstore.compile.sql import TIMESTAMP, aliased, instant, quoted, select, try_cast
from fstore.compile.types import COARSE, NANOSECONDS, ZONED, find_column, unused
from fstore.definitions import Column, Duration, FeatureView


def as_utc(value: exp.Expr, type_name: str) -> exp.Expr:
    """Return a clock as TIMESTAMP in UTC, floored to microseconds; infinities stay.

    The connection's TimeZone is UTC, so the cast of a zoned timestamp converts it to UTC.
    """
    plain: exp.Expr = exp.Cast(this=value.copy(), to=TIMESTAMP.copy())
    if type_name == "TIMESTAMP":
        return value
    if type_name in COARSE:  # these reach further than timestamps do
        return try_cast(value, "TIMESTAMP")
    if type_name not in NANOSECONDS:
        return plain
    # DuckDB's cast rounds half up; one microsecond less where it did.
    wide = "TIMESTAMPTZ" if type_name in ZONED else "TIMESTAMP"
    rounded = exp.Cast(this=value.copy(), to=exp.DataType.build(wide, dialect="duckdb"))
    back = exp.Cast(this=rounded, to=exp.DataType.build(type_name, dialect="duckdb", udt=True))
    down = exp.Sub(
        this=plain.copy(),
        expression=exp.Interval(this=exp.Literal.string("1"), unit=exp.var("MICROSECOND")),
    )
    return exp.Case().when(exp.GT(this=back, expression=value.copy()), down).else_(plain)


def shifted(time: exp.Expr, by: Duration, *, back: bool) -> exp.Expr:
    """Return ``time`` moved by a duration; past the calendar's end it is an infinity.

    A NULL time gives an infinity too, which no comparison with that NULL time lets through.
    """
    interval = _interval(by)
    moved = (
        exp.Sub(this=time, expression=interval) if back else exp.Add(this=time, expression=interval)
    )
    return exp.Coalesce(this=exp.Try(this=moved), expressions=[_edge(back=back)])


def stepped(time: exp.Expr, step: Duration) -> exp.Expr:
    """Return the last multiple of ``step`` since 1970 that is at or before ``time``.

    Before the calendar's first instant it is minus infinity.
    """
    epoch = exp.cast(exp.Literal.string("1970-01-01 00:00:00"), TIMESTAMP)
    bucket = exp.DateBin(this=_interval(step), expression=time, unit=epoch)
    return exp.Coalesce(this=exp.Try(this=bucket), expressions=[_edge(back=True)])


def _interval(length: Duration) -> exp.Interval:
    return exp.Interval(
        this=exp.Literal.string(str(length.count * (7 if length.unit == "week" else 1))),
        unit=exp.var("DAY" if length.unit == "week" else length.unit.upper()),
    )


def _edge(*, back: bool) -> exp.Expr:
    return exp.cast(exp.Literal.string("-infinity" if back else "infinity"), TIMESTAMP)


@dataclass(frozen=True)
class Clocks:
    """The names of the columns that hold a row's times, beside the view's own.

    ``event_time`` is E. ``arrival`` is A as the visible-row rule compares it: E + ``delay`` for
    rows that ``backfilled_until`` covers. ``recorded`` is the created_timestamp itself, which
    settles ties; None where the view declares none. ``visible_from`` is the first instant at
    which the row can be seen. ``superseded`` is the one from which another version of its event is.
    """

    event_time: str
    arrival: str
    recorded: str | None
    visible_from: str
    superseded: str

    @classmethod
    def of(cls, view: FeatureView, columns: tuple[Column, ...]) -> Clocks:
        taken = tuple(column.name for column in columns)
        return cls(
            event_time=unused("event_time", taken),
            arrival=unused("arrival", taken),
            recorded=unused("recorded", taken) if view.created_timestamp else None,
            visible_from=unused("visible_from", taken),
            superseded=unused("superseded", taken),
        )


def _type_of(columns: tuple[Column, ...], name: str) -> str:
    column = find_column(columns, name)
    assert column is not None, f"{name} was checked before compiling"
    return column.type


def event_time_of(view: FeatureView, columns: tuple[Column, ...]) -> exp.Expr:
    """Return E of a row of the view's relation."""
    return as_utc(quoted(view.event_timestamp), _type_of(columns, view.event_timestamp))


def is_floored(view: FeatureView, columns: tuple[Column, ...]) -> bool:
    """Whether two values of the event_timestamp can be one E."""
    return _type_of(columns, view.event_timestamp) in NANOSECONDS


def recorded_of(view: FeatureView, columns: tuple[Column, ...]) -> exp.Expr | None:
    """Return the created_timestamp of a row of the view's relation; None where there is none."""
    if view.created_timestamp is None:
        return None
    return as_utc(quoted(view.created_timestamp), _type_of(columns, view.created_timestamp))


def arrival_of(view: FeatureView, event_time: exp.Expr, recorded: exp.Expr | None) -> exp.Expr:
    """Return A: what ``created_timestamp``, ``delay`` and ``backfilled_until`` say together."""
    after_event = shifted(event_time, view.delay, back=False) if view.delay else event_time
    if recorded is None:
        return after_event
    if view.backfilled_until is None:
        return recorded
    loaded_in_one_go = exp.LTE(this=recorded.copy(), expression=instant(view.backfilled_until))
    return exp.Case().when(loaded_in_one_go, after_event).else_(recorded)


def arrives_by_row(view: FeatureView) -> bool:
    """Whether A is a row's own: a created_timestamp that counts. Else it is E + ``delay``."""
    return view.known_at and view.created_timestamp is not None


def stamped(
    view: FeatureView, columns: tuple[Column, ...], kept: tuple[str, ...], source: exp.Expr
) -> exp.Select:
    """Return the rows of ``source``, the view's relation: keys, ``kept`` columns, and clocks.

    The clocks are ``event_time``; ``recorded`` where there is a created_timestamp; and ``arrival``
    where a row's own arrival decides whether it is known.
    """
    clocks = Clocks.of(view, columns)
    event_time, recorded = event_time_of(view, columns), recorded_of(view, columns)
    values: list[exp.Expr] = [quoted(name) for name in dict.fromkeys((*view.join_keys, *kept))]
    values.append(aliased(event_time, clocks.event_time))
    if recorded is not None and clocks.recorded:
        values.append(aliased(recorded, clocks.recorded))
        if arrives_by_row(view):
            arrival = arrival_of(view, event_time.copy(), recorded.copy())
            values.append(aliased(arrival, clocks.arrival))
    return select(values, source)
