"""On-demand SQL computed in process equals DuckDB's, for whatever expression it is made of.

Expressions and rows are drawn at random, edges of every type among them. A row for which the
process has no answer is DuckDB's; one for which it has an answer must have that very answer.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fstore.compile.computed import Computed
from fstore.definitions import Column, OnDemandView, Registry
from fstore.errors import OnDemandError, RequestError
from fstore.offline.on_demand import typed_view
from fstore.online.on_demand import Evaluator, evaluator

EXAMPLES = int(os.environ.get("FSTORE_STEPS", "120"))
FIELDS = (
    Column("a", "TINYINT"),
    Column("b", "INTEGER"),
    Column("c", "BIGINT"),
    Column("u", "UINTEGER"),
    Column("x", "DOUBLE"),
    Column("y", "DOUBLE"),
    Column("f", "FLOAT"),
    Column("s", "VARCHAR"),
    Column("r", "VARCHAR"),
    Column("p", "BOOLEAN"),
    Column("t", "TIMESTAMP WITH TIME ZONE"),
)
WHOLE = {"a": 8, "b": 32, "c": 64}
TIMES = [
    datetime(2024, 1, 1, 13, 59, 59, 999999, UTC),
    datetime(2024, 1, 2, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 30, 0, 1, UTC),
    datetime(1904, 2, 29, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
]
DOUBLES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.5, 2.5, 0.5, 1e308, 5e-324, 2.0**53, math.inf, -math.inf]),
    st.just(math.nan),
    st.floats(width=64),
    st.floats(-100, 100).map(lambda value: round(value, 2)),
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    **{
        name: st.one_of(
            st.integers(-3, 3), st.sampled_from([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1])
        )
        for name, bits in WHOLE.items()
    },
    "u": st.sampled_from([0, 1, 7, 2**32 - 1]),
    "x": DOUBLES,
    "y": DOUBLES,
    "f": st.floats(width=32),
    "s": st.sampled_from(["", "a", "B", "ab", "é", "z", "\U0001f600", "￿"]),
    "r": st.text(max_size=3, alphabet="abé\U0001f600￿"),
    "p": st.booleans(),
    "t": st.sampled_from(TIMES),
}
ROWS = st.lists(
    st.tuples(
        *(st.one_of(st.none(), CELLS[field.name]) for field in FIELDS), st.sampled_from(TIMES)
    ),
    min_size=1,
    max_size=12,
)


@cache
def expressions(kind: str, depth: int) -> st.SearchStrategy[str]:
    """SQL of one kind of value: whole, float, text, truth or time."""
    leaves = {
        "whole": st.sampled_from(["a", "b", "c", "u", "1", "-2", "0", "127", "300", "2147483648"]),
        "float": st.sampled_from(["x", "y", "f", "0.5", "-1.25", "1e3", "100.0", "inputs.x"]),
        "text": st.sampled_from(["s", "r", "'a'", "''", "'é'"]),
        "truth": st.sampled_from(["p", "true", "false", "null::boolean"]),
        "time": st.sampled_from(["t", "event_timestamp"]),
    }[kind]
    if depth == 0:
        return leaves

    def of(other: str) -> st.SearchStrategy[str]:
        return expressions(other, depth - 1)

    def made(form: str, *kinds: str) -> st.SearchStrategy[str]:
        return st.tuples(*map(of, kinds)).map(lambda given: form.format(*given))

    truth, same = "truth", [kind, kind]
    common = [
        leaves,
        made("(case when {} then {} else {} end)", truth, *same),
        made("(case when {} then {} when {} then {} end)", truth, kind, truth, kind),
        made("coalesce({}, {})", *same),
        made("greatest({}, {}, {})", *same, kind),
        made("least({}, {})", *same),
        made("nullif({}, {})", *same),
        made("if({}, {}, {})", truth, *same),
    ]
    number = [made(f"({{}} {sign} {{}})", *same) for sign in "+-*"]
    number += [made("(- {})", kind), made("abs({})", kind)]
    own = {
        "whole": [
            *number,
            made("({} // {})", *same),
            made("({} % {})", *same),
            made("{}::bigint", "whole"),
            made("{}::integer", "truth"),
            made("date_diff('hour', {}, {})", "time", "time"),
            made("date_diff('day', {}, {})", "time", "time"),
            made("date_diff('minute', {}, {})", "time", "time"),
            made("hour({})", "time"),
            made("extract(minute from {})", "time"),
        ],
        "float": [
            *number,
            made("({} / {})", "float", "float"),
            made("({} / {})", "whole", "whole"),
            made("({} * {})", "float", "whole"),
            made("({} + {})", "whole", "float"),
            made("floor({})", "float"),
            made("ceil({})", "float"),
            made("sqrt({})", "float"),
            made("round({})", "float"),
            made("round({}, 2)", "float"),
            made("{}::double", "whole"),
            made("epoch({})", "time"),
        ],
        "text": [made("({} || {})", "text", "text")],
        "time": [],
        "truth": [
            made("({} and {})", truth, truth),
            made("({} or {})", truth, truth),
            made("(not {})", truth),
            *(
                made(f"({{}} {sign} {{}})", *pair)
                for sign in ("=", "<>", "<", "<=", ">", ">=", "is distinct from")
                for pair in (
                    ("whole", "whole"),
                    ("float", "float"),
                    ("whole", "float"),
                    ("text", "text"),
                    ("time", "time"),
                )
            ),
            *(
                made(form, other)
                for other in ("whole", "float", "text", "time", "truth")
                for form in ("({} is null)", "({} is not null)")
            ),
            made("({} between {} and {})", "float", "float", "float"),
            made("({} between {} and {})", "float", "whole", "float"),
            made("({} in (0, {}, 0.5, null))", "float", "whole"),
            made("({} in (0, {}, null))", "whole", "whole"),
            made("({} > 0.5)", "whole"),
            made("({} = 127.0)", "whole"),
            made("({} <> 9223372036854775807.0)", "whole"),
            made("({} is distinct from null)", "whole"),
            made("({} between {} and {})", "whole", "whole", "whole"),
            made("({} in ({}, {}))", "whole", "whole", "whole"),
            made("({} not in ({}, {}))", "text", "text", "text"),
            made("({} is not distinct from {})", "whole", "whole"),
        ],
    }[kind]
    return st.one_of(*common, *own)


EXPRESSIONS = st.one_of(
    *(
        expressions(kind, depth)
        for kind in ("whole", "float", "text", "truth", "time")
        for depth in (1, 2, 3)
    )
)


def settled(expression: str) -> Evaluator | None:
    """How a view of this one feature is computed; None where DuckDB has no such operation."""
    view = OnDemandView("v", "v.sql", f"select {expression} as z from inputs", (), FIELDS)
    try:
        view = typed_view(Registry("shop", (), ()), {}, view)
    except OnDemandError:
        return None
    return evaluator(Computed(view, (), ()), {}, ["z"])


def by_duckdb(found: Evaluator, row: tuple[Any, ...]) -> Any:
    try:
        return found.every.columns([row])[0][0]
    except RequestError as error:
        return error


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        if math.isnan(mine) or math.isnan(theirs):
            return math.isnan(mine) and math.isnan(theirs)
        return mine == theirs and math.copysign(1, mine) == math.copysign(1, theirs)
    return type(mine) is type(theirs) and bool(mine == theirs)


@given(EXPRESSIONS, ROWS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_the_process_computes_is_what_duckdb_computes(
    expression: str, rows: list[tuple[Any, ...]]
) -> None:
    found = settled(expression)
    if found is None or found.functions[0] is None:
        return
    function = found.functions[0]
    for row in rows:
        try:
            mine = function(row)
        except ArithmeticError:
            continue
        theirs = by_duckdb(found, row)
        assert same(mine, theirs), f"{expression}: {mine!r} here, {theirs!r} there, of {row}"


IN_PROCESS = (
    "x * 2 + y / 3 - b",
    "a + 1",
    "- b",
    "b // 7 % 3",
    "case when x > 1.5 and p then s else 'none' end",
    "coalesce(x, 0)",
    "s || '!'",
    "x between 0 and 1",
    "b in (1, 2, null)",
    "greatest(x, y, 0)",
    "abs(c)::double",
    "round(x, 2)",
    "date_diff('day', t, event_timestamp)",
    "epoch(event_timestamp) - epoch(t)",
    "nullif(x, 0) is not null",
    "inputs.b <> 3",
    "c > 0.5",
)
BY_DUCKDB = (
    "ln(x)",
    "upper(s)",
    "b + 0.5",
    "f < b",
    "cast(s as integer)",
    "event_timestamp - t",
    "s > 'a' and regexp_matches(s, 'b')",
    "case b when 1 then 2 end",
    "[x, y]",
)


@pytest.mark.parametrize("expression", IN_PROCESS)
def test_what_is_computed_in_process(expression: str) -> None:
    found = settled(expression)
    assert found is not None
    assert found.why == {}


@pytest.mark.parametrize("expression", BY_DUCKDB)
def test_what_is_duckdbs_to_compute_and_why(expression: str) -> None:
    found = settled(expression)
    assert found is not None
    assert found.functions == (None,)
    assert "computed without it" in found.why["z"]


def test_a_feature_may_name_one_before_it_where_inputs_has_no_such_column() -> None:
    sql = "select b + 1 as n, n * 2 as m, a as x, x is null as z from inputs"
    view = typed_view(Registry("shop", (), ()), {}, OnDemandView("v", "v.sql", sql, (), FIELDS))
    found = evaluator(Computed(view, (), ()), {}, ["m", "z"])
    assert found.why == {}
    row = tuple({"a": None, "b": 4, "x": 1.0}.get(field.name) for field in FIELDS)
    assert found.columns([(*row, TIMES[0])]) == [[10], [False]]
    assert found.every.columns([(*row, TIMES[0])]) == [[10], [False]]
