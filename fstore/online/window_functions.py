"""What each function makes of a run of events: the part of a block that a window holds.

Where the run ends with the key's newest event, sums, minima and maxima are read from its suffixes,
else from few entries of each level. The rest looks at each event of the run: deviations through
numpy, and what no array can hold (text, huge numbers) value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from fstore.compile.keyvalue import approximate_count
from fstore.definitions import WindowFeature
from fstore.errors import QueryError
from fstore.online import in_memory
from fstore.online.event_block import EventBlock
from fstore.online.event_layout import FAN, Measure
from fstore.online.event_values import ValueKind
from fstore.online.measures import unwarned
from fstore.online.values import EXACT, arrow_types, to_arrow

_NO_DECIMAL = Decimal(0)

Reader = Callable[[int, int, list[Any]], None]  # appends a run's cells
# Of the events [begin, end) of a block, so many count: (begin, end, valid).
_Function = Callable[[int, int, int], Any]


def reader_of(
    block: EventBlock,
    place: tuple[int | None, int | None],
    features: Sequence[WindowFeature],
    beyond: Callable[[WindowFeature], str],
    *,
    to_end: bool,
) -> Reader:
    """Return what appends features of a run, all of one measure: (begin, end, cells).

    ``place`` are the places of the measure's column and condition. ``beyond`` says what is wrong
    with a sum that its type cannot hold. ``to_end``: the runs end with the newest event of their
    key, and suffixes reach there from where they begin.
    """
    measures = block.layout.measures
    number = next(n for n, each in enumerate(measures) if (each.value, each.flag) == place)
    measure = measures[number]
    if not block.layout.counts(measure):

        def count_events(begin: int, end: int, cells: list[Any]) -> None:
            cells.append(end - begin)

        return count_events

    valid = block.view("valid", number)
    if all(feature.function == "count" for feature in features):

        def count(begin: int, end: int, cells: list[Any]) -> None:
            cells.append(valid[end] - valid[begin])

        return count

    assert measure.value is not None, "without a column, events are counted"
    kind = block.layout.kinds[measure.value]
    functions = [
        (to_end and _of_suffix(block, number, measure, kind, each.function))
        or _function(block, number, measure, kind, each, beyond)
        for each in features
    ]

    def read(begin: int, end: int, cells: list[Any]) -> None:
        count = valid[end] - valid[begin]
        for function in functions:
            cells.append(function(begin, end, count))

    return read


def _of_suffix(
    block: EventBlock, number: int, measure: Measure, kind: ValueKind, function: str
) -> _Function | None:
    """Return what reads a function from one suffix; None where none tells it."""
    if function in ("sum", "avg") and measure.sums and not block.wide >> number & 1:
        suffix = block.view("suffixes", "sums", number)
        turned: Callable[[Any], Any] = kind.from_sum if function == "sum" else kind.as_double
    elif (function == "min" and measure.least) or (function == "max" and measure.greatest):
        suffix = block.view("suffixes", "least" if function == "min" else "greatest", number)
        turned = kind.decode
    else:
        return None
    is_float = kind.number == "float"
    if function == "avg":
        if is_float:
            return lambda begin, _, valid: suffix[begin] / valid if valid else None
        return lambda begin, _, valid: turned(suffix[begin]) / valid if valid else None
    if is_float:
        return lambda begin, _, valid: suffix[begin] if valid else None
    return lambda begin, _, valid: turned(suffix[begin]) if valid else None


def _function(
    block: EventBlock,
    number: int,
    measure: Measure,
    kind: ValueKind,
    feature: WindowFeature,
    beyond: Callable[[WindowFeature], str],
) -> _Function:
    function = feature.function
    assert measure.value is not None, "without a column, events are counted"
    if function == "count":
        return lambda _begin, _end, valid: valid
    if function in ("first", "last"):
        return _at_end(block, measure.value, measure.flag, kind, last=function == "last")
    if function in ("sum", "avg"):
        total = _total(block, number, measure, kind)
        if function == "sum":
            return _sum(kind, total, lambda: beyond(feature))
        double = kind.as_double
        return lambda begin, end, valid: double(total(begin, end)) / valid if valid else None
    if function == "stddev":
        return _deviation(block, number, measure, kind)
    pick: Any = min if function == "min" else max
    if (measure.least and function == "min") or (measure.greatest and function == "max"):
        name = "least" if function == "min" else "greatest"
        extreme = over_levels(block.levels(name, number), pick)
        turn = kind.from_ordered
        return lambda begin, end, valid: turn(extreme(begin, end)) if valid else None
    values = _values(block, number, measure.value, kind)
    if function == "approx_count_distinct":
        return lambda begin, end, valid: distinct(values(begin, end), kind.type) if valid else 0
    return lambda begin, end, valid: pick(values(begin, end)) if valid else None


def _sum(kind: ValueKind, added: Callable[[int, int], Any], beyond: Callable[[], str]) -> _Function:
    turned, bounds = kind.from_sum, kind.bounds_of_sums

    def summed(begin: int, end: int, valid: int) -> Any:
        if not valid:
            return None
        total = turned(added(begin, end))
        if bounds is not None and not bounds[0] < total < bounds[1]:
            raise QueryError(f"{beyond()}.")
        return total

    return summed


def _total(
    block: EventBlock, number: int, measure: Measure, kind: ValueKind
) -> Callable[[int, int], Any]:
    """Return the function from a run to the sum of what counts in it."""
    if measure.sums:
        return over_levels(block.levels("sums", number), sum)
    assert measure.value is not None, "without a column, events are counted"
    values = _values(block, number, measure.value, kind)
    if kind.type.startswith("DECIMAL"):
        return lambda begin, end: reduce(EXACT.add, values(begin, end), _NO_DECIMAL)
    return lambda begin, end: sum(values(begin, end))


def over_levels(levels: Sequence[memoryview], reduce: Any) -> Callable[[int, int], Any]:
    """Return the function that reduces a run of the lowest level, which is not empty.

    Of each level at most 31 entries before the first whole 32 are read, and as many after the last.
    """
    top, lowest = len(levels) - 1, levels[0]

    def over(begin: int, end: int) -> Any:
        if end - begin < 2 * FAN or not top:
            return reduce(lowest[begin:end])
        parts, number = [], 0
        while end - begin >= 2 * FAN and number < top:
            level = levels[number]
            first, last = -(-begin // FAN), end // FAN
            if first * FAN > begin:
                parts.append(reduce(level[begin : first * FAN]))
            if end > last * FAN:
                parts.append(reduce(level[last * FAN : end]))
            begin, end, number = first, last, number + 1
        if end > begin:
            parts.append(reduce(levels[number][begin:end]))
        return reduce(parts)

    return over


def _at_end(
    block: EventBlock, value: int, flag: int | None, kind: ValueKind, *, last: bool
) -> _Function:
    """Return the value of the first or the last event that meets the condition, NULL kept."""
    nulls, decode = block.view("nulls", value), kind.decode
    met = None if flag is None else block.view("flags", flag)

    def at_end(begin: int, end: int, _valid: int) -> Any:
        places = range(begin, end)
        for place in reversed(places) if last else places:
            if met is None or met[place]:
                if nulls[place]:
                    return None
                raw = block.raw(value, place, place + 1)[0]
                return decode(raw if kind.dtype is None else raw.item())
        return None

    return at_end


def _deviation(block: EventBlock, number: int, measure: Measure, kind: ValueKind) -> _Function:
    """Return the sample's standard deviation, in two passes: nothing cancels."""
    assert measure.value is not None, "without a column, events are counted"
    values = _values(block, number, measure.value, kind)

    @unwarned
    def deviation(begin: int, end: int, valid: int) -> float | None:
        if valid < 2:
            return None
        if measure.sums:
            numbers = block.array(begin, end, "sums", number, 0) / 10**kind.scale
            if valid < end - begin:
                counts = np.diff(block.array(begin, end + 1, "valid", number))
                numbers = numbers[counts.astype(bool)]
        else:
            numbers = np.array([float(each) for each in values(begin, end)])
        apart = numbers - numbers.mean()
        return float(np.sqrt(np.dot(apart, apart) / (valid - 1)))

    return deviation


def _values(
    block: EventBlock, number: int, value: int, kind: ValueKind
) -> Callable[[int, int], list[Any]]:
    """Return the function from a run to the values of the events that count."""
    decode = kind.decode

    def values(begin: int, end: int) -> list[Any]:
        counts = np.diff(block.array(begin, end + 1, "valid", number)).tolist()
        raw = block.raw(value, begin, end)
        cells = raw if kind.dtype is None else raw.tolist()
        return [decode(cell) for cell, one in zip(cells, counts, strict=True) if one]

    return values


def distinct(values: Sequence[Any], kind: str) -> int:
    """Return DuckDB's own approximate count, which of equal values is what training has."""
    (arrow,) = arrow_types((kind,))
    rows = pa.table({"value": to_arrow(values, arrow)})
    found = in_memory.many(approximate_count("rows", "value", kind), "rows", rows)
    return int(found.column(0)[0].as_py())
