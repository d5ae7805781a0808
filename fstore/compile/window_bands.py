"""Bands: the events of a spine row split by the windows that hold them, each aggregated once.

Windows of one spine row end together and differ in where they begin: of events in order of time,
the longest window holds all, the next all but the oldest, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from fstore.compile.clocks import shifted, stepped
from fstore.compile.find import ROW, Search
from fstore.compile.spine import from_spine
from fstore.compile.sql import aliased, joined, quoted, select, table_as
from fstore.compile.types import unused
from fstore.compile.visibility import happened_since, in_window, reach
from fstore.compile.window_events import Events
from fstore.compile.window_order import Order
from fstore.compile.window_parts import BAND, UNMERGED, Filtered, Parts, computed, distinct, type_of
from fstore.definitions import Duration, WindowFeature
from fstore.errors import RequestError

ASKED = "asked"  # the alias of a spine row's times
MEANS = "means"
MOST_WINDOWS = 120  # beginnings of windows that one number can tell apart

Beginning = tuple[Duration, Duration | None]  # a window's length, and its hop


@dataclass(frozen=True)
class Names:
    """Names of the columns between the steps, which no column of the view or the spine has."""

    since: str
    known_by: str
    held_by: str
    tile: str
    first: str
    last: str
    settled: str

    @classmethod
    def of(cls, search: Search) -> Names:
        taken = tuple(column.name for column in (*search.built, *search.spine.columns))
        words = ("since", "known_by", "held_by", "tile", "tile_first", "tile_last", "tile_settled")
        return cls(*(unused(word, taken) for word in words))


@dataclass(frozen=True)
class Windows:
    """The windows asked of one join, and the steps that compute them."""

    search: Search
    features: tuple[WindowFeature, ...]

    def __post_init__(self) -> None:
        if len(self.beginnings) > MOST_WINDOWS:
            raise RequestError(
                f"{len(self.beginnings)} windows of {self.search.join.view.reference} are asked at "
                f"once, and {MOST_WINDOWS} can be: ask for fewer of its features."
            )

    @cached_property
    def beginnings(self) -> list[Beginning]:
        """What tells where windows begin, each once."""
        return list(dict.fromkeys((it.window, it.hop) for it in self.features))

    @cached_property
    def merging(self) -> tuple[WindowFeature, ...]:
        """The features that bands are merged to."""
        return tuple(it for it in self.features if it.function != UNMERGED)

    @property
    def counted(self) -> tuple[WindowFeature, ...]:
        """The features that look at each event, for want of parts that merge."""
        return tuple(it for it in self.features if it.function == UNMERGED)

    @cached_property
    def parts(self) -> Parts:
        return Parts.of(self.search.join.view, self.search.built, self.merging)

    @cached_property
    def events(self) -> Events:
        order = Order(self.search, self.name("bounds"), self.names.since)
        return Events(self.search, self.features, order)

    @cached_property
    def names(self) -> Names:
        return Names.of(self.search)

    def name(self, step: str) -> str:
        return f"{self.search.join.name}_{step}"

    def sources(self) -> list[str]:
        """Return the names of the last steps: each has the place, and some of the features."""
        last = [("windows", self.merging), ("distinct", self.counted)]
        return [self.name(step) for step, features in last if features]

    def source_of(self, feature: WindowFeature) -> str:
        """Return the name of the step that has a feature."""
        return self.name("distinct" if feature.function == UNMERGED else "windows")

    # The times of a spine row.

    def bounds(self) -> exp.Select:
        """Return for each spine row its place, time and keys, and where its windows begin."""
        search, names = self.search, self.names
        q = search.as_of
        begins = [_beginning(q, each) for each in self.beginnings]
        longest = max(self.beginnings, key=lambda it: it[0].seconds)
        earliest = _beginning(q, longest)
        if any(hop for _, hop in self.beginnings):
            others = [begin.copy() for begin in begins]
            earliest = exp.Least(this=earliest, expressions=others, ignore_nulls=True)
        values = [*search.asked(), aliased(earliest, names.since)]
        if len(begins) > 1:
            values += [aliased(it, self.begin(at)) for at, it in enumerate(begins)]
        if self.reaches_back:
            values.append(aliased(reach(search.join.view, q), names.known_by))
        return select(values, from_spine(search.names))

    def begin(self, place: int) -> str:
        """Return the name of the column of the windows' beginning of this place."""
        return f"{self.names.since}_{place + 1}"

    @property
    def reaches_back(self) -> bool:
        """Whether the latest E that is known at q is another than q."""
        view = self.search.join.view
        return bool(view.delay and view.known_at and not view.created_timestamp)

    def known_by(self) -> exp.Expr:
        return quoted(self.names.known_by if self.reaches_back else self.search.names.as_of, ASKED)

    # Bands.

    def held_by(self, table: str, time: str) -> exp.Expr:
        """Return a number whose bits say which windows begin at or before a time."""
        bits: list[exp.Expr] = []
        kind = "BIGINT" if len(self.beginnings) <= 60 else "HUGEINT"
        for place in range(len(self.beginnings)):
            begun = happened_since(quoted(time, table), quoted(self.begin(place), ASKED))
            weight = exp.Literal.number(1 << place)
            bits.append(exp.Mul(this=exp.cast(begun, kind), expression=weight))
        total = bits[0]
        for bit in bits[1:]:
            total = exp.Add(this=total, expression=bit)
        return total

    def only(self, feature: WindowFeature) -> Filtered:
        """Return what keeps, of the bands, those of the feature's window.

        No FILTER: for each that an aggregate has, the engine holds a chunk of all columns that any
        aggregate reads, so that hundreds of features take a gigabyte.
        """
        if len(self.beginnings) == 1:
            return lambda aggregate: aggregate
        place = self.beginnings.index((feature.window, feature.hop))
        bit = exp.BitwiseAnd(
            this=quoted(self.names.held_by, BAND), expression=exp.Literal.number(1 << place)
        )
        held = exp.GT(this=bit, expression=exp.Literal.number(0))

        def among(aggregate: exp.Expr) -> exp.Expr:
            # Every aggregate passes over NULLs; of ARG_MAX_NULL that is the value compared.
            two = isinstance(aggregate, exp.Anonymous)
            value = aggregate.expressions[-1] if two else aggregate.this
            value.replace(exp.Case().when(held.copy(), value.copy()))
            return aggregate

        return among

    def banded(
        self,
        asked: str,
        rows: tuple[str, str],
        on: Sequence[exp.Expr],
        begins: str,
        parts: Sequence[exp.Expr],
        *,
        grouped: bool = True,
    ) -> exp.Select:
        """Return the bands of spine rows joined with events, or with tiles.

        ``rows`` are named by CTE and alias, ``begins`` is their column that the windows' beginnings
        are compared with.
        """
        by: list[exp.Expr] = [quoted(self.search.names.row, ASKED)]
        if len(self.beginnings) > 1:
            by.append(aliased(self.held_by(rows[1], begins), self.names.held_by))
        query = select([*by, *parts], table_as(asked, ASKED))
        query.append("joins", joined(table_as(*rows), on))
        if grouped:
            query.set("group", exp.Group(expressions=[it.unalias().copy() for it in by]))
        return query

    def same_keys(self, rows: str) -> list[exp.Expr]:
        keys = [key for key, _ in self.search.asked_keys()]
        return [exp.EQ(this=quoted(key, ASKED), expression=quoted(key, rows)) for key in keys]

    def visible(self) -> list[exp.Expr]:
        """Return that an event is in the longest window of a spine row, and known at its time."""
        since = quoted(self.names.since, ASKED)
        q = quoted(self.search.names.as_of, ASKED)
        view, clocks = self.search.join.view, self.search.clocks
        return in_window(view, clocks, ROW, since, q, self.known_by())

    def computed(self, *, settled: bool = False) -> list[exp.Expr]:
        """Return the parts of events; ``settled``: of those alone that no version supersedes."""
        events = self.events
        return [
            aliased(
                computed(
                    part,
                    type_of(part, self.search.built),
                    quoted(events.at, ROW),
                    events.only(part.source.where, last=settled),
                ),
                part.name,
            )
            for part in self.parts.every
        ]

    def bands_of_events(self, asked: str) -> exp.Select:
        """Return the bands of spine rows that look at each event of their key."""
        on = [*self.same_keys(ROW), *self.visible()]
        rows = (self.events.name, ROW)
        return self.banded(asked, rows, on, self.search.clocks.event_time, self.computed())

    # What bands are merged to.

    def merged(self) -> exp.Select:
        """Return the features of each spine row that has an event in its longest window."""
        row, parts = quoted(self.search.names.row, BAND), self.parts
        values: list[exp.Expr] = [row]
        for feature in self.merging:
            mean = quoted(self.mean_name(feature), MEANS) if feature.function == "stddev" else None
            values.append(aliased(parts.finished(feature, self.only(feature), mean), feature.name))
        query = select(values, table_as(self.name("bands"), BAND))
        if parts.has_squares:
            same = exp.EQ(this=row.copy(), expression=quoted(self.search.names.row, MEANS))
            query.append("joins", joined(table_as(self.name("means"), MEANS), [same]))
        query.set("group", exp.Group(expressions=[row.copy()]))
        return query

    def means(self) -> exp.Select:
        """Return the mean over each window that a standard deviation is asked of."""
        row = quoted(self.search.names.row, BAND)
        values: list[exp.Expr] = [row]
        for feature in self.merging:
            if feature.function == "stddev":
                mean = self.parts.mean(feature, self.only(feature))
                values.append(aliased(mean, self.mean_name(feature)))
        query = select(values, table_as(self.name("bands"), BAND))
        query.set("group", exp.Group(expressions=[row.copy()]))
        return query

    def mean_name(self, feature: WindowFeature) -> str:
        """Return a name that no column of bands has."""
        place = next(at for at, it in enumerate(self.merging) if it is feature)
        return f"{self.names.held_by}_mean_{place + 1}"

    def distinct(self) -> exp.Select:
        """Return the :attr:`counted` features of each spine row."""
        clocks, row = self.search.clocks, quoted(self.search.names.row, ASKED)
        values: list[exp.Expr] = [row]
        for feature in self.counted:
            begun: list[exp.Expr] = []
            if len(self.beginnings) > 1:
                place = self.beginnings.index((feature.window, feature.hop))
                time = quoted(clocks.event_time, ROW)
                begun.append(happened_since(time, quoted(self.begin(place), ASKED)))
            only = self.events.only(feature.where, *begun)
            values.append(aliased(only(distinct(feature, self.search.built)), feature.name))
        query = select(values, table_as(self.name("bounds"), ASKED))
        on = [*self.same_keys(ROW), *self.visible()]
        query.append("joins", joined(table_as(self.events.name, ROW), on))
        query.set("group", exp.Group(expressions=[row.copy()]))
        return query


def _beginning(q: exp.Expr, beginning: Beginning) -> exp.Expr:
    window, hop = beginning
    begin = shifted(q.copy(), window, back=True)
    return begin if hop is None else stepped(begin, hop)
