"""The online store in DuckDB files: a folder that is all that serving needs.

DuckDBStore(state_directory, memory_limit=None, threads=None, temp_directory=None)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from fstore.errors import NothingPublishedError, OnlineStoreError
from fstore.online.duckdb_generation import FileGeneration
from fstore.online.duckdb_writer import FileWriter, held
from fstore.online.entries import DELETE, Entry
from fstore.online.generation import (
    CURRENT,
    LOCK,
    PUSHES,
    clean,
    next_number,
    read_catalogs,
    storage_errors,
)
from fstore.online.notices import counter_of, noticed

_LONGEST_TRUST = 0.1  # seconds
_NEVER_SETTLED = -1

_process = os.getpid()  # known without asking the system, which each read would wait for


def _in_a_child() -> None:
    global _process
    _process = os.getpid()


os.register_at_fork(after_in_child=_in_a_child)


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
        self._opened_by = _process
        self._open: tuple[tuple[int, int, int], FileGeneration] | None = None
        self._counter: memoryview | None = None
        self._settled, self._asks_after = _NEVER_SETTLED, 0.0

    def generation(self) -> FileGeneration | None:
        """Return what is published now; None where nothing ever was."""
        if self._opened_by != _process:
            self._after_fork()
        for _ in range(5):
            stamp = self._stamp()
            if stamp is None:
                return None
            known = self._refreshed(stamp)
            if known is not None:
                return known
            with self._lock:
                # Another thread may have opened it meanwhile. A second one in its place could lack
                # a push that was seen in the first.
                stamp = self._stamp()
                known = self._refreshed(stamp)
                if known is not None:
                    return known
                current, _previous = read_catalogs(self.folder)
                if stamp is None or current is None:
                    return None
                opened = FileGeneration(self.folder, current)
                try:
                    opened.open_files()  # now, while the generation is kept
                    opened.log.refresh()
                except FileNotFoundError:  # replaced twice in between
                    continue
                if not opened.log.is_there and self._stamp() != stamp:
                    continue  # the log went with its generation: that is not a log without pushes
                self._counter = counter_of(self.folder)
                self._open = (stamp, opened)
                return opened
        raise OnlineStoreError(f"{self.folder} lacks files that {CURRENT} names: copy it again.")

    def _refreshed(self, stamp: tuple[int, int, int] | None) -> FileGeneration | None:
        """Return what is open, with all that was pushed, where it is of this CURRENT."""
        known = self._open
        if known is None or known[0] != stamp:
            return None
        known[1].log.refresh()
        return known[1]

    def recent(self) -> FileGeneration | None:
        """Return what is published now; where nothing was changed since, without asking the disk.

        It is asked all the same after a tenth of a second: a folder may be copied over.
        """
        counter = self._counter
        if counter is None or self._opened_by != _process:
            return self.generation()
        # In this order: who settles a count has opened what belongs to it before.
        count = counter[0]
        if count == self._settled and time.monotonic() < self._asks_after:
            opened = self._open
            if opened is not None:
                return opened[1]
        generation = self.generation()
        self._asks_after = time.monotonic() + _LONGEST_TRUST
        self._settled = _NEVER_SETTLED if count % 2 else count
        return generation

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
        """Forget what threads of the parent may have had under way, and locked."""
        self._open, self._counter, self._settled = None, None, _NEVER_SETTLED
        self._lock, self._opened_by = threading.Lock(), _process

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
                raise NothingPublishedError()
            if entry.kind == DELETE:
                entry = replace(entry, hides=hides_up_to(self.folder))
            with noticed(self.folder):
                try:
                    return generation.log.append(entry)
                except OSError:  # a reader may have seen it whole before it was cut off: begin anew
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


def hides_up_to(folder: Path) -> int:
    """Return the highest generation whose rows a deletion of now hides, one being written too."""
    return next_number(folder) - 1
