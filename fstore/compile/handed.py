"""The types as which values leave the engine, where what takes them lacks their own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlglot import exp

from fstore.compile.sql import aliased, quoted

# Texts and quoted names, which are passed over; a type's name, which unlike the name of a struct's
# field ends its part; the size of an array.
_PARTS = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|"""
    r"""\b(?:UHUGEINT|HUGEINT|BIT|BIGNUM|TIME WITH TIME ZONE)(?=[\[),]|$)|\[\d+\]"""
)

_LACKING = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b(?:INTERVAL(?=[\[),]|$)|UNION(?=\())""")

# Arrow has no unsigned integer of 128 bits and would let its upper half wrap around: as a HUGEINT
# what fits is itself, and what does not is an error.
_STORED = {"UHUGEINT": "HUGEINT"}
# Of these Arrow gets DuckDB's own bytes, or a time without its offset.
_TEXT = dict.fromkeys(("BIT", "BIGNUM", "TIME WITH TIME ZONE"), "VARCHAR")
_ARROW = _STORED | _TEXT
# Parquet has no integer of 128 bits at all and would make a float of it. A cast fails where a value
# does not fit. An array that is NULL, as DuckDB writes it, is more than other readers can read.
_PARQUET = _TEXT | {"UHUGEINT": "DECIMAL(38, 0)", "HUGEINT": "DECIMAL(38, 0)", "[]": "[]"}


def for_storage(kind: str) -> str | None:
    """Return the type to cast a value of this type to before it is published; None for most.

    >>> for_storage("UHUGEINT"), for_storage("STRUCT(a UHUGEINT[])"), for_storage("BIT")
    ('HUGEINT', 'STRUCT(a HUGEINT[])', None)
    """
    return _replaced(kind, _STORED)


def for_arrow(kind: str) -> str | None:
    """Return the type to cast a value of a training set to before Arrow takes it; None for most.

    >>> for_arrow("MAP(BIT, UHUGEINT[3])"), for_arrow("ENUM('BIT')"), for_arrow("BLOB")
    ('MAP(VARCHAR, HUGEINT[3])', None, None)
    """
    return _replaced(kind, _ARROW)


def for_parquet(kind: str) -> str | None:
    """Return the type to cast a value of a training set to before Parquet takes it.

    >>> for_parquet("HUGEINT[]"), for_parquet("STRUCT(a FLOAT[3][2])"), for_parquet("FLOAT[]")
    ('DECIMAL(38, 0)[]', 'STRUCT(a FLOAT[][])', None)
    """
    return _replaced(kind, _PARQUET)


def has_place_in_parquet(kind: str) -> bool:
    """Whether Parquet has the type: DuckDB writes something else for those that it lacks.

    >>> has_place_in_parquet("STRUCT(a INTERVAL)"), has_place_in_parquet("ENUM('UNION(')")
    (False, True)
    """
    return not any(part[0] in ("INTERVAL", "UNION") for part in _LACKING.finditer(kind))


def _replaced(kind: str, types: Mapping[str, str]) -> str | None:
    def replaced(part: re.Match[str]) -> str:
        return types.get("[]" if part[0].startswith("[") else part[0], part[0])

    found = _PARTS.sub(replaced, kind)
    return None if found == kind else found


def handed(name: str, kind: str, table: str | None = None) -> exp.Expr:
    """Return a column as it is published, under its name."""
    wanted = for_storage(kind)
    value = quoted(name, table)
    if wanted is None:
        return value
    return aliased(exp.cast(value, exp.DataType.build(wanted, dialect="duckdb", udt=True)), name)
