"""The values that callers give for join keys, read as values of the key's own type.

A caller's '7', 7.0 and numpy.int64(7) are the key 7; what cannot be a key of that type (7.5, True
or 'x' for an integer) is refused, and what no row can have (300 for a TINYINT) is just not found.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from fstore.compile.types import FLOATS, INTEGERS, NANOSECONDS, ZONED, is_clock

_SHOWN = 200  # characters of a value
_WHOLE = re.compile(r"\s*[+-]?\d{1,50}\s*", re.ASCII)
_BEHIND_MICROSECONDS = re.compile(r"[.,][0-9]{6}([0-9]{1,3})")


class NotAKeyError(ValueError):
    """The value cannot be a key of this type; the text says what can."""


def shown(value: Any) -> str:
    """Return a caller's value as an error shows it: of a long one how it begins."""
    if isinstance(value, int) and value.bit_length() > 500:  # Python itself writes only so many
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


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
        unwrapped = _with_nanoseconds if self.type in NANOSECONDS else plain

        def read(value: Any) -> Any:
            value = unwrapped(value)
            return None if value is None else parse(value)

        return read


def plain(value: Any) -> Any:
    """Return a scalar of numpy, pandas or Arrow as Python's own; None for any kind of NULL."""
    kind = type(value)
    if kind in (int, str):
        return value
    if value is None or kind.__name__ in ("NAType", "NaTType"):
        return None
    if kind.__module__.startswith("pyarrow"):
        return plain(value.as_py())
    if kind.__name__ == "datetime64":
        return plain(value.astype("datetime64[us]").item())
    if kind.__module__ == "numpy" and hasattr(value, "item"):
        return plain(value.item())
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if isinstance(value, float | Decimal) and value != value:
        return None
    return value


def _with_nanoseconds(value: Any) -> Any:
    """Return what :func:`plain` does, but a time that has nanoseconds as pandas has it."""
    if type(value).__module__.startswith("pyarrow"):
        value = value.as_py()
    if type(value).__name__ == "datetime64" and value.dtype == "datetime64[ns]":
        import pandas as pd

        value = pd.Timestamp(value)
    return value if getattr(value, "nanosecond", 0) > 0 else plain(value)  # that of NaT is NaN


def _parser(kind: str) -> Callable[[Any], Any]:
    if kind in INTEGERS:
        return _integer
    if kind in FLOATS:
        return _float
    if kind.startswith("DECIMAL") and not kind.endswith("]"):
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
        moment = _aware_to_the_nanosecond if kind in NANOSECONDS else _aware
        return moment if kind in ZONED else lambda value: moment(value).replace(tzinfo=None)
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


def _is_number(value: Any) -> bool:
    """Whether it is a number, or text that may be one to others than Python too."""
    if isinstance(value, str):
        return value.isascii() and "_" not in value
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _float(value: Any) -> float | None:
    if _is_number(value):
        try:
            number = float(value)
        except OverflowError:
            raise NotAKeyError("give a number that a DOUBLE can hold") from None
        except ValueError:
            pass
        else:
            return None if number != number else number
    raise NotAKeyError("give a number")


def _decimal(value: Any) -> Decimal:
    if _is_number(value):
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
        try:
            return str(int(value))
        except ValueError:  # Python writes only so many digits
            raise NotAKeyError("give text") from None
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
    if isinstance(value, str) and value.isascii() and "_" not in value:
        try:
            return str(uuid.UUID(value.strip()))
        except ValueError:
            pass
    raise NotAKeyError("give a UUID")


def _date(value: Any) -> date:
    if isinstance(value, datetime | str):
        with suppress(NotAKeyError):
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
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise NotAKeyError("give a time that is of the years 1 to 9999 in UTC") from None


def _aware_to_the_nanosecond(value: Any) -> datetime:
    moment = _aware(value)
    found = _BEHIND_MICROSECONDS.search(value) if isinstance(value, str) else None
    nanoseconds = int(found[1].ljust(3, "0")) if found else 0
    if not nanoseconds:
        return moment
    import pandas as pd

    try:
        return pd.Timestamp(moment).as_unit("ns").replace(nanosecond=nanoseconds)
    except pd.errors.OutOfBoundsDatetime:  # no row has a time of that year
        return moment
