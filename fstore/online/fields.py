"""The values that callers give for request fields, read as values of the field's own type.

They are read as those of join keys are, but what the type cannot hold is refused, for they are
computed with; and numbers are rounded as the engine's CAST rounds the column of a spine.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any

from fstore.compile.steps import INT_RANGES
from fstore.compile.types import decimal_of
from fstore.online.keys import KeyType, NotAKeyError
from fstore.online.rounding import half_away
from fstore.online.values import EXACT

_RANGES = INT_RANGES | {"HUGEINT": (-(2**127), 2**127 - 1), "UHUGEINT": (0, 2**128 - 1)}
_FLOAT = struct.Struct("<f")


@cache
def field_reader(kind: str) -> Callable[[Any], Any]:
    """Return the function from a caller's value to the field's, None for NULL and NaN.

    It raises NotAKeyError for a value that the type does not hold; the text says what it holds.
    """
    read = KeyType(kind).read
    if kind in _RANGES:
        return _whole(read, *_RANGES[kind])
    if kind == "DOUBLE":
        return _double(read)
    if kind == "FLOAT":
        return _fitted(read, _to_float)
    if decimal := decimal_of(kind):
        return _decimal(read, *decimal)
    return read


def _whole(read: Callable[[Any], Any], low: int, high: int) -> Callable[[Any], int | None]:
    def whole(value: Any) -> int | None:
        found: int | None = value if type(value) is int else read(value)
        if found is None or low <= found <= high:
            return found
        raise NotAKeyError(f"give a whole number from {low} to {high}")

    return whole


def _double(read: Callable[[Any], Any]) -> Callable[[Any], float | None]:
    def double(value: Any) -> float | None:
        if type(value) is float and value == value:
            return value
        found: float | None = read(value)
        return found

    return double


def _fitted(read: Callable[[Any], Any], fit: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def fitted(value: Any) -> Any:
        found = read(value)
        return None if found is None else fit(found)

    return fitted


def _to_float(value: float) -> float:
    try:
        (found,) = _FLOAT.unpack(_FLOAT.pack(value))
    except OverflowError:
        raise NotAKeyError("give a number that a FLOAT can hold") from None
    return float(found)


def _decimal(read: Callable[[Any], Any], width: int, scale: int) -> Callable[[Any], Decimal | None]:
    context = Context(prec=width, rounding=ROUND_HALF_UP)
    unit, power = Decimal(1).scaleb(-scale), 10.0**scale

    def decimal(value: Any) -> Decimal | None:
        found: Decimal | None = read(value)
        if found is None:
            return None
        try:
            if isinstance(value, float):  # the engine rounds what it is, not what it is shown as
                found = EXACT.scaleb(int(half_away(value * power)), -scale)
            return found.quantize(unit, context=context)
        except (InvalidOperation, OverflowError):
            raise NotAKeyError(
                f"give a number of at most {width - scale} digits before the point"
            ) from None

    return decimal
