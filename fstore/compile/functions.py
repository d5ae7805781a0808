"""Which of DuckDB's functions an on-demand view may call: those that give equals for equals.

The engine itself says what it calls in a text (``json_serialize_sql``) and what its functions are
(``duckdb_functions``): a function that it does not have without extensions and macros of the
project's is not there at an online read either.

Of a function that is the same only within a query, DuckDB's releases do not say alike whether it
asks the clock or the session's TimeZone, which is UTC wherever on-demand SQL runs: a function of
zoned times counts as consistent, whatever is said of it, unless it asks the clock, too.
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
  list({
    'stability': stability, 'parameters': parameter_types::VARCHAR[], 'returns': return_type
  }) FILTER (stability <> 'CONSISTENT')
FROM duckdb_functions()
WHERE database_name = 'system'
GROUP BY function_name
"""
PARSED = "SELECT json_serialize_sql(?::VARCHAR)"
BOUND = "SELECT json_serialize_plan(?::VARCHAR)"

# Macros of the engine's own that are made of consistent functions.
_MACROS = frozenset({"fdiv", "fmod", "if", "nullif", "split_part", "date_add", "days_in_month"})
_MACRO_FAMILIES = ("list_", "array_", "map_", "md5_")
_SYNTAX = frozenset({"coalesce"})  # words that look like a call
_OF_A_ZONE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIME WITH TIME ZONE")
_AT_TIME_ZONE = "timezone"  # what AT TIME ZONE calls


@dataclass(frozen=True)
class Call:
    """A function as a text calls it."""

    name: str
    arguments: int
    text: str


@dataclass(frozen=True)
class Functions:
    """What each of DuckDB's functions is: its kinds, and whether it gives equals for equals."""

    known: Mapping[str, tuple[frozenset[str], bool]]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, list[str], list[dict[str, Any]] | None]]) -> Functions:
        """Read the rows of :data:`CATALOG`: name, kinds, overloads that are not consistent."""
        return cls(
            {
                name: (frozenset(kinds), all(map(_by_the_zone_alone, others or ())))
                for name, kinds, others in rows
            }
        )

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


def _by_the_zone_alone(overload: Mapping[str, Any]) -> bool:
    """Whether an overload is the same in every session of one zone: a function of times in it."""
    takes = overload["parameters"]
    return (
        overload["stability"] == "CONSISTENT_WITHIN_QUERY"
        and bool(takes)  # now() takes nothing
        and any(str(kind).startswith(_OF_A_ZONE) for kind in (*takes, overload["returns"]))
    )


def _asks_the_clock(call: Call) -> bool:
    """Whether it is one of those that ask the clock, whatever the engine says of them."""
    return call.name.startswith("current_") or (call.name == "age" and call.arguments == 1)


def may_move_times_of_day(found: Iterable[Call]) -> bool:
    """Whether :func:`moved_times_of_day` may have something to say of a text that calls these."""
    return any(call.name == _AT_TIME_ZONE for call in found)


def moved_times_of_day(text: str, planned: str) -> Iterator[str]:
    """Yield a sentence for each time of day that a text moves to a zone, given its :data:`BOUND`.

    It moves by what the zone's offset is when the query runs, and only the types tell it from the
    same of a TIMESTAMP.
    """
    for node in _nodes(json.loads(planned)):
        path = (node.get("qname") or {}).get("path") or ("",)
        returns = (node.get("return_type") or {}).get("id")
        if path[-1] == _AT_TIME_ZONE and returns == "TIME WITH TIME ZONE":
            yield (
                f"{_written(text, node) or _AT_TIME_ZONE} moves a TIME WITH TIME ZONE by the zone's"
                " offset at the time at which a query runs, so training and serving would differ: "
                "move a TIMESTAMP WITH TIME ZONE, and take the time of day of that"
            )


def calls(text: str, parsed: str) -> list[Call]:
    """Return what a text calls, given what :data:`PARSED` makes of it; operators are no calls."""
    found = []
    for node in _nodes(json.loads(parsed)):
        if node.get("class") in ("FUNCTION", "WINDOW") and not node.get("is_operator"):
            name = str(node["function_name"]).lower()
            called = _written(text, node) or f"{name}(...)"
            found.append(Call(name, len(node.get("arguments", ())), called))
    return found


def _written(text: str, node: Mapping[str, Any]) -> str:
    """Return the part of a text that a node is of; nothing where that is not known."""
    start, length = node.get("query_location") or 0, node.get("query_location_length") or 0
    return text.encode()[start : start + length].decode(errors="replace")


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)
