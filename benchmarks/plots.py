"""The picture of the results page: growth, and how much longer the peers take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.goals import POLARS, Results, find_case, find_run, growth_points

LINES = (  # who, which storage, name, colour
    ("fstore", "parquet", "fstore, raw Parquet", "#1b6ca8"),
    ("fstore", "sorted", "fstore, sorted dbt table", "#0b3c5d"),
    ("polars", "parquet", "polars, raw Parquet", "#d98324"),
    ("feast-duckdb", "parquet", "Feast (DuckDB), raw Parquet", "#b33951"),
    ("limit", "parquet", "the limit, raw Parquet", "#8a8a8a"),
)
BARS = (  # who, name, colour
    (("limit",), "the limit", "#8a8a8a"),
    (POLARS, "polars, the better way", "#d98324"),
    (("pandas",), "pandas", "#7a9e3f"),
    (("feast-duckdb",), "Feast (DuckDB)", "#b33951"),
    (("feast-dask",), "Feast (default)", "#e3a5b1"),
)
GROUPS = (
    ("a/parquet", "(a) 200k x 5M"),
    ("b/parquet", "(b) 1k x 5M"),
    ("c/parquet", "(c) 1M x 3 x 10M"),
    ("d/parquet", "(d) 1,000 features"),
)


def draw(results: Results, path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same results."""
    with mpl.rc_context({"svg.hashsalt": "fstore", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _growth(left, results)
        _ratios(right, results)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _growth(axes: Axes, results: Results) -> None:
    for peer, storage, name, colour in LINES:
        points = growth_points(results, peer, storage)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=name, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="feature rows", ylabel="seconds (median)")
    axes.set_title("(e) Growth: 200k spine rows, 4 features")
    axes.grid(visible=True, which="major", alpha=0.3)
    if axes.lines:
        axes.legend()


def _ratios(axes: Axes, results: Results) -> None:
    groups = GROUPS
    width = 0.8 / len(BARS)
    for number, (peers, name, colour) in enumerate(BARS):
        ratios = [_ratio(find_case(results, case), peers) for case, _ in groups]
        places = [group + (number - len(BARS) / 2 + 0.5) * width for group in range(len(groups))]
        drawn = [(place, ratio) for place, ratio in zip(places, ratios, strict=True) if ratio]
        if drawn:
            bars = axes.bar(*zip(*drawn, strict=True), width, label=name, color=colour)
            axes.bar_label(bars, fmt="%.2g", padding=1, fontsize=7)
    axes.axhline(1, color="#1b6ca8", label="fstore")
    axes.set(yscale="log", ylabel="times the seconds of fstore", xlim=(-0.5, len(groups) - 0.5))
    axes.set_xticks(range(len(groups)), [title for _, title in groups])
    axes.set_title("Peers on raw Parquet, where fstore is 1")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False)


def _ratio(case: dict[str, Any] | None, peers: tuple[str, ...]) -> float | None:
    """Return the times of the best peer over ours, even where a peer's rows are not all right."""
    ours = find_run(case, "fstore")
    runs = case["runs"] if case else []
    medians = [run["median"] for run in runs if run["peer"] in peers and "median" in run]
    return min(medians) / ours["median"] if ours and medians else None
