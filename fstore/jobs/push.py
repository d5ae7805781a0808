"""Rows pushed to the online store and to files that dbt reads; keys deleted online.

push(project, store, feature_view, rows, to="online", *, now) -> Pushed
delete(project, store, feature_view, entity_rows, *, now) -> Deleted
published(store, feature_view) -> (view, columns): what a push of it has
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from fstore.compile.references import view_named
from fstore.compile.request import utc_instant
from fstore.definitions import Column, FeatureView
from fstore.disk import sync
from fstore.errors import (
    NothingPublishedError,
    NotMaterializedError,
    OutputError,
    RequestError,
    listed,
)
from fstore.frames import with_statistics
from fstore.online.incoming import deletion, pushable
from fstore.online.instants import micros
from fstore.online.protocol import OnlineStore
from fstore.project import Project

TO = ("online", "offline", "online_and_offline")


@dataclass(frozen=True)
class Pushed:
    """What was accepted, for good. ``refused`` rows arrived before their key was deleted."""

    view: str
    rows: int
    refused: int
    file: Path | None  # where the rows lie for dbt


@dataclass(frozen=True)
class Deleted:
    """The keys that are gone from the online store."""

    view: str
    keys: int


def push(
    project: Project,
    store: OnlineStore,
    feature_view: str,
    rows: Any,
    to: str = "online",
    *,
    now: datetime,
) -> Pushed:
    """Take rows in; they are on disk when this returns, and every reader sees them.

    Raises UnknownNameError, NotMaterializedError, RequestError, EntityRowsError (nothing is
    written then), OnlineStoreError, OutputError and LockTimeoutError.
    """
    if to not in TO:
        raise RequestError(f"to={to!r} is none of {listed(TO)}.")
    view, columns = published(store, feature_view)
    given = pushable(view, columns, rows, micros(utc_instant(now, "what the clock gives")))
    file = temporary = None
    if to != "online":
        file = _file(project, view, now)
        temporary = file.with_name(f".{file.name}.tmp")
        _write(temporary, given.stamped())
    refused, is_online = 0, False
    try:
        if to != "offline" and given.table.num_rows:
            refused = store.append(given.entry(), project.settings.lock_timeout)
            is_online = True
        if file and temporary:
            _keep(temporary, file, is_online)
    finally:
        if temporary:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return Pushed(view.reference, given.table.num_rows, refused, file)


def delete(
    project: Project, store: OnlineStore, feature_view: str, entity_rows: Any, *, now: datetime
) -> Deleted:
    """Remove keys from the online store, at once and for every reader.

    Pushes that arrived before are refused from now on. A later materialize that finds the key in
    the source brings it back: delete it there, too. Raises as :func:`push` does.
    """
    view, columns = published(store, feature_view)
    entry = deletion(view, columns, entity_rows, micros(utc_instant(now, "what the clock gives")))
    if entry.count:
        store.append(entry, project.settings.lock_timeout)
    return Deleted(view.reference, entry.count)


def published(store: OnlineStore, name: str) -> tuple[FeatureView, tuple[Column, ...]]:
    """Return a view and the columns of its relation as the store has them.

    Raises UnknownNameError and NotMaterializedError.
    """
    generation = store.generation()
    if generation is None:
        raise NothingPublishedError()
    view = view_named(generation.registry, name)
    if view.reference not in generation.catalog.views:
        published = listed(sorted(generation.catalog.views))
        raise NotMaterializedError(
            f"{view.reference} ({view.file}) is not in the online store, which has: {published}. "
            f"What a push must hold is known once it is. Run: fstore materialize {view.reference}"
        )
    return view, generation.columns[view.reference]


def _file(project: Project, view: FeatureView, now: datetime) -> Path:
    folder = project.state_directory / "pushed" / quote(view.reference, safe="")
    stamp = utc_instant(now, "what the clock gives").strftime("%Y%m%dT%H%M%S.%f")
    return folder / f"{stamp}-{uuid.uuid4().hex[:8]}.parquet"


def _write(path: Path, table: pa.Table) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, write_statistics=with_statistics(table.schema))
        sync(path)
    except (OSError, pa.ArrowException) as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise OutputError(path, error) from error


def _keep(temporary: Path, file: Path, is_online: bool) -> None:
    """Give the rows for dbt their name; where that fails, they have none."""
    try:
        temporary.replace(file)
        sync(file.parent)
    except OSError as error:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        known = (
            f"{error}. The rows are online already. Push them again once it can be written, which "
            "is safe: a row counts once, however often it is pushed."
        )
        raise OutputError(file, known if is_online else error) from error
