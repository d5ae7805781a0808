"""What window features are computed from: few partial aggregates, which any stretch of time merges.

A part is one aggregate over the events of a stretch: a count, a sum, a least value. Features share
parts: seven averages and seven counts of one column, over any windows, need one sum and one count.
approx_count_distinct has no part, for DuckDB does not merge its sketches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from fstore.compile.find import ROW
from fstore.compile.sql import quoted, row_count
from fstore.compile.types import FLOATS, find_column, unused
from fstore.compile.window_types import aggregated, sum_beyond, window_type
from fstore.definitions import Column, FeatureView, WindowFeature

BAND = "band"  # the alias of a band
TILE = "tile"  # of a tile
UNMERGED = "approx_count_distinct"
NEEDS = {
    "count": ("events",),
    "sum": ("sum",),
    "avg": ("sum", "events"),
    "min": ("min",),
    "max": ("max",),
    "stddev": ("events", "mean", "squares"),
    "last": ("last", "last_at"),
    "first": ("first", "first_at"),
}
Filtered = Callable[[exp.Expr], exp.Expr]  # an aggregate, over the events of a window alone


@dataclass(frozen=True)
class Source:
    """What is aggregated: a column (None: the events themselves) of the events of a ``where``."""

    column: str | None
    where: str | None

    @classmethod
    def of(cls, feature: WindowFeature, columns: tuple[Column, ...]) -> Source:
        column = None if feature.column is None else find_column(columns, feature.column)
        return cls(column.name if column else None, feature.where)


@dataclass(frozen=True)
class Part:
    """One partial aggregate, and the name of its column."""

    kind: str  # events, sum, mean, squares, min, max, last, last_at, first, first_at
    source: Source
    name: str


@dataclass(frozen=True)
class Parts:
    """The parts that some features of a view need, each once, in the order needed."""

    view: FeatureView
    columns: tuple[Column, ...]
    every: tuple[Part, ...]

    @classmethod
    def of(
        cls, view: FeatureView, columns: tuple[Column, ...], features: Sequence[WindowFeature]
    ) -> Parts:
        taken = tuple(column.name for column in columns)
        sources: dict[Source, int] = {}
        found: dict[tuple[str, Source], Part] = {}
        for feature in features:
            for kind in NEEDS.get(feature.function, ()):
                source = _looked_at(kind, Source.of(feature, columns))
                number = sources.setdefault(source, len(sources) + 1)
                name = unused(f"{kind}_{number}", taken)
                found.setdefault((kind, source), Part(kind, source, name))
        return cls(view, columns, tuple(found.values()))

    def named(self, kind: str, feature: WindowFeature) -> exp.Column:
        """Return a feature's part of this kind, of a band."""
        return quoted(self._name(kind, Source.of(feature, self.columns)), BAND)

    def _name(self, kind: str, source: Source) -> str:
        return self._names[kind, _looked_at(kind, source)]

    @cached_property
    def _names(self) -> dict[tuple[str, Source], str]:
        return {(part.kind, part.source): part.name for part in self.every}

    def merged(self, part: Part) -> exp.Expr:
        """Return a part of several tiles together; means and squares do not merge this way."""
        value = quoted(part.name, TILE)
        if part.kind in ("first", "last"):
            at = quoted(self._name(f"{part.kind}_at", part.source), TILE)
            return _end(part.kind, value, at)
        if part.kind in ("events", "sum"):
            return exp.Sum(this=value)
        return _EXTREMES[_ORDERED.get(part.kind, part.kind)](this=value)

    @property
    def has_squares(self) -> bool:
        return any(part.kind == "squares" for part in self.every)

    def finished(self, feature: WindowFeature, only: Filtered, mean: exp.Expr | None) -> exp.Expr:
        """Return a feature of the parts of all stretches; ``only`` keeps those of its window.

        ``mean`` is that of the window, for a standard deviation: the squares are of distances from
        each stretch's own mean, and the distance of that from the window's is added.
        """
        function = feature.function
        if function == "count":
            return exp.cast(self._total("events", feature, only), "BIGINT")
        if function == "sum":
            return self._sum(feature, only)
        if function == "avg":
            total = exp.cast(self._total("sum", feature, only), "DOUBLE")
            return exp.Div(this=total, expression=_above_zero(self._total("events", feature, only)))
        if function == "stddev":
            assert mean is not None
            return self._deviation(feature, only, mean)
        if function in ("first", "last"):
            return only(_end(function, *(self.named(it, feature) for it in NEEDS[function])))
        return only(_EXTREMES[function](this=self.named(function, feature)))

    def mean(self, feature: WindowFeature, only: Filtered) -> exp.Expr:
        """Return the mean over a window of the means of its stretches."""
        weighed = exp.Mul(
            this=self.named("events", feature), expression=self.named("mean", feature)
        )
        return exp.Div(
            this=only(exp.Sum(this=weighed)),
            expression=_above_zero(self._total("events", feature, only)),
        )

    def _total(self, kind: str, feature: WindowFeature, only: Filtered) -> exp.Expr:
        return only(exp.Sum(this=self.named(kind, feature)))

    def _sum(self, feature: WindowFeature, only: Filtered) -> exp.Expr:
        total = self._total("sum", feature, only)
        if window_type(feature, self.columns) != "BIGINT":
            return total
        fits = exp.TryCast(this=total, to=exp.DataType.build("BIGINT"), safe=True)
        overflows = exp.and_(
            fits.copy().is_(exp.null()), total.copy().is_(exp.null()).not_(), copy=False
        )
        sentence = sum_beyond(self.view, feature, self.columns)
        failed = exp.Anonymous(this="ERROR", expressions=[exp.Literal.string(sentence)])
        return exp.Case().when(overflows, failed).else_(fits)

    def _deviation(self, feature: WindowFeature, only: Filtered, mean: exp.Expr) -> exp.Expr:
        away = exp.Paren(this=exp.Sub(this=self.named("mean", feature), expression=mean))
        events = self.named("events", feature)
        between = exp.Mul(this=exp.Mul(this=events, expression=away), expression=away.copy())
        squares = exp.Add(this=self.named("squares", feature), expression=between)
        one_less = exp.Sub(
            this=self._total("events", feature, only), expression=exp.Literal.number(1)
        )
        return exp.Sqrt(
            this=exp.Div(this=only(exp.Sum(this=squares)), expression=_above_zero(one_less))
        )


_EXTREMES: dict[str, type[exp.AggFunc]] = {"min": exp.Min, "max": exp.Max}
_ORDERED = {"last_at": "max", "first_at": "min"}  # of the order of events


def _looked_at(kind: str, source: Source) -> Source:
    """Return what a part is of: which event is last is the same for all columns."""
    return Source(None, source.where) if kind in _ORDERED else source


def _above_zero(count: exp.Expr) -> exp.Expr:
    """Return a count as a divisor: NULL instead of 0."""
    return exp.Nullif(this=count, expression=exp.Literal.number(0))


def _end(function: str, value: exp.Expr, at: exp.Expr) -> exp.Expr:
    """Return the value of the event that is first or last by ``at``, a NULL too."""
    name = "ARG_MAX_NULL" if function == "last" else "ARG_MIN_NULL"
    return exp.Anonymous(this=name, expressions=[value, at])


def computed(part: Part, type_name: str | None, at: exp.Expr, only: Filtered) -> exp.Expr:
    """Return a part of the events of a stretch, of which ``only`` keeps those to count.

    ``type_name`` is that of the part's column; ``at`` compares events in their order.
    """
    if part.kind in _ORDERED:
        return only(_EXTREMES[_ORDERED[part.kind]](this=at))
    if part.source.column is None:
        return only(row_count())
    value: exp.Expr = quoted(part.source.column, ROW)
    count = exp.Count(this=value, big_int=True)
    if part.kind == "events":
        return only(count)
    if part.kind == "sum":
        if type_name in ("BOOLEAN", "UHUGEINT"):
            value = exp.cast(value, "HUGEINT")
        return only(exp.Sum(this=value))
    if part.kind in ("mean", "squares"):
        number = value if type_name in FLOATS else exp.cast(value, "DOUBLE")
        if part.kind == "mean":
            return only(exp.Avg(this=number))
        return exp.Mul(this=only(exp.VariancePop(this=number)), expression=only(count))
    if part.kind in ("first", "last"):
        return only(_end(part.kind, value, at))
    return only(_EXTREMES[part.kind](this=value))


def type_of(part: Part, columns: tuple[Column, ...]) -> str | None:
    """Return the type of the column that a part is computed from."""
    column = None if part.source.column is None else find_column(columns, part.source.column)
    return column.type if column else None


def distinct(feature: WindowFeature, columns: tuple[Column, ...]) -> exp.Expr:
    """Return approx_count_distinct of the events themselves."""
    return exp.ApproxDistinct(this=quoted(aggregated(feature, columns).name, ROW))
