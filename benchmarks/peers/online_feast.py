"""Feast online: ``get_online_features(...).to_dict()`` in process, from SQLite or Redis.

Runs in benchmarks/.venv-feast and imports nothing that is not there. Its rows come from the same
Parquet files, through its DuckDB offline store, which is its fastest.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

from benchmarks.online_protocol import EntityRows, Peer, Read, Setup, View, serve

FIRST, LAST = datetime(2023, 12, 31, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)  # all rows


class Feast:
    """A repository of its own in the scratch folder, which ``feast serve`` reads, too."""

    def __init__(self, setup: Setup) -> None:
        repository = Path(setup.scratch)
        repository.mkdir(parents=True, exist_ok=True)
        online = {"type": "sqlite", "path": str(repository / "online.db")}
        if setup.variant == "redis":
            online = {"type": "redis", "connection_string": setup.redis}
        config = {
            "project": "bench",
            "provider": "local",
            "registry": str(repository / "registry.db"),
            "online_store": online,
            "offline_store": {"type": "duckdb"},
            "entity_key_serialization_version": 3,
        }
        (repository / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._store = FeatureStore(repo_path=str(repository))
        entities = {
            key: Entity(name=key, join_keys=[key], value_type=ValueType.INT64)
            for key in sorted({view.key for view in setup.views})
        }
        views = [_view(view, entities[view.key]) for view in setup.views]
        self._store.apply([*entities.values(), *views])

    def materialize(self, view: View) -> None:
        self._store.materialize(FIRST, LAST, feature_views=[view.name])

    def reader(self, view: View) -> Read:
        store = self._store
        references = [f"{view.name}:{name}" for name in view.features]

        def read(rows: EntityRows) -> dict[str, list[object]]:
            return store.get_online_features(references, rows).to_dict()

        return read


def _view(view: View, entity: Entity) -> FeatureView:
    assert view.parquet is not None
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=timedelta(days=view.ttl_days or 0),  # 0: without end
        schema=[Field(name=view.key, dtype=Int64), *_fields(view)],
        source=FileSource(path=view.parquet, timestamp_field="event_timestamp"),
        online=True,
    )


def _fields(view: View) -> list[Field]:
    """Return the features with their types: the third of every four is a count."""
    return [
        Field(name=name, dtype=Int64 if number % 4 == 2 else Float64)
        for number, name in enumerate(view.features)
    ]


def make(setup: Setup) -> Peer:
    """Apply the definitions, and open the store."""
    return Feast(setup)


if __name__ == "__main__":
    serve(make)
