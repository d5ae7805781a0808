"""On-demand SQL computed in process equals DuckDB's, for whatever expression it is made of.

Expressions and rows are drawn at random, edges of every type among them. A row for which the
process has no answer is DuckDB's; one for which it has an answer must have that very answer.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fstore.compile.computed import Computed
from fstore.compile.operations import rounded_probes
from fstore.definitions import Column, OnDemandView, Registry
from fstore.errors import OnDemandError, RequestError
from fstore.offline.on_demand import typed_view
from fstore.online import in_memory, on_demand
from fstore.online.on_demand import Evaluator, evaluator
from fstore.online.rounding import PROBES, WAYS, way_of

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
            made("round({}, 1)", "float"),
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


def test_what_the_process_computes_is_what_duckdb_computes() -> None:
    seen: Counter[str] = Counter()

    @given(EXPRESSIONS, ROWS)
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def compare(expression: str, rows: list[tuple[Any, ...]]) -> None:
        found = settled(expression)
        if found is None:
            return
        seen["expressions"] += 1
        function = found.functions[0]
        if function is None:
            return
        for row in rows:
            seen["rows"] += 1
            try:
                mine = function(row)
            except ArithmeticError:
                continue
            seen["answers"] += 1
            theirs = by_duckdb(found, row)
            assert same(mine, theirs), f"{expression}: {mine!r} here, {theirs!r} there, of {row}"

    compare()
    assert seen["answers"] > seen["expressions"], seen
    assert seen["answers"] > seen["rows"] / 2, seen


def edges() -> list[tuple[Any, ...]]:
    """Every pair of doubles at the edges, and with them pairs of the other types' edges."""
    doubles = [None, 0.0, -0.0, 1.0, -1.5, 2.5, 0.125, 1e308, 2.0**53, math.inf, -math.inf]
    doubles.append(math.nan)
    whole: dict[str, list[int | None]] = {
        name: [None, 0, 1, -1, 3, -7, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
        for name, bits in WHOLE.items()
    }
    texts = [None, "", "a", "B", "é", "\U0001f600", "\uffff"]
    rows = []
    for place, (x, y) in enumerate(product(doubles, doubles)):
        b, c = list(product(whole["b"], whole["c"]))[place % 64]
        s, r = list(product(texts, texts))[place % 49]
        t, q = list(product([None, *TIMES], TIMES))[place % 30]
        a, u = whole["a"][place % 8], [None, 0, 1, 2**32 - 1][place % 4]
        f, p = [None, 0.1, -2.5, math.nan][place % 4], [None, True, False][place % 3]
        rows.append((a, b, c, u, x, y, None if f is None else to_float(f), s, r, p, t, q))
    return rows


def to_float(value: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


SIGNS = ("=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from")
PAIRS = (("x", "y"), ("b", "c"), ("x", "b"), ("f", "x"), ("s", "r"), ("t", "event_timestamp"))
OPERATIONS = [
    *(f"{left} {sign} {right}" for sign in SIGNS for left, right in PAIRS),
    *(f"b {sign} c" for sign in "+-*/%"),
    *(f"a {sign} a" for sign in "+-*/%"),
    *(f"x {sign} y" for sign in "+-*/"),
    *(f"x {sign} b" for sign in "+-*/"),
    *(
        "b // c",
        "a // u",
        "- a",
        "- x",
        "abs(a)",
        "abs(x)",
        "c::integer",
        "a::bigint",
        "p::integer",
    ),
    *(
        "floor(x)",
        "ceil(x)",
        "round(x)",
        "round(x, 2)",
        "round(x * 1.5, 1)",
        "sqrt(x)",
        "b::double",
    ),
    *("greatest(x, y)", "least(x, y)", "greatest(b, c, a)", "least(s, r)", "nullif(x, y)"),
    *("nullif(b, 3)", "coalesce(x, y, -1)", "coalesce(s, r)", "s || r", "x between y and 2.5"),
    *("b between a and c", "x in (0, 1.0, y, null)", "b in (0, 3, c)", "s in ('a', r)"),
    *("x = y and p", "x < y or p", "not p", "p and b > c or x is null", "p = (x > y)"),
    *("case when x > y then b when p then c end", "if(p, x, b)", "b > 0.5", "c = 3.0"),
    *("date_diff('second', t, event_timestamp)", "date_diff('minute', t, event_timestamp)"),
    *("date_diff('hour', event_timestamp, t)", "date_diff('day', t, event_timestamp)"),
    *("epoch(t)", "hour(t)", "minute(t)", "extract(hour from event_timestamp)", "greatest(t, t)"),
]


@pytest.mark.parametrize("expression", OPERATIONS)
def test_each_operation_at_the_edges_of_its_types(expression: str) -> None:
    found = settled(expression)
    assert found is not None
    (function,) = found.functions
    assert function is not None, found.why
    rows, mine = [], []
    for row in edges():
        try:
            mine.append(function(row))
        except ArithmeticError:  # DuckDB's to answer, or to refuse
            continue
        rows.append(row)
    assert len(rows) > 20
    theirs = found.every.columns(rows)[0]
    wrong = [each for each in zip(mine, theirs, rows, strict=True) if not same(*each[:2])]
    assert wrong == []


@given(
    st.one_of(
        st.floats(),
        st.floats(-1000, 1000),
        st.integers(-(10**6), 10**6).map(lambda n: n / 200),  # many are halves but for a last bit
        st.integers(-(10**17), 10**17).map(lambda n: n / 2_000_000),
    ),
    st.sampled_from((0, 1, 2, 6, 12, 15)),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_rounding_to_digits_is_as_this_release_of_duckdb_does_it(value: float, digits: int) -> None:
    way = on_demand._way_to_round()
    assert way is not None
    (theirs,) = in_memory.one(rounded_probes([(value, digits)]), [value])
    mine = WAYS[way](digits)(value)
    assert same(mine, theirs), f"{value!r} to {digits} digits: {mine!r} here, {theirs!r} there"


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_round_is_told_by_its_answers(way: str) -> None:
    answers = [WAYS[way](digits)(value) for value, digits in PROBES]
    assert way_of(answers) == way
    assert WAYS[way](2)(0.015) == (0.02 if way == "round_product" else 0.01)
    assert way_of([answers[0] + 1, *answers[1:]]) is None


def test_where_duckdb_rounds_in_a_way_not_known_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_demand, "_way_to_round", lambda: None)
    found = settled("round(x, 2)")
    assert found is not None
    assert found.functions == (None,)
    assert found.why["z"].startswith("ROUND(x, 2) is not computed without it")
    found = settled("round(x)")
    assert found is not None
    assert found.functions != (None,)


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
