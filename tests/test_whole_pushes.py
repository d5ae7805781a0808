"""A read sees a push that comes meanwhile whole or not at all, whatever thread takes it in."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fstore import FeatureStore
from fstore.online import duckdb_generation, lookup
from tests.harness import View
from tests.online import NOW, STATS_META, Online

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "id": "BIGINT", "x": "BIGINT"}
META = STATS_META | {
    "event_key": ["id"],
    "aggregations": [{"column": "x", "functions": ["count"], "windows": ["1 day"]}],
}


def rows(number: int, keys: Iterable[int]) -> list[dict[str, Any]]:
    at = NOW.replace(tzinfo=None) - timedelta(hours=5 - number)
    return [{"k": key, "t": at, "id": number, "x": number} for key in keys]


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (["x"], 2),  # of one key there is one row, and what is read by column is read in one step
        (["x_count_1d"], 2),
        (["x_count_1d"], 40),
        (["x", "x_count_1d"], 1),
        (["x", "x_count_1d"], 2),
        (["x", "x_count_1d"], 40),
    ],
)
def test_a_push_comes_in_the_middle_of_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], keys: int
) -> None:
    """The push begins when the first part of the first key was read, and is given time."""
    online = Online(tmp_path, [View("stats", COLUMNS, rows(1, range(keys)), META)])
    online.materialize()
    store = FeatureStore(tmp_path, clock=lambda: NOW)
    store.push("stats", rows(2, range(keys)))
    pushed = threading.Thread(target=lambda: store.push("stats", rows(3, range(keys))))

    def push() -> None:
        if not pushed.ident:
            pushed.start()
            pushed.join(0.5)

    make_sight, make_cells = lookup._sight, duckdb_generation.event_lookup

    def sight(*args: Any) -> Any:
        see = make_sight(*args)

        def then_pushed(*those: Any) -> Any:
            found = see(*those)
            push()
            return found

        return then_pushed

    def event_lookup(*args: Any) -> Any:
        read = make_cells(*args)

        def then_pushed(*those: Any) -> Any:
            found = read(*those)
            push()
            return found

        return then_pushed

    monkeypatch.setattr(lookup, "_sight", sight)
    monkeypatch.setattr(duckdb_generation, "event_lookup", event_lookup)
    features = [f"stats:{name}" for name in asked]
    entities = [{"k": key} for key in range(keys)]
    during = store.get_online_features(features, entities).to_dict()
    pushed.join()
    assert [{*during[name]} for name in asked] == [{2}] * len(asked)
    after = store.get_online_features(features, entities).to_dict()
    assert [{*after[name]} for name in asked] == [{3}] * len(asked)
