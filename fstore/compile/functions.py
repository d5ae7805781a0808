"""Which of DuckDB's functions an on-demand view may call: those that give equals for equals.

The engine itself says what it calls in a text (``json_serialize_sql``) and what its functions are
(``duckdb_functions``): a function that it does not have without extensions and macros of the
project's is not there at an online read either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CATALOG = """
SELECT
  function_name,
  list(DISTINCT function_type),
  coalesce(bool_and(stability = 'CONSISTENT'), true)
FROM duckdb_functions()
WHERE database_name = 'system'
GROUP BY function_name
"""
PARSED = "SELECT json_serialize_sql(?::VARCHAR)"

# Macros of the engine's own that are made of consistent functions.
_MACROS = frozenset({"fdiv", "fmod", "if", "nullif", "split_part", "date_add", "days_in_month"})
_MACRO_FAMILIES = ("list_", "array_", "map_", "md5_")
_SYNTAX = frozenset({"coalesce"})  # words that look like a call


@dataclass(frozen=True)
class Call:
    """A function as a text calls it."""

    name: str
    arguments: int
    text: str


@dataclass(frozen=True)
class Functions:
    """What DuckDB says of each of its functions: its kinds, and whether it is consistent."""

    known: Mapping[str, tuple[frozenset[str], bool]]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, list[str], bool]]) -> Functions:
        """Read the rows of :data:`CATALOG`."""
        return cls({name: (frozenset(kinds), same) for name, kinds, same in rows})

    def refused(self, calls: Iterable[Call]) -> Iterator[str]:
        """Yield a sentence for each call that an on-demand view may not make."""
        for call in calls:
            kinds, consistent = self.known.get(call.name, (frozenset(), True))
            if call.name in _SYNTAX:
                continue
            if not kinds:
                yield (
                    f"{call.text} calls {call.name}, which is no function of DuckDB's own; an "
                    "online read has no macros or extensions: write what it does"
                )
            elif not consistent or _asks_the_clock(call):
                yield (
                    f"{call.text} calls {call.name}, which gives another value at another time or "
                    "in another session, so training and serving would differ: leave it out "
                    "(event_timestamp is the instant that is asked for)"
                )
            elif "scalar" not in kinds and not self._is_fit_macro(call.name, kinds):
                yield (
                    f"{call.text} calls {call.name}, which is no function of one row; on-demand "
                    "SQL is computed for one row at a time: compute it in a feature view, and name "
                    "that in inputs"
                )

    def _is_fit_macro(self, name: str, kinds: frozenset[str]) -> bool:
        return kinds == {"macro"} and (name in _MACROS or name.startswith(_MACRO_FAMILIES))


def _asks_the_clock(call: Call) -> bool:
    """Whether it is one of those that the engine calls consistent, and that ask the clock."""
    return call.name.startswith("current_") or (call.name == "age" and call.arguments == 1)


def calls(text: str, parsed: str) -> list[Call]:
    """Return what a text calls, given what :data:`PARSED` makes of it; operators are no calls."""
    document = json.loads(parsed)
    encoded = text.encode()
    found = []
    for node in _nodes(document):
        if node.get("class") in ("FUNCTION", "WINDOW") and not node.get("is_operator"):
            start, length = node["query_location"], node.get("query_location_length") or 0
            called = encoded[start : start + length].decode(errors="replace") if length else ""
            name = str(node["function_name"]).lower()
            found.append(Call(name, len(node.get("arguments", ())), called or f"{name}(...)"))
    return found


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)
