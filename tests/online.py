"""What the tests of the online store share: a project, published at an instant, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fstore.jobs import materialize as jobs
from fstore.jobs import push as push_jobs
from fstore.manifest import load_registry
from fstore.online.instants import micros
from fstore.online.reader import OnlineReader
from fstore.online.response import OnlineResponse
from fstore.project import load_project
from tests.harness import Service, View, make_project, write_manifest, write_tables
from tests.servers import settle

NOW = datetime(2024, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)
STATS_COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER", "y": "VARCHAR"}
STATS_META = {"entities": {"thing": "k"}, "event_timestamp": "t"}


def stats(rows: Sequence[Any], **changes: Any) -> View:
    """A view of one integer key; ``changes`` go to its meta."""
    return View("stats", STATS_COLUMNS, rows, meta=STATS_META | changes)


class Online:
    """A project with its clock; each method is what the job of that name does."""

    def __init__(
        self,
        directory: Path,
        views: Sequence[View],
        services: Sequence[Service] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        make_project(directory, views, services, settings)
        settle(directory)
        self.directory = directory
        self.now = NOW
        self._reader: OnlineReader | None = None

    @classmethod
    def at(cls, directory: Path) -> Online:
        """The project that is there already."""
        online = cls.__new__(cls)
        online.directory, online.now, online._reader = directory, NOW, None
        return online

    def change(self, views: Sequence[View], services: Sequence[Service] = ()) -> None:
        """What a later dbt build leaves behind."""
        write_manifest(self.directory, views, services)
        write_tables(self.directory, views)

    @property
    def project(self) -> Any:
        return load_project(self.directory)

    @property
    def folder(self) -> Path:
        found: Path = self.project.state_directory / "online"
        return found

    def materialize(self, as_of: Any = None, views: Any = None, **options: Any) -> Any:
        registry = load_registry(self.project.manifest_path)
        return jobs.materialize(self.project, registry, as_of, views, now=self.now, **options)

    def status(self) -> Any:
        return jobs.status(jobs.online_store(self.project), self.now)

    def rollback(self) -> Any:
        return jobs.rollback(self.project, self.now)

    def push(self, rows: Any, view: str = "stats", to: str = "online") -> Any:
        store = jobs.online_store(self.project)
        return push_jobs.push(self.project, store, view, rows, to, now=self.now)

    def delete(self, *keys: Any, view: str = "stats") -> Any:
        store = jobs.online_store(self.project)
        rows = [{"k": key} for key in keys]
        return push_jobs.delete(self.project, store, view, rows, now=self.now)

    def get(
        self,
        features: Any,
        rows: Any,
        *,
        service: str | None = None,
        full: bool | None = None,
        at: datetime | None = None,
    ) -> OnlineResponse:
        if self._reader is None:
            self._reader = OnlineReader(jobs.online_store(self.project))
        return self._reader.get(features, service, rows, full, at, micros(self.now))

    def x(self, *keys: Any, at: datetime | None = None) -> list[Any]:
        """stats:x of these keys."""
        return self.get(["stats:x"], [{"k": key} for key in keys], at=at).to_dict()["x"]

    def statuses(self, *keys: Any, at: datetime | None = None) -> list[str]:
        answer = self.get(["stats:x"], [{"k": key} for key in keys], at=at)
        return answer.to_dict(include_metadata=True)["x__status"]


def materialize_at(directory: Path, told: Connection) -> None:
    """In a process of its own: say that the work begins, do it, say that it is done."""
    told.send("began")
    Online.at(directory).materialize()
    told.send("done")
