"""Steps as Python functions of a row: what a point read computes without an engine.

Each function takes the row of ``inputs`` as a tuple and returns the value that DuckDB gives, or
raises :class:`ArithmeticError` where DuckDB may refuse: then the engine is asked. Operands are
computed whenever DuckDB computes them, for one that it refuses makes the whole read an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeAlias

from fstore.compile.steps import INT_RANGES, Constant, Read, Step
from fstore.online.instants import micros
from fstore.online.rounding import WAYS, half_away

Row: TypeAlias = tuple[Any, ...]
Function: TypeAlias = Callable[[Row], Any]


def function_of(step: Step) -> Function:
    """Return the function that a step is."""
    if isinstance(step, Read):
        return itemgetter(step.place)
    if isinstance(step, Constant):
        value = step.value
        return lambda _: value
    arguments = [function_of(each) for each in step.arguments]
    if step.operation in _STRICT:
        return _strict(_STRICT[step.operation], arguments)
    if step.operation in _WHOLE:
        return _within(_WHOLE[step.operation], arguments, *INT_RANGES[step.type])
    if step.operation in _WITH_OPTION:
        return _strict(_WITH_OPTION[step.operation](step.option), arguments)
    return _SPECIAL[step.operation](*arguments)


def _strict(of: Callable[..., Any], arguments: list[Function]) -> Function:
    """Return a function that is NULL where an argument is."""
    if len(arguments) == 1:
        (only,) = arguments

        def one(row: Row) -> Any:
            value = only(row)
            return None if value is None else of(value)

        return one
    left, right = arguments

    def two(row: Row) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else of(a, b)

    return two


def _within(of: Callable[..., int], arguments: list[Function], low: int, high: int) -> Function:
    def checked(*values: int) -> int:
        value = of(*values)
        if low <= value <= high:
            return value
        raise OverflowError

    return _strict(checked, arguments)


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0 or a != a:
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _whole_divide(a: int, b: int) -> int:
    """Towards zero, as SQL does; Python's goes down."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    left = abs(a) % abs(b)
    return -left if a < 0 else left


def _finite(of: Callable[[float], int]) -> Callable[[float], float]:
    """Return a way to round that keeps infinities, NaN and the sign of zero."""
    return lambda a: math.copysign(float(of(a)), a) if math.isfinite(a) else a


def _micros(at: datetime) -> int:
    if at.year in (1, 9999):  # where times beyond Python's calendar are, too
        raise OverflowError
    return micros(at)


def _crossed(unit: int) -> Callable[[int, int], int]:
    return lambda a, b: b // unit - a // unit


# NaN equals NaN, and is greater than any number.
def _float_equal(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def _float_less(a: float, b: float) -> bool:
    return a < b or (b != b and a == a)


_STRICT: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": _divide,
    "negate": lambda a: -a,
    "absolute": abs,
    "sqrt": lambda a: math.sqrt(a) if a >= 0 else math.nan,
    "floor": _finite(math.floor),
    "ceil": _finite(math.ceil),
    "round": half_away,
    "to_float": float,
    "concatenate": lambda a, b: a + b,
    "equal": lambda a, b: a == b,
    "unequal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "less_or_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_or_equal": lambda a, b: a >= b,
    "equal_float": _float_equal,
    "unequal_float": lambda a, b: not _float_equal(a, b),
    "less_float": _float_less,
    "less_or_equal_float": lambda a, b: not _float_less(b, a),
    "greater_float": lambda a, b: _float_less(b, a),
    "greater_or_equal_float": lambda a, b: not _float_less(a, b),
    "not": lambda a: not a,
    "micros": _micros,
    "epoch": lambda a: a / 1_000_000,
    "hour": lambda a: a // 3_600_000_000 % 24,
    "minute": lambda a: a // 60_000_000 % 60,
}
_WHOLE: dict[str, Callable[..., int]] = {
    "add_whole": lambda a, b: a + b,
    "subtract_whole": lambda a, b: a - b,
    "multiply_whole": lambda a, b: a * b,
    "whole_divide_whole": _whole_divide,
    "remainder_whole": _remainder,
    "negate_whole": lambda a: -a,
    "absolute_whole": abs,
    "to_whole": lambda a: a,
    "truth_to_whole": int,
}
_WITH_OPTION: dict[str, Callable[[int], Callable[..., Any]]] = {
    **WAYS,
    "micros_diff": _crossed,
}


def _and(left: Function, right: Function) -> Function:
    def both(row: Row) -> bool | None:
        a, b = left(row), right(row)
        if a is False or b is False:
            return False
        return None if a is None or b is None else True

    return both


def _or(left: Function, right: Function) -> Function:
    def either(row: Row) -> bool | None:
        a, b = left(row), right(row)
        if a is True or b is True:
            return True
        return None if a is None or b is None else False

    return either


def _case(*arguments: Function) -> Function:
    *branches, otherwise = arguments
    pairs = list(zip(branches[::2], branches[1::2], strict=True))

    def chosen(row: Row) -> Any:
        for condition, value in pairs:
            if condition(row):
                return value(row)
        return otherwise(row)

    return chosen


def _coalesce(*arguments: Function) -> Function:
    def first(row: Row) -> Any:
        for each in arguments:
            value = each(row)
            if value is not None:
                return value
        return None

    return first


def _extreme(is_beyond: Callable[[Any, Any], bool]) -> Callable[..., Function]:
    def over(*arguments: Function) -> Function:
        def found(row: Row) -> Any:
            best = None
            for each in arguments:
                value = each(row)
                if value is not None and (best is None or is_beyond(value, best)):
                    best = value
            return best

        return found

    return over


def _is_null(only: Function) -> Function:
    return lambda row: only(row) is None


def _null_where(condition: Function, value: Function) -> Function:
    def unless(row: Row) -> Any:
        met, found = condition(row), value(row)
        return None if met else found

    return unless


def _same(equal: Callable[[Any, Any], bool], wanted: bool) -> Callable[..., Function]:
    def of(left: Function, right: Function) -> Function:
        def compared(row: Row) -> bool:
            a, b = left(row), right(row)
            known = a is not None and b is not None
            return (equal(a, b) if known else a is b) is wanted

        return compared

    return of


_SPECIAL: dict[str, Callable[..., Function]] = {
    "and": _and,
    "or": _or,
    "case": _case,
    "coalesce": _coalesce,
    "greatest": _extreme(lambda a, b: _float_less(b, a)),
    "least": _extreme(lambda a, b: _float_less(a, b)),
    "is_null": _is_null,
    "null_where": _null_where,
    "same": _same(lambda a, b: bool(a == b), True),
    "distinct": _same(lambda a, b: bool(a == b), False),
    "same_float": _same(_float_equal, True),
    "distinct_float": _same(_float_equal, False),
}
