"""Publish the latest visible row per key to the online store; see what is there; go back.

    materialize(project, registry, as_of=None, feature_views=None, *, incremental=False,
                keep_going=False, force=False, now=<the clock's instant>, progress=None)
        -> Materialization
    status(store, now=<the clock's instant>) -> Status | None
    rollback(project, now=<the clock's instant>) -> Status
    online_store(project) -> OnlineStore      # for OnlineReader(online_store(project))

``project`` is a fstore.project.Project, ``registry`` a fstore.definitions.Registry. Instants are
aware datetimes, or naive ones in UTC; ``as_of`` may be ISO text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pyarrow as pa

from fstore.compile.events import events
from fstore.compile.latest import latest
from fstore.compile.references import view_named
from fstore.compile.request import Columns, check_declared, utc_instant
from fstore.compile.sql import render, select_all
from fstore.definitions import Column, FeatureView, Registry
from fstore.errors import (
    FstoreError,
    NothingPublishedError,
    RequestError,
    listed,
)
from fstore.jobs.on_demand import published
from fstore.offline.faults import check_conditions, naming_faults
from fstore.offline.progress import run
from fstore.offline.sizes import stored
from fstore.offline.stream import Connection, Stream
from fstore.offline.warehouse import describe, open_warehouse
from fstore.online.cells import check_kept
from fstore.online.duckdb_store import DuckDBStore
from fstore.online.generation import Catalog, Published
from fstore.online.instants import micros
from fstore.online.protocol import Batch, OnlineStore, Writer
from fstore.online.servers import server_store
from fstore.project import Project

Progress = Callable[[str, int, int], None]  # view, views done, views in all


@dataclass(frozen=True)
class MaterializedView:
    """What was published of one view, and how long it took."""

    view: str
    rows: int
    keys: int
    seconds: float
    as_of: datetime
    generation: int


@dataclass(frozen=True)
class Materialization:
    """What a materialize did. ``failed`` is empty unless ``keep_going`` was asked for."""

    generation: int | None  # None: nothing was published
    as_of: datetime
    views: tuple[MaterializedView, ...]
    failed: Mapping[str, FstoreError] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewStatus:
    """A view as it is online now. ``age`` is the clock's instant less K."""

    view: str
    as_of: datetime
    age: timedelta
    published_at: datetime
    rows: int
    keys: int
    generation: int


@dataclass(frozen=True)
class Status:
    """What is online now."""

    generation: int
    views: tuple[ViewStatus, ...]


def online_store(project: Project) -> OnlineStore:
    """Return the online store of the project's target. No server is asked yet."""
    settings = project.settings
    if settings.online_store.type == "duckdb":
        return DuckDBStore(
            project.state_directory,
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            temp_directory=settings.temp_directory,
        )
    return server_store(
        settings.online_store.type,
        settings.online_store.url or "",
        project.name,
        project.target,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        temp_directory=settings.temp_directory,
    )


def materialize(
    project: Project,
    registry: Registry,
    as_of: datetime | str | None = None,
    feature_views: Sequence[str] | None = None,
    *,
    now: datetime,
    incremental: bool = False,
    keep_going: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Materialization:
    """Publish the rows known at K = ``as_of`` (the clock's ``now`` where None), all in one step.

    The views are all with ``online: true``, or those named. Full: keys that the source lost leave.
    Incremental: they stay. One view that fails publishes none, unless ``keep_going``, which
    publishes the others. Waits for another writer up to ``lock_timeout``.

    Raises RequestError (``as_of`` in the future, or before a view's K without ``force``; a view
    with ``online: false``), UnknownNameError, RelationError, WarehouseError, QueryError,
    OnlineStoreError and LockTimeoutError. Whatever it raises, the last generation stays.
    """
    now = _utc(now)
    k = now if as_of is None else _utc(as_of)
    if k > now:
        raise RequestError(
            f"as_of {k.isoformat()} is in the future: it is {now.isoformat()} now, and what will "
            "be known later is not known yet."
        )
    views = _views(registry, feature_views)
    done: list[MaterializedView] = []
    built: dict[str, tuple[Column, ...]] = {}
    failed: dict[str, FstoreError] = {}
    store = online_store(project)
    with store.writer(project.settings.lock_timeout) as writer, ExitStack() as opened:
        earlier = _refuse_going_back(writer, views, k, force)
        # One session for all views: what dbt builds meanwhile is in all of them or in none.
        connection = opened.enter_context(open_warehouse(project))
        for number, view in enumerate(views):
            if progress:
                progress(view.reference, number, len(views))
            keep_absent = incremental and view.reference not in earlier
            try:
                columns = describe(connection, [view], project.target)
                done.append(_write(connection, writer, view, columns, k, now, keep_absent))
                built |= columns
            except FstoreError as error:
                if not keep_going:
                    raise
                failed[view.reference] = error
        opened.close()
        if progress:
            progress(views[-1].reference, len(views), len(views))
        if not done and (failed or not writer.current):
            return Materialization(None, k, (), failed)
        retention = project.settings.push_retention.seconds * 1_000_000
        kept = _kept(registry, writer, feature_views)
        online = _online(registry, writer, built, kept)
        on_demand, wrong = published(*online, keep_going=keep_going)
        registry = replace(registry, on_demand_views=on_demand)
        failed |= wrong
        catalog = writer.publish(registry, kept, micros(now) - retention)
    return Materialization(catalog.generation, k, tuple(done), failed)


def _write(
    connection: Connection,
    writer: Writer,
    view: FeatureView,
    built: Columns,
    as_of: datetime,
    now: datetime,
    keep_absent: bool,
) -> MaterializedView:
    started = time.perf_counter()
    columns = built[view.reference]
    check_declared(view, columns)
    check_conditions(connection, view, columns)
    name = f"{view.reference} ({view.file})"

    def write() -> Published:
        computed = stored(connection, select_all(view.relation)) is None
        query = latest(view, columns, as_of, computed=computed)
        streams = [Stream(connection, render(query), name)]
        rows = streams[0].reader
        check_kept(view, columns, rows.schema)

        def start_events() -> pa.RecordBatchReader:
            streams.append(Stream(connection, render(events(view, columns, as_of)), name))
            return streams[-1].reader

        of_events = start_events if view.windows else None
        try:
            return writer.write(Batch(view, columns, rows, as_of, now, keep_absent, of_events))
        except FstoreError as error:
            raise streams[-1].failure or error from error

    with naming_faults(connection, {view: columns}, spine=None):
        published = run(view.reference, write, connection, writer)
    return MaterializedView(
        view=view.reference,
        rows=published.rows,
        keys=published.keys,
        seconds=time.perf_counter() - started,
        as_of=published.as_of,
        generation=published.generation,
    )


def _views(registry: Registry, names: Sequence[str] | None) -> tuple[FeatureView, ...]:
    if names is None:
        views = tuple(view for view in registry.feature_views if view.online)
        if not views:
            raise RequestError(
                f"Project {registry.project} has no feature view to materialize: give a model "
                "meta.fstore, and leave online out or true."
            )
        return views
    if isinstance(names, str) or not names:
        raise RequestError(f"feature_views is a list of names of views, not {names!r}.")
    views = tuple(dict.fromkeys(view_named(registry, name) for name in names))
    for view in views:
        if not view.online:
            raise RequestError(
                f"{view.reference} ({view.file}) has online: false, so it is not materialized. "
                "Set online: true in its meta.fstore, or leave it out."
            )
    return views


def _refuse_going_back(
    writer: Writer, views: Sequence[FeatureView], k: datetime, force: bool
) -> frozenset[str]:
    """Return the views whose last K is after ``k``; RequestError unless that is forced."""
    published = writer.current.catalog.views if writer.current else {}
    last = {
        view.reference: published[view.reference] for view in views if view.reference in published
    }
    earlier = {reference: each.as_of for reference, each in last.items() if each.as_of > k}
    if earlier and not force:
        shown = listed([f"{name} as of {each.isoformat()}" for name, each in earlier.items()])
        raise RequestError(
            f"as_of {k.isoformat()} is before what is online already: {shown}. "
            "Force it to go back (--force, force=True)."
        )
    return frozenset(earlier)


def _kept(
    registry: Registry, writer: Writer, feature_views: Sequence[str] | None
) -> frozenset[str]:
    """Return which views stay online where they were not written now.

    With views named, all of them; else those that the project still has, with ``online: true``.
    """
    if feature_views is not None:
        return frozenset(writer.current.catalog.views) if writer.current else frozenset()
    return frozenset(view.reference for view in registry.feature_views if view.online)


def _online(
    registry: Registry, writer: Writer, built: Columns, kept: frozenset[str]
) -> tuple[Registry, Columns]:
    """Return the declarations and the columns of the views that will be online."""
    if writer.current is None:
        return registry, built
    before = writer.current.registry.views_by_reference
    staying = (kept & writer.current.catalog.views.keys()) - built.keys()
    views = tuple(
        before[view.reference] if view.reference in staying else view
        for view in registry.feature_views
    )
    columns = {reference: writer.current.columns[reference] for reference in staying}
    return replace(registry, feature_views=views), columns | dict(built)


def status(store: OnlineStore, now: datetime) -> Status | None:
    """Return what is online now; None where nothing ever was."""
    generation = store.generation()
    return None if generation is None else _status(generation.catalog, _utc(now))


def rollback(project: Project, now: datetime) -> Status:
    """Go back one generation; NotMaterializedError where there is none to go back to."""
    store = online_store(project)
    if store.generation() is None:
        raise NothingPublishedError()
    with store.writer(project.settings.lock_timeout) as writer:
        return _status(writer.rollback(), _utc(now))


def _status(catalog: Catalog, now: datetime) -> Status:
    views = tuple(
        ViewStatus(
            view=reference,
            as_of=each.as_of,
            age=now - each.as_of,
            published_at=each.published_at,
            rows=each.rows,
            keys=each.keys,
            generation=each.generation,
        )
        for reference, each in catalog.views.items()
    )
    return Status(catalog.generation, views)


def _utc(instant: datetime | str) -> datetime:
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant)
        except ValueError:
            raise RequestError(
                f"{instant!r} is not a time: write it as 2013-01-31T12:00:00, in UTC unless it "
                "says its zone."
            ) from None
    return utc_instant(instant, "as_of")
