"""Online answers in Feast's JSON: one result a column, join keys first.

What the answers to one request have in common is made once: the names, and which columns stand
beside each other in one view. Such a run of columns becomes JSON in one step; where numbers are all
there, each of its results ends in the same bytes, and they are put where one column ends and the
next one begins. A column with a NULL in it, or with text, is taken by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, repeat
from operator import add, attrgetter, mul
from typing import Any, NamedTuple

import orjson

from fstore.online.response import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    OnlineResponse,
    Output,
)
from fstore.server.encoding import (
    NO_TIME,
    NUMBERS,
    may_have_null,
    nones,
    times_as_json,
    values_as_json,
    with_infinities,
)

STATUSES = (PRESENT, NULL_VALUE, OUTSIDE_MAX_AGE, NOT_FOUND)
_PRESENT, _NULL_VALUE, _OUTSIDE_MAX_AGE, _NOT_FOUND = range(4)  # their places
_WORDS = [orjson.dumps(status) for status in STATUSES]
_FORMS = 256  # that are kept
_FEW = 16  # rows, from which on columns become JSON as fast one by one
_OPEN = b',{"values":'


class Answer(NamedTuple):
    """A body, and by view how many of its values have each of STATUSES."""

    body: bytes
    counts: Mapping[str, Sequence[int]]


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
    outputs: Sequence[Output]

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
            parts += _key_result(kind, values, response.row_count)
        rows_of: dict[int, _Rows] = {}
        for run in form.runs:
            rows = rows_of.get(run.join)
            if rows is None:
                rows = rows_of[run.join] = _Rows(run.view, response.found[run.join])
            rows.add(run, parts)
        counts: dict[str, list[int]] = {}
        for rows in rows_of.values():
            known = counts.get(rows.view)
            counts[rows.view] = [*map(add, known, rows.counts)] if known else rows.counts
        parts[0] = form.head
        parts.append(b"]}")
        return Answer(b"".join(parts), counts)

    def _form(self, response: OnlineResponse) -> _Form:
        outputs, keys = response.outputs, tuple(response.keys)
        known = self._forms.get(id(outputs))  # a form keeps them: no others have this id
        if known is None or known.outputs is not outputs or known.keys != keys:
            if len(self._forms) >= _FORMS:
                self._forms.clear()
            known = self._forms[id(outputs)] = _Form(keys, outputs)
        return known


class _Rows:
    """The rows of one join in one answer."""

    def __init__(self, view: str, found: Sequence[Sequence[Any]]) -> None:
        self.view, self._found = view, found
        self._times, self._fresh = found[:2]
        self._count = len(self._times)
        self.counts = [0] * len(STATUSES)
        self._stamps = _stamped(times_as_json(self._times))
        self._present = _present(self._count) + self._stamps  # how most results end
        self._ends: dict[bytes, tuple[bytes, Sequence[int]]] = {}  # the others, by what is missing

    def add(self, run: _Run, parts: list[bytes]) -> None:
        """Append the results of columns beside each other."""
        columns = [self._found[place] for place in run.places]
        if run.of_numbers and self._count < _FEW:
            text = orjson.dumps(columns)
            if not may_have_null(text):
                self.counts[_PRESENT] += len(columns) * self._count
                between = b"]" + self._present + _OPEN + b"["
                parts += (_OPEN, text[1:-1].replace(b"],[", between), self._present)
                return
        for kind, values in zip(run.kinds, columns, strict=True):
            text = values_as_json(kind, values)
            if may_have_null(text):
                parts += (_OPEN, *self._with_nulls(kind, values, text))
            else:
                self.counts[_PRESENT] += self._count
                parts += (_OPEN, text, self._present)

    def _with_nulls(self, kind: str, values: Sequence[Any], text: bytes) -> tuple[bytes, bytes]:
        """Return the JSON of a column that may lack values, and how its result ends."""
        missing = nones(values)
        text = with_infinities(kind, values, text, missing.count(1))
        known = self._ends.get(missing)
        if known is None:
            known = self._ends[missing] = self._end(missing)
        end, told = known
        for status, count in enumerate(told):
            self.counts[status] += count
        return text, end

    def _end(self, missing: bytes) -> tuple[bytes, Sequence[int]]:
        """Return the end of the result of a column that lacks values, and how often each status."""
        told = bytes(map(mul, missing, self._reasons))
        return _statuses(told) + self._stamps, [told.count(each) for each in range(len(STATUSES))]

    @cached_property
    def _reasons(self) -> Sequence[int]:
        """The status of each row's missing values."""
        if None not in self._fresh:
            return [_NULL_VALUE] * self._count
        return [
            _NULL_VALUE if fresh is not None else _NOT_FOUND if time is None else _OUTSIDE_MAX_AGE
            for time, fresh in zip(self._times, self._fresh, strict=True)
        ]


def _key_result(kind: str, values: Sequence[Any], rows: int) -> tuple[bytes, ...]:
    text, told = values_as_json(kind, values), _present(rows)
    if may_have_null(text):
        missing = nones(values)
        text = with_infinities(kind, values, text, missing.count(1))
        told = _statuses(bytes(map(mul, missing, repeat(_NOT_FOUND))))
    return _OPEN, text, told, _stamped(_repeated(NO_TIME, rows))


def _stamped(times: bytes) -> bytes:
    return b',"event_timestamps":' + times + b"}"


def _present(rows: int) -> bytes:
    return b',"statuses":' + _repeated(_WORDS[_PRESENT], rows)


def _repeated(word: bytes, times: int) -> bytes:
    return b"[" + ((word + b",") * times)[:-1] + b"]"


def _statuses(told: bytes) -> bytes:
    return b',"statuses":[' + b",".join(map(_WORDS.__getitem__, told)) + b"]"
