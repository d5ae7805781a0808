"""The holder of the online folder's lock: writes the next generation, or goes back to the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from fstore.definitions import Registry
from fstore.disk import sync
from fstore.errors import NoEarlierGenerationError, NothingPublishedError, OnlineStoreError
from fstore.online.duckdb_file import write
from fstore.online.duckdb_generation import FileGeneration
from fstore.online.folding import hidden_keys, read_log, retained, united, write_log
from fstore.online.generation import (
    PUSHES,
    Catalog,
    Published,
    files_of,
    log_file,
    log_number,
    next_number,
    read_catalogs,
    registry_file,
    storage_errors,
    swap,
    view_file,
    write_declared,
)
from fstore.online.instants import micros
from fstore.online.lock import locked
from fstore.online.notices import noticed
from fstore.online.protocol import Batch
from fstore.online.pushes import PushLog
from fstore.online.succession import goes_on, succession


@contextmanager
def held(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock of the folder for the block, waiting for it."""
    with ExitStack() as stack:
        # Around the waiting alone: an error of the block is its own.
        with storage_errors(f"{path.parent} cannot be written"):
            stack.enter_context(locked(path, timeout))
        yield


@dataclass
class FileWriter:
    """The holder of the lock: writes files under a new number, then swaps CURRENT."""

    folder: Path
    current: FileGeneration | None
    settings: Mapping[str, str]
    lock_timeout: float
    written: dict[str, tuple[Batch, Published]] = field(default_factory=dict)
    _connection: duckdb.DuckDBPyConnection | None = None

    def __post_init__(self) -> None:
        # A deletion from now on hides what this writer may have read before: see hides_up_to. One
        # that hid a generation which never came to be keeps its number from being given again.
        first = self._log_path() is None  # no deletion before there is a log
        with (
            storage_errors(f"{self.folder} cannot be written"),
            nullcontext() if first else held(self.folder / PUSHES, self.lock_timeout),
        ):
            self.number = max(next_number(self.folder), self._highest_hidden() + 1)
            (self.folder / registry_file(self.number)).touch()

    def write(self, batch: Batch) -> Published:
        """Write a view's file, unseen until :meth:`publish`."""
        reference = batch.view.reference
        name = view_file(reference, self.number)
        paths = [self.folder / each for each in files_of(name)]
        previous, hidden = self._previous(batch) if batch.keep_absent else (None, pa.table({}))
        try:
            with storage_errors(f"{paths[0]} cannot be written"):
                opened = duckdb.connect(str(paths[0]), config=dict(self.settings))
                with opened as self._connection:
                    rows, keys = write(self._connection, batch, previous, hidden, paths[0])
                sync(paths[0])
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        published = batch.published(name, self.number, rows, keys)
        self.written[reference] = (batch, published)
        return published

    def interrupt(self) -> None:
        """Make a write that another thread has under way fail soon."""
        if self._connection is not None:
            with suppress(duckdb.ConnectionException):  # closed already
                self._connection.interrupt()

    def _highest_hidden(self) -> int:
        """Return the highest generation that a deletion hides; 0 where none does."""
        path = self._log_path()
        if path is None:
            return 0
        if self.current is None:
            try:
                return max((entry.hides for entry in read_log(path)), default=0)
            except OnlineStoreError:  # damaged: said when it is folded
                return 0
        log = self.current.log
        log.refresh()
        known = (each for keys in log.known.values() for _, each in keys.items())
        return max((each.hides for each in known), default=0)

    def _log_path(self) -> Path | None:
        """Return where the log is that the next generation goes on from."""
        before = sorted(self.folder.glob(log_file("*")), key=log_number)
        return self.current.log.path if self.current else before[-1] if before else None

    def _previous(self, batch: Batch) -> tuple[Path | None, pa.Table]:
        """Return the current file of the view, if it holds the same columns; and deleted keys."""
        reference = batch.view.reference
        if self.current is None or not goes_on(self.current, batch):
            return None, pa.table({})
        before = self.current.registry.views_by_reference[reference]
        published = self.current.catalog.views[reference]
        self.current.log.refresh()
        hidden = hidden_keys(self.current.log, before, published.generation)
        return self.folder / published.file, hidden

    def publish(self, registry: Registry, keep: frozenset[str], pushed_since: int) -> Catalog:
        """Make every view written so far readable, all in one step, with what is left of pushes.

        Of the views not written now, those whose reference is in ``keep`` stay, with the
        declaration that they were published under. Pushes and deletions that were received before
        ``pushed_since`` are forgotten, for the views written.
        """
        views, declared = succession(self.current, self.written, registry, keep)
        catalog = Catalog(self.number, registry_file(self.number), views)
        previous = self.current.catalog if self.current else None
        with storage_errors(f"{self.folder} cannot be written"):
            write_declared(self.folder, catalog, declared)
            with held(self.folder / PUSHES, self.lock_timeout), noticed(self.folder):
                self._fold(FileGeneration(self.folder, catalog), pushed_since)
                swap(self.folder, catalog, previous)
        return catalog

    def _fold(self, following: FileGeneration, since: int) -> None:
        """Write the log of the generation that follows, from that of the current one."""
        path = self._log_path()
        if path is None:
            write_log(following.log.path, [])
            return
        # In the new declarations: a push is a row of the view as it is served from now on.
        log = PushLog(path, following.views_with_layouts)
        log.refresh()
        views = following.catalog.views
        written = {
            reference: (following.image(reference), micros(views[reference].as_of))
            for reference in self.written
        }
        windowed = [name for name, (batch, _) in self.written.items() if batch.view.windows]
        events = {reference: following.events(reference) for reference in windowed}
        kept = frozenset(following.catalog.views) - written.keys()
        entries = retained(log, kept, written, events, self.number, since)
        write_log(following.log.path, entries)  # also an empty one: readers keep it open

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one; it has none before it then.

        Whatever was pushed and deleted since stays.
        """
        current, previous = read_catalogs(self.folder)
        if current is None:
            raise NothingPublishedError()
        if previous is None:
            raise NoEarlierGenerationError(current.generation)
        older, newer = (self.folder / log_file(each.generation) for each in (previous, current))
        with (
            storage_errors(f"{self.folder} cannot be written"),
            held(self.folder / PUSHES, self.lock_timeout),
            noticed(self.folder),
        ):
            entries = united(read_log(older), read_log(newer))
            write_log(older, entries)
            swap(self.folder, previous, None)
        return previous
