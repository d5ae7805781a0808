"""Numbers, goals and tables as the results pages write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.goals import Goal


def of(goal: Goal) -> str:
    return "-" if goal.measured is None else number(goal.measured) + goal.unit


def bounds(goal: Goal) -> str:
    aim = "" if goal.aim is None else f" ({goal.aim:,g})"
    return f"{'≥' if goal.least else '≤'} {goal.must:,g}{aim}"


def number(value: float) -> str:
    """Two digits after the point, or none for what is large."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def lines() -> Iterator[str]:
        names = list(head)
        yield f"| {' | '.join(names)} |"
        yield f"|{'---|' * len(names)}"
        for row in rows:
            yield f"| {' | '.join(row)} |"

    return "\n".join(lines())
