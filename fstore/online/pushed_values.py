"""How values become such as Arrow takes whole for a type: each kind of value, within others too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from fstore.online.keys import KeyType, NotAKeyError, plain
from fstore.online.values import HUGE_RANGE, arrow_types


@dataclass(frozen=True)
class Reader:
    """``fine`` says of values that Arrow takes each whole; ``read`` makes one such of a value."""

    fine: Callable[[Sequence[Any]], bool]
    read: Callable[[Any], Any]


@lru_cache(maxsize=256)
def reader_of(kind: str) -> Reader:
    """Return the reader for a DuckDB type. Its ``read`` raises NotAKeyError; see its text."""
    (arrow,) = arrow_types((kind,))
    if kind in HUGE_RANGE:
        return _integers(*HUGE_RANGE[kind])
    return _reader(arrow)


def _reader(arrow: pa.DataType) -> Reader:
    if pa.types.is_integer(arrow):
        bits, signed = arrow.bit_width, pa.types.is_signed_integer(arrow)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return _integers(low, high)
    if pa.types.is_floating(arrow):
        return _SINGLES if pa.types.is_float32(arrow) else _DOUBLES
    if pa.types.is_boolean(arrow):
        return _of_types({bool}, "give true or false")
    if pa.types.is_string(arrow) or pa.types.is_dictionary(arrow):
        return _of_types({str}, "give text")
    if pa.types.is_date32(arrow):
        return Reader(_only({date}), _nothing_or(_day))
    if pa.types.is_timestamp(arrow):
        return _times(arrow.unit)
    if pa.types.is_map(arrow):
        return _maps(_reader(arrow.key_type), _reader(arrow.item_type))
    if pa.types.is_struct(arrow):
        return _structs({field.name: _reader(field.type) for field in arrow.fields})
    if pa.types.is_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return _lists(_reader(arrow.value_type))
    return _ANY


_ANY = Reader(lambda _: True, lambda value: value)  # Arrow itself is strict


def _only(types: set[type]) -> Callable[[Sequence[Any]], bool]:
    allowed = frozenset((*types, type(None)))
    return lambda values: allowed.issuperset(map(type, values))


def _nothing_or(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def maybe(value: Any) -> Any:
        value = plain(value)
        return None if value is None else read(value)

    return maybe


def _of_types(types: set[type], reason: str) -> Reader:
    def read(value: Any) -> Any:
        if isinstance(value, tuple(types)):
            return value
        raise NotAKeyError(reason)

    return Reader(_only(types), _nothing_or(read))


def _integers(low: int, high: int) -> Reader:
    reason = f"give a whole number from {low} to {high}"
    key = KeyType("BIGINT").read

    def read(value: Any) -> int:
        if isinstance(value, str):
            raise NotAKeyError(reason)
        try:
            found: int = key(value)
        except NotAKeyError:
            raise NotAKeyError(reason) from None
        if low <= found <= high:
            return found
        raise NotAKeyError(reason)

    whole = _only({int})

    def fine(values: Sequence[Any]) -> bool:
        return whole(values) and all(low <= it <= high for it in values if it is not None)

    return Reader(fine if high >= 2**63 else whole, _nothing_or(read))


def _number(value: Any) -> float:
    """Return a number as a float that equals it."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            pass
        else:
            if found == value or isinstance(value, Decimal):
                return found
    raise NotAKeyError("give a number that a DOUBLE holds")


def _single(value: Any) -> float:
    found = _number(value)
    if abs(found) == float("inf") or abs(found) < _BEYOND_SINGLE:
        return found
    raise NotAKeyError("give a number that a FLOAT holds")


# From the middle between the greatest FLOAT and the one that would come next, it is an infinity.
_BEYOND_SINGLE = 2.0**128 - 2.0**103


def _nothing_or_nan(read: Callable[[Any], float]) -> Callable[[Any], Any]:
    """Return a function that leaves a NaN of a float what it is, for these types have one."""
    maybe = _nothing_or(read)

    def number(value: Any) -> Any:
        is_nan = isinstance(value, float | np.floating) and value != value
        return float(value) if is_nan else maybe(value)

    return number


def _fits_single(values: Sequence[Any]) -> bool:
    if not _only({float})(values):
        return False
    numbers = np.abs(np.array([it for it in values if it is not None], float))
    return not bool(((numbers >= _BEYOND_SINGLE) & (numbers != np.inf)).any())


_DOUBLES = Reader(_only({float, int}), _nothing_or_nan(_number))
_SINGLES = Reader(_fits_single, _nothing_or_nan(_single))


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        if value.time() == time.min:
            return value.date()
    elif isinstance(value, date):
        return value
    raise NotAKeyError("give a date")


def _has_nanoseconds(value: Any) -> bool:
    """Whether it is a time of numpy or pandas, which Arrow takes with all its digits."""
    is_numpy = type(value).__name__ == "datetime64" and value == value
    return is_numpy or bool(getattr(value, "nanosecond", 0))


_STEPS = {"s": (1_000_000, "second"), "ms": (1_000, "millisecond")}  # in microseconds


def _times(unit: str) -> Reader:
    step, called = _STEPS.get(unit, (1, "microsecond"))

    def read(value: Any) -> Any:
        if not isinstance(value, datetime):
            raise NotAKeyError("give a time")
        if value.microsecond % step:
            raise NotAKeyError(f"give a time of a whole {called}")
        return value

    times = _only({datetime})
    if unit == "ns":
        plainly = _nothing_or(read)
        return Reader(times, lambda value: value if _has_nanoseconds(value) else plainly(value))
    if step == 1:
        return Reader(times, _nothing_or(read))
    return Reader(
        lambda values: times(values) and not any(it.microsecond % step for it in values if it),
        _nothing_or(read),
    )


def _lists(item: Reader) -> Reader:
    lists = _only({list})

    def read(value: Any) -> list[Any]:
        if hasattr(value, "tolist"):  # of numpy
            value = value.tolist()
        if not isinstance(value, list | tuple):
            raise NotAKeyError("give a list")
        return [*value] if item.fine(value) else [item.read(each) for each in value]

    def fine(values: Sequence[Any]) -> bool:
        return lists(values) and item.fine([*chain.from_iterable(it for it in values if it)])

    return Reader(fine, lambda value: None if value is None else read(value))


def _structs(fields: Mapping[str, Reader]) -> Reader:
    def read(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping) or not fields.keys() >= value.keys():
            raise NotAKeyError(f"give a dict of {', '.join(fields)}")
        found = {}
        for name, each in value.items():
            try:
                found[name] = fields[name].read(each)
            except NotAKeyError as reason:
                raise NotAKeyError(f"for {name} {reason}") from None
        return found

    return Reader(lambda values: not any(it is not None for it in values), read)


def _maps(key: Reader, item: Reader) -> Reader:
    def read(value: Any) -> list[tuple[Any, Any]] | None:
        if value is None:
            return None
        pairs = value.items() if isinstance(value, Mapping) else value
        try:
            return [(key.read(name), item.read(each)) for name, each in pairs]
        except (TypeError, ValueError) as error:
            if isinstance(error, NotAKeyError):
                raise
            raise NotAKeyError("give a dict") from None

    return Reader(lambda values: not any(it is not None for it in values), read)
