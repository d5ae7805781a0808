"""The types as which values leave the engine, where Arrow cannot carry their own."""

from __future__ import annotations

import re

from sqlglot import exp

from fstore.compile.sql import aliased, quoted

# Arrow has no unsigned integer of 128 bits and would let its upper half wrap around: as a HUGEINT
# what fits is itself, and what does not is an error. Also within a list or a struct.
_PARTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\bUHUGEINT\b""")


def for_arrow(kind: str) -> str | None:
    """Return the type to cast a value of this type to before Arrow takes it; None for most.

    >>> for_arrow("UHUGEINT"), for_arrow("STRUCT(a UHUGEINT[])"), for_arrow("ENUM('UHUGEINT')")
    ('HUGEINT', 'STRUCT(a HUGEINT[])', None)
    """
    if "UHUGEINT" not in kind:
        return None
    found = _PARTS.sub(lambda part: "HUGEINT" if part[0] == "UHUGEINT" else part[0], kind)
    return None if found == kind else found


def handed(name: str, kind: str, table: str | None = None) -> exp.Expr:
    """Return a column as Arrow can take it, under its name."""
    wanted = for_arrow(kind)
    value = quoted(name, table)
    if wanted is None:
        return value
    return aliased(exp.cast(value, exp.DataType.build(wanted, dialect="duckdb", udt=True)), name)
