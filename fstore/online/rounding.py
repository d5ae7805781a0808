"""Rounding as DuckDB rounds, of which releases have their own way.

A float times a power of ten is itself rounded. Where that makes a half of what is less than one,
DuckDB 2.0.0 rounds it away from zero, as it does any half, and 2.0.1 towards it: 0.015 to two
digits is 0.02 or 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

To: TypeAlias = Callable[[int], Callable[[float], float]]  # digits: a function of floats

# What tells the ways apart, and one that is not known here from them: numbers and digits.
PROBES = tuple(
    (sign * value, digits)
    for sign in (1.0, -1.0)
    for value, digits in (
        *((0.015, 2), (0.025, 2), (2.675, 2), (1.005, 2), (0.285, 2), (2.5, 0), (0.125, 2)),
        *((3.9499999999999997, 1), (7.85, 1), (1.6806785, 6), (3.8862649528397375, 15)),
        *((960579452979925.9, 1), (4503599627370497.5, 0), (1e308, 2), (5e-324, 3), (0.0, 1)),
    )
)


def half_away(a: float) -> float:
    """Return a float rounded to a whole number, halves away from zero."""
    if not math.isfinite(a):
        return a
    size = abs(a)
    below = math.floor(size)
    return math.copysign(float(below + 1 if size - below >= 0.5 else below), a)


def _product(digits: int) -> Callable[[float], float]:
    scale = 10.0**digits

    def rounded(a: float) -> float:
        found = half_away(a * scale) / scale
        return found if math.isfinite(found) else a

    return rounded


def _exact_product(digits: int) -> Callable[[float], float]:
    scale, plain = 10.0**digits, _product(digits)

    def rounded(a: float) -> float:
        size = abs(a * scale)
        if size % 1.0 == 0.5 and Fraction(abs(a)) * 10**digits < Fraction(size):
            return math.copysign(math.floor(size), a) / scale
        return plain(a)

    return rounded


# By the words that steps have for them.
WAYS: Mapping[str, To] = {"round_product": _product, "round_exact_product": _exact_product}


def way_of(answers: Sequence[float]) -> str | None:
    """Return the way of an engine that rounds :data:`PROBES` so; None for one not known here."""
    for name, to in WAYS.items():
        mine = [to(digits)(value) for value, digits in PROBES]
        if all(map(_same, mine, answers)):
            return name
    return None


def _same(a: float, b: float) -> bool:
    return a == b and math.copysign(1, a) == math.copysign(1, b)
