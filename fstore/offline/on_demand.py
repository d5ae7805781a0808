"""Types of on-demand views: what DuckDB makes of their SQL, given the types of their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import duckdb

from fstore.compile.computed import input_columns
from fstore.compile.functions import (
    BOUND,
    CATALOG,
    PARSED,
    Call,
    Functions,
    calls,
    may_move_times_of_day,
    moved_times_of_day,
)
from fstore.compile.on_demand import of_example, typed_features, typed_request
from fstore.compile.request import Columns, inputs_of
from fstore.compile.row_local import selected, unknown_columns
from fstore.definitions import Column, OnDemandView, Registry
from fstore.errors import OnDemandError, did_you_mean, listed
from fstore.offline.warehouse import columns_of_query


def with_features(
    registry: Registry, columns: Columns, views: Iterable[OnDemandView]
) -> tuple[Registry, dict[str, tuple[Column, ...]]]:
    """Return the registry with what these on-demand views select, and ``columns`` with it, too.

    ``columns`` are those of the views that they compute with. Raises OnDemandError where the SQL
    is not row-local, or not SQL that DuckDB can run on such columns.
    """
    found = dict(columns)
    typed = {}
    for view in views:
        typed[view.name] = typed_view(registry, columns, view)
        found[view.name] = typed[view.name].features
    every = tuple(typed.get(view.name, view) for view in registry.on_demand_views)
    return replace(registry, on_demand_views=every), found


def typed_view(registry: Registry, columns: Columns, view: OnDemandView) -> OnDemandView:
    """Return the view with the types of its request fields and of what it selects.

    They are told by an engine as an online read has it: without the project's macros, extensions
    and settings.
    """
    text = selected(view)
    with engine() as connection:
        called = _calls(connection, view.sql)
        reasons = [*_functions(connection).refused(called)]
        view = replace(view, request=_request(connection, view))
        found = inputs_of(registry, columns, view)
        inputs = input_columns(found, columns)
        reasons += unknown_columns(text, [column.name for column in inputs])
        if reasons:
            raise OnDemandError(view.name, view.file, reasons)
        typed = typed_features(view, inputs)
        try:
            features = columns_of_query(connection, typed)
        except duckdb.Error as error:
            raise OnDemandError(view.name, view.file, [in_a_line(error)]) from error
        if may_move_times_of_day(called):
            ((planned,),) = connection.execute(BOUND, [typed]).fetchall()
            reasons += moved_times_of_day(typed, planned)
    reasons += [
        f"{column.name} is NULL without a type: write cast(null as <type>) as {column.name}"
        for column in features
        if column.type == '"NULL"'
    ]
    if reasons:
        raise OnDemandError(view.name, view.file, reasons)
    return replace(view, features=features)


@contextmanager
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an engine of its own for the block, with nothing in it."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def in_a_line(error: duckdb.Error) -> str:
    """Return what DuckDB says of a query, without its picture of the place."""
    return "DuckDB: " + " ".join(str(error).partition("\n\nLINE ")[0].split()).rstrip(".")


_catalog: list[Functions] = []  # of this process's DuckDB, once it was asked


def _functions(connection: duckdb.DuckDBPyConnection) -> Functions:
    if not _catalog:
        _catalog.append(Functions.of(connection.execute(CATALOG).fetchall()))
    return _catalog[0]


def _calls(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Call]:
    ((parsed,),) = connection.execute(PARSED, [sql]).fetchall()
    return calls(sql, parsed)


def _request(connection: duckdb.DuckDBPyConnection, view: OnDemandView) -> tuple[Column, ...]:
    reasons = []
    found: list[Column] = []
    for field in view.request:
        try:
            found += columns_of_query(connection, typed_request(field))
        except (duckdb.Error, ValueError) as error:
            said = in_a_line(error) if isinstance(error, duckdb.Error) else str(error)
            reasons.append(f"the request field {field.name} is of no type: {field.type}. {said}")
    if reasons:
        raise OnDemandError(view.name, view.declared_in, reasons)
    return tuple(found)


def examples_that_fail(
    registry: Registry, columns: Columns, view: OnDemandView
) -> Iterator[tuple[int, str]]:
    """Yield the number of each example of a typed view that is not as expected, and how."""
    inputs = input_columns(inputs_of(registry, columns, view), columns)
    names = [column.name for column in inputs]
    features = {column.name: column for column in view.features}
    with engine() as connection:
        for number, example in enumerate(view.examples):
            given, expect = dict(example.given), dict(example.expect)
            unknown = [
                f"{name} is {what}, which has: {listed(known)}.{did_you_mean(name, known)}"
                for each, known, what in (
                    (given, names, "no column of inputs"),
                    (expect, list(features), f"no feature of {view.name}"),
                )
                for name in each
                if name not in known
            ]
            if unknown:
                yield from ((number, sentence) for sentence in unknown)
                continue
            sql = of_example(view, inputs, [features[name] for name in expect])
            bound = [*(given.get(name) for name in names), *expect.values()]
            try:
                (row,) = connection.execute(sql, bound).fetchall()
            except duckdb.Error as error:
                yield number, in_a_line(error)
                continue
            for name, equal, found in zip(expect, row[::2], row[1::2], strict=True):
                if not equal:
                    shown = "NULL" if found is None else found
                    wanted = "NULL" if expect[name] is None else expect[name]
                    yield number, f"{name} is {shown}, and {wanted} was expected"
