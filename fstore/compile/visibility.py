"""The one owner of the visible-row rule: which row of a view is the one to see at an instant.

A row happened at E (``event_timestamp``) and could be known from A on (``created_timestamp``,
else E + ``delay``). It is visible at q iff ``E <= q``, ``A <= q`` and ``E >= q - ttl``; the value
at q is the visible row with the greatest (E, A), then the greatest remaining columns.

A training set compares pairs of rows, which carry their :mod:`fstore.compile.clocks`:
:func:`visible` is the rule for one pair, and :func:`ranked_last` settles rows of equal E.

Two facts make one ordered search of that instead of a comparison of every pair:

- a row is visible, but for its ttl, from ``visible_from = greatest(E, A)`` on and for ever after;
  so at q the winner's E is the greatest of the rows with ``visible_from <= q``: a running maximum.
- a winner older than ttl has no visible row behind it, for all others are older still.

:func:`newest_known` is that running maximum. An online generation asks about one instant for all
keys, and keeps what is to come: :func:`known` is its condition.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.clocks import (
    Clocks,
    arrival_of,
    arrives_by_row,
    as_utc,
    event_time_of,
    is_floored,
    recorded_of,
    shifted,
    stamped,
)
from fstore.compile.sql import (
    TIMESTAMP,
    aliased,
    is_there,
    over,
    quoted,
    select,
    subquery_as,
    table_of,
)
from fstore.compile.types import find_column
from fstore.definitions import Column, FeatureView


def visible(view: FeatureView, clocks: Clocks, row: str, q: exp.Expr) -> list[exp.Expr]:
    """Return T1 for a :func:`stamped` row and an instant: E <= q, A <= q, E >= q - ttl."""
    conditions: list[exp.Expr] = [happened(clocks, row, reach(view, q))]
    if arrives_by_row(view):
        conditions.append(arrived(clocks, row, q))
    return [*conditions, *fresh(view, clocks, row, q)]


def reach(view: FeatureView, q: exp.Expr) -> exp.Expr:
    """Return the latest E that is known at q where A = E + delay: ``q - delay``; else q itself.

    The delay goes to the side of q, where it is added once an asked row, and where rows that it
    would send past the calendar's end keep their order.
    """
    if view.delay and view.known_at and view.created_timestamp is None:
        asked = q.copy().is_(exp.null()).not_()  # a shifted NULL would be an infinity
        return exp.Case().when(asked, shifted(q.copy(), view.delay, back=True))
    return q.copy()


def fresh(view: FeatureView, clocks: Clocks, row: str, q: exp.Expr) -> list[exp.Expr]:
    """Return E >= q - ttl, or nothing where there is no ttl."""
    if view.ttl is None:
        return []
    oldest = shifted(q.copy(), view.ttl, back=True)
    return [exp.GTE(this=quoted(clocks.event_time, row), expression=oldest)]


def happened_within(
    view: FeatureView, clocks: Clocks, row: str, first: exp.Expr, last: exp.Expr
) -> list[exp.Expr]:
    """Return that some instant from ``first`` to ``last`` could see the row, by its E alone."""
    return [happened(clocks, row, reach(view, last)), *fresh(view, clocks, row, first)]


def arrived(clocks: Clocks, row: str, q: exp.Expr) -> exp.Expr:
    """Return A <= q, for a row whose arrival is a column."""
    return exp.LTE(this=quoted(clocks.arrival, row), expression=q.copy())


def at_same_time(clocks: Clocks, row: str, found: exp.Expr) -> exp.Expr:
    """Return E = the event time that was found for the winner."""
    return exp.EQ(this=quoted(clocks.event_time, row), expression=found)


def tie_breakers(view: FeatureView, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Return what settles rows of equal key and E after A: the remaining columns, in order."""
    settled = {name.casefold() for name in (*view.join_keys, view.event_timestamp)}
    if view.created_timestamp:
        settled.add(view.created_timestamp.casefold())
    return tuple(column.name for column in columns if column.name.casefold() not in settled)


def settles_ties(view: FeatureView, columns: tuple[Column, ...], unique: Sequence[str]) -> bool:
    """Whether rows that are unique in these columns never share a key and an E.

    Not where E is floored, for then two of its column's values can be one E.
    """
    key = {name.casefold() for name in (*view.join_keys, view.event_timestamp)}
    return not is_floored(view, columns) and {name.casefold() for name in unique} <= key


def stretch(view: FeatureView, time: exp.Expr) -> exp.Expr:
    """Return the number of the stretch of time, each a ttl long, that a time lies in.

    Whatever is visible at q lies in the stretch of q or in the one before. Times that are not
    finite meet in stretch 0.
    """
    assert view.ttl is not None, "only a ttl bounds what is visible"
    micros = exp.Anonymous(this="EPOCH_US", expressions=[time])
    length = exp.Literal.number(view.ttl.seconds * 1_000_000)
    whole = exp.IntDiv(this=micros, expression=length)
    return exp.Coalesce(this=whole, expressions=[exp.Literal.number(0)])


def ranked_last(clocks: Clocks, row: str, among: exp.Expr, by: tuple[str, ...]) -> exp.Expr:
    """Return :func:`ranked_last_of` for groups that one value tells apart."""
    return ranked_last_of(clocks, row, [among], by)


def ranked_last_of(
    clocks: Clocks, row: str, among: Sequence[exp.Expr], by: tuple[str, ...]
) -> exp.Expr:
    """Return the condition for QUALIFY that keeps T2's winner of the rows of equal E in a group.

    The greatest A, then the greatest columns ``by``, NULL lowest: the last in that order.
    """
    order = (clocks.event_time, *([clocks.recorded] if clocks.recorded else []), *by)
    follower = over(exp.Lead(this=exp.true()), among, order, table=row)
    return follower.is_(exp.null())


def newest_known(view: FeatureView, columns: tuple[Column, ...], source: exp.Expr) -> exp.Select:
    """Return for each row of the view its keys, ``visible_from``, and the E to see from then on.

    For views whose rows have an arrival of their own. ``event_time`` is the greatest E of the rows
    that are visible from then or before: what an ASOF join on ``visible_from`` looks up.
    """
    clocks = Clocks.of(view, columns)
    keys = [quoted(key) for key in view.join_keys]
    rows = select(
        [*keys, quoted(clocks.event_time), aliased(_visible_from(clocks), clocks.visible_from)],
        subquery_as(stamped(view, columns, (), source), "stamped"),
    )
    seen = (clocks.event_time, clocks.arrival)
    rows.where(*(quoted(name).is_(exp.null()).not_() for name in seen), copy=False)
    so_far = exp.WindowSpec(
        kind="RANGE", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"
    )
    newest = over(
        exp.Max(this=quoted(clocks.event_time)),
        [key.copy() for key in keys],
        [clocks.visible_from],
        so_far,
    )
    return select(
        [
            *(key.copy() for key in keys),
            quoted(clocks.visible_from),
            aliased(newest, clocks.event_time),
        ],
        subquery_as(rows, "seen"),
    )


def _visible_from(clocks: Clocks) -> exp.Expr:
    """Return the first instant at which a row is visible: E or A, whichever is later."""
    later = [quoted(clocks.arrival)]
    return exp.Greatest(this=quoted(clocks.event_time), expressions=later, ignore_nulls=True)


def visible_since(clocks: Clocks, row: str, q: exp.Expr) -> exp.Expr:
    """Return q >= visible_from: E <= q and A <= q in one comparison, as an ASOF join wants it."""
    return exp.GTE(this=q.copy(), expression=quoted(clocks.visible_from, row))


def happened_by(clocks: Clocks, row: str, q: exp.Expr) -> exp.Expr:
    """Return q >= E, as an ASOF join wants it."""
    return exp.GTE(this=q, expression=quoted(clocks.event_time, row))


def clocked(view: FeatureView, columns: tuple[Column, ...], kept: tuple[str, ...]) -> exp.Select:
    """Return the rows that can ever be seen: keys, ``kept`` columns, and the :class:`Clocks`.

    Rows with a NULL key, E or A are left out.
    """
    clocks = Clocks.of(view, columns)
    event_time, recorded = event_time_of(view, columns), recorded_of(view, columns)
    rows = exp.select(exp.Star(), aliased(event_time, clocks.event_time)).from_(
        table_of(view.relation)
    )
    if recorded is not None and clocks.recorded:
        rows = rows.select(aliased(recorded, clocks.recorded))

    arrival = arrival_of(
        view,
        quoted(clocks.event_time),
        quoted(clocks.recorded) if clocks.recorded else None,
    )
    known = exp.select(exp.Star(), aliased(arrival, clocks.arrival)).from_(
        subquery_as(rows, "stamped")
    )

    types = {column.name.casefold(): column.type for column in columns}
    seen = [is_there(quoted(clocks.event_time))]
    seen += [is_there(quoted(key), types[key.casefold()]) for key in view.join_keys]
    if view.known_at:
        visible_from = _visible_from(clocks)
        seen.append(is_there(quoted(clocks.arrival)))
    else:
        visible_from = quoted(clocks.event_time)
    return (
        exp.select(
            *(quoted(name) for name in dict.fromkeys((*view.join_keys, *kept))),
            quoted(clocks.event_time),
            quoted(clocks.arrival),
            *([quoted(clocks.recorded)] if clocks.recorded else []),
            aliased(visible_from, clocks.visible_from),
        )
        .from_(subquery_as(known, "known"))
        .where(*seen)
    )


def happened(clocks: Clocks, row: str, q: exp.Expr) -> exp.Expr:
    """Return E <= q, for a row of which it is settled already that it is known at q."""
    return exp.LTE(this=quoted(clocks.event_time, row), expression=q)


def known(view: FeatureView, clocks: Clocks, row: str, k: exp.Expr) -> list[exp.Expr]:
    """Return A <= K, for a :func:`stamped` row; with ``known_at: false`` all rows are known.

    K is an instant, never NULL. It says the same of all rows of one key, E and A.
    """
    if not view.known_at:
        return []
    if arrives_by_row(view):
        return [arrived(clocks, row, k)]
    return [happened(clocks, row, shifted(k, view.delay, back=True) if view.delay else k)]


def knows_future(view: FeatureView) -> bool:
    """Whether a row can be :func:`known` before it happens: not where A follows from E."""
    return not view.known_at or arrives_by_row(view)


def same_recorded(clocks: Clocks, row: str, found: str) -> list[exp.Expr]:
    """Return A = the A that was found for the winner, NULL equal to NULL; nothing where no A is."""
    if clocks.recorded is None:
        return []
    ours, theirs = quoted(clocks.recorded, row), quoted(clocks.recorded, found)
    return [exp.NullSafeEQ(this=ours, expression=theirs)]


def in_window(
    view: FeatureView, clocks: Clocks, row: str, since: exp.Expr, q: exp.Expr, known_by: exp.Expr
) -> list[exp.Expr]:
    """Return that an event is in a window ``[since, q)`` and known at q.

    ``known_by`` is ``reach(view, q)``, and the row carries ``superseded`` where the view has an
    event_key.
    """
    time = quoted(clocks.event_time, row)
    conditions = [happened_before(time, q), happened_since(time, since)]
    if arrives_by_row(view):
        conditions.append(arrived(clocks, row, q))
    elif view.delay and view.known_at:
        conditions.append(happened(clocks, row, known_by.copy()))
    if has_versions(view):
        superseded = quoted(clocks.superseded, row)
        later = exp.GT(this=superseded, expression=known_by.copy())
        conditions.append(exp.or_(superseded.copy().is_(exp.null()), later))
    return conditions


def happened_before(time: exp.Expr, q: exp.Expr) -> exp.Expr:
    """Return E < q: what happened at the asking instant itself is in no window."""
    return exp.LT(this=time.copy(), expression=q.copy())


def happened_since(time: exp.Expr, since: exp.Expr) -> exp.Expr:
    """Return E >= the beginning of a window."""
    return exp.GTE(this=time.copy(), expression=since.copy())


def settled_by(time: exp.Expr, known_by: exp.Expr) -> exp.Expr:
    """Return that a row is settled at q: see :func:`fstore.compile.versions.settles_at`."""
    return exp.LTE(this=time.copy(), expression=known_by.copy())


def has_versions(view: FeatureView) -> bool:
    """Whether an event has versions of which the one to count depends on q.

    Where all rows are known at any q, its last version is the only one.
    """
    return bool(view.event_key) and view.known_at


def kept_columns(
    view: FeatureView, columns: tuple[Column, ...], features: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the columns to carry for these features: themselves, and a snapshot's end."""
    ends = () if view.snapshot is None else (view.snapshot.valid_to, view.snapshot.is_deleted)
    present = tuple(name for name in ends if find_column(columns, name))
    return tuple(dict.fromkeys((*features, *present)))


def still_valid(
    view: FeatureView, columns: tuple[Column, ...], winner: str, q: exp.Expr
) -> exp.Expr | None:
    """Return the condition under which a snapshot's winner is a match at q; None means always.

    It fails where the row had ended by q or records a deletion. Older rows do not step in.
    """
    if view.snapshot is None:
        return None
    conditions: list[exp.Expr] = []
    ended = find_column(columns, view.snapshot.valid_to)
    if ended:
        end = as_utc(quoted(ended.name, winner), ended.type)
        conditions.append(
            exp.or_(
                quoted(ended.name, winner).is_(exp.null()), exp.GT(this=end, expression=q.copy())
            )
        )
    deleted = find_column(columns, view.snapshot.is_deleted)
    if deleted:
        conditions.append(
            exp.NullSafeNEQ(
                this=quoted(deleted.name, winner), expression=exp.Literal.string("True")
            )
        )
    return exp.and_(*conditions) if conditions else None


def valid_until(view: FeatureView, columns: tuple[Column, ...]) -> exp.Expr:
    """Return the instant from which :func:`still_valid` fails for an unqualified row.

    Infinity where nothing ends it, minus infinity for a snapshot's record of a deletion.
    """
    never, always = (
        exp.cast(exp.Literal.string(text), TIMESTAMP) for text in ("-infinity", "infinity")
    )
    if view.snapshot is None:
        return always
    ended = find_column(columns, view.snapshot.valid_to)
    end: exp.Expr = always
    if ended:
        end = exp.Coalesce(this=as_utc(quoted(ended.name), ended.type), expressions=[always])
    deleted = find_column(columns, view.snapshot.is_deleted)
    if deleted is None:
        return end
    gone = exp.EQ(this=quoted(deleted.name), expression=exp.Literal.string("True"))
    return exp.Case().when(gone, never).else_(end)
