"""What DuckDB's type names mean to fstore: which clocks and which keys they can be."""

from __future__ import annotations

import re

from fstore.definitions import Column

SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
INTEGERS = frozenset((*SIGNED, *(f"U{name}" for name in SIGNED)))
WIDE = frozenset({"HUGEINT", "UHUGEINT", "UBIGINT"})  # more than 64 bits with a sign
FLOATS = frozenset({"FLOAT", "DOUBLE"})
ZONED = frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"})
NANOSECONDS = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS"})
COARSE = frozenset({"DATE", "TIMESTAMP_S", "TIMESTAMP_MS"})
TIMESTAMPS = ZONED | {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}


_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")  # names and texts within a type
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def decimal_of(type_name: str) -> tuple[int, int] | None:
    """Return how many digits a DECIMAL has, and how many of them behind the point.

    >>> decimal_of("DECIMAL(10,2)"), decimal_of("DECIMAL(10,2)[]"), decimal_of("DOUBLE")
    ((10, 2), None, None)
    """
    found = _DECIMAL.fullmatch(type_name)
    return (int(found[1]), int(found[2])) if found else None


def is_clock(type_name: str) -> bool:
    """Whether a column of this type can say when something happened."""
    return type_name in TIMESTAMPS or type_name == "DATE"


def is_key(type_name: str) -> bool:
    """Whether values of this type that are equal are written alike, as those of a join key must be.

    >>> is_key("VARCHAR"), is_key("INTERVAL"), is_key("STRUCT(a INTERVAL)")
    (True, False, False)
    """
    return re.search(r"\bINTERVAL\b", _QUOTED.sub("", type_name)) is None


def is_nested(type_name: str) -> bool:
    """Whether values of this type hold others.

    >>> is_nested("DOUBLE[3]"), is_nested("STRUCT(a INTEGER)"), is_nested("ENUM('a[]')")
    (True, True, False)
    """
    return type_name.endswith("]") or type_name.startswith(("STRUCT(", "MAP(", "UNION("))


def holds_floats(type_name: str) -> bool:
    """Whether there are floats within the values of a nested type.

    >>> holds_floats("STRUCT(a DOUBLE)"), holds_floats('STRUCT("DOUBLE" INTEGER)')
    (True, False)
    """
    words = _QUOTED.sub("", type_name)
    return is_nested(type_name) and re.search(r"\b(FLOAT|DOUBLE)\b", words) is not None


def family(type_name: str) -> str:
    """Return the kind of value: types of one family compare with each other, others do not.

    >>> family("DECIMAL(10,2)"), family("ENUM('a', 'b')"), family("DATE")
    ('number', 'text', 'date/time')
    """
    if type_name in INTEGERS or type_name in FLOATS or type_name.startswith("DECIMAL"):
        return "number"
    if type_name == "VARCHAR" or type_name.startswith("ENUM("):
        return "text"
    if is_clock(type_name):
        return "date/time"
    if type_name in ("TIME", "TIME_NS"):  # polars has times in nanoseconds alone
        return "time"
    if type_name == "BOOLEAN":
        return "boolean"
    if type_name == "UUID":
        return "uuid"
    return type_name.lower()


def find_column(columns: tuple[Column, ...], name: str) -> Column | None:
    """Return the column of this name, as DuckDB would find it: exactly, else without case."""
    for column in columns:
        if column.name == name:
            return column
    folded = name.casefold()
    return next((column for column in columns if column.name.casefold() == folded), None)


def unused(name: str, taken: tuple[str, ...]) -> str:
    """Return ``name``, with underscores appended until no name in ``taken`` is equal to it.

    >>> unused("recency", ("carrier", "Recency"))
    'recency_'
    """
    folded = {other.casefold() for other in taken}
    while name.casefold() in folded:
        name += "_"
    return name
