"""The rows of an Arrow table as plain values, whatever a feature holds."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING, Any

from fstore.cli import show

if TYPE_CHECKING:
    import pyarrow as pa

_DAYS_OF_INFINITY = 2**31 - 1  # a DATE of DuckDB, as Arrow holds it
_TICKS_OF_INFINITY = 2**63 - 1  # a TIMESTAMP of DuckDB


def rows_of(batch: pa.RecordBatch, hugeints: Collection[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as tuples of Python's values; ``hugeints`` names the HUGEINT columns.

    Times that Python has no value for (infinity, years past 9999) are text.
    """
    return zip(*_columns(batch, hugeints), strict=True)


def _columns(batch: pa.RecordBatch, hugeints: Collection[str]) -> Iterator[list[Any]]:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        yield _values(column, huge=name in hugeints)


def write_csv(
    batches: Iterator[pa.RecordBatch], names: list[str], hugeints: Collection[str], to: IO[str]
) -> None:
    """Write the rows as CSV: NULL is empty, nested values are JSON, times are in ISO form."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(names)
    for batch in batches:
        columns = [_csv_cells(column) for column in _columns(batch, hugeints)]
        writer.writerows(zip(*columns, strict=True))
    to.flush()  # here, where a pipe that was closed is noticed


def _csv_cells(values: list[Any]) -> list[Any]:
    first = next((value for value in values if value is not None), None)
    as_they_are = type(first) in (int, float)  # then all are
    return values if as_they_are else list(map(_csv_cell, values))


def _csv_cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    found = show.jsonable(value)
    if isinstance(found, bool | list | dict):
        return show.json_line(found)
    return found.replace("T", " ") if hasattr(value, "year") else found


def _values(column: pa.Array, *, huge: bool) -> list[Any]:
    try:
        values = column.to_pylist(maps_as_pydicts="strict")
    except (OverflowError, ValueError):
        values = [_value(scalar) for scalar in column]
    return [None if value is None else int(value) for value in values] if huge else list(values)


def _value(scalar: pa.Scalar) -> Any:
    """Return one value, text where Python has none of its kind, at any depth."""
    import pyarrow as pa

    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {name: _value(scalar[name]) for name in scalar}
    if isinstance(scalar, pa.MapScalar):
        return {_value(pair[0]): _value(pair[1]) for pair in scalar}
    if isinstance(scalar, pa.ListScalar):
        return [_value(item) for item in scalar]
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        end = _DAYS_OF_INFINITY if isinstance(scalar, pa.Date32Scalar) else _TICKS_OF_INFINITY
        if abs(scalar.value) == end:
            return "infinity" if scalar.value > 0 else "-infinity"
        import numpy as np

        unit: Any = "D" if isinstance(scalar, pa.Date32Scalar) else scalar.type.unit
        return str(np.datetime64(scalar.value, unit))
