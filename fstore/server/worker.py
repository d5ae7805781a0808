"""What each process of the server runs: an application over a store of its own."""

from __future__ import annotations

import json
import os
from typing import Any

from fstore.server.access import Access
from fstore.server.app import App
from fstore.server.run import OPENED
from fstore.store import FeatureStore


def application() -> App:
    """Return the application; fstore.yml is read now, so that a reload reads it again."""
    given: dict[str, Any] = json.loads(os.environ[OPENED])
    store = FeatureStore(**given)
    settings = store.project.settings
    store.prepare()
    return App(
        store,
        Access.of(settings.serving, os.environ),
        settings.serving.limits,
        reads_block=settings.online_store.type != "duckdb",
    )
