"""The online store in DuckDB files: a folder that is all that serving needs.

DuckDBStore(state_directory, memory_limit=None, threads=None, temp_directory=None)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb

from fstore.compile.latest import stored_columns
from fstore.definitions import Column, FeatureView, Registry
from fstore.errors import NotMaterializedError, OnlineStoreError
from fstore.online.duckdb_file import FileLookup, Files, write
from fstore.online.generation import (
    CURRENT,
    LOCK,
    Catalog,
    Declared,
    Published,
    clean,
    next_number,
    read_catalogs,
    read_declared,
    registry_file,
    storage_errors,
    swap,
    sync,
    view_file,
    write_declared,
)
from fstore.online.lock import locked
from fstore.online.protocol import Batch, Lookup

# Sessions of a parent process, kept from being closed in a fork: their files are the parent's.
_PARENTS: list[object] = []


@dataclass(frozen=True)
class FileGeneration:
    """One generation of the folder. Its files stay readable while it is held."""

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
    def files(self) -> Files:
        return Files(self.folder)

    def lookup(self, view: FeatureView, features: tuple[str, ...]) -> Lookup:
        file = self.catalog.views[view.reference].file
        return FileLookup(self.files, file, view, self.columns[view.reference], features)


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
                return known[1]
            with self._lock:
                current, _previous = read_catalogs(self.folder)
                if current is None:
                    return None
                opened = FileGeneration(self.folder, current)
                try:
                    opened.declared  # noqa: B018 - read now, while the generation is kept
                except FileNotFoundError:  # replaced twice in between
                    continue
                self._open = (stamp, opened)
                return opened
        raise OnlineStoreError(f"{self.folder} lacks files that {CURRENT} names: copy it again.")

    def _readable(self) -> FileGeneration | None:
        """Return the current generation for a writer, who also replaces a damaged one."""
        try:
            return self.generation()
        except OnlineStoreError:
            return None

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what tells one CURRENT from the next: each is a file of its own."""
        try:
            found = (self.folder / CURRENT).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OnlineStoreError(f"{self.folder} cannot be read: {error}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _after_fork(self) -> None:
        _PARENTS.append(self._open)
        self._open, self._lock, self._pid = None, threading.Lock(), os.getpid()

    @contextmanager
    def writer(self, lock_timeout: float) -> Iterator[FileWriter]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
        with storage_errors(f"{self.folder} cannot be written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.state_directory / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        with _lock(self.folder, lock_timeout):
            clean(self.folder)
            try:
                yield FileWriter(self.folder, self._readable(), self._settings)
            finally:
                clean(self.folder)


@contextmanager
def _lock(folder: Path, timeout: float) -> Iterator[None]:
    waiting = locked(folder / LOCK, timeout)
    with storage_errors(f"{folder} cannot be written"):
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
    written: dict[str, tuple[Batch, Published]] = field(default_factory=dict)
    _connection: duckdb.DuckDBPyConnection | None = None

    @cached_property
    def number(self) -> int:
        """The generation that is being written."""
        return next_number(self.folder)

    def write(self, batch: Batch) -> Published:
        """Write a view's file, unseen until :meth:`publish`."""
        reference = batch.view.reference
        name = view_file(reference, self.number)
        previous = self._previous_file(batch) if batch.keep_absent else None
        try:
            with storage_errors(f"{self.folder / name} cannot be written"):
                opened = duckdb.connect(str(self.folder / name), config=dict(self.settings))
                with opened as self._connection:
                    rows, keys = write(self._connection, batch, previous)
                sync(self.folder / name)
        except BaseException:
            (self.folder / name).unlink(missing_ok=True)
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

    def _previous_file(self, batch: Batch) -> Path | None:
        """Return the current file of the view, if it holds the same columns."""
        reference = batch.view.reference
        if self.current is None or reference not in self.current.catalog.views:
            return None
        before = self.current.registry.views_by_reference[reference]
        held = stored_columns(before, self.current.columns[reference])
        if held != stored_columns(batch.view, batch.columns):
            return None
        return self.folder / self.current.catalog.views[reference].file

    def publish(self, registry: Registry, keep: frozenset[str]) -> Catalog:
        """Make every view written so far readable, all in one step.

        Of the views not written now, those whose reference is in ``keep`` stay, with the
        declaration that they were published under.
        """
        views = {reference: published for reference, (_, published) in self.written.items()}
        columns = {reference: batch.columns for reference, (batch, _) in self.written.items()}
        declared = {reference: batch.view for reference, (batch, _) in self.written.items()}
        claims = list(declared.values())
        if self.current is not None:
            before = self.current.registry.views_by_reference
            for reference, published in self.current.catalog.views.items():
                if reference in keep and reference not in views:
                    views[reference] = published
                    columns[reference] = self.current.columns[reference]
                    declared[reference] = before[reference]
            claims += [view for view in before.values() if view.reference in views]
        for view in registry.feature_views:
            declared.setdefault(view.reference, view)
        claims += registry.feature_views
        catalog = Catalog(self.number, registry_file(self.number), views)
        known = replace(registry, feature_views=_one_latest(declared, claims), models=())
        previous = self.current.catalog if self.current else None
        with storage_errors(f"{self.folder} cannot be written"):
            write_declared(self.folder, catalog, Declared(known, columns))
            swap(self.folder, catalog, previous)
        return catalog

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one; it has none before it then."""
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
        with storage_errors(f"{self.folder} cannot be written"):
            swap(self.folder, previous, None)
        return previous


def _one_latest(
    declared: Mapping[str, FeatureView], claims: Iterable[FeatureView]
) -> tuple[FeatureView, ...]:
    """Return the declared views with one latest version a name: the first claim that says so.

    A new version takes the bare name over when it is published, not when it is declared.
    """
    latest: dict[str, str] = {}
    for view in claims:
        if view.is_latest and view.reference in declared:
            latest.setdefault(view.name, view.reference)
    return tuple(
        replace(view, is_latest=latest.get(view.name) == reference)
        for reference, view in declared.items()
    )
