"""What every online store does: publish views at once, read rows by key, go back one generation.

Pushes and deletions will join the writer. The reader's half is small on purpose: whatever answers
``Lookup.read`` can serve, be it SQL, an index in memory or another server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.generation import Catalog, Published

Key = tuple[Any, ...]  # one value for each join key of the view, in order, none of them None


class Row(NamedTuple):
    """The row of a key at an instant. ``cells`` is None where the row is older than the ttl."""

    event_timestamp: datetime
    cells: tuple[Any, ...] | None


class Lookup(Protocol):
    """Reads the same features of one view again and again."""

    def read(self, keys: Sequence[Key], at: datetime) -> Sequence[Row | None]:
        """Return the row of each key as of ``at``, in order; None where there is none."""


class Generation(Protocol):
    """What is published at one moment; it stays whole and readable while it is held."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def columns(self) -> Mapping[str, tuple[Column, ...]]: ...
    def lookup(self, view: FeatureView, features: tuple[str, ...]) -> Lookup: ...


@dataclass(frozen=True)
class Batch:
    """The rows of one view, to be published: what the generation query gave as of ``as_of``.

    With ``keep_absent``, the keys that only the current generation holds stay as they are there.
    """

    view: FeatureView
    columns: tuple[Column, ...]  # of the built relation
    rows: pa.RecordBatchReader
    as_of: datetime
    keep_absent: bool = False


class Writer(Protocol):
    """Held by one process at a time."""

    @property
    def current(self) -> Generation | None: ...

    def write(self, batch: Batch) -> Published:
        """Put the rows of a view in place, unseen until :meth:`publish`."""

    def interrupt(self) -> None:
        """Make a write that another thread has under way fail soon."""

    def publish(self, registry: Registry, keep: frozenset[str]) -> Catalog:
        """Make every view written so far readable, all in one step.

        Of the views not written now, those whose reference is in ``keep`` stay as they are.
        """

    def rollback(self) -> Catalog:
        """Go back to the generation before the current one."""


class OnlineStore(Protocol):
    """Where the latest rows live."""

    def generation(self) -> Generation | None:
        """Return what is published now; None where nothing ever was."""

    def writer(self, lock_timeout: float) -> AbstractContextManager[Writer]:
        """Wait for the lock and hold it for the block; what is not published then is dropped."""
