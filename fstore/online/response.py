"""The answer of an online read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
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
            PRESENT if value is not None else lacking(time, fresh)
            for value, time, fresh in zip(self.values, self.times, self.fresh, strict=True)
        ]

    @property
    def timestamps(self) -> list[datetime | None]:
        """The event times, aware and in UTC."""
        return [None if time is None else moment(time) for time in self.times]


def lacking(time: int | None, fresh: int | None) -> str:
    """Return the status of a value that is None, given its row as FeatureCells has it."""
    if fresh is not None:
        return NULL_VALUE
    return NOT_FOUND if time is None else OUTSIDE_MAX_AGE


class Output(NamedTuple):
    """A column of the answer: which of the columns found for which join."""

    name: str
    type: str  # as DuckDB writes it
    view: str
    join: int
    place: int


@dataclass(frozen=True)
class Outputs:
    """The columns of the answer, in order: prepared once for many answers."""

    every: tuple[Output, ...]

    @cached_property
    def places(self) -> tuple[tuple[str, int, int], ...]:
        """Name, join and place of each: bare tuples, which a loop takes apart at half the cost."""
        return tuple((each.name, each.join, each.place) for each in self.every)


class OnlineResponse:
    """The features of the rows asked, in their order: the join key columns, then the features.

    With ``include_metadata`` each feature is followed by ``<name>__status`` and ``<name>__ts``.
    """

    __slots__ = ("_outputs", "_read", "keys", "row_count")

    def __init__(
        self,
        keys: Mapping[str, tuple[str, Sequence[Any]]],
        outputs: Outputs,
        found: Sequence[Sequence[Sequence[Any]]],
        row_count: int,
    ) -> None:
        """Take the key columns, by name with type, and for each join the columns of its rows."""
        self.keys = keys
        self.row_count = row_count
        self._outputs, self._read = outputs, found

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Where the features are in :attr:`found`: one object for all answers to one request."""
        return self._outputs.every

    @property
    def found(self) -> Sequence[Sequence[Sequence[Any]]]:
        """For each join the columns of its rows: the times, which are fresh, then the cells."""
        return self._read

    @property
    def features(self) -> dict[str, FeatureCells]:
        """The features by name, in the order of the answer."""
        found = self.found
        return {
            name: FeatureCells(kind, view, found[join][place], *found[join][:2])
            for name, kind, view, join, place in self._outputs.every
        }

    def to_dict(self, include_metadata: bool = False) -> dict[str, list[Any]]:
        """Return lists by column name."""
        answer = {}
        for name, (_, values) in self.keys.items():
            answer[name] = [*values]
        if not include_metadata:
            found = self._read
            for name, join, place in self._outputs.places:
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
        return keys | {each.name: each.type for each in self._outputs.every}


class OneRowResponse(OnlineResponse):
    """The same for one row: its cells become columns where they are asked for as columns."""

    __slots__ = ()

    def __init__(
        self,
        keys: Mapping[str, tuple[str, Sequence[Any]]],
        outputs: Outputs,
        rows: Sequence[Sequence[Any]],
    ) -> None:
        """Take the keys as columns, and the row of each join."""
        self.keys = keys
        self.row_count = 1
        self._outputs, self._read = outputs, rows

    @property
    def found(self) -> Sequence[Sequence[Sequence[Any]]]:
        return [[*zip(row, strict=True)] for row in self._read]

    def to_dict(self, include_metadata: bool = False) -> dict[str, list[Any]]:
        """Return lists by column name."""
        if include_metadata:
            return super().to_dict(include_metadata)
        answer = {}
        for name, (_, values) in self.keys.items():
            answer[name] = [*values]
        rows = self._read
        for name, join, place in self._outputs.places:
            answer[name] = [rows[join][place]]
        return answer


def _key_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the keys as asked: as text where one is too big for the key's own type."""
    try:
        return to_arrow(values, kind)
    except (pa.ArrowInvalid, OverflowError):  # no row has such a key, and its cells say so
        texts = [None if value is None else _as_text(value) for value in values]
        return pa.array(texts, pa.string())


def _as_text(value: Any) -> str:
    # Python writes integers of some thousand digits at most, decimals of any number.
    return str(Decimal(value) if isinstance(value, int) else value)
