"""The rules of time, computed the slow and obvious way: the truth that tests hold fstore to.

It imports nothing of fstore and no engine: rows are dicts, a search looks at every row. The rule
numbers (T1 to T9) are those of docs/concepts.md. An instant is a whole number of microseconds since
1970 in UTC, or minus or plus infinity; :func:`instant` makes one from a datetime, date or text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

Instant = int | float
Row = dict[str, Any]

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT = re.compile(
    r"(?P<year>\d{1,6})-(?P<month>\d\d)-(?P<day>\d\d)(?P<bc> \(BC\))?"
    r"(?:[ T](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?"
)


def instant(value: datetime | date | str | int | float | None) -> Instant | None:
    """T6: floored to microseconds; what carries no zone is UTC; a date is its 00:00.

    >>> instant("1970-01-01 00:00:00.000001999"), instant("1970-01-01 01:00:00+01:00")
    (1, 0)
    """
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - EPOCH) // MICROSECOND
    if isinstance(value, date):
        return instant(datetime(value.year, value.month, value.day))
    if value in ("infinity", "-infinity"):
        return math.inf if value == "infinity" else -math.inf
    found = TEXT.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is not an instant")
    year = 1 - int(found["year"]) if found["bc"] else int(found["year"])
    cycles = (year - 2000) // 400  # Python's own dates end at 9999; 400 years are 146,097 days
    days = (
        date(year - cycles * 400, int(found["month"]), int(found["day"])) - date(1970, 1, 1)
    ).days
    seconds = (days + cycles * 146097) * 86400
    seconds += int(found["hour"] or 0) * 3600 + int(found["minute"] or 0) * 60
    seconds += int(found["second"] or 0)
    zone = (found["zone"] or "Z").replace(":", "")
    if zone != "Z":
        east = int(zone[1:3]) * 3600 + int(zone[3:5] or 0) * 60
        seconds += -east if zone[0] == "+" else east
    return seconds * 1_000_000 + int((found["fraction"] or "").ljust(6, "0")[:6])


def micros(length: timedelta | None) -> int:
    return 0 if length is None else length // MICROSECOND


def rank(value: Any) -> tuple[Any, ...]:
    """T2's order of two cells: NULL lowest, NaN above every number."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, value)


@dataclass(frozen=True)
class Window:
    """A window feature; ``where`` says of a row whether it counts."""

    function: str
    column: str | None
    length: timedelta
    where: Callable[[Row], bool | None] | None = None
    hop: timedelta | None = None


@dataclass(frozen=True)
class View:
    """A feature view with its rows; ``columns`` is every column of the relation, in its order."""

    columns: Sequence[str]
    keys: Sequence[str]
    event_timestamp: str
    rows: Sequence[Row]
    created_timestamp: str | None = None
    known_at: bool = True
    delay: timedelta | None = None
    backfilled_until: datetime | str | None = None
    ttl: timedelta | None = None
    valid_to: str | None = None  # these two where the view is a snapshot
    is_deleted: str | None = None
    event_key: Sequence[str] = ()  # where the view's rows are events
    windows: Mapping[str, Window] = field(default_factory=dict)  # by the feature's name

    def event(self, row: Row) -> Instant | None:
        """E."""
        return instant(row[self.event_timestamp])

    def recorded(self, row: Row) -> Instant | None:
        """A as written down: what breaks ties."""
        if self.created_timestamp is not None:
            return instant(row[self.created_timestamp])
        happened = self.event(row)
        return None if happened is None else happened + micros(self.delay)

    def arrival(self, row: Row) -> Instant | None:
        """A as it counts for visibility: a backfilled row is taken as known at E + delay (T5)."""
        recorded, happened = self.recorded(row), self.event(row)
        backfilled = instant(self.backfilled_until)
        if None not in (recorded, happened, backfilled) and recorded <= backfilled:
            return happened + micros(self.delay)
        return recorded

    def matches(self, row: Row, key: Sequence[Any]) -> bool:
        """A NULL never equals anything, another NULL included (T1)."""
        mine = [row[name] for name in self.keys]
        return all(
            a is not None and b is not None and a == b for a, b in zip(mine, key, strict=True)
        )

    def known(self, row: Row, q: Instant) -> bool:
        """Whether the store could know the row at q."""
        if not self.known_at:
            return True
        arrived = self.arrival(row)
        return arrived is not None and arrived <= q

    def happened(self, row: Row, q: Instant) -> bool:
        event = self.event(row)
        return event is not None and event <= q

    def fresh(self, row: Row, q: Instant) -> bool:
        """Whether the row is no older than ttl at q, the ttl itself included."""
        return self.ttl is None or self.event(row) >= q - micros(self.ttl)

    def ended(self, row: Row, q: Instant) -> bool:
        """Whether a snapshot's row was over at q, or says that its key was deleted."""
        until = instant(row[self.valid_to]) if self.valid_to else None
        deleted = self.is_deleted is not None and row[self.is_deleted] == "True"
        return deleted or (until is not None and until <= q)

    def order(self, row: Row) -> tuple[Any, ...]:
        """T2: (E, A), then the remaining columns in the relation's order."""
        apart = {*self.keys, self.event_timestamp, self.created_timestamp}
        rest = [rank(row[name]) for name in self.columns if name not in apart]
        return (self.event(row), rank(self.recorded(row)), *rest)

    def latest(
        self, key: Sequence[Any], q: Instant | None, allowed: Callable[[Row], bool]
    ) -> Row | None:
        if q is None:
            return None
        mine = [row for row in self.rows if self.matches(row, key) and self.happened(row, q)]
        return max((row for row in mine if allowed(row)), key=self.order, default=None)

    def visible(self, key: Sequence[Any], q: Instant | None) -> Row | None:
        """The row whose cells are the features of ``key`` at ``q`` (T1 to T5), or None."""
        winner = self.latest(key, q, lambda row: self.known(row, q) and self.fresh(row, q))
        return None if winner is None or self.ended(winner, q) else winner

    def online(self, key: Sequence[Any], t: Instant, k: Instant) -> tuple[str, Row | None]:
        """The read at ``t`` of a store published as of ``k``: ``FOUND``, or every cell's status.

        The store knows the rows that had arrived at k, and nothing later.
        """
        winner = self.latest(key, t, lambda row: self.known(row, k) and self.known(row, t))
        if winner is None or self.ended(winner, t):
            return "NOT_FOUND", None
        return ("FOUND", winner) if self.fresh(winner, t) else ("OUTSIDE_MAX_AGE", winner)

    def by_arrival(self, row: Row) -> tuple[Any, ...]:
        """The order of the versions of one event: A as recorded, then T2's."""
        return (rank(self.recorded(row)), *self.order(row))

    def events(self, key: Sequence[Any], q: Instant) -> list[Row]:
        """The events of a key that are known at q, each in the version that counts then."""
        known = [
            row
            for row in self.rows
            if self.matches(row, key) and self.event(row) is not None and self.known(row, q)
        ]
        if not self.event_key:
            return known
        versions: dict[tuple[Any, ...], list[Row]] = {}
        for row in known:
            versions.setdefault(tuple(row[name] for name in self.event_key), []).append(row)
        return [max(rows, key=self.by_arrival) for rows in versions.values()]

    def in_window(self, window: Window, key: Sequence[Any], q: Instant) -> list[Row]:
        """The events of ``[q - length, q)`` in their order; hop moves the beginning back."""
        if not math.isfinite(q):
            return []
        begin = q - micros(window.length)
        if window.hop is not None:
            begin -= begin % micros(window.hop)
        found = [
            row
            for row in self.events(key, q)
            if math.isfinite(self.event(row))
            and begin <= self.event(row) < q
            and (window.where is None or window.where(row))
        ]
        return sorted(found, key=self.order)

    def aggregate(self, name: str, key: Sequence[Any], q: Instant | None) -> Any:
        """A window feature of ``key`` at ``q``. Floats are added up exactly, and rounded once."""
        if q is None or any(part is None for part in key):
            return None
        window = self.windows[name]
        rows = self.in_window(window, key, q)
        if window.column is None:
            return len(rows)
        cells = [row[window.column] for row in rows]
        there = [value for value in cells if value is not None]
        if window.function == "count":
            return len(there)
        if window.function == "approx_count_distinct":
            return len({"nan" if value != value else value for value in there})
        if window.function in ("first", "last"):
            return cells[0 if window.function == "first" else -1] if cells else None
        if not there:
            return None
        if window.function in ("min", "max"):
            return (min if window.function == "min" else max)(there, key=rank)
        if window.function == "sum":
            return added(there)
        mean = added([float(value) for value in there]) / len(there)
        if window.function == "avg":
            return mean
        if len(there) < 2:
            return None
        return math.sqrt(added([(float(value) - mean) ** 2 for value in there]) / (len(there) - 1))

    def appearances(self) -> list[tuple[tuple[Any, ...], Instant]]:
        """(key, instant at which the row became visible), for a request without a spine (T9)."""
        found = set()
        for row in self.rows:
            key = tuple(row[name] for name in self.keys)
            event, arrived = self.event(row), self.arrival(row)
            if None in key or event is None or (self.known_at and arrived is None):
                continue
            first = max(event, arrived) if self.known_at else event
            if self.fresh(row, first):
                found.add((key, first))
        return list(found)


def added(values: Sequence[Any]) -> Any:
    """The sum of numbers of one kind."""
    if not isinstance(values[0], float):
        return sum(values)
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


@dataclass(frozen=True)
class Asked:
    """Features of one view in a request.

    ``outputs`` maps a feature to its name in the answer; ``join_keys`` maps the view's key to the
    spine's column, where they differ; ``stamp`` names the column of the visible row's E, if wanted.
    """

    view: View
    outputs: dict[str, str]
    join_keys: dict[str, str] = field(default_factory=dict)
    stamp: str | None = None

    def key(self, row: Row) -> list[Any]:
        return [row[self.join_keys.get(name, name)] for name in self.view.keys]


def training_rows(spine: Iterable[Row], time: str, asked: Iterable[Asked]) -> list[Row]:
    """T4: every spine row once, in order, its own cells untouched, with the features beside it."""
    asked = list(asked)
    answer = []
    for row in spine:
        out = dict(row)
        for part in asked:
            winner = part.view.visible(part.key(row), instant(row[time]))
            for feature, name in part.outputs.items():
                if feature in part.view.windows:
                    out[name] = part.view.aggregate(feature, part.key(row), instant(row[time]))
                else:
                    out[name] = None if winner is None else winner[feature]
        for part in asked:
            if part.stamp:
                winner = part.view.visible(part.key(row), instant(row[time]))
                out[part.stamp] = None if winner is None else part.view.event(winner)
        answer.append(out)
    return answer


def appeared(views: Sequence[View], start: Any, end: Any) -> list[Row]:
    """The spine of a request without one: keys, then event_timestamp; in order of time and keys."""
    low, high = instant(start), instant(end)
    found = {pair for view in views for pair in view.appearances() if low <= pair[1] <= high}
    return [
        dict(zip(views[0].keys, key, strict=True)) | {"event_timestamp": at}
        for key, at in sorted(found, key=lambda pair: (pair[1], pair[0]))
    ]


def online_rows(entities: Iterable[Row], t: Any, k: Any, asked: Iterable[Asked]) -> list[Row]:
    """The online answer: per feature its value, ``<name>__status`` and ``<name>__ts``."""
    asked = list(asked)
    answer = []
    for row in entities:
        out = dict(row)
        for part in asked:
            status, winner = part.view.online(part.key(row), instant(t), instant(k))
            stamp = None if winner is None else part.view.event(winner)
            for feature, name in part.outputs.items():
                value = winner[feature] if winner is not None and status == "FOUND" else None
                cell = "NULL_VALUE" if value is None else "PRESENT"
                out[name] = value
                out[f"{name}__status"] = cell if status == "FOUND" else status
                out[f"{name}__ts"] = stamp
        answer.append(out)
    return answer
