"""Which key values compare with which, and the SQL that compares them truly."""

from __future__ import annotations

from sqlglot import exp

from fstore.compile.request import Columns, FeatureRequest
from fstore.compile.sql import try_cast, without_nan
from fstore.compile.types import FLOATS, INTEGERS, family, find_column
from fstore.definitions import Column
from fstore.errors import SpineError


def comparable(value: exp.Expr, given: str, key: str) -> exp.Expr:
    """Return a spine's key value in a form whose equality with a key of type ``key`` is exact.

    A float equals an integer key only where it is whole (a plain comparison would turn the key
    into a float, where neighbours collide), and a NaN equals none, as NULL does. Text is parsed for
    keys that are uuids or dates, and what does not parse matches nothing.
    """
    if given in FLOATS and key in INTEGERS:
        whole = exp.EQ(this=value.copy(), expression=exp.Floor(this=value.copy()))
        return exp.Case().when(whole, try_cast(value, "HUGEINT"))
    if given in FLOATS and key in FLOATS:
        return without_nan(value, given)
    if family(given) == "text" and family(key) in ("uuid", "date/time"):
        return try_cast(value, key)
    return value


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
