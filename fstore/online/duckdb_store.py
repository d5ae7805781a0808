"""The online store in DuckDB files: a folder that is all that serving needs.

DuckDBStore(state_directory, memory_limit=None, threads=None, temp_directory=None)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from fstore.definitions import Column, FeatureView, Registry
from fstore.errors import NotMaterializedError, OnlineStoreError
from fstore.online.disk import sync
from fstore.online.duckdb_file import rebuilt_image, write
from fstore.online.entries import DELETE, Entry
from fstore.online.folding import hidden_keys, read_log, retained, united, write_log
from fstore.online.generation import (
    CURRENT,
    LOCK,
    PUSHES,
    Catalog,
    Declared,
    Published,
    clean,
    image_file,
    log_file,
    log_number,
    next_number,
    read_catalogs,
    read_declared,
    registry_file,
    storage_errors,
    swap,
    view_file,
    write_declared,
)
from fstore.online.image import Image, NotAnImageError
from fstore.online.instants import micros
from fstore.online.lock import locked
from fstore.online.lookup import index_lookup
from fstore.online.protocol import Batch, Lookup, Lookups
from fstore.online.pushes import PushLog
from fstore.online.records import Layout
from fstore.online.succession import is_of_same_columns, succession


@dataclass(frozen=True)
class FileGeneration:
    """One generation of the folder. What it has opened stays readable while it is held."""

    folder: Path
    catalog: Catalog

    @cached_property
    def declared(self) -> Declared:
        return read_declared(self.folder, self.catalog)

    @property
    def registry(self) -> Registry:
        return self.declared.registry

    @property
    def columns(self) -> Mapping[str, tuple[Column, ...]]:
        return self.declared.columns

    @cached_property
    def images(self) -> dict[str, Image | None]:
        """The image of each view; None where there is none that this version reads."""
        return {reference: self._opened(reference) for reference in self.catalog.views}

    @cached_property
    def views_with_layouts(self) -> dict[str, tuple[FeatureView, Layout]]:
        """The views that are published, with the layout of their rows."""
        views = [self.registry.views_by_reference[reference] for reference in self.catalog.views]
        return {
            view.reference: (view, Layout.of(view, self.columns[view.reference])) for view in views
        }

    @cached_property
    def log(self) -> PushLog:
        return PushLog(self.folder / log_file(self.catalog.generation), self.views_with_layouts)

    def image(self, reference: str) -> Image:
        """Return the image of a view, made from its rows where the folder has none."""
        image = self.images[reference]
        if image is None:
            path = self.folder / self.catalog.views[reference].file
            view = self.registry.views_by_reference[reference]
            image = self.images[reference] = rebuilt_image(path, view, self.columns[reference])
        return image

    def _opened(self, reference: str) -> Image | None:
        path = self.folder / image_file(self.catalog.views[reference].file)
        try:
            return Image.open(path, self.views_with_layouts[reference][1])
        except (FileNotFoundError, NotAnImageError):
            if not (self.folder / self.catalog.views[reference].file).exists():
                raise FileNotFoundError(path) from None
            return None

    def lookup(self, view: FeatureView, features: tuple[str, ...]) -> Lookup:
        published = self.catalog.views[view.reference]
        known = self.log.known[view.reference]
        image = self.image(view.reference)
        return index_lookup(view, features, image, published.generation, known)

    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        reads = [self.lookup(view, features) for view, features in asked]
        return lambda asked: [read(*each) for read, each in zip(reads, asked, strict=True)]


class DuckDBStore:
    """Key-value files under ``<state directory>/online``, and CURRENT that says which count."""

    def __init__(
        self,
        state_directory: Path,
        memory_limit: str | None = None,
        threads: int | None = None,
        temp_directory: str | None = None,
    ) -> None:
        self.state_directory = Path(state_directory)
        self.folder = self.state_directory / "online"
        self._current = str(self.folder / CURRENT)  # asked at each read
        wanted = {
            "memory_limit": memory_limit,
            "threads": None if threads is None else str(threads),
            "temp_directory": temp_directory,
        }
        self._settings = {name: value for name, value in wanted.items() if value is not None}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._open: tuple[tuple[int, int, int], FileGeneration] | None = None

    def generation(self) -> FileGeneration | None:
        """Return what is published now; None where nothing ever was."""
        if self._pid != os.getpid():
            self._after_fork()
        for _ in range(5):
            stamp = self._stamp()
            if stamp is None:
                return None
            known = self._open
            if known is not None and known[0] == stamp:
                known[1].log.refresh()
                return known[1]
            with self._lock:
                current, _previous = read_catalogs(self.folder)
                if current is None:
                    return None
                opened = FileGeneration(self.folder, current)
                try:
                    opened.images  # noqa: B018 - mapped now, while the generation is kept
                    opened.log.refresh()
                except FileNotFoundError:  # replaced twice in between
                    continue
                if not opened.log.is_there and self._stamp() != stamp:
                    continue  # the log went with its generation: that is not a log without pushes
                self._open = (stamp, opened)
                return opened
        raise OnlineStoreError(f"{self.folder} lacks files that {CURRENT} names: copy it again.")

    def recent(self) -> FileGeneration | None:
        """Return what is published now: to ask costs one look at a file."""
        return self.generation()

    def _readable(self) -> FileGeneration | None:
        """Return the current generation for a writer, who also replaces a damaged one."""
        try:
            return self.generation()
        except OnlineStoreError:
            return None

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what tells one CURRENT from the next: each is a file of its own."""
        try:
            found = os.stat(self._current)  # noqa: PTH116 - a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OnlineStoreError(f"{self.folder} cannot be read: {error}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _after_fork(self) -> None:
        self._open, self._lock, self._pid = None, threading.Lock(), os.getpid()

    def append(self, entry: Entry, lock_timeout: float) -> int:
        """Add a push or a deletion to the log, on disk before this returns.

        Every reader sees it from its next read on. Returns how many rows were refused because
        their key was deleted after they arrived.
        """
        with (
            storage_errors(f"{self.folder} cannot be written"),
            held(self.folder / PUSHES, lock_timeout),
        ):
            generation = self.generation()
            if generation is None:
                raise NotMaterializedError(
                    "Nothing is in the online store yet. Run: fstore materialize"
                )
            if entry.kind == DELETE:
                entry = replace(entry, hides=hides_up_to(self.folder))
            try:
                return generation.log.append(entry)
            except OSError:  # a reader may have seen it whole, before it was cut off: begin anew
                with suppress(OSError):
                    os.utime(self._current)
                raise

    @contextmanager
    def writer(self, lock_timeout: float) -> Iterator[FileWriter]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
        with storage_errors(f"{self.folder} cannot be written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.state_directory / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        with held(self.folder / LOCK, lock_timeout):
            clean(self.folder)
            try:
                yield FileWriter(self.folder, self._readable(), self._settings, lock_timeout)
            finally:
                clean(self.folder)


@contextmanager
def held(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock of the folder for the block, waiting for it."""
    waiting = locked(path, timeout)
    with storage_errors(f"{path.parent} cannot be written"):
        waiting.__enter__()
    try:
        yield
    finally:
        waiting.__exit__(None, None, None)


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
        paths = self.folder / name, self.folder / image_file(name)
        previous, hidden = self._previous(batch) if batch.keep_absent else (None, pa.table({}))
        try:
            with storage_errors(f"{paths[0]} cannot be written"):
                opened = duckdb.connect(str(paths[0]), config=dict(self.settings))
                with opened as self._connection:
                    rows, keys = write(self._connection, batch, previous, hidden, paths[1])
                sync(paths[0])
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        published = Published(
            name, self.number, batch.as_of.astimezone(UTC), datetime.now(UTC), rows, keys
        )
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
            except (ValueError, KeyError, TypeError):  # damaged: said when it is folded
                return 0
        log = self.current.log
        log.refresh()
        return max((each.hides for view in log.known.values() for each in view.values()), default=0)

    def _log_path(self) -> Path | None:
        """Return where the log is that the next generation goes on from."""
        before = sorted(self.folder.glob(log_file("*")), key=log_number)
        return self.current.log.path if self.current else before[-1] if before else None

    def _previous(self, batch: Batch) -> tuple[Path | None, pa.Table]:
        """Return the current file of the view, if it holds the same columns; and deleted keys."""
        reference = batch.view.reference
        if self.current is None or not is_of_same_columns(self.current, batch):
            return None, pa.table({})
        before = self.current.registry.views_by_reference[reference]
        published = self.current.catalog.views[reference]
        self.current.log.refresh()
        hidden = hidden_keys(self.current.log, before, published.generation)
        return self.folder / published.file, hidden

    def publish(self, registry: Registry, keep: frozenset[str], pushed_since: datetime) -> Catalog:
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
            with held(self.folder / PUSHES, self.lock_timeout):
                self._fold(FileGeneration(self.folder, catalog), pushed_since)
                swap(self.folder, catalog, previous)
        return catalog

    def _fold(self, following: FileGeneration, pushed_since: datetime) -> None:
        """Write the log of the generation that follows, from that of the current one."""
        path = self._log_path()
        if path is None:
            write_log(following.log.path, [])
            return
        # In the new declarations: a push is a row of the view as it is served from now on.
        log = PushLog(path, following.views_with_layouts)
        log.refresh()
        written = {reference: following.image(reference) for reference in self.written}
        kept = frozenset(following.catalog.views) - written.keys()
        since = micros(pushed_since.astimezone(UTC))
        entries = retained(log, kept, written, self.number, since)
        write_log(following.log.path, entries)  # also an empty one: readers keep it open

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one; it has none before it then.

        Whatever was pushed and deleted since stays.
        """
        current, previous = read_catalogs(self.folder)
        if current is None:
            raise NotMaterializedError(
                "Nothing is in the online store yet. Run: fstore materialize"
            )
        if previous is None:
            raise NotMaterializedError(
                f"Generation {current.generation} has none before it to go back to. "
                "Run: fstore materialize"
            )
        older, newer = (self.folder / log_file(each.generation) for each in (previous, current))
        with (
            storage_errors(f"{self.folder} cannot be written"),
            held(self.folder / PUSHES, self.lock_timeout),
        ):
            entries = united(read_log(older), read_log(newer))
            write_log(older, entries)
            swap(self.folder, previous, None)
        return previous


def hides_up_to(folder: Path) -> int:
    """Return the highest generation whose rows a deletion of now hides, one being written too."""
    return next_number(folder) - 1
