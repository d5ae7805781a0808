"""Online answers in Feast's JSON: one result a column, join keys first.

What the answers to one request have in common is made once: the names, and which columns stand
beside each other in one view. Such a run of columns becomes JSON in one step; where numbers are all
there, each of its results ends in the same bytes, and they are put where one column ends and the
next one begins. A column with a NULL in it, or with text, is taken by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, repeat
from operator import attrgetter, mul
from typing import Any, NamedTuple

import orjson

from fstore.online.response import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    OnlineResponse,
    Output,
    lacking,
)
from fstore.server.encoding import (
    NO_TIME,
    NUMBERS,
    keys_as_json,
    may_have_null,
    nones,
    times_as_json,
    values_as_json,
    with_infinities,
)

STATUSES = (PRESENT, NULL_VALUE, OUTSIDE_MAX_AGE, NOT_FOUND)
_PLACES = {status: place for place, status in enumerate(STATUSES)}
_WORDS = [orjson.dumps(status) for status in STATUSES]
_FORMS = 256  # that are kept
_KEPT = 64  # of the parts that answers of some size have in common
_FEW = 16  # rows, from which on columns become JSON as fast one by one
_OPEN = b',{"values":['


# A view, how many values of a column have each of STATUSES, and of how many columns this is so.
Told = Sequence[tuple[str, Sequence[int], int]]


class Answer(NamedTuple):
    """A body, and which statuses it tells."""

    body: bytes
    told: Told


class _Run(NamedTuple):
    """Features beside each other of one view: the columns of ``join`` at these places."""

    view: str
    join: int
    places: tuple[int, ...]
    kinds: tuple[str, ...]
    of_numbers: bool


@dataclass(frozen=True)
class _Form:
    """What the answers to one request have in common."""

    keys: tuple[str, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def head(self) -> bytes:
        names = [*self.keys, *(output.name for output in self.outputs)]
        before = b'{"metadata":{"feature_names":' + orjson.dumps(names) + b'},"results":['
        return before + _OPEN[1:]

    @cached_property
    def runs(self) -> tuple[_Run, ...]:
        runs = []
        for (view, join), some in groupby(self.outputs, attrgetter("view", "join")):
            _, kinds, _, _, places = zip(*some, strict=True)
            runs.append(_Run(view, join, places, kinds, NUMBERS.issuperset(kinds)))
        return tuple(runs)


class Answers:
    """Makes answers; any thread may ask."""

    def __init__(self) -> None:
        self._forms: dict[int, _Form] = {}

    def of(self, response: OnlineResponse) -> Answer:
        """Return the answer to get-online-features."""
        form, parts = self._form(response), list[bytes]()
        for kind, values in response.keys.values():
            parts += _key_result(kind, values)
        found, rows_of = response.found, dict[int, _Rows]()
        for run in form.runs:
            rows = rows_of.get(run.join)
            if rows is None:
                rows = rows_of[run.join] = _Rows(run.view, found[run.join])
            rows.add(run, parts)
        parts[0] = form.head
        parts.append(b"]}")
        told = []
        for rows in rows_of.values():
            told.append((rows.view, rows.whole.sums, rows.whole.columns))
            if rows.ends:
                told += [(rows.view, each.sums, each.columns) for each in rows.ends.values()]
        return Answer(b"".join(parts), told)

    def _form(self, response: OnlineResponse) -> _Form:
        outputs, keys = response.outputs, tuple(response.keys)
        known = self._forms.get(id(outputs))  # a form keeps them: no others have this id
        if known is None or known.outputs is not outputs or known.keys != keys:
            if len(self._forms) >= _FORMS:
                self._forms.clear()
            known = self._forms[id(outputs)] = _Form(keys, outputs)
        return known


@dataclass(slots=True)
class _End:
    """What comes after the values of a column: their statuses, and the times."""

    text: bytes
    sums: Sequence[int]  # how many values have each status
    columns: int = 0  # that end so


class _Rows:
    """The rows of one join in one answer."""

    def __init__(self, view: str, found: Sequence[Sequence[Any]]) -> None:
        self.view, self._found = view, found
        self._times, self._fresh = found[:2]
        self._count = len(self._times)
        self._stamps = times_as_json(self._times) + b"}"
        self.whole = self._end(bytes(self._count))  # of a column that lacks no value
        self.ends: dict[bytes, _End] = {}  # of the others, by what they lack

    def add(self, run: _Run, parts: list[bytes]) -> None:
        """Append the results of columns beside each other."""
        columns, whole = [self._found[place] for place in run.places], self.whole
        if run.of_numbers and self._count < _FEW:
            together = orjson.dumps(columns)[2:-2]
            nulls = together.count(b"null")
            # Of one row a NULL is a whole result, which ends in its own way.
            if not nulls or (self._count == 1 and nulls == columns.count((None,))):
                whole.columns += len(columns) - nulls
                text = together.replace(b"],[", whole.text + _OPEN) + whole.text
                if nulls:
                    end = self._missing(b"\1")
                    end.columns += nulls
                    text = text.replace(b"null" + whole.text, b"null" + end.text)
                parts += (_OPEN, text)
                return
            texts = together.split(b"],[")
        else:
            texts = [*map(values_as_json, run.kinds, columns)]
        for kind, values, text in zip(run.kinds, columns, texts, strict=True):
            if may_have_null(text):
                parts += (_OPEN, *self._with_nulls(kind, values, text))
            else:
                whole.columns += 1
                parts += (_OPEN, text, whole.text)

    def _with_nulls(self, kind: str, values: Sequence[Any], text: bytes) -> tuple[bytes, bytes]:
        """Return the JSON of a column that may lack values, and its end."""
        missing = nones(values)
        end = self._missing(missing)
        end.columns += 1
        return with_infinities(kind, values, text, missing.count(1)), end.text

    def _missing(self, missing: bytes) -> _End:
        """Return the end of a column that lacks the values of these rows: a byte each, 1 or 0."""
        end = self.ends.get(missing)
        if end is None:
            reasons = self._reasons
            told = bytes(map(mul, missing, reasons)) if reasons else missing
            end = self.ends[missing] = self._end(told)
        return end

    def _end(self, told: bytes) -> _End:
        statuses, sums = _statuses(told)
        return _End(statuses + self._stamps, sums)

    @cached_property
    def _reasons(self) -> Sequence[int]:
        """The status of each row's missing values; empty where all rows were found: NULL_VALUE."""
        if None not in self._fresh:
            return []
        return [_PLACES[each] for each in map(lacking, self._times, self._fresh)]


def _key_result(kind: str, values: Sequence[Any]) -> tuple[bytes, ...]:
    text, rows = keys_as_json(kind, values), len(values)
    if not may_have_null(text):
        return _OPEN, text, _statuses(bytes(rows))[0], _no_times(rows)
    missing = nones(values)
    text = with_infinities(kind, values, text, missing.count(1))
    statuses, _ = _statuses(bytes(map(mul, missing, repeat(_PLACES[NOT_FOUND]))))
    return _OPEN, text, statuses, _no_times(rows)


@lru_cache(_KEPT)
def _statuses(told: bytes) -> tuple[bytes, Sequence[int]]:
    """Return what comes between the values of a result and its times; how many have each status."""
    statuses = b",".join(map(_WORDS.__getitem__, told))
    sums = [told.count(status) for status in range(len(STATUSES))]
    return b'],"statuses":[' + statuses + b'],"event_timestamps":', sums


@lru_cache(_KEPT)
def _no_times(rows: int) -> bytes:
    return b"[" + b",".join([NO_TIME] * rows) + b"]}"
