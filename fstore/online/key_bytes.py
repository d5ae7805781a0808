"""Join keys as bytes: equal ones for equal keys, in every process and release."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, localcontext
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from fstore.compile.types import INTEGERS, NANOSECONDS, TIMESTAMPS, WIDE, decimal_of
from fstore.online.instants import micros

WHOLE_NUMBERS = INTEGERS - WIDE
_MANY = 64  # values from which on numpy is faster than one by one


@dataclass(frozen=True)
class KeyCodec:
    """The join key of a view as bytes: its columns' one behind the other."""

    types: tuple[str, ...]  # as DuckDB writes them

    @cached_property
    def size(self) -> int | None:
        """How many bytes every key has; None where that differs."""
        sizes = [_size_of(kind) for kind in self.types]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @cached_property
    def _first(self) -> Callable[[Any], bytes | None]:
        return _encoder_of(self.types[0])

    def encode_columns(self, columns: Sequence[Sequence[Any]], count: int) -> list[bytes | None]:
        """Return the key of each of ``count`` rows; None where it has a NULL or no row can have it.

        ``columns`` hold what KeyType.read returned, column by column.
        """
        if len(columns) == 1:
            if count < _MANY:
                return [*map(self._first, columns[0])]
            return _encoded(self.types[0], columns[0])
        parts = [_encoded(*each) for each in zip(self.types, columns, strict=True)]
        if not parts:
            return [b""] * count
        if self.size is not None:
            return [None if None in row else b"".join(row) for row in zip(*parts, strict=True)]
        return [
            None if None in row else b"".join(_prefixed(part) for part in row)
            for row in zip(*parts, strict=True)
        ]


def _encoded(kind: str, values: Sequence[Any]) -> list[bytes | None]:
    if len(values) >= _MANY and kind in WHOLE_NUMBERS:
        try:
            found: list[bytes | None] = np.array(values, "<i8").view("V8").tolist()
        except (TypeError, OverflowError):  # a NULL among them, or more than the type holds
            pass
        else:
            return found
    return list(map(_encoder_of(kind), values))


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "little") + part


def _packed(code: str) -> Callable[[Any], bytes | None]:
    pack = struct.Struct(f"<{code}").pack

    def encode(value: Any) -> bytes | None:
        try:
            return pack(value)
        except (struct.error, OverflowError):  # NULL, or beyond the type
            return None

    return encode


_whole_bytes = _packed("q")
_float_bytes, _double_bytes = _packed("f"), _packed("d")


def _positive_zero(encode: Callable[[Any], bytes | None]) -> Callable[[Any], bytes | None]:
    return lambda value: None if value is None or value != value else encode(value + 0.0)


def _wide_bytes(value: int | None) -> bytes | None:
    try:
        return None if value is None else value.to_bytes(17, "little", signed=True)
    except OverflowError:
        return None


def _time_bytes(value: datetime | None) -> bytes | None:
    if value is None:
        return None
    return _whole_bytes(micros(value if value.tzinfo else value.replace(tzinfo=UTC)))


def _nanosecond_bytes(value: datetime | None) -> bytes | None:
    if value is None:
        return None
    count = micros(value if value.tzinfo else value.replace(tzinfo=UTC))
    return _wide_bytes(count * 1000 + getattr(value, "nanosecond", 0))


def _day_bytes(value: date | None) -> bytes | None:
    return None if value is None else _whole_bytes(value.toordinal())


def _truth_bytes(value: bool | None) -> bytes | None:
    return None if value is None else bytes([value])


def _text_bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


def _decimal_bytes(width: int, scale: int, value: Decimal | None) -> bytes | None:
    if value is None:
        return None
    if value and not -scale <= value.adjusted() < width:
        return None
    with localcontext(Context(prec=1000)):  # what is asked may have more digits than any type
        units = value.scaleb(scale)
        if units != units.to_integral_value() or abs(units) >= Decimal(10) ** width:
            return None
        return _text_bytes(int(units))


# Types, the size of their bytes, and how values become bytes; any other type is text.
_ENCODERS: tuple[tuple[frozenset[str], int, Callable[[Any], bytes | None]], ...] = (
    (WHOLE_NUMBERS, 8, _whole_bytes),
    (WIDE, 17, _wide_bytes),
    (frozenset({"FLOAT"}), 4, _positive_zero(_float_bytes)),
    (frozenset({"DOUBLE"}), 8, _positive_zero(_double_bytes)),
    (frozenset({"BOOLEAN"}), 1, _truth_bytes),
    (frozenset({"DATE"}), 8, _day_bytes),
    (NANOSECONDS, 17, _nanosecond_bytes),
    (TIMESTAMPS - NANOSECONDS, 8, _time_bytes),
)


def _size_of(kind: str) -> int | None:
    """Return how many bytes a value of this type takes; None where that differs by value."""
    return next((size for kinds, size, _ in _ENCODERS if kind in kinds), None)


def bytes_of(kind: str) -> object:
    """Return what types have in common whose equal values are equal bytes."""
    for place, (kinds, _, _) in enumerate(_ENCODERS):
        if kind in kinds:
            return place
    decimal = decimal_of(kind)
    return ("decimal", decimal[1]) if decimal else "text"


@cache
def _encoder_of(kind: str) -> Callable[[Any], bytes | None]:
    """Return the function from a value to bytes; None for NULL and what no row can have."""
    for kinds, _, encode in _ENCODERS:
        if kind in kinds:
            return encode
    decimal = decimal_of(kind)
    return partial(_decimal_bytes, *decimal) if decimal else _text_bytes
