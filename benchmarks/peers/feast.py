"""Feast: ``get_historical_features(...).to_df()`` of its DuckDB store or its default (dask) store.

Runs in benchmarks/.venv-feast and imports nothing that is not there.
"""

from __future__ import annotations

import os
import resource
import shutil
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64

from benchmarks.protocol import Ask, Job, View, serve

SHARE = 0.8  # of the machine's memory, for the default store: it joins every row of a key at once


def prepare(job: Job) -> Ask:
    """Apply the definitions to a registry of their own, and open the store."""
    if job.variant == "dask":  # an error of its own, rather than a machine without memory
        most = int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    repository = Path(job.scratch, f"feast-{job.variant}")
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir(parents=True)
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(repository / "registry.db"),
            online_store=None,
            offline_store={"type": job.variant},
            entity_key_serialization_version=3,
        )
    )
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=ValueType.INT64)
        for key in sorted({view.key for view in job.views})
    }
    views = [_view(view, entities[view.key]) for view in job.views]
    store.apply([*entities.values(), *views])
    spine = pd.read_parquet(job.spine)
    references = [f"{view.name}:{name}" for view in job.views for name in view.features]

    def ask() -> pd.DataFrame:
        return store.get_historical_features(spine, references).to_df()

    return ask


def _view(view: View, entity: Entity) -> FeatureView:
    assert view.parquet is not None
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=timedelta(days=view.ttl_days or 0),  # 0: without end
        schema=[Field(name=view.key, dtype=Int64), *_fields(view)],
        source=FileSource(path=view.parquet, timestamp_field="event_timestamp"),
        online=False,
    )


def _fields(view: View) -> list[Field]:
    """Return the features with their types: the third of every four is a count."""
    return [
        Field(name=name, dtype=Int64 if number % 4 == 2 else Float64)
        for number, name in enumerate(view.features)
    ]


if __name__ == "__main__":
    serve(prepare)
