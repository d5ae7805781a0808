"""fstore online: ``get_online_features(...).to_dict()`` in process, from DuckDB files or Redis."""

from __future__ import annotations

from benchmarks.online_protocol import EntityRows, Peer, Read, Setup, View, serve
from fstore import FeatureStore


class Fstore:
    """The store of the dbt project; which online store it has, its fstore.yml says."""

    def __init__(self, setup: Setup) -> None:
        self._store = FeatureStore(setup.project)

    def materialize(self, view: View) -> None:
        self._store.materialize(feature_views=[view.name])

    def reader(self, view: View) -> Read:
        store = self._store
        references = [f"{view.name}:{name}" for name in view.features]

        def read(rows: EntityRows) -> dict[str, list[object]]:
            return store.get_online_features(references, rows).to_dict()

        return read


def make(setup: Setup) -> Peer:
    """Open the store."""
    return Fstore(setup)


if __name__ == "__main__":
    serve(make)
