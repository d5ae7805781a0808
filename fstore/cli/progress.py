"""How far long work is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from fstore.offline.progress import watching

SHOWN_AFTER = 1.0  # seconds: what is done by then needs no bar
BETWEEN_LINES = 10.0  # seconds


class Display:
    """What is shown of the work under way, on standard error."""

    def __init__(self) -> None:
        self._began = self._last_line = time.monotonic()
        self._counted, self._done, self._total = "", 0, 1
        self._label, self._part = "", 0.0
        self._ended = False
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,  # it would be printed with the bar, on standard error
            )
            self._task = self._bar.add_task("", total=None)

    def begin(self, step: str, done: int, total: int) -> None:
        """Begin one of several steps; in a log that is a line."""
        self._counted, self._done, self._total = f"{done + 1}/{total} ", done, total
        if self._bar is None and done < total:
            self._line(f"{self._counted}{step}")

    def tell(self, step: str, part: float | None) -> None:
        """Show which part of a step is done, 0 to 1; what was shown of a label never shrinks."""
        now = time.monotonic()
        label = f"{self._counted}{step}"
        if label != self._label:
            self._label, self._part = label, 0.0
        self._part = max(self._part, (self._done + (part or 0.0)) / self._total)
        if self._ended or now - self._began < SHOWN_AFTER:
            return
        if self._bar is not None:
            total = 1.0 if self._part else None  # None: a bar that says no more than that it runs
            self._bar.update(self._task, description=label, completed=self._part, total=total)
            self._bar.start()
        elif now - self._last_line >= BETWEEN_LINES:
            known = f"{self._part:.0%}, " if self._part else ""
            self._line(f"{label}: {known}{now - self._began:.0f} s")

    def end(self) -> None:
        """Remove the bar; nothing more is shown."""
        self._ended = True
        if self._bar is not None:
            self._bar.stop()

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        click.echo(text, err=True)


@contextmanager
def shown() -> Iterator[Display]:
    """Show how far the work of the block is, once it takes more than a moment."""
    display = Display()
    try:
        with watching(display.tell):
            yield display
    finally:
        display.end()
