"""What the offline engine must show, held against what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Results = dict[str, Any]
Run = dict[str, Any]
GB = 1e9
POLARS = ("polars", "polars-late")


@dataclass(frozen=True)
class Goal:
    """One goal. ``measured`` is None where there is nothing to measure, or ours ``failed``.

    ``case`` is where ours ran; ``unit`` follows the numbers; ``least`` tells whether ``must`` is a
    least or a most.
    """

    case: str
    what: str
    measured: float | None
    must: float
    aim: float | None = None
    unit: str = "x"
    least: bool = True
    failed: bool = False  # ours did not finish, or not with the right rows

    @property
    def shape(self) -> str:
        """The letter of the shape."""
        return self.case[0]

    @property
    def verdict(self) -> str:
        """Say met, met with its aim, missed, or that there is no measurement."""
        if self.measured is None:
            return "**MISSED**" if self.failed else "not measured"
        if not self._reaches(self.must):
            return "**MISSED**"
        return "met, and the aim" if self.aim is not None and self._reaches(self.aim) else "met"

    def _reaches(self, bound: float) -> bool:
        assert self.measured is not None
        return self.measured >= bound if self.least else self.measured <= bound


def goals(results: Results) -> list[Goal]:
    """Return every goal, in order of the shapes."""
    parts = (_large_spine, _small_spine, _three_keys, _wide, _growth, _plans)
    return [
        replace(goal, failed=has_failed(find_case(results, goal.case)))
        for part in parts
        for goal in part(results)
    ]


def has_failed(case: dict[str, Any] | None) -> bool:
    """Tell whether ours ran, and did not come back with the right rows."""
    runs = case["runs"] if case else []
    ran = any((run["peer"], run["plan"]) == ("fstore", None) for run in runs)
    return ran and find_run(case, "fstore") is None


def find_case(results: Results, name: str) -> dict[str, Any] | None:
    """Return what was measured of a case; None where it was not."""
    return next((case for case in results["cases"] if case["case"] == name), None)


def find_run(case: dict[str, Any] | None, peer: str, plan: str | None = None) -> Run | None:
    """Return a peer's run of a case; None where there is none, it failed, or its rows are wrong."""
    runs = case["runs"] if case else []
    for run in runs:
        if (run["peer"], run["plan"]) == (peer, plan) and "median" in run:
            return run if run.get("rows", "right") == "right" else None
    return None


def times_ours(results: Results, ours: str, peers: tuple[str, ...], theirs: str) -> float | None:
    """Return by how much the best of the peers, on case ``theirs``, takes longer than we."""
    we = find_run(find_case(results, ours), "fstore")
    others = [find_run(find_case(results, theirs), peer) for peer in peers]
    medians = [other["median"] for other in others if other]
    return min(medians) / we["median"] if we and medians else None


def exponent(points: list[tuple[float, float]]) -> float | None:
    """Return the slope of a straight line through the points' logarithms, by least squares."""
    if len(points) < 2:
        return None
    xs, ys = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((x - middle_x) ** 2 for x in xs)
    along = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return along / across


def growth_points(results: Results, peer: str, storage: str) -> list[tuple[float, float]]:
    """Return (feature rows, median seconds) of shape (e), smallest first."""
    points = []
    for case in results["cases"]:
        run = find_run(case, peer)
        if case["shape"] == "e" and case["storage"] == storage and run:
            points.append((case["feature_rows"], run["median"]))
    return sorted(points)


def _large_spine(results: Results) -> Iterator[Goal]:
    raw, dbt = "a/parquet", "a/sorted"
    peers = (("Feast (DuckDB)", ("feast-duckdb",)), ("polars", POLARS))
    for words, names in peers:
        measured = times_ours(results, raw, names, raw)
        yield Goal(raw, f"raw Parquet: times faster than {words}", measured, 3, 4)
    limit = times_ours(results, raw, ("limit",), raw)
    yield Goal(raw, "raw Parquet: times the limit", limit and 1 / limit, 3, 2, least=False)
    for words, names in peers:
        measured = times_ours(results, dbt, names, raw)
        yield Goal(dbt, f"sorted dbt table: times faster than {words} on Parquet", measured, 6, 8)


def _small_spine(results: Results) -> Iterator[Goal]:
    raw, feast = "b/parquet", ("feast-duckdb",)
    measured = times_ours(results, raw, feast, raw)
    yield Goal(raw, "raw Parquet: times faster than Feast", measured, 2, 3)
    for dbt, words in (("b/table", "dbt table"), ("b/sorted", "sorted dbt table")):
        measured = times_ours(results, dbt, feast, raw)
        yield Goal(dbt, f"{words}: times faster than Feast on Parquet", measured, 6, 10)


def _three_keys(results: Results) -> Iterator[Goal]:
    for case, words in (("c/table", "dbt tables"), ("c/sorted", "sorted dbt tables")):
        run = find_run(find_case(results, case), "fstore")
        rate = run["rows_per_second_per_core"] if run else None
        yield Goal(case, f"{words}: spine rows a second per core", rate, 100_000, 200_000, "")


def _wide(results: Results) -> Iterator[Goal]:
    for case, words in (("d/parquet", "raw Parquet"), ("d/table", "dbt tables")):
        run = find_run(find_case(results, case), "fstore")
        seconds, peak = (run["median"], run["peak_bytes"] / GB) if run else (None, None)
        yield Goal(case, f"{words}: seconds", seconds, 10, unit=" s", least=False)
        yield Goal(case, f"{words}: peak memory", peak, 2, unit=" GB", least=False)


def _growth(results: Results) -> Iterator[Goal]:
    for storage, words in (("parquet", "raw Parquet"), ("sorted", "sorted dbt table")):
        case = f"e/100M/{storage}"
        run = find_run(find_case(results, case), "fstore")
        peak = run["peak_bytes"] / GB if run else None
        yield Goal(case, f"{words}, 100M rows: peak memory", peak, 6, unit=" GB", least=False)
        points = growth_points(results, "fstore", storage)
        for span, some in (("all sizes", points), ("the last two sizes", points[-2:])):
            words_of = f"{words}: exponent of growth over {span}"
            yield Goal(case, words_of, exponent(some), 1.1, unit="", least=False)


def _plans(results: Results) -> Iterator[Goal]:
    """The worst case of each shape: what was chosen against the best plan that was forced."""
    for shape in "abcdf":
        ratios = {}
        for case in results["cases"]:
            best = best_plan(case)
            if case["shape"] == shape and best:
                chosen = find_run(case, "fstore")
                ratios[case["case"]] = chosen["median"] / best["median"] if chosen else math.inf
        worst = max(ratios, key=ratios.__getitem__, default=shape)
        words = "chosen plan: times the best one, at worst"
        yield Goal(worst, f"{words} ({worst})", ratios.get(worst), 2, least=False)


def best_plan(case: dict[str, Any]) -> Run | None:
    """Return the fastest run of ours in which a plan was forced."""
    forced = [run for run in case["runs"] if run["plan"] and find_run(case, "fstore", run["plan"])]
    return min(forced, key=lambda run: run["median"], default=None)
