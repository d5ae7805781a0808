"""The answer of an online read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.frames import arrow_to_pandas
from fstore.online.values import HUGE, arrow_types, to_arrow

if TYPE_CHECKING:
    import pandas as pd

PRESENT, NULL_VALUE = "PRESENT", "NULL_VALUE"
OUTSIDE_MAX_AGE, NOT_FOUND = "OUTSIDE_MAX_AGE", "NOT_FOUND"

_UTC_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class FeatureCells:
    """One feature of the answer, a cell for each row asked.

    A status is PRESENT, NULL_VALUE (the row holds a NULL), OUTSIDE_MAX_AGE (the row is older than
    the view's ttl) or NOT_FOUND. ``timestamps`` are the rows' event times in UTC, None where
    nothing was found.
    """

    type: str  # as DuckDB writes it
    values: Sequence[Any]
    statuses: Sequence[str]
    timestamps: Sequence[datetime | None]


@dataclass(frozen=True)
class OnlineResponse:
    """The features of the rows asked, in their order: the join key columns, then the features.

    With ``include_metadata`` each feature is followed by ``<name>__status`` and ``<name>__ts``.
    """

    keys: Mapping[str, tuple[str, Sequence[Any]]] = field(repr=False)  # name -> type and values
    features: Mapping[str, FeatureCells] = field(repr=False)
    row_count: int

    def to_dict(self, include_metadata: bool = False) -> dict[str, list[Any]]:
        """Return lists by column name."""
        answer = {name: list(values) for name, (_, values) in self.keys.items()}
        for name, cells in self.features.items():
            answer[name] = list(cells.values)
            if include_metadata:
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
