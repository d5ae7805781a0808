"""The on-demand features of a read: their inputs gathered from what was found, then computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fstore.compile.computed import Computed
from fstore.compile.request import Columns
from fstore.errors import EntityRowsError
from fstore.online.chosen import Cells
from fstore.online.fields import field_reader
from fstore.online.instants import moment
from fstore.online.keys import NotAKeyError, shown
from fstore.online.on_demand import Evaluator, evaluator
from fstore.online.rows import EntityRows

Found = Sequence[Sequence[Any]]  # the columns of a join's rows: E, whether it is seen, .., features


class Computation(NamedTuple):
    """One on-demand view of a prepared request."""

    found: Computed
    evaluator: Evaluator
    cells: tuple[tuple[int, int], ...]  # of each input feature: which join, which column of it
    times: tuple[int, ...]  # the joins whose event times are inputs

    def columns(
        self, rows: EntityRows, found: Sequence[Found], instants: Sequence[int], otherwise: int
    ) -> Found:
        """Return the columns of the answer, laid out as a join's are.

        ``instants`` are those at which the joins were read; the view's own is the latest of those
        that it computes with, ``otherwise`` where there is none.
        """
        count = rows.count
        if not count:
            return [()] * (Cells.HEAD + len(self.evaluator.functions))
        features: list[Sequence[Any]]
        head: list[Sequence[Any]] = [self._newest(found, count), (0,) * count]
        head += [()] * (Cells.HEAD - 2)  # which nobody reads
        at = max((instants[join] for join in self.times), default=otherwise)
        fields = [_field(rows, self.found, place) for place in range(len(self.found.view.request))]
        needed = self.evaluator.needed
        try:
            features = self.evaluator.columns(self._rows(fields, found, at, count, needed))
        except ArithmeticError:
            whole = self._rows(fields, found, at, count, range(len(self.evaluator.inputs)))
            features = self.evaluator.every.columns(whole)
        return [*head, *features]

    def _rows(
        self,
        fields: Sequence[Sequence[Any]],
        found: Sequence[Found],
        at: int,
        count: int,
        needed: frozenset[int] | range,
    ) -> list[tuple[Any, ...]]:
        """Return the rows of ``inputs``; the times among them only where they are needed."""
        columns = [*fields, *(found[join][place] for join, place in self.cells)]
        columns.append([moment(at)] * count if len(columns) in needed else (None,) * count)
        for join in self.times:
            if len(columns) in needed:
                columns.append(_seen_times(found[join]))
            else:
                columns.append((None,) * count)
        return list(zip(*columns, strict=False))

    def _newest(self, found: Sequence[Found], count: int) -> Sequence[int | None]:
        """Return of each row the newest event time of its inputs, in microseconds."""
        if len(self.times) == 1:
            events, seen = found[self.times[0]][:2]
            return [None if s is None else e for e, s in zip(events, seen, strict=True)]
        newest = []
        for row in range(count):
            seen = [found[join][0][row] for join in self.times if found[join][1][row] is not None]
            newest.append(max(seen, default=None))
        return newest


def _seen_times(found: Found) -> list[Any]:
    return [None if s is None else moment(e) for e, s in zip(found[0], found[1], strict=True)]


def _field(rows: EntityRows, found: Computed, place: int) -> Sequence[Any]:
    field = found.view.request[place]
    read = field_reader(field.type)
    values = rows.column(field.name, found.name, f"the request field ({field.type}) of")
    try:
        return [read(value) for value in values]
    except NotAKeyError:
        pass
    for number, value in enumerate(values):
        try:
            read(value)
        except NotAKeyError as reason:
            raise EntityRowsError(
                f"{rows.called}[{number}]: {field.name} is {shown(value)}, and the request field "
                f"{field.name} of {found.name} is {field.type}: {reason}."
            ) from None
    raise AssertionError("one of the values was refused")


def computation(
    found: Computed,
    columns: Columns,
    wanted: Sequence[str],
    places: Mapping[tuple[str, str], tuple[int, int]],
    joins: Sequence[str],
) -> Computation:
    """Prepare an on-demand view: ``places`` are those of features by (join, feature)."""
    return Computation(
        found,
        evaluator(found, columns, wanted),
        tuple(places[each.join.name, each.feature] for each in found.inputs),
        tuple(joins.index(join.name) for join in found.joins),
    )
