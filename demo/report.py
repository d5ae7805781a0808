"""What the demo prints: numbered steps and tables, in colour on a terminal, plain in a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demo.latency import Latency
    from demo.train import Quality

console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
_numbers = count(1)
_TITLE: Any = {"title_justify": "left", "title_style": ""}


def step(title: str) -> None:
    """Print the heading of the next step."""
    console.print(f"\n[bold]{next(_numbers)}. {title}[/bold]")


@contextmanager
def timed(what: str) -> Iterator[Stopwatch]:
    """Show that ``what`` is going on, on a terminal only, and how long it took afterwards."""
    watch = Stopwatch()
    with console.status(what):
        yield watch
    watch.stop()


class Stopwatch:
    """Seconds since it was made, until it is stopped."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds = 0.0

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self._started


def quality_table(qualities: Mapping[str, Quality]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("the model knows")
    for heading in ("columns", "AUC", "log loss", "said late", "were late"):
        table.add_column(heading, justify="right")
    for name, quality in qualities.items():
        table.add_row(
            name,
            str(quality.columns),
            f"{quality.auc:.3f}",
            f"{quality.log_loss:.3f}",
            f"{quality.said:.1%}",
            f"{quality.happened:.1%}",
        )
    return table


def answers_table(
    online: pd.DataFrame, offline: pd.DataFrame, features: Sequence[str], title: str
) -> Table:
    """One flight's features, the first row of both frames."""
    table = Table(box=SIMPLE_HEAD, title=title, **_TITLE)
    table.add_column("feature")
    table.add_column("online", justify="right")
    table.add_column("offline", justify="right")
    for name in features:
        table.add_row(name, _text(online[name].iloc[0]), _text(offline[name].iloc[0]))
    return table


def say_equal(what: str, rows: int, features: Sequence[str], differences: int) -> int:
    """Print how many values were compared online and offline; return how many differ."""
    console.print(
        f"{rows:,} {what} x {len(features)} features = {rows * len(features):,} values: "
        + (f"{differences:,} DIFFER." if differences else "all equal.")
    )
    return differences


def latency_table(latencies: Sequence[Latency]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("keys a read", "reads", "p50 µs", "p99 µs"):
        table.add_column(heading, justify="right")
    for latency in latencies:
        table.add_row(
            str(latency.keys), f"{latency.reads:,}", f"{latency.p50:,.0f}", f"{latency.p99:,.0f}"
        )
    return table


def _text(value: Any) -> str:
    if pd.isna(value):
        return "NULL"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
