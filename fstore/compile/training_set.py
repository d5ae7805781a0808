"""A training set as SQL: whole and in the spine's order, or in parts that whoever runs them orders.

A statement that puts a thousand columns beside a spine and orders them carries every row through a
join for each view, and through a sort. Where all rows are held in memory in any case, each view by
itself, its rows without an order and with their places in the spine, takes less (decision 0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sqlglot import exp

from fstore.compile.handed import for_arrow, for_parquet, has_place_in_parquet
from fstore.compile.plans import Taken
from fstore.compile.point_in_time import (
    PointInTime,
    output_columns,
    point_in_time,
    with_types,
)
from fstore.compile.request import Columns, FeatureRequest, Join, windows_asked
from fstore.compile.spine import Spine
from fstore.compile.sql import render
from fstore.compile.withheld import can_withhold, withheld
from fstore.definitions import Column, FeatureView
from fstore.errors import RequestError, cannot_hold


class Part(NamedTuple):
    """Some of the columns: first the place of each row in the spine, then the columns themselves.

    A spine row of which there is no row has NULL in each of them. ``columns`` are their numbers in
    the training set.
    """

    query: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class TrainingSet:
    """A request that is checked, over relations that are built, with the plans that were taken."""

    request: FeatureRequest
    built: Columns
    spine: Spine
    plans: Mapping[str, Taken]  # by the join's name
    include_event_timestamps: bool = False

    @cached_property
    def outputs(self) -> tuple[Column, ...]:
        """The columns of :attr:`query`."""
        return self._outputs_of(self.request)

    @cached_property
    def of_events(self) -> dict[FeatureView, tuple[Column, ...]]:
        """The views that windows are asked of, with the columns of their relations."""
        joins = [join for join in self.request.joins if windows_asked(self.request, join)]
        return {join.view: self.built[join.view.reference] for join in joins}

    @cached_property
    def query(self) -> str:
        """All of it, in the order of the spine, in types that Arrow has."""
        return render(with_types(self._whole, self.outputs, for_arrow))

    @cached_property
    def parquet_query(self) -> str:
        """The same rows, in types that Parquet has."""
        return render(with_types(self._whole, self.outputs, for_parquet))

    def written_to(self, path: str) -> str:
        """Return the statement that writes :attr:`parquet_query` to a file.

        RequestError names a column that Parquet cannot hold, for which DuckDB would write another.
        """
        for column in self.outputs:
            if not has_place_in_parquet(column.type):
                raise RequestError(f"{cannot_hold('Parquet', column.name, column.type)}.")
        file = render(exp.Literal.string(path))
        return f"COPY ({self.parquet_query}) TO {file} (FORMAT parquet, USE_TMP_FILE false)"

    @cached_property
    def _whole(self) -> exp.Select:
        return self._compiled(self.request).in_order()

    def _compiled(self, request: FeatureRequest) -> PointInTime:
        stamped = self.include_event_timestamps
        return point_in_time(
            request, self.built, self.spine, self.plans, include_event_timestamps=stamped
        )

    def withheld(self, count: int) -> tuple[tuple[Join, str], ...]:
        """What counts, in a spine of so many rows, those from which created_timestamp withholds."""
        return tuple(
            (join, render(withheld(join, self.built, self.spine, self.plans[join.name], count)))
            for join in self.request.joins
            if can_withhold(join)
        )

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All of it in parts: one a view, or one in all where on-demand views read several."""
        if self.request.computed:
            return (self._part(self.request),)
        groups: dict[str, list[Join]] = {}
        for join in self.request.asked:
            assert isinstance(join, Join), "on-demand views are computed"
            # What is computed as it is read is computed once for all who read it.
            together = self.plans[join.name].computed
            groups.setdefault(join.view.reference if together else join.name, []).append(join)
        requests = (
            FeatureRequest(
                tuple(joins), tuple(it for it in self.request.outputs if it.join in joins)
            )
            for joins in groups.values()
        )
        return tuple(self._part(request) for request in requests)

    def _part(self, request: FeatureRequest) -> Part:
        numbers = {output.name: number for number, output in enumerate(self.outputs)}
        outputs = self._outputs_of(request)
        query = self._compiled(request).with_places()
        place = Column(query.expressions[0].alias_or_name, "BIGINT")
        typed = with_types(query, (place, *outputs), for_arrow)
        return Part(render(typed), tuple(numbers[column.name] for column in outputs))

    def _outputs_of(self, request: FeatureRequest) -> tuple[Column, ...]:
        stamped = self.include_event_timestamps
        return output_columns(request, self.built, self.spine, include_event_timestamps=stamped)
