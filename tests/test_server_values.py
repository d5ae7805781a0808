"""Values over HTTP at the ends of their types: as they are asked with, answered and pushed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import View
from tests.online import STATS_META, Online, stats
from tests.serving import Server, serving


def view(name: str, columns: dict[str, str], rows: list[Any], **meta: Any) -> View:
    return View(name, {"k": "BIGINT", "t": "TIMESTAMP", **columns}, rows, STATS_META | meta)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    online = Online(tmp_path_factory.mktemp("values"), [stats([[1, "2024-01-01", 10, "a"]])])
    online.materialize()
    with serving(online.directory) as server:
        yield server


def answered(server: Server, entities: dict[str, list[Any]], *features: str) -> list[Any]:
    """The results of an answer."""
    found = server.features(entities, features=list(features))
    assert found.status == 200, found.body
    results: list[Any] = found.json()["results"]
    return results


@pytest.mark.parametrize("more", [0, 1, 30])
def test_keys_beyond_64_bits_are_found_nowhere_and_text(server: Server, more: int) -> None:
    asked: list[Any] = [2**64, 2**63, -(2**63) - 1, "9" * 23, 2**63 - 1, -(2**63), None]
    shown = [*map(str, asked[:4]), *asked[4:]]
    for given, told in zip(asked, shown, strict=True):
        keys, values = answered(server, {"k": [given] + [1] * more}, "stats:x")
        assert keys["values"] == [told] + [1] * more
        assert values["statuses"] == ["NOT_FOUND"] + ["PRESENT"] * more
    keys, values = answered(server, {"k": [*asked, 1]}, "stats:x")
    assert keys["values"] == [*shown, 1]
    assert values["values"] == [None] * len(asked) + [10]
