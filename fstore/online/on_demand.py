"""On-demand features at a read: in process where the result is known to be DuckDB's, else by it.

What a view's SQL needs is settled once, when a request is prepared: :func:`evaluator`. A read then
calls functions of a row, or runs one statement for all of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import duckdb
import pyarrow as pa

from fstore.compile.computed import Computed, input_columns
from fstore.compile.on_demand import GIVEN, batch, of_one
from fstore.compile.operations import rounded_probes
from fstore.compile.request import Columns
from fstore.compile.steps import INT_RANGES, Step, places_of
from fstore.compile.stepwise import Alone
from fstore.definitions import Column, OnDemandView
from fstore.errors import RequestError
from fstore.online import in_memory
from fstore.online.closures import Function, function_of
from fstore.online.rounding import PROBES, way_of
from fstore.online.values import arrow_types, to_arrow, to_python

# Types of which a single value goes to and fro without Arrow as it would with it.
_RETURNED = frozenset({"DOUBLE", "FLOAT", "VARCHAR", "BOOLEAN", "HUGEINT", *INT_RANGES})
_BOUND = _RETURNED | {"TIMESTAMP WITH TIME ZONE"}


@dataclass(frozen=True)
class Statement:
    """Features of an on-demand view that the engine computes."""

    view: OnDemandView
    inputs: tuple[Column, ...]
    features: tuple[Column, ...]

    @cached_property
    def _of_one(self) -> str | None:
        """The statement for one row; None where a value is of a type that goes by Arrow."""
        bound = {it.type for it in self.inputs} <= _BOUND
        returned = {it.type for it in self.features} <= _RETURNED
        return of_one(self.view, self.inputs, self.features) if bound and returned else None

    @cached_property
    def _of_many(self) -> str:
        return batch(self.view, self.inputs, self.features)

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> list[Sequence[Any]]:
        """Return the features' columns, for rows of ``inputs``; RequestError where SQL fails."""
        if not rows:
            return [()] * len(self.features)
        try:
            if len(rows) == 1 and self._of_one is not None:
                return [[cell] for cell in in_memory.one(self._of_one, rows[0])]
            kinds = arrow_types(tuple(column.type for column in self.inputs))
            given = zip(*rows, strict=True)
            cells = [to_arrow(each, kind) for each, kind in zip(given, kinds, strict=True)]
            names = [f"c{place}" for place in range(len(cells))]
            answer = in_memory.many(self._of_many, GIVEN, pa.table(cells, names))
        except (duckdb.Error, pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            said = " ".join(str(error).partition("\n")[0].split()).rstrip(".")
            raise RequestError(
                f"{self.view.name} ({self.view.file}) cannot be computed for these rows. "
                f"DuckDB: {said}."
            ) from error
        return [
            to_python(cells, column.type)
            for cells, column in zip(answer.columns, self.features, strict=True)
        ]


@dataclass(frozen=True)
class Evaluator:
    """Computes features of an on-demand view from the rows of ``inputs``.

    ``functions`` has one for each feature that needs no engine, ``needed`` the places that they
    read; ``why`` says of the other features why they need it. ``every`` is all of them by it.
    """

    inputs: tuple[Column, ...]
    functions: tuple[Function | None, ...]
    needed: frozenset[int]
    why: Mapping[str, str]
    left: Statement
    every: Statement

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> list[Sequence[Any]]:
        """Return the features' columns, for rows of which the needed cells are there.

        Raises ArithmeticError for what DuckDB may refuse: ask :attr:`every`, with whole rows.
        """
        found = [None if it is None else list(map(it, rows)) for it in self.functions]
        if not self.why:
            return found  # type: ignore[return-value]
        computed = iter(self.left.columns(rows))
        return [next(computed) if each is None else each for each in found]


def evaluator(found: Computed, columns: Columns, wanted: Sequence[str]) -> Evaluator:
    """Settle how features of an on-demand view are computed."""
    view, inputs = found.view, input_columns(found, columns)
    by_name = {column.name: column for column in view.features}
    features = tuple(by_name[name] for name in wanted)
    steps, why = _steps(view, inputs, wanted)
    left = tuple(column for column in features if column.name in why)
    read = {place for each in steps.values() for place in places_of(each)}
    return Evaluator(
        inputs=inputs,
        functions=tuple(function_of(steps[name]) if name in steps else None for name in wanted),
        needed=frozenset(range(len(inputs)) if why else read),
        why=why,
        left=Statement(view, inputs, left),
        every=Statement(view, inputs, features),
    )


def _steps(
    view: OnDemandView, inputs: tuple[Column, ...], wanted: Sequence[str]
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the features that need no engine as steps, and why the others need it."""
    alone = Alone.of(view, inputs, wanted)
    if not alone.within:
        return alone.steps([], None)
    return alone.steps(in_memory.types_of(alone.types()), _way_to_round())


@cache
def _way_to_round() -> str | None:
    """Return the operation that rounds to digits as this process's DuckDB does."""
    return way_of(in_memory.one(rounded_probes(PROBES), [value for value, _ in PROBES]))
