"""``aggregations`` of a view of events: which window features they make, under which names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fstore.declarations.reading import Reader, repeated
from fstore.definitions import WINDOW_FUNCTIONS, Duration, WindowFeature
from fstore.errors import did_you_mean, listed

_NEAR = 0.75  # so short are the names of functions that median is not far from min
AGGREGATION_KEYS = ("column", "functions", "windows", "where", "hop", "name")


def window_features(reader: Reader, taken: Collection[str]) -> tuple[WindowFeature, ...]:
    """Return the features that ``aggregations`` declares, in their order.

    ``taken`` are the names, case folded, that no feature can have.
    """
    entries = reader.meta.get("aggregations")
    if entries is None:
        return ()
    form = "write a list such as [{column: amount, functions: [sum], windows: [7 days]}]"
    if not isinstance(entries, list) or not entries:
        reader.problem("aggregations", f"must not be {entries!r}: {form}")
        return ()
    if reader.meta.get("ttl") is not None:
        reader.problem(
            "ttl", "beside aggregations, the windows say how far back an event counts: leave it out"
        )
    if reader.node.snapshot is not None:
        reader.problem(
            "aggregations", "a snapshot's rows are states, not events: aggregate a model of events"
        )
    found: list[WindowFeature] = []
    first: dict[str, str] = {}
    for place, entry in enumerate(entries):
        key = f"aggregations[{place}]"
        if not isinstance(entry, dict):
            reader.problem(key, f"must not be {entry!r}: {form}")
            continue
        for feature in _features(reader, key, entry):
            folded = feature.name.casefold()
            if folded in taken:
                reader.problem(
                    key,
                    f"makes a feature {feature.name}, and that is a join key or a clock: give the "
                    "entry a name, which replaces the column in the features' names",
                )
            elif folded in first:
                other = first[folded] if first[folded] != key else "another window of the entry"
                reader.problem(
                    key,
                    f"makes a feature {feature.name}, as {other} does: leave one out, or give it a "
                    "name, which replaces the column in the features' names",
                )
            else:
                first[folded] = key
                found.append(feature)
    return tuple(found)


def _features(reader: Reader, key: str, entry: Mapping[str, Any]) -> list[WindowFeature]:
    """Return the features of one entry: each function over each window."""
    before = len(reader.problems)
    reader.known_keys(AGGREGATION_KEYS, key, entry)
    column, where, name = (_text(reader, key, entry, word) for word in ("column", "where", "name"))
    functions = _functions(reader, key, entry)
    windows = _windows(reader, key, entry.get("windows"))
    hop = None
    if entry.get("hop") is not None:
        hop = _duration(reader, f"{key}.hop", entry["hop"])
    for window in windows:
        if hop is not None and hop.seconds > window.seconds:
            reader.problem(f"{key}.hop", f"{hop} is longer than the window of {window}")
    if len(reader.problems) > before:
        return []
    return [
        WindowFeature(
            name="_".join(part for part in (name or column, function, window.label) if part),
            function=function,
            column=column,
            window=window,
            where=where,
            hop=hop,
        )
        for window in windows
        for function in functions
    ]


def _text(reader: Reader, key: str, entry: Mapping[str, Any], word: str) -> str | None:
    value = entry.get(word)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    what = {"column": "the name of a column", "where": "a condition in SQL", "name": "a name"}
    reader.problem(f"{key}.{word}", f"must be {what[word]}, not {value!r}")
    return None


def _functions(reader: Reader, key: str, entry: Mapping[str, Any]) -> list[str]:
    known, given = listed(WINDOW_FUNCTIONS), entry.get("functions")
    counts_events = entry.get("column") is None
    if given is None and counts_events:
        return ["count"]
    if not isinstance(given, list) or not given:
        reader.problem(f"{key}.functions", f"must be a list of {known}, not {given!r}")
        return []
    if again := repeated([str(name) for name in given]):
        reader.problem(f"{key}.functions", f"names a function twice: {listed(again)}")
    for name in given:
        if name not in WINDOW_FUNCTIONS:
            hint = did_you_mean(str(name), WINDOW_FUNCTIONS, _NEAR)
            reader.problem(f"{key}.functions", f"{name} is none of: {known}.{hint}")
        elif name != "count" and counts_events:
            reader.problem(
                f"{key}.functions", f"{name} needs a column; without one, rows can only be counted"
            )
    return [str(name) for name in given]


def _windows(reader: Reader, key: str, given: Any) -> list[Duration]:
    if not isinstance(given, list) or not given:
        reader.problem(
            f"{key}.windows",
            f"must be a list of durations, such as [1 hour, 7 days], not {given!r}",
        )
        return []
    instead = "write one such as 7 days"  # windows are never left out
    found = [_duration(reader, f"{key}.windows", each, instead) for each in given]
    return [window for window in found if window is not None]


def _duration(
    reader: Reader, key: str, given: object, instead: str = "leave the key out instead"
) -> Duration | None:
    try:
        return Duration.parse(given, instead)
    except ValueError as error:
        reader.problem(key, str(error))
        return None


def event_key(reader: Reader, taken: Collection[str]) -> tuple[str, ...]:
    """Return the columns that say which rows are versions of one event."""
    given = reader.meta.get("event_key")
    if given is None:
        return ()
    if reader.meta.get("aggregations") is None:
        reader.problem("event_key", "is of use only with aggregations: leave it out, or add them")
        return ()
    names = (given,) if isinstance(given, str) and given else reader.names("event_key") or ()
    for name in names:
        if name.casefold() in taken:
            reader.problem("event_key", f"{name} is a join key or a clock, which it has already")
        if name in (reader.meta.get("features") or ()):
            reader.problem("features", f"{name} is the event_key, which no feature can be")
    return names
