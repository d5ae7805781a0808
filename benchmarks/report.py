"""Writes docs/benchmarks.md and its picture from the results: ``python -m benchmarks.report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.goals import (
    GB,
    Results,
    best_plan,
    exponent,
    find_case,
    find_run,
    goals,
    growth_points,
)
from benchmarks.markdown import bounds, number, of, table
from benchmarks.plots import draw
from benchmarks.shapes import GROWTH_MILLIONS, PLANS, STORAGES

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
NAMES = {
    "limit": "*the limit*",
    "fstore": "**fstore**",
    "feast-duckdb": "Feast, DuckDB store",
    "feast-dask": "Feast, default store",
    "polars": "polars",
    "polars-late": "polars, late fetch",
    "pandas": "pandas",
}
SHAPES = {
    "a": "200,000 spine rows, 5M rows x 10 features of 100,000 keys over a year, ttl 30 days",
    "b": "1,000 spine rows on the same 5M rows",
    "c": "1M spine rows, three views of 10M rows x 4: 1M users, 200,000 items, 5,000 stores",
    "d": "17,000 spine rows, ten views x 100 features, 37 MB of Parquet in all, no ttl",
    "f": "skew: as (a), but 1% of the keys hold half of the rows; spine even, or as the rows",
}


@click.command(help=__doc__)
@click.option("--results", default=HERE / "results/offline.json", type=click.Path(path_type=Path))
@click.option("--page", default=DOCS / "benchmarks.md", type=click.Path(path_type=Path))
@click.option("--picture", default=DOCS / "img/offline.svg", type=click.Path(path_type=Path))
def main(results: Path, page: Path, picture: Path) -> None:
    measured = json.loads(results.read_text(encoding="utf-8"))
    draw(measured, picture)
    page.write_text(render(measured), encoding="utf-8")
    for goal in goals(measured):
        click.echo(f"{goal.verdict:<16} ({goal.shape}) {goal.what}: {of(goal)}")


def render(results: Results) -> str:
    """Return the page."""
    blocks = [
        _opening(results),
        _goals(results),
        "![Growth with the feature rows, and peers against fstore](img/offline.svg)",
        *(_shape(results, shape) for shape in "abcd"),
        _growth(results),
        _shape(results, "f"),
        _plans(results),
        _profile(),
        _how(results),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(results: Results) -> str:
    machine, scale = results["machine"], results["scale"]
    libraries = "; ".join(
        f"{where}: " + ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
        for where, found in sorted(results["versions"].items(), reverse=True)
    )
    runs = "in one run" if results["in_one_run"] else "in several runs on one machine"
    small = "" if scale == 1 else f"\n\n**All row counts are {scale:g} of what the headings say.**"
    return (
        "# Benchmarks\n\n"
        "`benchmarks/offline.py`, which `make bench` runs, measured every number here, "
        f"{runs}; only "
        "the section on where the time goes is written by hand. "
        f"The machine: {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_bytes'] / GB:.0f} GB, {machine['system']}, Python {machine['python']}. "
        f"Versions, {libraries}.{small}"
    )


def _goals(results: Results) -> str:
    rows = [
        (goal.shape, goal.what, of(goal), bounds(goal), goal.verdict) for goal in goals(results)
    ]
    return "## Goals\n\n" + table(("shape", "goal", "measured", "must (aim)", ""), rows)


def _shape(results: Results, shape: str) -> str:
    cases = [case for case in results["cases"] if case["shape"] == shape]
    if not cases:
        return ""
    rows = []
    for case in cases:
        words = STORAGES[case["storage"]]
        if shape == "f":
            words = f"{case['case'].split('/')[1]} spine, {words}"
        for run in case["runs"]:
            if run["plan"] is None:
                rows.append((words, *_run(run, find_run(case, "fstore"))))
    head = ("from", "who", "seconds", "calls", "times ours", "peak GB", "rows/s per core", "rows")
    return f"## ({shape}) {SHAPES[shape]}\n\n" + table(head, rows)


def _run(run: dict[str, Any], ours: dict[str, Any] | None) -> tuple[str, ...]:
    name = NAMES[run["peer"]]
    if "failed" in run:
        return (name, "-", "-", "-", "-", "-", run["failed"].replace("|", "/"))
    ratio = run["median"] / ours["median"] if ours else None
    return (
        name,
        f"{run['median']:.3f}",
        str(len(run["seconds"])),
        "-" if ratio is None else number(ratio),
        f"{run['peak_bytes'] / GB:.2f}",
        "-" if run["peer"] == "limit" else f"{run['rows_per_second_per_core']:,.0f}",
        run.get("rows", ""),
    )


def _growth(results: Results) -> str:
    columns = [
        ("fstore", "parquet", "**fstore**, raw Parquet"),
        ("fstore", "sorted", "**fstore**, sorted dbt table"),
        ("feast-duckdb", "parquet", "Feast, DuckDB store"),
        ("polars", "parquet", "polars"),
        ("polars-late", "parquet", "polars, late fetch"),
        ("limit", "parquet", "*the limit*, raw Parquet"),
        ("limit", "sorted", "*the limit*, sorted dbt table"),
    ]
    rows, not_run = [], []
    for peer, storage, name in columns:
        cells = [
            _growth_cell(find_case(results, f"e/{millions}M/{storage}"), peer)
            for millions in GROWTH_MILLIONS
        ]
        if not any(cell != "-" for cell in cells):
            not_run.append(name.replace("*", ""))
            continue
        points = growth_points(results, peer, storage)
        slopes = [exponent(points), exponent(points[-2:])]
        rows.append((name, *cells, *("-" if it is None else f"{it:.2f}" for it in slopes)))
    if not any(case["shape"] == "e" for case in results["cases"]):
        return ""
    head = ("seconds, peak GB", *(f"{millions}M" for millions in GROWTH_MILLIONS))
    return (
        "## (e) growth: 200,000 spine rows, 4 features, 50 rows a key\n\n"
        "Ours runs with `memory_limit: 6GB` in fstore.yml, the others as they are. "
        f"The median of {_calls(results, 'e')} calls; the exponent is the slope of the logarithms, "
        "over all sizes and over the last two."
        + (f" Not run here: {'; '.join(not_run)}." if not_run else "")
        + "\n\n"
        + table((*head, "exponent", "of the last two"), rows)
    )


def _calls(results: Results, shapes: str, plan: bool = False) -> str:
    """Return how many calls were timed in these shapes, ours forced to a plan or not."""
    counts = {
        len(run["seconds"])
        for case in results["cases"]
        for run in case["runs"]
        if case["shape"] in shapes and "seconds" in run and bool(run["plan"]) == plan
    }
    return (
        " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else "-"
    )


def _growth_cell(case: dict[str, Any] | None, peer: str) -> str:
    for run in case["runs"] if case else []:
        if run["peer"] == peer:
            if "failed" in run:
                return str(run["failed"]).replace("|", "/")
            flag = "" if run.get("rows", "right") == "right" else f" ({run['rows']})"
            return f"{run['median']:.2f} s, {run['peak_bytes'] / GB:.2f}{flag}"
    return "-"


def _plans(results: Results) -> str:
    rows = []
    for case in results["cases"]:
        chosen, best = find_run(case, "fstore"), best_plan(case)
        if chosen and best:
            forced = [find_run(case, "fstore", plan) for plan in PLANS]
            rows.append(
                (
                    case["case"],
                    f"{chosen['median']:.3f} ({chosen['taken']})",
                    *(f"{run['median']:.3f}" if run else "-" for run in forced),
                    number(chosen["median"] / best["median"]),
                )
            )
    if not rows:
        return ""
    failed = [
        f"- {case['case']}, {run['plan']}: {run['failed']}"
        for case in results["cases"]
        for run in case["runs"]
        if run["plan"] and "failed" in run
    ]
    forced_in = {row[0] for row in rows}
    without = [
        case["case"]
        for case in results["cases"]
        if case["shape"] != "e" and case["case"] not in forced_in
    ]
    forced_table = table(("case", "chosen", *PLANS, "chosen / best"), rows)
    if without:
        forced_table += f"\n\nNo plan was forced in {', '.join(without)}."
    notes = "\n\nNot finished, or refused:\n\n" + "\n".join(failed) if failed else ""
    calls = f"Seconds, of a forced plan the median of {_calls(results, 'abcdf', plan=True)} calls."
    return f"## Our plans: the one chosen, and each forced\n\n{calls}\n\n{forced_table}{notes}"


def _profile() -> str:
    lines = (HERE / "profile.md").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("<!--")).strip()
    return f"## Where the time goes\n\n{text}"


def _how(results: Results) -> str:
    minutes = sum(case["took_seconds"] for case in results["cases"]) / 60
    return f"""\
## How it is measured

- A measurement is the whole call that a user makes, with the spine in memory and the store object \
at hand, to a pandas frame: for us `store.get_historical_features(...).to_df()`, compiling \
included. One call warms up; the median of those after it counts.
- Each peer runs in a process of its own, one after the other. Peak memory is the most that the \
process ever had resident, Python and libraries included. A call that takes too long is stopped, \
and where that was is said.
- *The limit* is DuckDB summing every column that is needed, key and time included, from the same \
storage, on an open connection, with DuckDB's own settings: it reads Parquet ahead of need, which \
our sessions do not.
- polars scans lazily, semi-joins to the spine's keys, sorts and runs `join_asof`; with late fetch \
it joins key and time alone and gathers the features of the rows found. pandas runs `merge_asof`. \
Feast runs `get_historical_features` with its DuckDB store{_and_dask(results)}. \
Where a goal names polars, it means the faster of the two.
- No peer reads dbt's warehouse: where ours is a dbt table, the goal compares it with the peers on \
raw Parquet. What sorted Parquet does for them is in (a).
- Every answer is compared, value by value, with that of a query that shares nothing with fstore \
(`benchmarks/truth.py`). The data is such that the peers mean the same: no ties, no NULL keys, \
one clock, and times in microseconds, so that whether a ttl includes its last instant does not \
matter. NaN counts as NULL, and the order of rows does not count, for Feast promises none.
- Times spread over a year, the values are random and hardly compress, and one spine \
row in a hundred has an unknown key.

```bash
make bench
```

Here the measuring took {minutes:.0f} minutes, beside making the data, which fills \
{results["disk_bytes"] / GB:.0f} GB in `benchmarks/.data` and is used again. \
`python -m benchmarks.offline --help` has the rest: a few shapes or peers, or a smaller scale. \
`python -m benchmarks.report` writes this page."""


def _and_dask(results: Results) -> str:
    """Tell of Feast's default store, where it was asked."""
    if not any(run["peer"] == "feast-dask" for case in results["cases"] for run in case["runs"]):
        return "; its default store was not run"
    return (
        " and with its default one, which may take four fifths of the machine's memory and drops "
        "spine rows whose key is known but has no row to see: its time is shown all the same, and "
        "no goal uses it"
    )


if __name__ == "__main__":
    main()
