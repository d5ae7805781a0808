"""Sessions that are kept between jobs hold nothing: no file, no frame, no setting of a job."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml

import fstore
from fstore.offline import sessions
from tests import harness

VIEW = harness.View(
    "stats",
    {"k": "BIGINT", "t": "TIMESTAMP", "v": "UUID"},
    [(1, "2024-01-01", "00000000-0000-0000-0000-000000000001")],
    {"entities": {"user": "k"}, "event_timestamp": "t"},
)
SELECT = "SELECT 1 AS k, TIMESTAMP '2024-02-01' AS event_timestamp"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return harness.make_project(tmp_path / "project", [VIEW])


def idle(project: Path) -> list[duckdb.DuckDBPyConnection]:
    return [
        connection
        for _, prepared_for, connection in sessions._idle
        if prepared_for.directory == project
    ]


def test_a_session_serves_the_next_job(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        store.get_historical_features(SELECT, ["stats"]).to_arrow()
        (first,) = idle(project)
        store.get_historical_features(SELECT, ["stats"]).to_arrow()
        assert idle(project) == [first]


def test_no_file_is_held_between_jobs(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        store.get_historical_features(SELECT, ["stats"]).to_arrow()
        with duckdb.connect(str(project / harness.WAREHOUSE)) as connection:  # to write
            connection.execute("INSERT INTO stats VALUES (2, '2024-01-01', NULL)")
        names = idle(project)[0].execute("SELECT database_name FROM duckdb_databases()").fetchall()
        assert {name for (name,) in names} == {"memory", "temp", "system"}


@pytest.mark.filterwarnings("ignore::fstore.FstoreWarning")
def test_settings_of_the_profile_change_no_order_and_no_time(project: Path) -> None:
    """A row that is known later has a greater E and A; the spine's order is the other way round."""
    columns = {"k": "BIGINT", "t": "TIMESTAMPTZ", "c": "TIMESTAMPTZ", "x": "BIGINT"}
    meta = {"entities": {"user": "k"}, "event_timestamp": "t", "created_timestamp": "c"}
    rows = [(1, "2024-01-01 00:00:00+00", f"2024-01-0{day} 00:00:00+00", day) for day in (1, 2, 3)]
    counted = [{"windows": ["1 day"], "functions": ["count"]}]
    views = [
        harness.View("plain", columns, rows, meta),
        harness.View("events", columns, rows, meta | {"aggregations": counted, "event_key": "x"}),
    ]
    harness.make_project(project, views)
    spine = pa.table({"k": [1, 1], "event_timestamp": [datetime(2024, 1, day) for day in (2, 5)]})
    expected = {**spine.to_pydict(), "x": [2, 3], "count_1d": [0, 0]}
    expected["count_1d"][0] = 2
    for settings in ({}, {"default_order": "desc", "Calendar": "japanese"}):
        profiles = yaml.safe_load((project / "profiles.yml").read_text())
        profiles[harness.PROJECT]["outputs"]["dev"]["settings"] |= settings
        harness.write_yaml(project / "profiles.yml", profiles)
        with fstore.FeatureStore(project) as store:
            for plan in (None, "asof", "placed", "pairs"):
                job = store.get_historical_features(spine, ["plain:x", "events:*"], plan=plan)
                assert job.to_arrow().to_pydict() == expected
            found = store.get_historical_features(None, ["plain:x"], start=datetime(2024, 1, 1))
            assert found.to_arrow()["x"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("secrets: [{type: http, name: x, bearer_token: SECRET, 1a: b}]", "secret x of target dev"),
        ("secrets: [{type: http, name: x, extra_http_headers: SECRET}]", "secret x of target dev"),
        ("settings: {threads: SECRET}", "setting threads of target dev"),
        ("config_options: {threads: SECRET}", "config_options of target dev"),
        ("extensions: [nosuch]", "extension nosuch of target dev"),
        ("attach: [{path: 'file:no.db?key=SECRET', alias: o}]", "o (attach[0] of target dev"),
        ("attach: [{path: 'file:no.db?key=SECRET'}]", "What (attach[0] of target dev"),
        ("attach: [{path: gone.db}]", "/gone.db (attach[0] of target dev"),
    ],
)
def test_what_of_the_profile_cannot_be_used_is_named_and_no_secret_is(
    project: Path, entry: str, told: str
) -> None:
    profiles = yaml.safe_load((project / "profiles.yml").read_text())
    profiles[harness.PROJECT]["outputs"]["dev"] |= yaml.safe_load(entry)
    harness.write_yaml(project / "profiles.yml", profiles)
    with fstore.FeatureStore(project) as store, pytest.raises(fstore.WarehouseError) as raised:
        store.get_historical_features(SELECT, ["stats"])
    assert told in str(raised.value)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None, "which would show it"


@pytest.mark.parametrize("name", ["memory", "fstore_session"])
def test_no_file_is_held_whatever_its_name(project: Path, name: str) -> None:
    profile = (project / "profiles.yml").read_text()
    (project / "profiles.yml").write_text(profile.replace(harness.WAREHOUSE, f"{name}.duckdb"))
    manifest = project / "target" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"database": "wh"', f'"database": "{name}"'))
    (project / harness.WAREHOUSE).rename(project / f"{name}.duckdb")
    with fstore.FeatureStore(project) as store:
        for _ in range(2):
            store.get_historical_features(SELECT, ["stats"]).to_arrow()
            assert idle(project)
            with duckdb.connect(str(project / f"{name}.duckdb")) as connection:  # to write
                connection.execute("INSERT INTO stats VALUES (2, '2024-01-01', NULL)")


def test_a_frame_is_let_go_of(project: Path) -> None:
    spine = pa.table({"k": [1], "event_timestamp": pa.array([0], pa.timestamp("us"))})
    before = sys.getrefcount(spine)
    with fstore.FeatureStore(project) as store:
        store.get_historical_features(spine, ["stats"]).to_arrow()
    assert idle(project)
    assert sys.getrefcount(spine) == before


def test_a_publish_leaves_no_setting_behind(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        fresh = store.get_historical_features(SELECT, ["stats"]).to_arrow().schema
        store.materialize()
        assert store.get_historical_features(SELECT, ["stats"]).to_arrow().schema == fresh


def test_a_job_that_fails_ends_its_session(project: Path) -> None:
    with fstore.FeatureStore(project) as store:
        broken = (
            "SELECT CAST(text AS BIGINT) AS k, TIMESTAMP '2024-02-01' AS event_timestamp "
            "FROM (VALUES ('one')) AS rows(text)"
        )
        with pytest.raises(fstore.FstoreError):
            store.get_historical_features(broken, ["stats"]).to_arrow()
    assert not idle(project)


def test_few_are_kept(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        project = harness.make_project(tmp_path / name, [VIEW])
        with fstore.FeatureStore(project) as store:
            store.get_historical_features(SELECT, ["stats"]).to_arrow()
    own = [entry for entry in sessions._idle if entry[0] == os.getpid()]
    assert len(own) == sessions.MOST_IDLE
    assert idle(tmp_path / "c")
    assert not idle(tmp_path / "a")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_takes_sessions_whatever_its_parents_threads_held(project: Path) -> None:
    with sessions._lock:  # of another thread of the parent
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with sessions._lock:
                os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
