"""The values of a table given as spine: which of them can be no key, or no request field.

Text is looked at here as the engine will read it, and passes where Python, and with it an online
read, reads the same: what only one of them takes would match nothing, or another key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile.request import Columns, FeatureRequest
from fstore.compile.spine import unfit
from fstore.compile.sql import render
from fstore.compile.types import INTEGERS, ZONED, family, find_column
from fstore.definitions import Column
from fstore.errors import SpineError

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = re.compile(rf"{_DAY}(?:[ T]00:00(?::00(?:\.0+)?)?)?")
_OFFSET = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")
_DIGITS = {"TIMESTAMP_S": 0, "TIMESTAMP_MS": 3, "TIMESTAMP_NS": 9, "TIMESTAMPTZ_NS": 9}
_EXACT = {pa.float32(): 2**24, pa.float64(): 2**53}  # below it each integer is a float of its own


class _Bad(NamedTuple):
    """A value that cannot be of a type, the row that it is first in, and what to do about it."""

    row: int
    value: object
    which: str
    remedy: str

    def sentence(self, column: str, whose: str) -> str:
        shown = str(self.value) if isinstance(self.value, Decimal) else repr(self.value)
        return (
            f"entity_df column {column} has the value {shown}, which {self.which}, the type of "
            f"{whose}. It is in row {self.row}, counted from 0: {self.remedy}."
        )


def check_key_values(request: FeatureRequest, built: Columns, spine: pa.Table) -> None:
    """Raise SpineError for the first key value that its view's key type cannot hold.

    Numbers must be whole where the key is an integer, and floats small enough to be one integer
    alone; text must read as the uuid or the time that the engine makes of it.
    """
    for join in request.joins:
        for key, name in join.keys:
            ours = find_column(built[join.view.reference], key)
            theirs = _named(spine, name)
            assert ours is not None, "columns were checked before"
            values = spine.column(theirs)
            bad = _fraction(values, ours.type) or _inexact(values, ours.type)
            bad = bad or _timed(values, ours.type) or _misread(values, ours.type)
            if bad is not None:
                whose = f"join key {key} of {join.view.reference} ({join.view.file})"
                raise SpineError(bad.sentence(name, whose))


def check_fractions(request: FeatureRequest, spine: pa.Table) -> None:
    """Raise SpineError for the first value of a request field that would be rounded."""
    for field, whose in _fields(request):
        name = _named(spine, field.name)
        bad = _fraction(spine.column(name), field.type)
        if bad is not None:
            raise SpineError(bad.sentence(name, whose))


def check_ranges(
    connection: duckdb.DuckDBPyConnection,
    request: FeatureRequest,
    spine: tuple[Column, ...],
    position: str,
) -> None:
    """Raise SpineError for the first value of a request field that its type does not hold.

    The spine is the view ``entity_df``, with the places of its rows in ``position``.
    """
    for field, whose in _fields(request):
        column = find_column(spine, field.name)
        assert column is not None, "columns were checked before"
        row = connection.execute(render(unfit(column, field.type, position))).fetchone()
        if row is not None:
            bad = _Bad(row[0], row[1], f"is no {field.type}", "give one in its range")
            raise SpineError(bad.sentence(column.name, whose))


def _fields(request: FeatureRequest) -> Iterable[tuple[Column, str]]:
    for found in request.computed:
        for field in found.view.request:
            yield (
                field,
                f"the request field {field.name} of {found.name} ({found.view.declared_in})",
            )


def _named(spine: pa.Table, name: str) -> str:
    column = find_column(tuple(Column(n, "") for n in spine.column_names), name)
    assert column is not None, "columns were checked before"
    return column.name


def _fraction(values: pa.ChunkedArray, kind: str) -> _Bad | None:
    """Return the first number that is not whole, where whole ones are wanted."""
    if kind not in INTEGERS:
        return None
    if values.type in _EXACT:
        # NaN is how pandas writes a missing number
        broken = pc.and_not(pc.not_equal(values, pc.floor(values)), pc.is_nan(values))
        broken = pc.or_(broken, pc.is_inf(values))
    elif pa.types.is_decimal(values.type):
        broken = pc.not_equal(values, pc.floor(values))
    else:
        return None
    return _first(values, broken, f"is no {kind}", "give whole numbers")


def _inexact(values: pa.ChunkedArray, kind: str) -> _Bad | None:
    """Return the first float that several integers become."""
    if kind not in INTEGERS or values.type not in _EXACT:
        return None
    broken = pc.greater_equal(pc.abs(values.cast(pa.float64())), float(_EXACT[values.type]))
    return _first(
        values,
        broken,
        f"as a float stands for more than one whole number, and so for no {kind}",
        "give the column as integers, in pandas of the dtype Int64",
    )


def _timed(values: pa.ChunkedArray, kind: str) -> _Bad | None:
    """Return the first instant within a day, where days are wanted."""
    if kind != "DATE" or not pa.types.is_timestamp(values.type):
        return None
    utc = values.cast(pa.timestamp(values.type.unit))
    broken = pc.not_equal(utc, pc.floor_temporal(utc, unit="day"))
    return _first(values, broken, "is no DATE", "give the day alone, in UTC")


def _first(values: pa.ChunkedArray, broken: pa.ChunkedArray, *words: str) -> _Bad | None:
    row = pc.index(broken, True).as_py()
    return None if row < 0 else _Bad(row, values[row].as_py(), *words)


def _misread(values: pa.ChunkedArray, kind: str) -> _Bad | None:
    """Return the first text that the engine does not read as Python does."""
    wanted = family(kind)
    if wanted not in ("uuid", "date/time"):
        return None
    held = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if held not in (pa.string(), pa.large_string(), pa.string_view()):
        return None
    values = values.cast(pa.large_string())
    reads: Callable[[str], object]
    if wanted == "uuid":
        reads, form = _UUID.fullmatch, "123e4567-e89b-12d3-a456-426614174000"
    elif kind == "DATE":
        reads, form = _reader(_DATE), "2024-01-31"
    else:
        offset = _OFFSET if kind in ZONED else ""
        fraction = rf"(?:\.(?=[0-9])[0-9]{{0,{_DIGITS.get(kind, 6)}}}0*)?"
        time = rf"(?:[01][0-9]|2[0-3]):[0-9]{{2}}(?::[0-9]{{2}}{fraction})?{offset}"
        reads = _reader(re.compile(rf"{_DAY}(?:[ T]{time})?"))
        form = "2024-01-31 12:00:00" + ("+00:00" if offset else ", in UTC and without an offset")
    for text in pc.unique(values).drop_null().to_pylist():
        if not reads(text):
            row = pc.index(values, pa.scalar(text, values.type)).as_py()
            return _Bad(row, text, f"is no {kind}", f"write it as {form}")
    return None


def _reader(form: re.Pattern[str]) -> Callable[[str], bool]:
    """Return whether a text of this form is a time that there is, in the calendar of UTC."""

    def reads(text: str) -> bool:
        if not form.fullmatch(text):
            return False
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return False
        return True

    return reads
