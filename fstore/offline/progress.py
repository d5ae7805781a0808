"""Work of DuckDB that may take long: Ctrl-C stops it at once, and who watches hears how far it is.

DuckDB's Python client looks for signals in some of its calls only: a COPY, or a stream of batches,
would run on to its end. So the work runs in a thread of its own, and the caller's waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
Watcher = Callable[[str, float | None], None]  # what is done, and which part of it, 0 to 1

_BETWEEN_LOOKS = 0.1  # seconds
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


class Interruptible(Protocol):
    """What can be told, from another thread, to stop what it is doing."""

    def interrupt(self) -> None: ...


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell ``watcher``, ten times a second, how far the work is that the block runs.

    The part is None where DuckDB cannot say. Work that ends at once is never told of.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def run(
    name: str,
    work: Callable[[], T],
    connection: duckdb.DuckDBPyConnection,
    *others: Interruptible,
) -> T:
    """Return what ``work`` returns, or raise what it raises; ``connection`` knows how far it is.

    Whatever is raised meanwhile in the caller's own thread, such as KeyboardInterrupt, interrupts
    the connection (and the others that the work keeps busy), and goes on once the work has ended.
    """
    outcome: Future[T] = Future()
    Thread(target=_carry_out, args=(work, outcome), daemon=True).start()
    try:
        while not _ended(outcome):
            watcher = _watcher.get()
            if watcher is not None:
                percent = connection.query_progress()
                watcher(name, min(percent / 100, 1.0) if percent >= 0 else None)
    except BaseException:
        # Again and again: between two statements there is nothing to interrupt yet.
        while not outcome.done():
            for each in (connection, *others):
                each.interrupt()
            _ended(outcome)
        raise
    return outcome.result()


def _carry_out(work: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:
        outcome.set_exception(error)


def _ended(outcome: Future[T]) -> bool:
    return bool(wait([outcome], _BETWEEN_LOOKS).done)
