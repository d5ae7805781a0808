"""How results look: tables and bars on a terminal, plain lines in a log, JSON for a program."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape

from fstore.errors import listed

_NARROWEST = 12  # columns of a terminal: what a cut column keeps
_GAP = 2  # between the columns of a table


def tell(markup: str, text: str, *, err: bool = True) -> None:
    """Print a line, to standard error; ``{}`` in the markup stands for the text as it is.

    A terminal gets it wrapped between words, a log in one line.
    """
    stream = sys.stderr if err else sys.stdout
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
    console.print(markup.format(escape(text)))


def facts(pairs: Mapping[str, Any]) -> None:
    """Print names and values, a line each; on a terminal long values wrap below themselves."""
    indent = max(map(cell_len, pairs), default=0) + _GAP
    for name, value in pairs.items():
        text, room = _one_line(value), _terminal_width() - indent
        lines = wrap(text, max(room, _NARROWEST)) if on_terminal() else [text]
        click.echo(f"{_placed(name, indent)}{lines[0] if lines else ''}")
        for line in lines[1:]:
            click.echo(" " * indent + line)


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table, a line each, with numbers to the right.

    On a terminal what is too wide is cut: first the widest columns, with an ellipsis, then the
    last columns, which are named below it. Into a pipe goes everything, as wide as it needs.
    """
    kept = [list(row) for row in rows]
    texts = [[_one_line(value) for value in row] for row in kept]
    numeric = [
        all(isinstance(row[place], int | float | Decimal | timedelta | None) for row in kept)
        for place in range(len(columns))
    ]
    values = [max((cell_len(row[at]) for row in texts), default=0) for at in range(len(columns))]
    widths = [max(cell_len(name), width) for name, width in zip(columns, values, strict=True)]
    if on_terminal():
        least = [
            max(min(width, _NARROWEST), value if right or _are_times(kept, place) else 0)
            for place, (width, value, right) in enumerate(zip(widths, values, numeric, strict=True))
        ]
        widths = fitted(widths, least, _terminal_width())
    if title is not None:
        click.secho(title, italic=True)
    click.secho(_line(columns, widths, numeric), bold=True)
    for row in texts:
        click.echo(_line(row, widths, numeric))
    if hidden := columns[len(widths) :]:
        count = "1 more column" if len(hidden) == 1 else f"{len(hidden)} more columns"
        tell("[dim]{}[/]", f"{count}: {listed(hidden, 8)}", err=False)


def fitted(natural: Sequence[int], least: Sequence[int], available: int) -> list[int]:
    """Return the widths of the columns that fit, at least one; the widest are cut first.

    >>> fitted([4, 30, 20], [4, 12, 12], 40)
    [4, 16, 16]
    >>> fitted([20, 20, 20], [12, 12, 12], 30)
    [14, 14]
    """
    count = len(natural)
    while count > 1 and sum(least[:count]) + _GAP * (count - 1) > available:
        count -= 1
    widths = list(natural[:count])
    excess = sum(widths) + _GAP * (count - 1) - available
    while excess > 0 and (wide := [at for at in range(count) if widths[at] > least[at]]):
        widths[max(wide, key=lambda at: widths[at])] -= 1
        excess -= 1
    return widths


def _are_times(rows: Sequence[Sequence[Any]], place: int) -> bool:
    return all(isinstance(row[place], date | None) for row in rows)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = map(_placed, texts, widths, right)  # no more of them than there are widths
    return (" " * _GAP).join(placed).rstrip()


def _placed(text: str, width: int, right: bool = False) -> str:
    """Return the text in so many columns, cut with an ellipsis where it is wider."""
    if cell_len(text) > width:
        text = set_cell_size(text, max(width - 1, 0)) + "…"
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _one_line(value: Any) -> str:
    return " ".join(cell(value).splitlines())


def _terminal_width() -> int:
    return get_terminal_size().columns


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
        return f"{value.days:,} days" if value.days > 1 else str(value).partition(".")[0]
    if isinstance(value, datetime):
        text = value.isoformat(" ")
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    return value.hex() if isinstance(value, bytes) else str(value)


def as_json(value: Any) -> None:
    """Print a value as JSON; times in RFC 3339, decimals as text."""
    click.echo(json.dumps(jsonable(value), indent=None if isinstance(value, list) else 2))


def json_line(value: Any) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(jsonable(value))


def jsonable(value: Any) -> Any:
    """Return a value as JSON has it; what JSON lacks becomes text, NaN and infinities too."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | float | None) else str(value)


def on_terminal() -> bool:
    """Whether a person is looking at standard output."""
    return sys.stdout.isatty()
