"""Declarations as JSON and back: what a generation carries so that it is served without dbt.

A generation may hold views published at different times, each with the declaration it was
published under. They are read back one by one, never checked against each other again.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def encode(value: Any) -> Any:
    """Return a value of fstore.definitions as what JSON can hold."""
    if is_dataclass(value):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: Any, value: Any) -> Any:
    """Return what :func:`encode` made, given its type; fields it does not know are left out.

    A field that is absent takes its default, so that a later version reads an earlier one's.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return decode(next(part for part in get_args(kind) if part is not type(None)), value)
    if isinstance(kind, type) and is_dataclass(kind):
        known = _hints(kind)
        return kind(
            **{
                each.name: decode(known[each.name], value[each.name])
                for each in fields(kind)
                if each.name in value or each.default is each.default_factory is MISSING
            }
        )
    if kind is datetime:
        return datetime.fromisoformat(value)
    if origin is frozenset:
        return frozenset(value)
    if origin is tuple:
        parts = get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(decode(parts[0], item) for item in value)
        return tuple(decode(part, item) for part, item in zip(parts, value, strict=True))
    return value
