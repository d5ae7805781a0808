"""The values that callers give for join keys, read as values of the key's own type.

A caller's '7', 7.0 and numpy.int64(7) are the key 7; what cannot be a key of that type (7.5, True
or 'x' for an integer) is refused, and what no row can have (300 for a TINYINT) is just not found.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, InvalidOperation, localcontext
from functools import cached_property, partial
from typing import Any

import numpy as np

from fstore.compile.types import (
    FLOATS,
    INTEGERS,
    NANOSECONDS,
    TIMESTAMPS,
    WIDE,
    ZONED,
    is_clock,
)
from fstore.online.instants import micros

_WHOLE_NUMBERS = INTEGERS - WIDE
_MANY = 64  # values from which on numpy is faster than one by one
_WHOLE = re.compile(r"\s*[+-]?\d{1,50}\s*")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


class NotAKeyError(ValueError):
    """The value cannot be a key of this type; the text says what can."""


@dataclass(frozen=True)
class KeyType:
    """How values of a join key of one DuckDB type are read."""

    type: str

    @cached_property
    def native(self) -> AbstractSet[Any]:
        """The type of values that are read as they are; with no other among them."""
        if self.type in INTEGERS:
            return {int}
        return {str} if self.type == "VARCHAR" or self.type.startswith("ENUM(") else set()

    @cached_property
    def read(self) -> Callable[[Any], Any]:
        """Return the function from a caller's value to the key's value, None for NULL and NaN.

        It raises NotAKeyError for a value of another kind.
        """
        parse = _parser(self.type)

        def read(value: Any) -> Any:
            value = _plain(value)
            return None if value is None else parse(value)

        return read

    @cached_property
    def size(self) -> int | None:
        """How many bytes :attr:`encode` gives; None where that differs by value."""
        return next((size for kinds, size, _ in _ENCODERS if self.type in kinds), None)

    @cached_property
    def encode(self) -> Callable[[Any], bytes | None]:
        """Return the function from what :attr:`read` returned to bytes: equal ones for equal keys.

        It gives None for a value that no row can have, and for NULL.
        """
        for kinds, _, encode in _ENCODERS:
            if self.type in kinds:
                return encode
        found = _DECIMAL.fullmatch(self.type)
        return partial(_decimal_bytes, int(found[1]), int(found[2])) if found else _text_bytes


@dataclass(frozen=True)
class KeyCodec:
    """The join key of a view as bytes: its columns' one behind the other."""

    types: tuple[KeyType, ...]

    @cached_property
    def size(self) -> int | None:
        """How many bytes every key has; None where that differs."""
        sizes = [kind.size for kind in self.types]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def encode_columns(self, columns: Sequence[Sequence[Any]], count: int) -> list[bytes | None]:
        """Return the key of each of ``count`` rows; None where it has a NULL or no row can have it.

        ``columns`` hold what :attr:`KeyType.read` returned, column by column.
        """
        if len(columns) == 1:
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


def _encoded(kind: KeyType, values: Sequence[Any]) -> list[bytes | None]:
    if len(values) >= _MANY and kind.type in _WHOLE_NUMBERS:
        try:
            found: list[bytes | None] = np.array(values, "<i8").view("V8").tolist()
        except (TypeError, OverflowError):  # a NULL among them, or more than the type holds
            pass
        else:
            return found
    return list(map(kind.encode, values))


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
    with localcontext(Context(prec=1000)):  # what is asked may have more digits than any type
        units = value.scaleb(scale)
        if units != units.to_integral_value() or abs(units) >= Decimal(10) ** width:
            return None
        return _text_bytes(int(units))


# Types, the size of their bytes, and how values become bytes; any other type is text.
_ENCODERS: tuple[tuple[frozenset[str], int, Callable[[Any], bytes | None]], ...] = (
    (_WHOLE_NUMBERS, 8, _whole_bytes),
    (WIDE, 17, _wide_bytes),
    (frozenset({"FLOAT"}), 4, _positive_zero(_float_bytes)),
    (frozenset({"DOUBLE"}), 8, _positive_zero(_double_bytes)),
    (frozenset({"BOOLEAN"}), 1, _truth_bytes),
    (frozenset({"DATE"}), 8, _day_bytes),
    (NANOSECONDS, 17, _nanosecond_bytes),
    (TIMESTAMPS - NANOSECONDS, 8, _time_bytes),
)


def _plain(value: Any) -> Any:
    """Return a scalar of numpy, pandas or Arrow as Python's own; None for any kind of NULL."""
    kind = type(value)
    if kind in (int, str):
        return value
    if value is None or kind.__name__ in ("NAType", "NaTType"):
        return None
    if kind.__module__.startswith("pyarrow"):
        return _plain(value.as_py())
    if kind.__name__ == "datetime64":
        return _plain(value.astype("datetime64[us]").item())
    if kind.__module__ == "numpy" and hasattr(value, "item"):
        return _plain(value.item())
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if isinstance(value, float | Decimal) and value != value:
        return None
    return value


def _parser(kind: str) -> Callable[[Any], Any]:
    if kind in INTEGERS:
        return _integer
    if kind in FLOATS:
        return _float
    if kind.startswith("DECIMAL"):
        return _decimal
    if kind == "VARCHAR" or kind.startswith("ENUM("):
        return _text
    if kind == "BOOLEAN":
        return _boolean
    if kind == "UUID":
        return _uuid
    if kind == "DATE":
        return _date
    if is_clock(kind):
        return _aware if kind in ZONED else _naive
    return lambda value: value


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise NotAKeyError("give a whole number")


def _float(value: Any) -> float | None:
    if isinstance(value, int | float | Decimal | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            return None if number != number else number
    raise NotAKeyError("give a number")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, int | float | Decimal | str) and not isinstance(value, bool):
        try:
            number = Decimal(repr(value) if isinstance(value, float) else value)
        except InvalidOperation:
            pass
        else:
            if number.is_finite():
                return number
    raise NotAKeyError("give a number")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return str(int(value))
    if isinstance(value, uuid.UUID):
        return str(value)
    raise NotAKeyError("give text")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise NotAKeyError("give true or false")


def _uuid(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        try:
            return str(uuid.UUID(value.strip()))
        except ValueError:
            pass
    raise NotAKeyError("give a UUID")


def _date(value: Any) -> date:
    if isinstance(value, datetime | str):
        moment = _naive(value)
        if moment.time() == time.min:
            return moment.date()
    elif isinstance(value, date):
        return value
    raise NotAKeyError("give a date, as in 2013-01-31")


def _naive(value: Any) -> datetime:
    return _aware(value).replace(tzinfo=None)


def _aware(value: Any) -> datetime:
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    elif isinstance(value, date) and not isinstance(value, datetime):
        moment = datetime.combine(value, time.min)
    if not isinstance(moment, datetime):
        raise NotAKeyError("give a time, as in 2013-01-31T12:00:00")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
