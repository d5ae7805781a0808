"""Steps: an expression as a small tree of operations on the cells of one row, without any SQL.

:mod:`fstore.compile.stepwise` makes them of SQL, :mod:`fstore.online.closures` makes functions of
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

INT_RANGES = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1),
}


@dataclass(frozen=True)
class Read:
    """The cell of ``inputs`` at this place."""

    place: int
    type: str


@dataclass(frozen=True)
class Constant:
    """A value that stands in the text; a decimal one is a Decimal."""

    value: int | float | str | bool | Decimal | None
    type: str


@dataclass(frozen=True)
class Apply:
    """An operation on the results of other steps; ``operation`` is a word that this file uses."""

    operation: str
    arguments: tuple[Step, ...]
    type: str
    option: int = 0  # of rounding: digits; of micros_diff: the unit in microseconds


Step: TypeAlias = Read | Constant | Apply


def places_of(step: Step) -> Iterator[int]:
    """Yield the places of ``inputs`` that a step reads."""
    if isinstance(step, Read):
        yield step.place
    elif isinstance(step, Apply):
        for each in step.arguments:
            yield from places_of(each)
