"""The picture of the online page: a read's p50 by the number of keys."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.online_goals import Results, reading
from benchmarks.online_shapes import KEYS

LINES = (
    ("fstore", "fstore", "#1b6ca8"),
    ("fstore-redis", "fstore, Redis", "#0b3c5d"),
    ("feast-sqlite", "Feast, SQLite", "#b33951"),
    ("feast-redis", "Feast, Redis", "#d98324"),
)


def draw(results: Results, path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same results."""
    with mpl.rc_context({"svg.hashsalt": "fstore", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        for axes, features in zip(figure.subplots(1, 2, sharey=True), (10, 100), strict=True):
            _reads(axes, results, features)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _reads(axes: Axes, results: Results, features: int) -> None:
    for peer, name, colour in LINES:
        found = [(keys, reading(results, peer, keys, features)) for keys in KEYS]
        points = [(keys, each["p50"]) for keys, each in found if each]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=name, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="keys of a call", ylabel="microseconds (p50)")
    axes.set_title(f"In process, {features} features")
    axes.grid(visible=True, which="major", alpha=0.3)
    if axes.lines:
        axes.legend()
