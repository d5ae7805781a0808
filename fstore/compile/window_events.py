"""The events that window features are computed from: what of the view's rows is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from fstore.compile.clocks import arrives_by_row, stamped
from fstore.compile.find import ROW, Search
from fstore.compile.spine import NAME
from fstore.compile.sql import aliased, cte, joined, quoted, select, subquery_as, table_as
from fstore.compile.types import find_column, unused
from fstore.compile.versions import last_version, superseded_at
from fstore.compile.visibility import has_versions, tie_breakers
from fstore.compile.window_order import Order
from fstore.compile.window_parts import Filtered
from fstore.compile.window_types import columns_of, filter_of
from fstore.definitions import WindowFeature


@dataclass(frozen=True)
class Events:
    """The rows of a view that these features may count, as ``<join>_events``.

    Each has its keys, its clocks, the aggregated columns, for each ``where`` whether it holds, and,
    where a feature asks for the first or the last, what compares events.
    """

    search: Search
    features: tuple[WindowFeature, ...]
    order: Order

    @property
    def name(self) -> str:
        return f"{self.search.join.name}_events"

    @cached_property
    def _taken(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.search.built)

    @cached_property
    def at(self) -> str:
        """The column that compares events."""
        return unused("place_in_time", self._taken)

    @cached_property
    def conditions(self) -> dict[str, str]:
        """Each ``where``, and the column that says whether it holds."""
        texts = dict.fromkeys(it.where for it in self.features if it.where is not None)
        return {
            text: unused(f"where_{place}", self._taken) for place, text in enumerate(texts, start=1)
        }

    def only(self, where: str | None, *more: exp.Expr, last: bool = False) -> Filtered:
        """Return what keeps of an aggregate's events those that a feature counts.

        ``last``: and of those the ones that no version supersedes.
        """
        held = list(more)
        if where is not None and not self._all_alike:
            held.append(quoted(self.conditions[where], ROW))
        if last and has_versions(self.search.join.view):
            held.append(quoted(self.search.clocks.superseded, ROW).is_(exp.null()))
        if not held:
            return lambda aggregate: aggregate
        condition = exp.and_(*held, copy=False)
        return lambda aggregate: exp.Filter(
            this=aggregate, expression=exp.Where(this=condition.copy())
        )

    @cached_property
    def _all_alike(self) -> bool:
        """Whether one ``where`` holds for all features, so that other events can be left out."""
        return len({it.where for it in self.features}) == 1

    @cached_property
    def _has_order(self) -> bool:
        return any(it.function in ("first", "last") for it in self.features)

    def ctes(self) -> list[exp.CTE]:
        """Return the steps that end in ``<join>_events``; kept is what puts versions in order."""
        keyed = bool(self.search.join.view.event_key)
        if self._has_order:
            return self._ordered(keyed=keyed)
        rows = self._versions() if keyed else self._stamped(self._needed())
        events = self._events(subquery_as(rows, "version" if keyed else "stamped"))
        return [cte(self.name, events, kept=keyed)]

    def _ordered(self, *, keyed: bool) -> list[exp.CTE]:
        """Return the same with what compares events: see :mod:`fstore.compile.window_order`."""
        order, versions = self.order, f"{self.search.join.name}_versions"

        def rows(needed: tuple[str, ...]) -> exp.Expr:
            return table_as(versions, ROW) if keyed else subquery_as(self._stamped(needed), ROW)

        steps = [cte(versions, self._versions(), kept=True)] if keyed else []
        if not order.can_tie:
            events = self._events(rows(self._read()), order.place_alone())
            return [*steps, cte(self.name, events)]
        alone = self._events(order.alone(rows(self._read())), order.place_alone())
        sharing = self._events(order.sharing(rows(self._needed())), order.place_among())
        steps += order.ctes(rows(()), asked_for=not keyed)
        return [*steps, cte(self.name, exp.union(alone, sharing, distinct=False, copy=False))]

    def _events(self, rows: exp.Expr, place: exp.Expr | None = None) -> exp.Select:
        """Return what is needed of rows that have their clocks; ``place`` compares events."""
        clocks, view = self.search.clocks, self.search.join.view
        values = [*self._keys(), quoted(clocks.event_time)]
        if arrives_by_row(view):
            values.append(quoted(clocks.arrival))
        if has_versions(view):
            values.append(quoted(clocks.superseded))
        values += [quoted(name) for name in self._aggregated()]
        conditions = {text: self._condition(text) for text in self.conditions}
        if not self._all_alike:
            values += [aliased(conditions[text], name) for text, name in self.conditions.items()]
        if place is not None:
            values.append(aliased(place, self.at))
        query = select(values, rows)
        # An infinite time is in no window, also where a window begins before the calendar.
        finite = exp.Anonymous(this="ISFINITE", expressions=[quoted(clocks.event_time)])
        query.where(finite, copy=False)
        if arrives_by_row(view):  # else a tile could not tell when all of it is known
            query.where(quoted(clocks.arrival).is_(exp.null()).not_(), copy=False)
        if self._all_alike and conditions:
            query.where(*conditions.values(), copy=False)
        return query

    def _stamped(self, needed: tuple[str, ...]) -> exp.Select:
        """Return the view's rows with their clocks."""
        return stamped(self.search.join.view, self.search.built, needed, self.search.source())

    def _versions(self) -> exp.Select:
        """Return the same of a view with an event_key: of each event the versions that count."""
        search, clocks, view = self.search, self.search.clocks, self.search.join.view
        source = search.source()
        if search.join.keys:
            source = subquery_as(self._asked_for(source), ROW)
        rows = subquery_as(stamped(view, search.built, self._needed(), source), "stamped")
        known = [clocks.event_time, *([clocks.arrival] if arrives_by_row(view) else [])]
        versions = select([exp.Star()], rows)
        versions.where(*(quoted(name).is_(exp.null()).not_() for name in known), copy=False)
        if has_versions(view):
            at = superseded_at(view, search.built, clocks)
            versions.select(aliased(at, clocks.superseded), copy=False)
        else:
            versions.qualify(last_version(view, search.built, clocks), copy=False)
        return versions

    def _asked_for(self, source: exp.Expr) -> exp.Select:
        """Return the rows whose key the spine asks for: versions of no others are put in order."""
        search, view = self.search, self.search.join.view
        clocks = [
            view.event_timestamp,
            *([view.created_timestamp] if view.created_timestamp else []),
        ]
        needed = [it for it in (find_column(search.built, name) for name in clocks) if it]
        names = dict.fromkeys((*self._key_names(), *self._needed(), *(it.name for it in needed)))
        rows = select(
            [quoted(name, ROW) for name in names],
            exp.alias_(source, ROW, table=True, quoted=True),
        )
        spine = table_as(NAME, search.names.alias)
        rows.append("joins", joined(spine, search.same_keys(), kind="SEMI"))
        return rows

    def _key_names(self) -> list[str]:
        return [key for key, _ in self.search.asked_keys()]

    def _keys(self) -> list[exp.Expr]:
        return [quoted(name) for name in self._key_names()]

    def _aggregated(self) -> list[str]:
        """Return the columns that are aggregated, each once."""
        columns = [it.column for it in self.features if it.column is not None]
        found = (find_column(self.search.built, name) for name in columns)
        keys = self._key_names()
        return list(dict.fromkeys(it.name for it in found if it and it.name not in keys))

    def _read(self) -> tuple[str, ...]:
        """Return the columns of the view that features look at, beside keys and clocks."""
        names = self._aggregated()
        for text in self.conditions:
            names += [column.name for column in self._condition(text).find_all(exp.Column)]
        return self._found(names)

    def _needed(self) -> tuple[str, ...]:
        """Return the same, and the columns that settle ties and tell versions."""
        view, built = self.search.join.view, self.search.built
        names = list(self._read())
        if view.event_key or self._has_order:
            names += tie_breakers(view, built)
        return self._found([*names, *view.event_key])

    def _found(self, names: list[str]) -> tuple[str, ...]:
        found = (find_column(self.search.built, name) for name in names)
        return tuple(dict.fromkeys(it.name for it in found if it))

    def _condition(self, text: str) -> exp.Expr:
        """Return a ``where`` with its columns named as the relation has them."""
        feature = next(it for it in self.features if it.where == text)
        condition = filter_of(feature)
        assert condition is not None, "the feature has a where"
        condition = exp.paren(condition)
        for column in list(columns_of(condition)):
            found = find_column(self.search.built, column.name)
            assert found is not None, "columns of a where were checked before compiling"
            column.replace(quoted(found.name))
        return condition
