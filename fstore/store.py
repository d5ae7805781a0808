"""The FeatureStore facade: each method only delegates."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fstore.compile.checks import Finding
from fstore.compile.references import source_named
from fstore.compile.request import utc_instant
from fstore.compile.window_types import feature_type
from fstore.definitions import (
    Column,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandView,
    Registry,
)
from fstore.errors import RequestError
from fstore.jobs import saved_dataset
from fstore.jobs.check import check, describe_on_demand, describe_view
from fstore.jobs.materialize import (
    Materialization,
    Progress,
    Status,
    materialize,
    online_store,
    rollback,
    status,
)
from fstore.jobs.on_demand import HowComputed
from fstore.jobs.push import Deleted, Pushed, delete, published, push
from fstore.jobs.saved_dataset import SavedDataset
from fstore.manifest import load_registry
from fstore.offline.job import RetrievalJob
from fstore.offline.retrieval import retrieval_job
from fstore.online.instants import micros
from fstore.online.reader import OnlineReader
from fstore.online.response import OnlineResponse
from fstore.project import Project, load_project, with_limits

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def _now_in_microseconds() -> int:
    """Return the same as reads count it, since 1970, without a datetime in between."""
    return time.time_ns() // 1000


def _instant_of(clock: Clock) -> int:
    return micros(utc_instant(clock(), "what the clock gives"))


class FeatureStore:
    """A dbt project as a feature store.

    ``project_dir`` holds dbt_project.yml (None: found as dbt finds it), or is a folder
    ``.fstore/<target>`` that was copied to a host that only serves; ``target`` and
    ``profiles_dir`` mean what they mean to dbt. ``clock`` returns the present instant, aware; give
    one to ask as of another time. ``memory_limit``, ``threads`` and ``temp_directory`` go before
    what fstore.yml says. The manifest is read when first needed and kept: call :meth:`refresh`
    after dbt has run again.

    >>> store = FeatureStore("path/to/project")                             # doctest: +SKIP
    >>> job = store.get_historical_features(spine, ["carrier_delays:*"])    # doctest: +SKIP
    """

    def __init__(
        self,
        project_dir: str | os.PathLike[str] | None = ".",
        target: str | None = None,
        profiles_dir: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        temp_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        directory = None if project_dir is None else Path(project_dir)
        profiles = None if profiles_dir is None else Path(profiles_dir)
        project = load_project(directory, target, profiles)
        settings = with_limits(project.settings, memory_limit, threads, temp_directory)
        self._project: Project = replace(project, settings=settings)
        self._clock: Clock = clock or utc_now
        self._instant = _now_in_microseconds if clock is None else partial(_instant_of, clock)
        self._registry: Registry | None = None
        self._online = online_store(self._project)
        self._reader = OnlineReader(self._online)

    @property
    def project(self) -> Project:
        """Where the project's files are, and its target."""
        return self._project

    @property
    def registry(self) -> Registry:
        """What dbt's manifest declares, as it was read."""
        if self._registry is None:
            self._registry = load_registry(self._project.manifest_path)
        return self._registry

    def refresh(self) -> None:
        """Read the manifest again when it is next needed."""
        self._registry = None

    def close(self) -> None:
        """Let go of the open files and the manifest; the store can still be used, and reopens them.

        The files close when the last read that another thread has under way is done.
        """
        self._registry = None
        self._online = online_store(self._project)
        self._reader = OnlineReader(self._online)

    def prepare(self) -> None:
        """Open what is published, so that the first read does not wait for it."""
        self._online.generation()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def entities(self) -> tuple[Entity, ...]:
        """Return every entity, in order of name."""
        return self.registry.entities

    def feature_views(self) -> tuple[FeatureView, ...]:
        """Return every version of every feature view, in order of name."""
        return self.registry.feature_views

    def on_demand_views(self) -> tuple[OnDemandView, ...]:
        """Return every on-demand feature view, in order of name."""
        return self.registry.on_demand_views

    def feature_services(self) -> tuple[FeatureService, ...]:
        """Return every feature service, in order of name."""
        return self.registry.feature_services

    def get_historical_features(
        self,
        entity_df: object = None,
        features: Sequence[str] | None = None,
        feature_service: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        event_timestamp: str | None = None,
        full_feature_names: bool | None = None,
        include_event_timestamps: bool = False,
        plan: str | None = None,
    ) -> RetrievalJob:
        """Return the job that makes a training set, correct in time.

        ``entity_df`` is a pandas, polars or Arrow table, one SELECT, or a dbt model's name; without
        it, ``start`` and ``end`` (inclusive; naive means UTC) ask for every instant at which a row
        of the views became visible. ``features`` are references (``view:feature``, ``view:*``,
        ``view``), or ``feature_service`` names an exposure. ``event_timestamp`` names the spine's
        time column, which is otherwise ``event_timestamp``, the model's clock, or its only
        timestamp. Request fields of on-demand views are columns of ``entity_df``, too.
        ``include_event_timestamps`` adds ``<view>__event_timestamp``, in UTC. ``plan`` forces how
        the rows are found (``pairs``, ``bounded``, ``bucketed``, ``asof``, ``placed``) or window
        features computed (``bands``, ``tiles``, ``mixed``); every plan gives the same rows, and
        without it the cheapest by what is known is taken for each view (``job.explain()`` says
        which).

        A wrong request is refused here, before anything runs.
        """
        return retrieval_job(
            self._project,
            self.registry,
            entity_df,
            features,
            feature_service,
            start=start,
            end=end,
            event_timestamp=event_timestamp,
            full_feature_names=full_feature_names,
            include_event_timestamps=include_event_timestamps,
            plan=plan,
        )

    def create_saved_dataset(self, name: str, job: RetrievalJob) -> SavedDataset:
        """Run the job and keep its rows, with the SQL that made them, under a new name."""
        return saved_dataset.create_saved_dataset(self._project, name, job, self._clock())

    def get_saved_dataset(self, name: str) -> SavedDataset:
        """Return a dataset that was kept, with ``to_df`` and ``to_arrow``."""
        return saved_dataset.get_saved_dataset(self._project, name)

    def saved_datasets(self) -> tuple[SavedDataset, ...]:
        """Return every dataset that was kept, in order of name."""
        return saved_dataset.list_saved_datasets(self._project)

    def materialize(
        self,
        as_of: datetime | str | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        keep_going: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Materialization:
        """Publish, for online reads, what was known of every key at ``as_of`` (now where None).

        Takes every view with ``online: true``, or those named; all of them become readable in one
        step, and where one fails none does, unless ``keep_going``. Keys that the source no longer
        has leave. ``force`` allows an ``as_of`` before the last one. ``progress`` is called with
        (view, views done, views in all).
        """
        return materialize(
            self._project,
            self.registry,
            as_of,
            feature_views,
            now=self._clock(),
            keep_going=keep_going,
            force=force,
            progress=progress,
        )

    def materialize_incremental(
        self,
        as_of: datetime | str | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        keep_going: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Materialization:
        """Publish as :meth:`materialize` does, except that keys gone from the source stay."""
        return materialize(
            self._project,
            self.registry,
            as_of,
            feature_views,
            now=self._clock(),
            incremental=True,
            keep_going=keep_going,
            force=force,
            progress=progress,
        )

    def get_online_features(
        self,
        features: Sequence[str] | None = None,
        entity_rows: Any = None,
        feature_service: str | None = None,
        full_feature_names: bool | None = None,
        at: datetime | None = None,
    ) -> OnlineResponse:
        """Return the features of each entity row as they are now, in the order given.

        ``entity_rows`` is a list of dicts, a dict of lists, or a frame, with the join keys and the
        request fields of on-demand views. ``at`` asks for another instant than the clock's, no
        earlier than the last materialize. Nothing is read but the published generation: no
        warehouse, no manifest.
        """
        return self._reader.get(
            features, feature_service, entity_rows, full_feature_names, at, self._instant()
        )

    def push(self, feature_view: str, rows: Any, to: str = "online") -> Pushed:
        """Take rows of a view in, from any process; every reader sees them at its next read.

        ``rows`` are whole rows, in any form that entity_rows has: join keys, event_timestamp, every
        feature, and created_timestamp where it is not now. ``to`` is "online", "offline" (a
        Parquet file under ``pushed/`` in the state folder, for dbt to read) or
        "online_and_offline". What is accepted is on disk when this returns. A row replaces what
        is online iff its (event_timestamp, created_timestamp) is greater or equal, so pushes may
        come late, twice and in any order. The view must have been materialized once.
        """
        return push(self._project, self._online, feature_view, rows, to, now=self._clock())

    def delete(self, feature_view: str, entity_rows: Any) -> Deleted:
        """Remove keys of a view from the online store, at once.

        Later pushes of rows from before are refused. A later materialize that finds the key in
        the source brings it back: delete it there, too.
        """
        return delete(self._project, self._online, feature_view, entity_rows, now=self._clock())

    def published(self, feature_view: str) -> tuple[FeatureView, tuple[Column, ...]]:
        """Return a view, and the columns of its relation, as they were published: what a push has.

        Nothing is read but the published generation. NotMaterializedError where it is not in it.
        """
        return published(self._online, feature_view)

    def status(self) -> Status | None:
        """Return what is online: K, rows and age of every view; None where nothing is."""
        return status(self._online, self._clock())

    def rollback(self) -> Status:
        """Go back to the generation before the current one."""
        return rollback(self._project, self._clock())

    def check(self) -> tuple[Finding, ...]:
        """Return everything wrong or doubtful in declarations, relations, services and profile."""
        return check(self._project)

    def describe(
        self, feature_view: str
    ) -> tuple[FeatureView | OnDemandView, tuple[Column, ...] | None]:
        """Return a view, and the columns of its built relation (None where it is not built).

        Of an on-demand view the columns are its features; :meth:`how_computed` has more.
        """
        view = source_named(self.registry, feature_view)
        if isinstance(view, FeatureView):
            return view, describe_view(self._project, view)
        found = describe_on_demand(self._project, self.registry, view)
        return (view, None) if found is None else (found.view, found.view.features)

    def feature_types(self, feature_view: str) -> dict[str, str]:
        """Return what ``feature_view:*`` means: features with DuckDB's types, in their order.

        Empty where the view is not built.
        """
        view, columns = self.describe(feature_view)
        if columns is None:
            return {}
        if not isinstance(view, FeatureView):
            return {column.name: column.type for column in columns}
        names = view.feature_names(columns)
        return {name: feature_type(view, columns, name) for name in names}

    def how_computed(self, on_demand_view: str) -> HowComputed | None:
        """Return how an on-demand view is computed online: its inputs, and what needs an engine.

        None where a view that it computes with is not built; OnDemandError where its SQL is wrong.
        """
        view = source_named(self.registry, on_demand_view)
        if isinstance(view, FeatureView):
            raise RequestError(f"{on_demand_view} ({view.file}) is not computed on demand.")
        return describe_on_demand(self._project, self.registry, view)
