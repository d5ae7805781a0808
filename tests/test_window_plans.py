"""Which plan windows get, and what is said of it; that all give the same rows others hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

import fstore
from fstore.compile.plans import WindowPlan
from tests import harness
from tests.test_plans import make, spine_of, spread

COLUMNS = {"k": "BIGINT", "t": "TIMESTAMP", "v": "BIGINT"}
WINDOWS = [{"column": "v", "functions": ["sum", "count"], "windows": ["1 hour", "365 days"]}]
META = {"entities": {"user": "k"}, "event_timestamp": "t", "aggregations": WINDOWS}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    views = [
        harness.View("clicks", COLUMNS, meta=META),
        harness.View("hot", COLUMNS, meta=META),
        harness.View(
            "joined", {}, meta=META, select="SELECT c.* FROM clicks AS c JOIN hot USING (k)"
        ),
        harness.View("world", {"t": "TIMESTAMP", "v": "BIGINT"}, meta=META | {"entities": {}}),
    ]
    return make(
        tmp_path_factory.mktemp("plans") / "project",
        views,
        clicks=spread(100_000, 20_000),
        hot=spread(20_000, 2),
        world="SELECT TIMESTAMP '2024-01-01', 1",
    )


def job(project: Path, spine: Any, *features: str, plan: str | None = None) -> Any:
    with fstore.FeatureStore(project) as store:
        return store.get_historical_features(spine, features, plan=plan)


def taken(project: Path, spine: Any, view: str) -> Any:
    return job(project, spine, view).plans[view].windows


def test_few_pairs_are_looked_at_one_by_one(project: Path) -> None:
    found = taken(project, spine_of(2_000, 20_000), "clicks")
    assert found.plan is WindowPlan.BANDS
    assert "pairs of an event and a spine row" in found.reason


def test_hot_keys_are_cut_into_tiles(project: Path) -> None:
    found = taken(project, spine_of(5_000, 2), "hot")
    assert found.plan is WindowPlan.MIXED
    assert "tiles are for more than 4" in found.reason


def test_without_keys_all_is_cut(project: Path) -> None:
    found = taken(project, spine_of(50, 50), "world")
    assert (found.plan, found.reason) == (
        WindowPlan.TILES, "it has no join key: every event is of one key",
    )  # fmt: skip


def test_what_is_unknown_gets_what_can_never_be_far_worse(project: Path) -> None:
    asked = job(project, spine_of(50, 50), "joined")
    assert asked.plans["joined"].windows.plan is WindowPlan.MIXED
    assert "unknown" in asked.plans["joined"].windows.reason
    assert asked.to_sql().count('"main"."joined"') == 1  # computed once, though read thrice


def test_hot_keys_give_the_rows_of_every_plan(project: Path) -> None:
    spine = spine_of(3_000, 3)  # of which one has no events
    answers = [job(project, spine, "hot", plan=plan).to_arrow() for plan in WindowPlan]
    assert answers[0].num_rows == 3_000
    assert all(answer.equals(answers[0]) for answer in answers)
    with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:
        connection.register("spine", spine)
        (count,) = connection.execute(
            "SELECT count(*) FROM spine JOIN hot USING (k) WHERE t < event_timestamp "
            "AND t >= event_timestamp - INTERVAL '365 days'"
        ).fetchall()[0]
    assert sum(answers[0]["v_count_365d"].to_pylist()) == count


def test_explain_tells_of_rows_and_windows(project: Path) -> None:
    alone = job(project, spine_of(50, 50), "clicks", plan="tiles").explain()
    assert alone.startswith("clicks, windows: tiles (asked for by plan=)\n\n")
    both = job(project, spine_of(50, 50), "clicks:v", "clicks:v_sum_1h", plan="asof").explain()
    first, second = both.splitlines()[:2]
    assert first == "clicks: asof (asked for by plan=)"
    assert second.startswith("clicks, windows: bands (about ")


@pytest.mark.parametrize(
    ("features", "plan", "words"),
    [
        (["clicks"], "asof", "only window features are asked: give bands, tiles, mixed"),
        (["clicks:v"], "tiles", "no window feature is asked: give pairs, bounded"),
        (["clicks"], "tile", "Did you mean tiles?"),
    ],
)
def test_a_plan_for_what_is_not_asked(
    project: Path, features: list[str], plan: str, words: str
) -> None:
    with pytest.raises(fstore.RequestError) as caught:
        job(project, spine_of(5, 5), *features, plan=plan)
    assert words in str(caught.value)


def test_no_number_tells_more_windows_apart(tmp_path: Path) -> None:
    columns = COLUMNS
    entry = {"windows": [f"{count} hours" for count in range(1, 130)]}
    meta = META | {"aggregations": [entry]}
    project = make(tmp_path / "project", [harness.View("clicks", columns, meta=meta)])
    with pytest.raises(fstore.RequestError, match=r"129 windows of clicks.*120 can be"):
        job(project, spine_of(5, 5), "clicks")
    some = [f"clicks:count_{count}h" for count in range(1, 100)]  # more than 64 bits
    assert job(project, spine_of(5, 5), *some).to_arrow().num_rows == 5


def test_hot_keys_stay_in_a_small_memory(project: Path, tmp_path: Path) -> None:
    with fstore.FeatureStore(project, memory_limit="100MB") as store:
        asked = store.get_historical_features(spine_of(100_000, 2), ["hot"])
        assert asked.to_parquet(tmp_path / "out.parquet").exists()
