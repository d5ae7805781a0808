"""Writes docs/benchmarks-windows.md from the results: ``python -m benchmarks.windows_report``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.markdown import number, table
from benchmarks.windows import GROWTH
from benchmarks.windows_data import FUNCTIONS, WINDOWS, slope

HERE = Path(__file__).parent
NAMES = {
    "fstore": "**fstore**",
    "join": "range join by hand",
    "joins": "a range join a window, by hand",
    "subqueries": "a correlated subquery a feature, by hand",
    "pairs": "*the pairs of the range join, only counted*",
    "feast": "Feast's tiles",
}
TITLES = {
    "even": "Even keys",
    "skewed": "Skewed keys",
    "few": "A thousand spine rows",
    "daily": "Beside Feast's tiles",
}
NOTES = {
    "even": "Each of 100,000 keys has some 50 events and 2 spine rows: an event is in the longest "
    "window of about one spine row. Nothing repeats that could be shared, and to find the pairs "
    "alone takes the share of the time that the table says.",
    "skewed": "Real events are not even. Here the hottest of 100,000 keys has 2% of the events and "
    "of the spine rows; the range join looks at each event of a key for each spine row of it.",
    "daily": "Feast 0.67 computes no windows in the training sets of its DuckDB, dask or file "
    "stores. Its engines on Spark, Ray and Trino cut events into hops with functions on pandas, "
    "which are called here as they call them: one window of 7 days in hops of a day, where we "
    "compute all six. What they give is the state at the end of each hop, so the spine's times are "
    "midnights; at any other instant they cannot say what we say. An average of nothing is 0 to "
    "them, and is left out of the comparison.",
}


@click.command(help=__doc__)
@click.option("--results", default=HERE / "results/windows.json", type=click.Path(path_type=Path))
@click.option(
    "--page",
    default=HERE.parent / "docs/benchmarks-windows.md",
    type=click.Path(path_type=Path),
)
def main(results: Path, page: Path) -> None:
    page.write_text(render(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    parts = results["parts"]
    blocks = [
        *_opening(results),
        *_goals(parts),
        *(block for part in TITLES if part in parts for block in _part(part, parts[part])),
        *_growth(parts),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(results: dict[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    yield "# Benchmarks: window features offline"
    yield (
        "Written by `python -m benchmarks.windows_report` from what `python -m benchmarks.windows` "
        f"measured; do not edit. {len(WINDOWS)} windows ({', '.join(WINDOWS)}) x {len(FUNCTIONS)} "
        f"functions ({', '.join(FUNCTIONS)}) of one column of events over a year, to an Arrow "
        "table. The baseline is what a careful engineer writes by hand: one `LEFT JOIN` on the key "
        "and the longest window, a `FILTER` for each feature, grouped by the spine row. Every way "
        "runs in a process of its own, with DuckDB's defaults; its rows are compared with those of "
        "the baseline, floats within 1e-9 of the largest value. Times are medians; *cpu* is the "
        "time of all cores, which other work on the machine disturbs less; *memory* is the peak "
        "of the whole process."
    )
    libraries = ", ".join(f"{name} {it}" for name, it in sorted(results["versions"].items()))
    scale = results["scale"]
    loads = ", ".join(f"{part} {load:.1f}" for part, load in results["loads"].items())
    small = "" if scale == 1 else f" **All counts are {scale:g} of what the text says.**"
    yield (
        f"{machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_bytes'] / 1e9:.0f} GB, {machine['system']}; {libraries}. "
        f"The load of the machine when the run of each part began: {loads}. Where that is much "
        f"above 0, others worked on it, and only cpu compares.{small}"
    )


def _find(case: dict[str, Any], peer: str, plan: str | None = None) -> dict[str, Any] | None:
    for run in case["runs"]:
        if (run["peer"], run["plan"]) == (peer, plan) and "seconds" in run:
            found: dict[str, Any] = run
            return found
    return None


def _goals(parts: dict[str, Any]) -> Iterator[str]:
    rows = []
    for part in ("even", "skewed"):
        for case in parts.get(part, ()):
            ours, theirs = _find(case, "fstore"), _find(case, "join")
            if ours and theirs:
                faster, memory = (theirs[of] / ours[of] for of in ("cpu", "peak_bytes"))
                rows.append((f"{case['case']}: times faster than the join", faster, "≥ 5"))
                rows.append((f"{case['case']}: part of its memory", 1 / memory, "≤ 0.33"))
    for part in GROWTH:
        if part in parts:
            rows.append((f"growth with {part}: exponent", _exponent(parts, part), "≤ 1.1"))
    if rows:
        yield "## Goals"
        yield (
            "The memory is a goal missed: a range join streams its pairs through one aggregate, "
            "and both it and we hold little but the spine and its features; tiles are more. "
            "Beside subqueries, which hold every pair, it is another matter. On even keys the "
            "speed is missed too: nothing there is asked twice."
        )
        yield from _what_is_left(parts)
        yield table(
            ("goal", "measured", "wanted", ""),
            ((what, number(value), aim, _verdict(value, aim)) for what, value, aim in rows),
        )


def _what_is_left(parts: dict[str, Any]) -> Iterator[str]:
    """Yield what a fifth of the join's time and a third of its memory are beside what is needed."""
    case, few = parts.get("even", [None])[0], parts.get("daily", [None])[0]
    join, pairs = (case and _find(case, peer) for peer in ("join", "pairs"))
    small = few and _find(few, "join")
    if join and pairs and small:
        yield (
            f"A fifth of the join's time on even keys is {join['cpu'] / 5:.2f} s of cpu, and to "
            f"count its pairs and nothing else takes {pairs['cpu']:.2f} s. A third of its memory "
            f"is {join['peak_bytes'] / 3e6:.0f} MB, and the join of 2,000 events, the process and "
            f"its libraries in the main, has {small['peak_bytes'] / 1e6:.0f} MB."
        )


def _verdict(value: float, aim: str) -> str:
    bound = float(aim[2:])
    return "met" if (value >= bound if aim[0] == "≥" else value <= bound) else "**missed**"


def _part(part: str, cases: list[dict[str, Any]]) -> Iterator[str]:
    yield f"## {TITLES[part]}"
    if part in NOTES:
        yield NOTES[part]
    for case in cases:
        base = _find(case, "join")
        storage = "a dbt table by key and time" if case["storage"] == "sorted" else "raw Parquet"
        yield (
            f"{case['events']:,} events of {case['keys']:,} keys, {case['spine_rows']:,} spine "
            f"rows, {'skewed' if case['skewed'] else 'even'}, from {storage}:"
        )
        yield table(
            ("", "plan", "seconds", "cpu", "times the join's", "memory, MB", "rows"),
            (_row(run, base) for run in case["runs"]),
        )


def _row(run: dict[str, Any], base: dict[str, Any] | None) -> list[str]:
    name = NAMES[run["peer"]]
    plan = f"{run['plan']}, forced" if run["plan"] else run.get("taken") or ""
    if "failed" in run:
        return [name, plan, run["failed"], "", "", "", ""]
    times = "" if base is None else number(run["cpu"] / base["cpu"])
    memory = f"{run['peak_bytes'] / 1e6:,.0f}"
    return [name, plan, number(run["median"]), number(run["cpu"]), times, memory, _rows(run)]


def _rows(run: dict[str, Any]) -> str:
    return f"{run['pairs']:,} pairs" if "pairs" in run else run.get("rows", "")


def _exponent(parts: dict[str, Any], part: str) -> float:
    of = "events" if part.endswith("events") else "spine_rows"
    return slope([(case[of], case["runs"][0]["cpu"]) for case in parts[part]])


def _growth(parts: dict[str, Any]) -> Iterator[str]:
    if not any(part in parts for part in GROWTH):
        return
    yield "## Growth"
    yield (
        "The plan that is chosen, from raw Parquet; the exponents are the slopes of straight lines "
        "through the logarithms of counts and cpu."
    )
    for part in GROWTH:
        if part in parts:
            yield f"With {part}, exponent {_exponent(parts, part):.2f}:"
            yield table(
                ("events", "spine rows", "plan", "seconds", "cpu", "memory, MB"),
                (
                    [
                        f"{case['events']:,}",
                        f"{case['spine_rows']:,}",
                        str(run.get("taken")),
                        number(run["median"]),
                        number(run["cpu"]),
                        f"{run['peak_bytes'] / 1e6:,.0f}",
                    ]
                    for case in parts[part]
                    for run in case["runs"][:1]
                ),
            )


if __name__ == "__main__":
    main()
