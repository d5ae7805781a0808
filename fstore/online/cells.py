"""Cells between Arrow, bytes and Python: how a value of each type is kept in a record.

Numbers, booleans, days and times are numbers of fixed size; text, decimals and huge integers are
text; everything else (lists, structs, intervals, ...) is one cell of Arrow's own format. What comes
back is what :func:`fstore.online.values.to_python` makes of the column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from fstore.compile.types import find_column
from fstore.definitions import Column, FeatureView
from fstore.errors import WrongTypeError
from fstore.online.values import HUGE, arrow_types, clamped_day, time_reader, to_python

_NUMBERS = {
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.uint8(): "B",
    pa.uint16(): "H",
    pa.uint32(): "I",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
    pa.bool_(): "?",
}


@dataclass(frozen=True)
class Codec:
    """How cells of one type are kept: as a number of struct's ``code``, or as bytes (None)."""

    code: str | None
    encode: Callable[[pa.Array], pa.Array]  # to numbers, or to large_string or large_binary
    decode: Callable[[Any], Any] | None = None  # from a number or bytes; None: a number as it is


@lru_cache(maxsize=1024)
def codec_of(kind: str) -> Codec:
    """Return the codec for a DuckDB type."""
    (arrow,) = arrow_types((kind,))
    if arrow in _NUMBERS:
        return Codec(_NUMBERS[arrow], lambda cells: cells)
    if pa.types.is_timestamp(arrow) and arrow.unit != "ns":
        return Codec("q", lambda cells: cells.cast(pa.int64()), time_reader(arrow))
    if pa.types.is_date32(arrow):
        return Codec("i", lambda cells: cells.cast(pa.int32()), clamped_day)
    if pa.types.is_string(arrow) or pa.types.is_dictionary(arrow):
        return Codec(None, _as_text, bytes.decode)
    if pa.types.is_decimal(arrow):
        return Codec(None, _as_text, int if kind in HUGE else _decimal)
    return Codec(None, partial(_serialized, arrow), partial(_deserialized, arrow, kind))


def check_kept(view: FeatureView, columns: tuple[Column, ...], schema: pa.Schema) -> None:
    """Raise WrongTypeError for a column about to be published that cannot be kept.

    Of an array DuckDB does not take ENUMs back from Arrow; of a union Arrow makes no text of them.
    """
    for field in schema:
        column = find_column(columns, field.name)
        if column is not None and _has_enum_within(field.type, apart=False):
            reason = "cannot be kept online: cast the ENUM within it to VARCHAR in the model"
            raise WrongTypeError(
                view.reference, view.file, column.name, "column", column.type, reason
            )


def _has_enum_within(kind: pa.DataType, *, apart: bool) -> bool:
    """Whether there is an ENUM in an array or a union; ``apart``: the type is within one."""
    if pa.types.is_dictionary(kind):
        return apart
    apart = apart or pa.types.is_fixed_size_list(kind) or pa.types.is_union(kind)
    inner = (kind.field(place).type for place in range(kind.num_fields))
    return any(_has_enum_within(each, apart=apart) for each in inner)


def _as_text(cells: pa.Array) -> pa.Array:
    return cells.cast(pa.large_string())


def _decimal(text: bytes) -> Decimal:
    return Decimal(text.decode())


def _serialized(kind: pa.DataType, cells: pa.Array) -> pa.Array:
    """Return each cell as the body of an Arrow record batch of one row."""
    schema = pa.schema([("cell", kind)])
    cells = cells.cast(kind)  # its ENUMs to text
    bodies = [
        pa.record_batch([cells.slice(place, 1)], schema).serialize().to_pybytes()
        if cell.is_valid
        else None
        for place, cell in enumerate(cells)
    ]
    return pa.array(bodies, pa.large_binary())


def _deserialized(arrow: pa.DataType, kind: str, body: bytes) -> Any:
    batch = pa.ipc.read_record_batch(pa.py_buffer(body), pa.schema([("cell", arrow)]))
    return to_python(pa.chunked_array([batch.column(0)]), kind)[0]
