"""The answer of an online read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from fstore.frames import arrow_to_pandas
from fstore.online.instants import moment
from fstore.online.values import HUGE, arrow_types, to_arrow

if TYPE_CHECKING:
    import pandas as pd

PRESENT, NULL_VALUE = "PRESENT", "NULL_VALUE"
OUTSIDE_MAX_AGE, NOT_FOUND = "OUTSIDE_MAX_AGE", "NOT_FOUND"

_UTC_TIME = pa.timestamp("us", tz="UTC")


class FeatureCells(NamedTuple):
    """One feature of the answer, a cell for each row asked.

    ``times`` are the rows' event times in microseconds since 1970 in UTC, None where nothing was
    found; ``fresh`` is None for a row that is not there, or is older than the view's ttl.
    """

    type: str  # as DuckDB writes it
    view: str  # FeatureView.reference
    values: Sequence[Any]
    times: Sequence[int | None]
    fresh: Sequence[int | None]

    @property
    def statuses(self) -> list[str]:
        """PRESENT, NULL_VALUE (the row holds a NULL), OUTSIDE_MAX_AGE (of ttl) or NOT_FOUND."""
        return [
            PRESENT
            if value is not None
            else NULL_VALUE
            if fresh is not None
            else NOT_FOUND
            if time is None
            else OUTSIDE_MAX_AGE
            for value, time, fresh in zip(self.values, self.times, self.fresh, strict=True)
        ]

    @property
    def timestamps(self) -> list[datetime | None]:
        """The event times, aware and in UTC."""
        return [None if time is None else moment(time) for time in self.times]


class Output(NamedTuple):
    """A column of the answer: which of the columns found for which join."""

    name: str
    type: str  # as DuckDB writes it
    view: str
    join: int
    place: int


class OnlineResponse:
    """The features of the rows asked, in their order: the join key columns, then the features.

    With ``include_metadata`` each feature is followed by ``<name>__status`` and ``<name>__ts``.
    """

    __slots__ = ("_found", "_outputs", "keys", "row_count")

    def __init__(
        self,
        keys: Mapping[str, tuple[str, Sequence[Any]]],
        outputs: Sequence[Output],
        found: Sequence[Sequence[Sequence[Any]]],
        row_count: int,
    ) -> None:
        """Take the key columns, by name with type, and for each join the columns of its rows."""
        self.keys = keys
        self.row_count = row_count
        self._outputs, self._found = outputs, found

    @property
    def outputs(self) -> Sequence[Output]:
        """Where the features are in :attr:`found`: one object for all answers to one request."""
        return self._outputs

    @property
    def found(self) -> Sequence[Sequence[Sequence[Any]]]:
        """For each join the columns of its rows: the times, which are fresh, then the cells."""
        return self._found

    @property
    def features(self) -> dict[str, FeatureCells]:
        """The features by name, in the order of the answer."""
        return {
            name: FeatureCells(kind, view, self._found[join][place], *self._found[join][:2])
            for name, kind, view, join, place in self._outputs
        }

    def to_dict(self, include_metadata: bool = False) -> dict[str, list[Any]]:
        """Return lists by column name."""
        answer = {name: [*values] for name, (_, values) in self.keys.items()}
        found = self._found
        if not include_metadata:
            for name, _, _, join, place in self._outputs:
                answer[name] = [*found[join][place]]
            return answer
        for name, cells in self.features.items():
            answer[name] = list(cells.values)
            answer[f"{name}__status"] = list(cells.statuses)
            answer[f"{name}__ts"] = list(cells.timestamps)
        return answer

    def to_arrow(self, include_metadata: bool = False) -> pa.Table:
        """Return an Arrow table; each column has the type of the built relation's."""
        kinds = dict(zip(self._types, arrow_types(tuple(self._types.values())), strict=True))
        columns = {name: _key_array(values, kinds[name]) for name, (_, values) in self.keys.items()}
        for name, cells in self.features.items():
            columns[name] = to_arrow(cells.values, kinds[name])
            if include_metadata:
                columns[f"{name}__status"] = pa.array(cells.statuses, pa.string())
                columns[f"{name}__ts"] = pa.array(cells.timestamps, _UTC_TIME)
        return pa.table(columns)

    def to_df(self, include_metadata: bool = False) -> pd.DataFrame:
        """Return a pandas frame: integers and booleans nullable, decimals Decimal."""
        huge = [name for name, kind in self._types.items() if kind in HUGE]
        return arrow_to_pandas(self.to_arrow(include_metadata), huge)

    @property
    def _types(self) -> dict[str, str]:
        keys = {name: kind for name, (kind, _) in self.keys.items()}
        return keys | {name: cells.type for name, cells in self.features.items()}


def _key_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the keys as asked: as text where one is too big for the key's own type."""
    try:
        return to_arrow(values, kind)
    except (pa.ArrowInvalid, OverflowError):  # no row has such a key, and its cells say so
        return pa.array([None if value is None else str(value) for value in values], pa.string())
