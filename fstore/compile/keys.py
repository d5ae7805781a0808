"""Which key values compare with which, and the SQL that compares them truly."""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from fstore.compile.request import Columns, FeatureRequest
from fstore.compile.sql import try_cast, without_nan
from fstore.compile.types import (
    FLOATS,
    INTEGERS,
    NANOSECONDS,
    ZONED,
    decimal_of,
    family,
    find_column,
)
from fstore.definitions import Column
from fstore.errors import SpineError


def comparable(value: exp.Expr, given: str, key: str) -> exp.Expr:
    """Return a spine's key value in a form whose equality with a key of type ``key`` is exact.

    A float equals an integer key only where it is whole (a plain comparison would turn the key
    into a float, where neighbours collide), and a decimal key only where it is that very number; a
    NaN equals none, as NULL does. A number that the key's type does not hold matches nothing, as
    does text for a uuid or a time that is none.
    """
    if given in FLOATS and key in INTEGERS:
        whole = exp.EQ(this=value.copy(), expression=exp.Floor(this=value.copy()))
        return exp.Case().when(whole, try_cast(value, "HUGEINT"))
    if given in FLOATS and key in FLOATS:
        return without_nan(value, given)
    if given in FLOATS and decimal_of(key):
        return _where_same(value, try_cast(value, key), given)
    if family(given) == "text" and family(key) in ("uuid", "date/time"):
        return _parsed(value, key)
    ours, theirs = _digits(key), _digits(given)
    if ours and theirs and given != key and not _have_a_common_type(given, key, ours, theirs):
        there = try_cast(value, key)
        return there if theirs.behind <= ours.behind else _where_same(value, there, given)
    return value


def _parsed(value: exp.Expr, key: str) -> exp.Expr:
    """Return text as a uuid or a time; a plain cast to a time drops an offset, and to a DATE more.

    As an online read has it, naive times are UTC, and a DATE is the 00:00 of its day alone.
    """
    if key in NANOSECONDS or key in ZONED or key == "UUID":
        return try_cast(value, key)
    moment = try_cast(value, "TIMESTAMP WITH TIME ZONE")
    there = try_cast(moment, key)
    return there if key == "TIMESTAMP" else exp.Case().when(there.eq(moment), there.copy())


def _where_same(value: exp.Expr, there: exp.Expr, given: str) -> exp.Expr:
    """Return what was cast, NULL where the cast rounded."""
    back = try_cast(there, given)
    return exp.Case().when(exp.EQ(this=back, expression=value.copy()), there.copy())


class _Digits(NamedTuple):
    """How many digits an exact number has at most, before and behind the point."""

    before: int
    behind: int = 0


_LONGEST = 38  # digits of a DECIMAL
_BEFORE = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "UBIGINT": 20}


def _digits(kind: str) -> _Digits | None:
    if kind in INTEGERS:
        return _Digits(_BEFORE.get(kind) or _BEFORE.get(kind.removeprefix("U"), _LONGEST + 1))
    decimal = decimal_of(kind)
    return _Digits(decimal[0] - decimal[1], decimal[1]) if decimal else None


def _have_a_common_type(given: str, key: str, ours: _Digits, theirs: _Digits) -> bool:
    """Whether every value of both is one of the type in which DuckDB compares them.

    Where one is not, it fails the whole query.
    """
    if given in INTEGERS and key in INTEGERS:
        return "UHUGEINT" not in (given, key)
    longest = max(ours.before, theirs.before) + max(ours.behind, theirs.behind)
    return longest <= _LONGEST


def compares(given: str, key: str) -> bool:
    """Whether values of a spine's type can equal a join key's."""
    ours, theirs = family(given), family(key)
    return ours == theirs or (ours == "text" and theirs in ("uuid", "date/time"))


def check_keys(request: FeatureRequest, columns: Columns, spine: tuple[Column, ...]) -> None:
    """Raise SpineError for the first key column whose type cannot equal the view's join key."""
    for join in request.joins:
        for key, name in join.keys:
            ours = find_column(columns[join.view.reference], key)
            theirs = find_column(spine, name)
            assert ours is not None and theirs is not None
            if theirs.type != '"NULL"' and not compares(theirs.type, ours.type):
                raise SpineError(
                    f"entity_df column {theirs.name} is {theirs.type}, and the join key {key} of "
                    f"{join.view.reference} ({join.view.file}) is {ours.type}: they never compare. "
                    f"Cast the column of entity_df to {ours.type}."
                )
