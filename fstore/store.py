"""The FeatureStore facade: each method only delegates."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fstore.definitions import Entity, FeatureService, FeatureView, Registry
from fstore.manifest import load_registry
from fstore.offline.job import RetrievalJob
from fstore.offline.retrieval import retrieval_job
from fstore.project import Project, load_project

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


class FeatureStore:
    """A dbt project as a feature store.

    ``project_dir`` holds dbt_project.yml; ``target`` and ``profiles_dir`` mean what they mean to
    dbt. ``clock`` returns the present instant, aware; give one to ask as of another time. The
    manifest is read when first needed and kept: call :meth:`refresh` after dbt has run again.

    >>> store = FeatureStore("path/to/project")                             # doctest: +SKIP
    >>> job = store.get_historical_features(spine, ["carrier_delays:*"])    # doctest: +SKIP
    """

    def __init__(
        self,
        project_dir: str | os.PathLike[str] = ".",
        target: str | None = None,
        profiles_dir: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        profiles = None if profiles_dir is None else Path(profiles_dir)
        self._project: Project = load_project(Path(project_dir), target, profiles)
        self._clock: Clock = clock or utc_now
        self._registry: Registry | None = None

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
        """Let go of everything that is open; the store can still be used, and opens it again."""
        self._registry = None

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
    ) -> RetrievalJob:
        """Return the job that makes a training set, correct in time.

        ``entity_df`` is a pandas, polars or Arrow table, one SELECT, or a dbt model's name; without
        it, ``start`` and ``end`` (inclusive; naive means UTC) ask for every instant at which a row
        of the views became visible. ``features`` are references (``view:feature``, ``view:*``,
        ``view``), or ``feature_service`` names an exposure. ``event_timestamp`` names the spine's
        time column, which is otherwise ``event_timestamp``, the model's clock, or its only
        timestamp. ``include_event_timestamps`` adds ``<view>__event_timestamp``, in UTC.

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
        )
