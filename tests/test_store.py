"""The facade itself: what it keeps open, and what closing it lets go of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fstore import FeatureStore
from tests.harness import make_project
from tests.online import NOW, stats


def open_under(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:  # the one that listed them
            continue
    return [path for path in found if path.startswith(str(folder))]


def read(store: FeatureStore) -> list[int]:
    answer: list[int] = store.get_online_features(["stats:x"], [{"k": 1}]).to_dict()["x"]
    return answer


def test_close_lets_go_of_what_is_open(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [stats([[1, "2024-01-01", 11, ""]])])
    with FeatureStore(project, clock=lambda: NOW) as store:
        store.materialize()
        assert read(store) == [11]
        assert open_under(tmp_path) != []
        store.close()
        assert open_under(tmp_path) == []
        assert read(store) == [11], "a closed store opens again"
    assert open_under(tmp_path) == []


def test_refresh_reads_the_manifest_again(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", [stats([])])
    store = FeatureStore(project)
    assert [view.name for view in store.feature_views()] == ["stats"]
    make_project(tmp_path / "p", [])
    assert [view.name for view in store.feature_views()] == ["stats"]
    store.refresh()
    with pytest.raises(LookupError):
        store.describe("stats")
