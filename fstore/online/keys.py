"""The values that callers give for join keys, read as values of the key's own type.

A caller's '7', 7.0 and numpy.int64(7) are the key 7; what cannot be a key of that type (7.5, True
or 'x' for an integer) is refused, and what no row can have (300 for a TINYINT) is just not found.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from fstore.compile.types import FLOATS, INTEGERS, ZONED, is_clock

_SHOWN = 200  # characters of a value
_WHOLE = re.compile(r"\s*[+-]?\d{1,50}\s*")


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

        def read(value: Any) -> Any:
            value = plain(value)
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
        except OverflowError:
            raise NotAKeyError("give a number that a DOUBLE can hold") from None
        except ValueError:
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
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise NotAKeyError("give a time that is of the years 1 to 9999 in UTC") from None
