"""Rows that a caller pushes or deletes: read, checked and typed before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile.carried import flags, flags_of, pushed
from fstore.compile.types import FLOATS, find_column, is_clock
from fstore.definitions import Column, FeatureView
from fstore.errors import EntityRowsError, RequestError, did_you_mean, listed
from fstore.online import in_memory
from fstore.online.entries import DELETE, PUSH, Entry
from fstore.online.keys import KeyType, NotAKeyError, shown
from fstore.online.pushed_cells import NotTakenError, cells_of, same_cells
from fstore.online.records import ALWAYS, NEVER, Layout, Rows
from fstore.online.rows import EntityRows, names_of
from fstore.online.values import arrow_types, to_python

# What KeyType reads of a caller's value, for features too: '2013-01-31' is a date.
_READ = ("DECIMAL", "DATE", "UUID")


@dataclass(frozen=True)
class Pushable:
    """Rows of a view as a typed table, with the names and types of its built relation."""

    view: FeatureView
    columns: tuple[Column, ...]
    table: pa.Table
    received: int

    def stamped(self) -> pa.Table:
        """Return the table, with the time of receipt where a created_timestamp is not given."""
        name = self.view.created_timestamp
        if name is None:
            return self.table
        created = self.table[name]
        receipt = pa.scalar(self.received, pa.timestamp("us")).cast(created.type, safe=False)
        place = self.table.column_names.index(name)
        return self.table.set_column(place, name, created.fill_null(receipt))

    def entry(self) -> Entry:
        """Return the rows as an entry of the push log.

        Where a created_timestamp is declared and not given, it is the time of receipt.
        """
        view, layout = self.view, Layout.of(self.view, self.columns)
        events = _numbers(self.table[view.event_timestamp])
        arrivals = events
        if view.created_timestamp:
            arrivals = _numbers(self.table[view.created_timestamp], missing=self.received)
        ends = np.full(self.table.num_rows, ALWAYS)
        if view.snapshot:
            ended = _numbers(self.table[view.snapshot.valid_to], missing=ALWAYS)
            gone = pc.equal(self.table[view.snapshot.is_deleted], "True").fill_null(False)
            ends = np.where(gone.to_numpy(), NEVER, ended)
        table = with_flags(self.view, self.columns, self.table)
        cells = [table[column.name].combine_chunks() for column in layout.features]
        rows = Rows(
            keys=_keys(view, layout, self.table, self.table.num_rows),
            events=events,
            arrivals=arrivals,
            ends=ends,
            followers=np.zeros(self.table.num_rows, np.uint32),
            cells=cells,
        )
        count = self.table.num_rows
        return Entry(PUSH, view.reference, self.received, layout, count, layout.pack(rows))


def pushable(view: FeatureView, columns: tuple[Column, ...], given: Any, received: int) -> Pushable:
    """Read rows to push, in any form that entity_rows has.

    Every join key, the event_timestamp and every feature must be there, and nothing that is no
    column of the relation; EntityRowsError says what is wrong, and where.
    """
    if view.windows and not view.event_key:
        raise RequestError(
            f"{view.reference} ({view.file}) has aggregations and no event_key, so a push that is "
            "sent again would count twice. Name in event_key the columns that tell one event from "
            "another, and run: fstore materialize"
        )
    given = _as_table(given, "rows")
    rows = EntityRows.of(given, "rows")
    needed = [*view.join_keys, view.event_timestamp, *pushed(view, columns)]
    optional = [view.created_timestamp] if view.created_timestamp else []
    optional += view.snapshot.names() if view.snapshot else ()
    known = [column.name for column in columns]
    if rows.count or rows.names:  # an empty list has no columns, and nothing to push
        _check_names(view, rows, needed, known)
    table: dict[str, Any] = {}
    for name in dict.fromkeys((*needed, *optional, *known)):
        column = find_column(columns, name)
        if column is None:
            if view.snapshot and name in optional:  # a column that dbt adds only at need
                table[name] = pa.nulls(rows.count, pa.string())
            continue
        if rows.has(name):
            required = name in (*view.join_keys, view.event_timestamp)
            table[name] = _as_given(given, column, required)
            if table[name] is None:
                table[name] = _typed(view, column, rows.column(name, view.reference), required)
        else:
            (kind,) = arrow_types((column.type,))
            table[name] = pa.nulls(rows.count, kind)
    return Pushable(view, columns, pa.table(table), received)


def with_flags(view: FeatureView, columns: tuple[Column, ...], rows: pa.Table) -> pa.Table:
    """Return the rows with a column for each condition of ``where``: whether they meet it."""
    named = flags(view, columns)
    if not named:
        return rows
    try:
        met = in_memory.many(flags_of(view, columns, "rows"), "rows", rows)
    except duckdb.Error as error:
        said = str(error).partition("\n")[0]
        raise EntityRowsError(
            f"A where of {view.reference} ({view.file}) cannot be computed for the rows to push. "
            f"DuckDB: {said}"
        ) from error
    for flag, column in zip(named, met.columns, strict=True):
        rows = rows.append_column(flag.name, column)
    return rows


def deletion(view: FeatureView, columns: tuple[Column, ...], given: Any, received: int) -> Entry:
    """Return the entry that deletes the keys of these rows."""
    rows = EntityRows.of(_as_table(given, "entity_rows"), "entity_rows")
    found = [find_column(columns, key) for key in view.join_keys]
    keys = tuple(column for column in found if column)
    values = [rows.column(key.name, view.reference) if rows.count else () for key in keys]
    table = pa.table(
        {
            key.name: _typed(view, key, each, required=True)
            for key, each in zip(keys, values, strict=True)
        }
    )
    layout = Layout(tuple(key.type for key in keys), keys)
    nothing = np.zeros(rows.count, np.int64)
    cells = [table[key.name].combine_chunks() for key in keys]
    packed = Rows(_keys(view, layout, table, rows.count), *(nothing,) * 4, cells)
    return Entry(DELETE, view.reference, received, layout, rows.count, layout.pack(packed))


def _as_table(given: Any, called: str) -> Any:
    """Return a frame as an Arrow table, in which NaN of pandas is NULL; anything else as it is."""
    if hasattr(given, "to_arrow") and not hasattr(given, "column_names"):  # polars
        return given.to_arrow()
    if hasattr(given, "dtypes") and hasattr(given, "columns"):  # pandas
        names_of(given.columns, called)  # two of one name become neither a table nor lists
        return _of_pandas(given)
    return given


def _of_pandas(given: Any) -> Any:
    """Return a frame as an Arrow table; as lists where a column's values are of no one type."""
    try:
        return pa.Table.from_pandas(given, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        objects = given.astype(object)
        present = objects.where(objects.notna(), None)
        return {str(name): present[name].tolist() for name in present.columns}


def _check_names(
    view: FeatureView, rows: EntityRows, needed: Sequence[str], known: Sequence[str]
) -> None:
    missing = [name for name in dict.fromkeys(needed) if not rows.has(name)]
    if missing:
        raise EntityRowsError(
            f"The rows to push lack {listed(missing)} of {view.reference} ({view.file}), and have "
            f"{listed(rows.names)}. A push gives whole rows: {listed(list(dict.fromkeys(needed)))}."
        )
    folded = {name.casefold() for name in known}
    for name in rows.names:
        if name.casefold() not in folded:
            raise EntityRowsError(
                f"The rows to push have {name}, which is no column of {view.reference} "
                f"({view.file}): it has {listed(known)}.{did_you_mean(name, known)}"
            )


def _as_given(given: Any, column: Column, required: bool) -> pa.ChunkedArray | None:
    """Return a column of an Arrow table whose values are of its own type; None for any other.

    Floats are looked at where they are keys, for a NaN is none.
    """
    if not isinstance(given, pa.Table) or column.name not in given.column_names:
        return None
    cells = given[column.name]
    if required and (cells.null_count or column.type in FLOATS):
        return None
    return same_cells(column.type, cells)


def _typed(view: FeatureView, column: Column, values: Sequence[Any], required: bool) -> pa.Array:
    """Return a column's values in its own type; EntityRowsError for one that cannot be."""
    key = KeyType(column.type)
    is_parsed = required or is_clock(column.type) or column.type.startswith(_READ)
    given = values
    if is_parsed and not _is_read(column, values, key):
        values = list(_read_all(view, column, values, key, required))
    try:
        return cells_of(column.type, values)
    except NotTakenError as error:
        raise _refused(view, column, error.place, given[error.place], error) from None


def _refused(
    view: FeatureView, column: Column, place: int, value: Any, reason: Exception
) -> EntityRowsError:
    return EntityRowsError(
        f"rows[{place}]: {column.name} is {shown(value)}, and {column.name} of {view.reference} is "
        f"{column.type}: {reason}."
    )


def _is_read(column: Column, values: Sequence[Any], key: KeyType) -> bool:
    """Whether the values are what reading each would make of it; that takes most of a push."""
    kinds = {*map(type, values)}
    if kinds == {datetime} and column.type in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return {value.tzinfo for value in values} == {UTC}
    return kinds == key.native


def _read_all(
    view: FeatureView, column: Column, values: Iterable[Any], key: KeyType, required: bool
) -> Iterable[Any]:
    for place, value in enumerate(values):
        try:
            read = key.read(value)
        except NotAKeyError as reason:
            raise _refused(view, column, place, value, reason) from None
        if read is None and required:
            what = "a join key" if column.name in view.join_keys else "the event_timestamp"
            raise EntityRowsError(
                f"rows[{place}]: {column.name} is NULL, and {what} of {view.reference} never is."
            )
        yield read


def _keys(view: FeatureView, layout: Layout, table: pa.Table, count: int) -> list[bytes]:
    columns = [
        to_python(table[key], kind)
        for key, kind in zip(view.join_keys, layout.key_types, strict=True)
    ]
    keys = layout.key.encode_columns(columns, count)
    whole = [key for key in keys if key is not None]
    assert len(whole) == len(keys), "every value is of the key's type"
    return whole


def _numbers(times: pa.ChunkedArray, missing: int = NEVER) -> np.ndarray:
    """Return a clock's times in microseconds, floored to them as the clocks of a publish are."""
    if getattr(times.type, "unit", None) == "ns":
        times = pc.floor_temporal(times, unit="microsecond")
    kind = pa.timestamp("us", tz=getattr(times.type, "tz", None))
    found: np.ndarray = times.cast(kind).cast(pa.int64()).fill_null(missing).to_numpy()
    return found
