"""The spine: the rows to train on, as a caller gives them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from fstore.compile.types import TIMESTAMPS, is_clock
from fstore.definitions import Column
from fstore.errors import SpineError, did_you_mean, listed

DEFAULT_TIME = "event_timestamp"
DIGITS = 38  # of DuckDB's longest DECIMAL
_TOO_LONG = f"it holds an integer of more than {DIGITS} digits."


@dataclass(frozen=True)
class Frame:
    """A pandas, polars or Arrow table. Only its keys and its time ever reach the engine.

    What the caller changes of the table afterwards does not reach it.
    """

    given: Any
    names: tuple[str, ...]
    kind: str  # pandas, polars or arrow

    @classmethod
    def of(cls, given: object) -> Frame:
        """Wrap a table as it is now; SpineError for anything else."""
        library = type(given).__module__.partition(".")[0]
        if isinstance(given, pa.Table):
            names, kind = given.column_names, "arrow"
        elif library in ("pandas", "polars") and type(given).__name__ == "DataFrame":
            names, kind = list(given.columns), library  # type: ignore[attr-defined]
        else:
            raise SpineError(
                "entity_df is a pandas, polars or Arrow table, a SELECT, or the name of a dbt "
                f"model, not {type(given).__name__}."
            )
        for name in names:
            if not isinstance(name, str):
                raise SpineError(f"entity_df has a column named {name!r}: names must be text.")
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise SpineError(f"entity_df has more than one column named {listed(doubled)}.")
        return cls(_as_now(given, kind), tuple(names), kind)

    def __len__(self) -> int:
        return int(self.given.num_rows if self.kind == "arrow" else len(self.given))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column as Arrow; SpineError where its values are of no one type."""
        try:
            if self.kind == "arrow":
                return self.given.column(name)
            if self.kind == "polars":
                return _from_polars(self.given.select(name))
            return _from_pandas(self.given[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SpineError(f"entity_df column {name} cannot be read: {error}") from error

    def looks_like_timestamp(self, name: str) -> bool:
        """Whether the column holds timestamps, judged by its type or its first values."""
        if self.kind == "arrow":
            return bool(pa.types.is_timestamp(self.given.schema.field(name).type))
        try:
            head = Frame(self.given.head(100), self.names, self.kind).column(name)
        except SpineError:
            return False
        return bool(pa.types.is_timestamp(head.type))

    def to_arrow(self) -> pa.Table:
        """Return the whole table as Arrow, in its own column order."""
        if self.kind == "arrow":
            return self.given
        return pa.table({name: self.column(name) for name in self.names})


def _as_now(given: Any, kind: str) -> Any:
    """Return the same rows as a table that nobody else changes: both copy what they write to."""
    if kind == "arrow":  # is never changed
        return given
    return given.clone() if kind == "polars" else given.copy(deep=False)


def _from_polars(frame: Any) -> pa.ChunkedArray:
    """Return a polars frame's one column as Arrow: integers of 128 bits become decimals."""
    (kind,) = frame.dtypes
    if str(kind) in ("Int128", "UInt128"):
        import polars as pl

        given, frame = frame, frame.cast(pl.Decimal(DIGITS, 0), strict=False)
        if frame.null_count().row(0) != given.null_count().row(0):
            raise OverflowError(_TOO_LONG)
    return frame.to_arrow().column(0)


def _from_pandas(series: Any) -> pa.ChunkedArray:
    """Return a pandas column as Arrow: mixed zones become UTC, uuids text, 128 bits decimals."""
    import pandas as pd

    if series.dtype == object:
        scalar = pd.api.types.is_scalar  # of an array, isna would be one
        first = next((it for it in series if not (scalar(it) and pd.isna(it))), None)
        if isinstance(first, uuid.UUID):
            series = series.map(lambda value: str(value) if isinstance(value, uuid.UUID) else value)
        elif isinstance(first, datetime):
            series = pd.to_datetime(series, utc=True)
        elif isinstance(first, int) and any(map(_is_beyond_64_bits, series)):
            series = series.map(_decimal)
    array = pa.array(series, from_pandas=True)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _is_beyond_64_bits(value: object) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _decimal(value: object) -> object:
    if not isinstance(value, int):
        return value
    if abs(value) >= 10**DIGITS:
        raise OverflowError(_TOO_LONG)
    return Decimal(value)


def time_column(
    names: tuple[str, ...],
    timestamps: Iterable[str],
    asked: str | None,
    declared: str | None,
) -> str:
    """Return the spine's time column.

    It is the one asked for, else ``event_timestamp``, else the clock that the spine's model
    declares, else the only timestamp.
    """
    for wanted, whence in (
        (asked, "event_timestamp="),
        (DEFAULT_TIME, ""),
        (declared, "the model"),
    ):
        if wanted in names:
            return str(wanted)
        if wanted and whence:
            raise SpineError(
                f"entity_df has no column {wanted}, which {whence} names as its time. It has: "
                f"{listed(names)}.{did_you_mean(wanted, names)}"
            )
    found = list(timestamps)
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} timestamps ({listed(found)})" if found else "no timestamp"
    raise SpineError(
        f"entity_df has {what} and no column {DEFAULT_TIME}: name its time with event_timestamp=. "
        f"It has: {listed(names)}."
    )


def timestamps_of(columns: tuple[Column, ...]) -> list[str]:
    """Return the names of the timestamp columns."""
    return [column.name for column in columns if column.type in TIMESTAMPS]


def check_time(column: Column) -> None:
    """Raise SpineError where the time column can hold no time."""
    if not is_clock(column.type) and column.type != '"NULL"':
        raise SpineError(
            f"entity_df column {column.name} is its time and is {column.type}: make it a TIMESTAMP."
        )
