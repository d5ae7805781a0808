"""How results look: tables and bars on a terminal, plain lines in a log, JSON for a program."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def tell(markup: str, text: str) -> None:
    """Print a line to standard error; ``{}`` in the markup stands for the text as it is."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(markup.format(escape(text)))


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table; numbers to the right. Into a pipe it is as wide as it needs."""
    kept = [list(row) for row in rows]
    numeric = [
        all(isinstance(row[place], int | float | Decimal | timedelta | None) for row in kept)
        for place in range(len(columns))
    ]
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        shown.add_column(escape(name), justify="right" if right else "left", overflow="fold")
    for row in kept:
        shown.add_row(*(escape(cell(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(shown)


def cell(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())))
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds" if value.microsecond == 0 else "microseconds")
    return str(value)


def as_json(value: Any) -> None:
    """Print a value as JSON; times in RFC 3339, decimals as text."""
    click.echo(json.dumps(_jsonable(value), indent=None if isinstance(value, list) else 2))


def json_line(value: Any) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(_jsonable(value))


def _jsonable(value: Any) -> Any:
    """Return a value as JSON has it; what JSON lacks becomes text, NaN and infinities too."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, str | int | float | None) else str(value)


def on_terminal() -> bool:
    """Whether a person is looking at standard output."""
    return sys.stdout.isatty()
