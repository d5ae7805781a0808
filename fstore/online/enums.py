"""What an ENUM holds, in its order."""

from __future__ import annotations

from functools import lru_cache

from fstore.compile.keyvalue import enum_members
from fstore.online import in_memory


@lru_cache(maxsize=256)
def members_of(kind: str) -> tuple[str, ...]:
    """Return the texts of an ENUM in the order in which they compare; none of any other type."""
    if not kind.startswith("ENUM(") or kind.endswith("]"):
        return ()
    (members,) = in_memory.one(enum_members(kind), ())
    return tuple(members)
