"""Which operations on which types give, in process, what they give in DuckDB.

Each function returns the step, or None where the types are not among those for which it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlglot import exp

from fstore.compile.sql import render
from fstore.compile.steps import INT_RANGES, Apply, Constant, Step

TIME = "TIMESTAMP WITH TIME ZONE"
UNITS = {"SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000, "DAY": 86_400_000_000}
CLOCK = {"HOUR": "hour", "MINUTE": "minute"}
_PLAIN = frozenset({"DOUBLE", "VARCHAR", "BOOLEAN", TIME, *INT_RANGES})
_EXACT_DIGITS = 15  # of a decimal constant that is the same as a DOUBLE, however it is made one


def arithmetic(name: str, result: str, given: Sequence[Step]) -> Step | None:
    if result == "DOUBLE" and name not in ("whole_divide", "remainder"):
        return all_as(name, result, given, "DOUBLE")
    if result in INT_RANGES and name != "divide":
        return all_as(f"{name}_whole", result, given, result)
    return None


def all_as(name: str, result: str, given: Sequence[Step], wanted: str) -> Step | None:
    """Return the operation with all operands of the type wanted; None where one cannot be."""
    arguments = [as_type(each, wanted) for each in given]
    whole = tuple(each for each in arguments if each is not None)
    return Apply(name, whole, result) if len(whole) == len(arguments) else None


def as_type(given: Step, wanted: str) -> Step | None:
    """Return a step as one of the type wanted, where the engine makes the same value of it."""
    if isinstance(given, Constant):
        return _constant_as(given, wanted)
    if wanted not in _PLAIN:
        return None
    if given.type == wanted:
        return given
    if wanted == "DOUBLE":
        if given.type in INT_RANGES:
            return Apply("to_float", (given,), wanted)
        return given if given.type == "FLOAT" else None
    if wanted in INT_RANGES and given.type in INT_RANGES:
        low, high = INT_RANGES[given.type]
        least, most = INT_RANGES[wanted]
        return given if least <= low and high <= most else None
    return None


def _constant_as(given: Constant, wanted: str) -> Constant | None:
    value = given.value
    if value is None:
        return Constant(None, wanted)
    if isinstance(value, bool):
        return given if wanted == "BOOLEAN" else None
    if isinstance(value, str):
        return given if wanted == "VARCHAR" else None
    if wanted in INT_RANGES and isinstance(value, int):
        least, most = INT_RANGES[wanted]
        return Constant(value, wanted) if least <= value <= most else None
    if wanted == "DOUBLE":
        exact = not isinstance(value, Decimal) or len(value.as_tuple().digits) <= _EXACT_DIGITS
        small = not isinstance(value, int) or abs(value) < 2**53
        return Constant(float(value), wanted) if exact and small else None
    return None


def _family(kind: str) -> str:
    return "whole" if kind in INT_RANGES else kind


def texts(given: Sequence[Step]) -> bool:
    return all(each.type == "VARCHAR" for each in given)


def compared(name: str, given: Sequence[Step]) -> Step | None:
    """Return a comparison of two steps, as values that Python orders as the engine does."""
    known = [each.type for each in given if not _is_null(each)]
    given = [Constant(None, known[0]) if known and _is_null(it) else it for it in given]
    kinds = {each.type for each in given}
    if kinds <= set(INT_RANGES) or kinds == {"VARCHAR"} or kinds == {"BOOLEAN"}:
        return Apply(name, tuple(given), "BOOLEAN")
    if kinds == {TIME}:
        return Apply(name, tuple(Apply("micros", (it,), "BIGINT") for it in given), "BOOLEAN")
    if kinds == {"FLOAT"} or "DOUBLE" in kinds:
        wanted = [it if it.type == "FLOAT" else as_type(it, "DOUBLE") for it in given]
        whole = tuple(each for each in wanted if each is not None)
        return Apply(f"{name}_float", whole, "BOOLEAN") if len(whole) == len(wanted) else None
    if all(each.type in INT_RANGES or _is_exact(each) for each in given):
        return Apply(name, tuple(given), "BOOLEAN")  # Python, too, compares them exactly
    return None


def _is_null(given: Step) -> bool:
    return isinstance(given, Constant) and given.value is None


def _is_exact(given: Step) -> bool:
    """Whether it is a decimal constant of so few digits that the engine casts integers to it."""
    value = given.value if isinstance(given, Constant) else None
    return isinstance(value, Decimal) and len(value.as_tuple().digits) <= _EXACT_DIGITS


def of_one(given: Sequence[Step]) -> bool:
    """Whether the engine compares the first with each of the others as if it were alone."""
    kinds = {_family(each.type) for each in given if not _is_null(each)}
    return len(kinds) == 1 or given[0].type == "DOUBLE"


def cases(result: str, given: Sequence[Step]) -> Step | None:
    """Return a CASE: condition and value by turns, then perhaps the value of ELSE."""
    pairs = len(given) // 2 * 2
    arguments: list[Step] = []
    for place, each in enumerate(given):
        is_condition = place < pairs and place % 2 == 0
        found = as_type(each, "BOOLEAN" if is_condition else result)
        if found is None:
            return None
        arguments.append(found)
    if len(given) == pairs:
        arguments.append(Constant(None, result))
    return Apply("case", tuple(arguments), result)


def among(given: Sequence[Step]) -> Step | None:
    tests = [compared("equal", [given[0], each]) for each in given[1:]]
    found: Step | None = tests[0] if of_one(given) else None
    for test in tests[1:]:
        found = Apply("or", (found, test), "BOOLEAN") if found and test else None
    return found


def rounded(node: exp.Expr, result: str, given: Step, to_digits: str | None) -> Step | None:
    """Return the step of ROUND; ``to_digits`` is the operation that rounds as the engine does."""
    decimals = node.args.get("decimals")
    text = "0" if decimals is None else str(decimals.this)
    if result != "DOUBLE" or given.type != "DOUBLE" or not (text.isdigit() and int(text) <= 15):
        return None
    name = "round" if decimals is None else to_digits
    return Apply(name, (given,), result, option=int(text)) if name else None


def rounded_probes(probes: Sequence[tuple[float, int]]) -> str:
    """Return the query that rounds doubles, bound as ``$1``, ``$2``, ..., to so many digits."""
    values = [
        exp.Round(
            this=exp.cast(exp.Placeholder(this=str(place)), "DOUBLE"),
            decimals=exp.Literal.number(digits),
        )
        for place, (_, digits) in enumerate(probes, start=1)
    ]
    return render(exp.Select(expressions=values))


def cast(result: str, given: Step) -> Step | None:
    if given.type == result and result in _PLAIN:
        return given
    if result in INT_RANGES and given.type in INT_RANGES:
        return Apply("to_whole", (given,), result)
    if result == "DOUBLE" and (given.type in INT_RANGES or given.type == "FLOAT"):
        return as_type(given, result)
    if result in INT_RANGES and given.type == "BOOLEAN":
        return Apply("truth_to_whole", (given,), result)
    return None


def of_time(node: exp.Expr, result: str, given: Sequence[Step]) -> Step | None:
    if any(each.type != TIME for each in given):
        return None
    micros = tuple(Apply("micros", (each,), "BIGINT") for each in given)
    if isinstance(node, exp.TimeToUnix):
        return Apply("epoch", micros, result)
    if isinstance(node, exp.DateDiff):
        return Apply("micros_diff", micros, result, option=UNITS[str(node.args["unit"]).upper()])
    name = node.name.upper() if isinstance(node, exp.Extract) else type(node).__name__.upper()
    return Apply(CLOCK[name], micros, result)
