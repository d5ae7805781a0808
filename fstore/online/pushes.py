"""The push log of a generation: what was pushed and deleted since, on disk and in memory.

    pushes.<generation>.log     entries, each: length, CRC-32, a line of JSON, records, heap

An entry counts once it is whole: a writer appends under a lock and waits for the disk, a torn tail
is cut off by the next writer, and readers stop before it. Readers see a new entry at their next
read, for they ask how long the file is.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fstore import collector
from fstore.definitions import FeatureView
from fstore.disk import put, sync
from fstore.online.entries import DELETE, Entry, converted, decoded, encoded
from fstore.online.known import KnownKeys
from fstore.online.records import Layout


class PushLog:
    """The log of one generation, followed as it grows; any thread may use it."""

    def __init__(self, path: Path, views: Mapping[str, tuple[FeatureView, Layout]]) -> None:
        self.path = path
        self._views = views
        # Held while rows are taken in; who reads in several steps holds it to see them all or none.
        self.lock = threading.Lock()
        self._descriptor: int | None = None
        self._whole = 0  # how far the file has been read
        self.known = {reference: KnownKeys(view) for reference, (view, _) in views.items()}
        self.order: dict[str, int] = {}  # of the entries, by id
        self._deleted_from: set[str] = set()  # views, any key of which was

    @property
    def is_there(self) -> bool:
        """Whether there was a file when it was last asked for."""
        return self._descriptor is not None

    def refresh(self) -> None:
        """Take in what was appended since. OnlineStoreError where the log is damaged."""
        if self._descriptor is None:
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:  # nothing was pushed yet
                return
            weakref.finalize(self, os.close, descriptor)
            self._descriptor = descriptor
        if os.fstat(self._descriptor).st_size != self._whole:
            self._read_on()

    def _read_on(self) -> None:
        with self.lock:
            assert self._descriptor is not None
            size = os.fstat(self._descriptor).st_size
            content = os.pread(self._descriptor, max(0, size - self._whole), self._whole)
            entries, length = decoded(content, self.path, self._whole)
            with collector.waiting():
                for entry in entries:
                    self._apply(entry)
            self._whole += length

    def append(self, entry: Entry) -> int:
        """Add an entry, on disk before this returns; return how many of its rows were refused.

        Only the holder of the log's lock may. Raises OSError; the log is then as it was.
        """
        self.refresh()
        content = encoded(entry)
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size > self._whole:
                os.ftruncate(descriptor, self._whole)  # what a crash tore was never acknowledged
            try:
                put(descriptor, content, self._whole)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._whole)
                raise
        finally:
            os.close(descriptor)
        if new:
            sync(self.path.parent)
        refused = self._refused(entry)
        self.refresh()
        return refused

    def _refused(self, entry: Entry) -> int:
        if entry.kind == DELETE or entry.view not in self._deleted_from:
            return 0  # _deleted_from has views of this generation alone
        return self.known[entry.view].refused(entry)

    def _apply(self, entry: Entry) -> None:
        self.order.setdefault(entry.id, len(self.order))
        if entry.view not in self._views:
            return
        known, layout = self.known[entry.view], self._views[entry.view][1]
        if entry.kind == DELETE:
            self._deleted_from.add(entry.view)
            known.delete(entry)
            return
        if entry.layout != layout:
            if not layout.has_keys_of(entry.layout):
                return  # keys of another type can be no key of this view
            entry = replace(entry, layout=layout, block=converted(entry, layout))
        known.take_in(entry)
