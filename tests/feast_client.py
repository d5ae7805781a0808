"""Run with Feast's own interpreter: its SDK reads from our server, and prints what it got as JSON.

python tests/feast_client.py http://127.0.0.1:6566 <key>
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import datetime

from feast import FeatureService, FeatureStore, RepoConfig
from feast.errors import FeastError


def main(url: str, key: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        config = RepoConfig(
            project="shop",
            provider="local",
            registry=f"{directory}/registry.db",
            online_store={"type": "remote", "path": url},
            entity_key_serialization_version=3,
            auth={"type": "oidc", "token": key},
        )
        store = FeatureStore(config=config)
        rows = [{"k": 2}, {"k": 1}, {"k": 9}]
        found = {
            "features": store.get_online_features(["stats:x", "stats:y"], rows).to_dict(),
            "full": store.get_online_features(["stats:x"], rows, full_feature_names=True).to_dict(),
            "service": store.get_online_features(
                FeatureService(name="svc", features=[]), rows
            ).to_dict(),
            "on_demand": store.get_online_features(["od:m"], [{"k": 1, "n": 5}]).to_dict(),
            "unknown": failure(store, ["stat:x"], rows),
            "mistake": failure(store, ["stats:x"], [{"k": "x"}]),
        }
    print(json.dumps(found, default=datetime.isoformat))


def failure(store: FeatureStore, features: list[str], rows: list[dict[str, object]]) -> list[str]:
    try:
        store.get_online_features(features, rows)
    except (FeastError, RuntimeError) as error:
        return [type(error).__name__, str(error)]
    return []


if __name__ == "__main__":
    main(*sys.argv[1:])
