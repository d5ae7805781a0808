"""What a training query joins with its spine: each step's rows, and the values read of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from fstore.compile.computed import ASKED_AT, Computed
from fstore.compile.fetch import rows_name
from fstore.compile.find import Search
from fstore.compile.on_demand import Place, cast
from fstore.compile.request import FeatureRequest, Join
from fstore.compile.spine import Spine, SpineNames
from fstore.compile.sql import aliased, joined, quoted, table_as, without_nan, zoned
from fstore.compile.types import find_column, unused
from fstore.compile.visibility import still_valid
from fstore.compile.window_bands import Windows
from fstore.compile.windows import value_of
from fstore.definitions import WindowFeature


class Beside:
    """What stands beside the spine: steps that are joined with it, and what to read of them."""

    def __init__(self, request: FeatureRequest, spine: Spine, names: SpineNames) -> None:
        self.request, self.spine, self.names = request, spine, names
        self.stamps: dict[str, exp.Expr] = {}  # E of the visible row, by the join's name
        self._sources: dict[str, exp.Join] = {}  # by the alias
        self._matched: dict[str, exp.Expr | None] = {}
        self._windows: dict[str, Windows] = {}

    @property
    def as_of(self) -> exp.Expr:
        return quoted(self.names.as_of, self.names.alias)

    def _add(self, rows: str, alias: str, row: str) -> None:
        here = exp.EQ(this=quoted(self.names.row, self.names.alias), expression=quoted(row, alias))
        self._sources[alias] = joined(table_as(rows, alias), [here], side="LEFT")

    def add_rows(self, search: Search) -> None:
        """Add ``<join>_rows``."""
        join = search.join
        self._add(rows_name(search), join.name, self.names.row)
        valid = still_valid(join.view, search.built, join.name, self.as_of)
        self._matched[join.name] = valid
        event_time = quoted(search.clocks.event_time, join.name)
        self.stamps[join.name] = zoned(_where(valid, event_time))

    def add_windows(self, windows: Windows) -> None:
        """Add the steps that hold window features of a join."""
        self._windows[windows.search.join.name] = windows
        for source in windows.sources():
            self._add(source, self._alias(source), self.names.row)

    def add_values(self, place: Place) -> None:
        """Add ``<view>_values``."""
        self._add(place.values, place.name, place.row)
        self._matched[place.name] = None
        self.stamps[place.name] = quoted(place.stamp, place.name)

    def value(self, join: Join | Computed, feature: str) -> exp.Expr:
        """Return a feature as an expression over what was added."""
        windows = self._windows.get(join.name)
        window = _window(join, feature)
        if windows is None or window is None:
            return _where(self._matched[join.name], quoted(feature, join.name))
        found = quoted(window.name, self._alias(windows.source_of(window)))
        return value_of(windows, window, found, self.as_of)

    def cells(self, found: Computed) -> list[exp.Expr]:
        """Return the columns of ``inputs``, in their order.

        An event time that its SQL does not read may not be there.
        """
        cells = []
        for field in found.view.request:
            given = find_column(self.spine.columns, field.name)
            assert given is not None, "request fields were checked before compiling"
            value = without_nan(quoted(given.name, self.names.alias), given.type)
            value = cast(value, field.type)
            cells.append(aliased(value, field.name))
        cells += [aliased(self.value(it.join, it.feature), it.name) for it in found.inputs]
        cells.append(aliased(zoned(self.as_of), ASKED_AT))
        times = [(name, self.stamps.get(join.name)) for name, join in found.times]
        return [*cells, *(aliased(time.copy(), name) for name, time in times if time is not None)]

    def rows_alone(self, values: Sequence[exp.Expr]) -> exp.Expr | None:
        """Return the rows of one join, where these values read nothing else; None where they do.

        Without a row each of them is NULL.
        """
        read = _read(values)
        if len(read) != 1 or not read <= {join.name for join in self.request.joins}:
            return None
        source: exp.Expr = self._sources[read.pop()].this.copy()
        return source

    def joins(self, values: Sequence[exp.Expr]) -> list[exp.Join]:
        """Return the joins that these values read, in the order added."""
        read = _read(values)
        return [source.copy() for alias, source in self._sources.items() if alias in read]

    def _alias(self, source: str) -> str:
        """Return the alias of a step of windows, which no join has."""
        joins = (join.name for join in self.request.joins)
        views = (found.name for found in self.request.computed)
        return unused(source, (self.names.alias, *joins, *views))


def _read(values: Sequence[exp.Expr]) -> set[str]:
    """Return the aliases that values read."""
    return {column.table for value in values for column in value.find_all(exp.Column)}


def _window(join: Join | Computed, feature: str) -> WindowFeature | None:
    return join.view.windows_by_name.get(feature) if isinstance(join, Join) else None


def _where(condition: exp.Expr | None, value: exp.Expr) -> exp.Expr:
    """Return the winner's value where the winner is a match, else NULL."""
    return value if condition is None else exp.Case().when(condition.copy(), value)
