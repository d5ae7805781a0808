"""What every online store does: publish views at once, read rows by key, go back one generation.

Readers hold a generation and read keys from it; a writer, one at a time, makes the next one;
pushes and deletions are entries that join the generation that is there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.entries import Entry
from fstore.online.generation import Catalog, Published
from fstore.online.records import Row

G = TypeVar("G", contravariant=True)

# The rows of some keys as columns: E, what is None where nothing is seen (so also where the row is
# older than the ttl), two that nobody reads, and the features.
Columns = Sequence[Sequence[Any]]
# What is asked of a view: keys as KeyCodec encodes them, None for one that no row can have, and
# the instant in microseconds.
Asked = tuple[Sequence[bytes | None], int]


class Lookup(NamedTuple):
    """Reads the same features of one view again and again, in the order of the relation."""

    row: Callable[[bytes | None, int], Row]  # of one key
    columns: Callable[[Sequence[bytes | None], int], Columns]  # of one key or more, in order


class Lookups(NamedTuple):
    """The same for several views, in one step: what each gives."""

    rows: Callable[[Sequence[Asked]], Sequence[Row]]  # of one key each
    columns: Callable[[Sequence[Asked]], Sequence[Columns]]

    @classmethod
    def of(cls, read: Callable[[Sequence[Asked]], Sequence[Sequence[Row]]]) -> Lookups:
        """Return those of a store that reads a row for each key, in order."""
        return cls(
            lambda asked: [rows[0] for rows in read(asked)],
            lambda asked: [[*zip(*rows, strict=True)] for rows in read(asked)],
        )


class OutdatedError(Exception):
    """Another generation has been published: what a lookup was prepared for is not there now."""


def asking_weakly(outdated: Callable[[G], Exception]) -> Callable[[G], Exception]:
    """Return a store's method ``outdated`` for its generations, which must not hold the store.

    So a store that nobody uses any more is gone at once, and with it its connections.
    """
    held = weakref.WeakMethod(outdated)

    def ask(generation: G) -> Exception:
        method = held()
        return OutdatedError() if method is None else method(generation)

    return ask


class Generation(Protocol):
    """What is published at one moment. A reader sees it whole, or is told that it is outdated."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def columns(self) -> Mapping[str, tuple[Column, ...]]: ...
    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        """Prepare to read these features of these views. Where the generation is outdated and not
        kept, what reads them raises OutdatedError.
        """


@dataclass(frozen=True)
class Batch:
    """The rows of one view, to be published at ``now``: what the query gave as of ``as_of``.

    With ``keep_absent``, the keys that only the current generation holds stay as they are there, if
    it holds all that is kept of a key now.
    ``events`` starts the events query once the rows are taken; None where the rows are no events.
    """

    view: FeatureView
    columns: tuple[Column, ...]  # of the built relation
    rows: pa.RecordBatchReader
    as_of: datetime
    now: datetime
    keep_absent: bool = False
    events: Callable[[], pa.RecordBatchReader] | None = None

    def published(self, file: str, generation: int, rows: int, keys: int) -> Published:
        """Return the view as it stands in the generation that these rows were written for."""
        as_of, now = self.as_of.astimezone(UTC), self.now.astimezone(UTC)
        return Published(file, generation, as_of, now, rows, keys)


class Writer(Protocol):
    """Held by one process at a time."""

    @property
    def current(self) -> Generation | None: ...

    def write(self, batch: Batch) -> Published:
        """Put the rows of a view in place, unseen until :meth:`publish`."""

    def interrupt(self) -> None:
        """Make a write that another thread has under way fail soon."""

    def publish(self, registry: Registry, keep: frozenset[str], pushed_since: int) -> Catalog:
        """Make every view written so far readable, all in one step.

        Of the views not written now, those whose reference is in ``keep`` stay as they are. Of the
        others, pushes that the rows now hold, and those received before ``pushed_since``, go: an
        instant in microseconds, which may lie before the calendar.
        """

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one."""


class OnlineStore(Protocol):
    """Where the latest rows live."""

    def generation(self) -> Generation | None:
        """Return what is published now; None where nothing ever was."""

    def recent(self) -> Generation | None:
        """Return a generation to read from, at the least cost: a lookup says if it is outdated."""

    def append(self, entry: Entry, lock_timeout: float) -> int:
        """Take in pushed rows or a deletion, for good; return how many rows were refused."""

    def writer(self, lock_timeout: float) -> AbstractContextManager[Writer]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
