"""Arrow tables to pandas frames with their types whole: what every ``to_df`` of fstore does.

Belongs to no room: the offline and the online answers are converted alike.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fstore.errors import RequestError, cannot_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import pandas as pd

_Taken = TypeVar("_Taken")

HUGEINT = pa.decimal128(38, 0)  # how DuckDB hands a HUGEINT (every SUM of integers) to Arrow


def arrow_to_pandas(table: pa.Table, hugeints: Collection[str] | None = None) -> pd.DataFrame:
    """Return the table as a pandas frame in which no value changed its kind.

    - Integers and booleans are always the nullable types (``Int64``, ``boolean``), whether or not
      a NULL is there.
    - ``hugeints`` names the HUGEINT columns: ``Int64`` where every value fits, else Python's
      integers. None takes every ``decimal128(38, 0)`` for one; a DECIMAL(38,0) looks the same.
    - Decimals are ``Decimal``, lists ``list``, structs and maps ``dict``, timestamps
      ``datetime64`` of their own unit, in their zone where they have one.

    >>> arrow_to_pandas(pa.table({"n": [1, None]}))["n"].dtype.name
    'Int64'
    """
    import pandas as pd

    flat = {}  # by their places, for two columns may have one name
    series = {}
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if field.type == HUGEINT and (hugeints is None or field.name in hugeints):
            series[place] = _integers(column)
        elif pa.types.is_nested(field.type) or pa.types.is_null(field.type):
            # to_pandas would make arrays of lists, and knows no unions.
            values = column.to_pylist(maps_as_pydicts="strict")
            series[place] = pd.Series(values, dtype="object")
        else:
            flat[str(place)] = _within_the_calendar(column)
    together = _flat(flat)
    series |= {int(place): together[place] for place in flat}
    series = {place: series[place] for place in range(table.num_columns)}
    frame = pd.DataFrame(series, index=pd.RangeIndex(table.num_rows), copy=False)
    frame.columns = pd.Index(table.column_names, dtype="object" if not series else None)
    return frame


def with_statistics(schema: pa.Schema) -> list[str]:
    """Return the columns of which Parquet may keep the ends: all but those that may hold a NaN.

    The format has them leave NaN out, and DuckDB then believes that there is none.
    """
    return [
        field.name
        for field in schema
        if not (pa.types.is_nested(field.type) or pa.types.is_floating(field.type))
    ]


def handed_over(
    table: pa.Table,
    take: Callable[[pa.Table], _Taken],
    who: str,
    types: Mapping[str, str],
    *refusals: type[BaseException],
) -> _Taken:
    """Return what ``take`` makes of the table; RequestError naming a column that it cannot take.

    ``who`` takes it; ``types`` are DuckDB's of the columns, where they are known; ``refusals`` are
    errors of the taker's library that are none of Python's or Arrow's.
    """
    refused = (pa.ArrowException, ValueError, TypeError, NotImplementedError, *refusals)
    try:
        return take(table)
    except refused:
        for place, field in enumerate(table.schema):
            try:
                take(table.select([place]))
            except refused as error:
                kind = types.get(field.name, str(field.type))
                raise RequestError(f"{cannot_hold(who, field.name, kind)}. ({error})") from error
        raise


def _within_the_calendar(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of dates with infinities, which are dates to DuckDB, as its ends."""
    if not pa.types.is_date32(column.type):
        return column
    first, last = (pa.scalar(day, pa.date32()) for day in (date.min, date.max))
    return pc.max_element_wise(
        pc.min_element_wise(column, last, skip_nulls=False), first, skip_nulls=False
    )


def _integers(column: pa.ChunkedArray) -> pd.Series[Any]:
    import pandas as pd

    try:
        fitting = column.cast(pa.int64())
    except pa.ArrowInvalid:  # a value beyond 64 bits
        values = [None if value is None else int(value) for value in column.to_pylist()]
        return pd.Series(values, dtype="object")
    return _flat({"column": fitting})["column"]


def _flat(columns: Mapping[str, pa.ChunkedArray]) -> pd.DataFrame:
    # All at once, for each call has a price, paid once a column of a thousand; and by way of a
    # table: only then does text become pandas' own text.
    table = pa.table(list(columns.values()), names=list(columns))
    frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable().get)
    return frame


def _nullable() -> dict[pa.DataType, Any]:
    import pandas as pd

    return {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
